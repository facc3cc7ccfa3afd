"""The house: imports go down only, files stay small, public names are listed and documented, rules cost two files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/bpfsmith"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "_generated" not in path.parts)
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

# Floor of each package; `docs/architecture.md` draws them.
FLOORS = {
    "model": 0,
    "_native": 0,
    "read": 1,
    "facts": 1,
    "source": 2,
    "kernel": 2,
    "run": 2,
    "verdict": 2,
    "lab": 2,
    "rules": 3,
    "render": 3,
    "check": 4,
    "doctor": 4,
    "ps": 4,
    "explain": 4,
    "inspect": 4,
    "migrate": 4,
    "repair": 4,
    "skill": 4,
    "verify": 4,
    "cli": 5,
    "pytest_plugin": 5,
}
# Within a floor: who may import whom. Acyclic, and each with its reason.
WITHIN = {
    ("model", "_native"),  # the model is a view of native columns
    ("read", "facts"),  # the names of numbers
    ("run", "kernel"),  # loading goes through the door
    ("verdict", "kernel"),  # judging asks the door what a program type needs
    ("verdict", "run"),  # judging is planning and replaying, one program alone
    ("lab", "kernel"),  # a guest is a door of its own
    ("lab", "run"),  # the host plans, the guest replays
    ("lab", "verdict"),  # `k.verify(obj)` of a lab kernel
    ("render", "rules"),  # SARIF carries the rules' documentation
    ("check", "verify"),  # `check --prove`
    ("explain", "verify"),  # a log's cause; objects are judged first
    ("check", "repair"),  # `check --fix --prove`
    ("explain", "repair"),  # `explain --prove`
    ("repair", "verify"),  # candidates are judged by the kernels
    ("migrate", "check"),  # a migration is mending towards another release
    ("skill", "explain"),  # the skill's pages are made from topics and rules
}
# Helpers of the package itself, below everything.
GROUND = {"_verbs"}
LIMIT = 600


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute module) of every import, lazy and type-checking ones too."""
    package = ["bpfsmith", *path.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_go_down_only(path: Path) -> None:
    parts = path.relative_to(SOURCE).parts
    if len(parts) == 1:  # `bpfsmith` itself shows the jobs, lazily
        return
    own = parts[0]
    assert own in FLOORS, f"`{own}` has no floor: say in test_floors.py where it stands"
    wrong = []
    for line, module in imports(path):
        words = module.split(".")
        if words[0] != "bpfsmith" or len(words) < 2:
            continue
        target = words[1]
        if target == own or target in GROUND or target.startswith("__"):
            continue
        if target not in FLOORS:
            continue  # a name of the package's public face, such as `bpfsmith.check`
        if FLOORS[target] > FLOORS[own] or (FLOORS[target] == FLOORS[own] and (own, target) not in WITHIN):
            wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}: floor {FLOORS[own]} -> {FLOORS[target]}")
    assert not wrong, "\n".join(wrong)


def test_every_package_has_a_floor() -> None:
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert packages <= set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_are_small(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) > LIMIT:
        head = "\n".join(lines[:12])
        assert re.search(r"\blong because\b", head, re.IGNORECASE), (
            f"{len(lines)} lines; say `long because ...` at the top"
        )


def test_the_median_file_is_short() -> None:
    counts = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in FILES)
    assert counts[len(counts) // 2] <= 200


def public(tree: ast.Module) -> Iterator[ast.AST]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_modules_and_public_names_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module says in its first line what the reader gets"
    # Of a rule the module's text is the documentation; private modules explain what needs it.
    if re.match(r"[a-z]{3}\d{3}_|_(?!_)", path.name):
        return
    missing = [node.name for node in public(tree) if not ast.get_docstring(node)]  # type: ignore[attr-defined]
    # Every command has these two, every fact table those: described once, in `cli/__init__.py` and `facts/__init__.py`.
    exempt = {"cli": {"run", "configure"}, "facts": {"all", "get"}}.get(path.parent.name, set())
    assert not set(missing) - exempt, f"no docstring: {', '.join(missing)}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_all_is_sorted_and_true(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(one, ast.Name) and one.id == "__all__" for one in node.targets
        ):
            listed = ast.literal_eval(node.value)
            # As ruff sorts: constants, classes, functions.
            assert listed == sorted(listed, key=lambda name: (_rank(name), name)), listed
            assert len(set(listed)) == len(listed)


def _rank(name: str) -> int:
    bare = name.strip("_")
    if bare.isupper() and len(bare) > 1:
        return 0
    return 1 if bare[:1].isupper() else 2


def test_no_runtime_dependency() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r"^dependencies = \[\]$", text, re.MULTILINE)
    import sys

    standard = set(sys.stdlib_module_names) | {"bpfsmith", "__future__"}
    for path in FILES:
        # Extras, imported in one place when a user asks for arrays.
        extras = {"numpy", "pyarrow"} if path == SOURCE / "run/columns.py" else set()
        # Loaded by pytest alone.
        extras |= {"pytest"} if path.is_relative_to(SOURCE / "pytest_plugin") else set()
        allowed = standard | extras
        for line, module in imports(path):
            assert module.split(".")[0] in allowed, f"{path.relative_to(ROOT)}:{line} imports {module}"


def test_a_rule_costs_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module alone registers itself, everywhere: listing, selection, explanation."""
    from bpfsmith import rules
    from bpfsmith.explain import explain

    text = (SOURCE / "rules/obj003_license_missing.py").read_text(encoding="utf-8")
    (tmp_path / "obj998_added_today.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(tmp_path)])
    monkeypatch.setattr(rules, "_cache", None)
    assert rules.find("OBJ998") is rules.find("added-today")
    assert (rules.get("OBJ998").code, rules.get("OBJ998").name) == ("OBJ998", "added-today")
    assert "OBJ998" in [entry.code for entry in rules.select(["OBJ99"])]
    assert explain("added-today").pages[0].name == "OBJ998"


def test_an_output_format_costs_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith import render
    from bpfsmith.check.report import Report

    text = (SOURCE / "render/concise.py").read_text(encoding="utf-8")
    (tmp_path / "terse.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(render, "__path__", [*render.__path__, str(tmp_path)])
    assert "terse" in render.formats()
    assert render.renderer("terse").render(Report()) == ""
