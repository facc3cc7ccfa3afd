"""What users see of us, as text under review in `api/`: written by `python -m tests.update`, held by a test."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

API = Path(__file__).resolve().parents[1] / "api"
DOCS = API.parent / "docs/topics"
SKILL = API.parent / "skills/rust-ebpf"


def cli_text() -> str:
    """`--help` of everything."""
    from bpfsmith import cli

    out = []
    for arguments in (["--help"], *([command, "--help"] for command in cli.commands())):
        buffer = io.StringIO()
        with contextlib.redirect_stdout(buffer):
            assert cli.main(arguments) == 0
        out.append(f"$ bpfsmith {' '.join(arguments)}\n{buffer.getvalue()}")
    return "\n".join(out)


def python_text() -> str:
    """The public names of `bpfsmith` with signatures."""
    import bpfsmith

    out = ["bpfsmith"]
    for name in bpfsmith.__all__:
        value = getattr(bpfsmith, name)
        if inspect.ismodule(value):  # a verb: callable package
            value = getattr(value, name)
        if inspect.isclass(value):
            out.extend(_class(name, value))
        elif callable(value):
            out.append(f"  def {name}{_signature(value)}")
        else:
            out.append(f"  {name}: {type(value).__name__}")
    return "\n".join(out) + "\n"


def _class(name: str, kind: type) -> list[str]:
    bases = ", ".join(base.__name__ for base in kind.__bases__ if base is not object)
    out = [f"  class {name}({bases})" if bases else f"  class {name}"]
    members: list[str] = []
    for member in sorted(dir(kind)):
        if member.startswith("_") and member != "__init__":
            continue
        value = inspect.getattr_static(kind, member)
        if member == "FIELDS" or (not inspect.isfunction(value) and member == "__init__"):
            continue
        if issubclass(kind, BaseException) and member != "__init__" and member in dir(BaseException):
            continue
        if isinstance(value, property):
            members.append(f"    {member} -> {_returns(value.fget)}")
        elif isinstance(value, classmethod | staticmethod):
            members.append(f"    {type(value).__name__} {member}{_signature(value.__func__)}")
        elif inspect.isfunction(value):
            members.append(f"    def {member}{_signature(value)}")
        elif inspect.ismemberdescriptor(value):
            members.append(f"    {member}")
        else:
            members.append(f"    {member}: {type(value).__name__}")
    return out + members


def _signature(value: Any) -> str:
    return str(inspect.signature(value)).replace("'", "")


def _returns(value: Any) -> str:
    return str(inspect.signature(value).return_annotation).replace("'", "")


def rules_json() -> str:
    """Codes and names are forever: what is listed here may grow, not change."""
    from bpfsmith import rules

    listed = []
    for entry in rules.listing():
        rule = entry.rule
        listed.append(
            {
                "code": entry.code,
                "name": entry.name,
                "severity": rule.severity,
                "group": rule.group,
                "phase": rule.phase,
                "since": rule.since_version,
                "summary": rule.docs.summary,
            }
        )
    return json.dumps({"version": 1, "rules": listed}, indent=2, ensure_ascii=False) + "\n"


def finding_schema() -> str:
    """The schema of `check --format json`, from the model."""
    from bpfsmith.check.schema import schema

    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema_of(verb: str) -> Callable[[], str]:
    """The schema of `VERB --format json`."""

    def text() -> str:
        module = importlib.import_module(f"bpfsmith.{verb}.schema")
        return json.dumps(module.schema(), indent=2, ensure_ascii=False) + "\n"

    return text


SNAPSHOTS = {
    "cli.txt": cli_text,
    "python.txt": python_text,
    "rules.json": rules_json,
    "finding.schema.json": finding_schema,
    "doctor.schema.json": schema_of("doctor"),
    "explain.schema.json": schema_of("explain"),
    "inspect.schema.json": schema_of("inspect"),
    "lab.schema.json": schema_of("lab"),
    "ps.schema.json": schema_of("ps"),
    "run.schema.json": schema_of("run"),
    "verify.schema.json": schema_of("verify"),
}


def topics() -> dict[str, str]:
    """File name -> text of the topics, which live in the package so that the wheel holds them."""
    import bpfsmith

    folder = Path(bpfsmith.__file__).resolve().parent / "topics"
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}


def write() -> None:
    """Writes all of them, `docs/topics` as a copy of the package's topics, and the skill."""
    DOCS.mkdir(parents=True, exist_ok=True)
    for path in DOCS.glob("*.md"):
        path.unlink()
    for name, text in topics().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    from bpfsmith.skill import skill

    shutil.rmtree(SKILL, ignore_errors=True)
    skill().install(str(SKILL.parent))
    API.mkdir(exist_ok=True)
    for name, make in SNAPSHOTS.items():
        text = make()
        if text is not None:
            (API / name).write_text(text, encoding="utf-8")
