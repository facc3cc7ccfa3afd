"""Puts the skill's files together. `main.md` is the main page with places for what is generated; every Markdown file in
`references/` stands beside it as it is."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NAME", "Skill", "files"]

NAME = "rust-ebpf"


class Skill:
    """`files` maps paths inside the skill's folder to their text; `SKILL.md` is the main page."""

    __slots__ = ("files",)

    def __init__(self, made: dict[str, str]) -> None:
        self.files = made

    @property
    def text(self) -> str:
        """The main page."""
        return self.files["SKILL.md"]

    def install(self, folder: str) -> list[str]:
        """Writes the skill to `folder/rust-ebpf` and returns the paths; existing files of the skill are replaced."""
        written = []
        for name, text in self.files.items():
            path = os.path.join(folder, NAME, name)
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                said = (error.strerror or str(error)).lower()
                raise InputError(
                    f"cannot write `{path}`: {said}", where=path, hint="name a folder you may write to"
                ) from error
            written.append(path)
        return written


def files() -> dict[str, str]:
    """Path -> text of all files, the main page first."""
    here = os.path.dirname(os.path.abspath(__file__))
    text = _read(os.path.join(here, "main.md"))
    for name, make in _PLACES.items():
        text = text.replace(f"<!-- {name} -->", make())
    made = {"SKILL.md": text}
    for name in _reference_names():
        made[f"references/{name}"] = _read(os.path.join(here, "references", name))
    return made


def _reference_names() -> list[str]:
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "references")
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if name.endswith(".md"))


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _words() -> str:
    """What can be asked, as the index of `explain` says it."""
    from bpfsmith.explain import explain

    lines = explain("").markdown.splitlines()
    return "\n".join(
        f"- {line[2:]}" if line.startswith("* ") else line for line in lines[4:] if line.startswith(("* a ", "  "))
    )


def _topics() -> str:
    from bpfsmith.explain import _topics as topics

    return "\n".join(f"- `bpfsmith explain {name}`: {topics.title(name)}" for name in topics.names())


def _rules() -> str:
    """The rules by group, worst first: what an agent may meet, one line each would be too long a page."""
    from bpfsmith import rules

    out = []
    for group in rules.GROUPS:
        found = [entry for entry in rules.listing() if entry.rule.group == group]
        if found:
            names = ", ".join(f"{entry.code} {entry.name}" for entry in found)
            out.append(f"- **{group}** ({len(found)}): {names}")
    return "\n".join(out)


def _references() -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    out = []
    for name in _reference_names():
        title = _read(os.path.join(here, "references", name)).splitlines()[0].lstrip("# ").strip()
        out.append(f"- [{title}](references/{name})")
    return "\n".join(out) or "- none yet: ask `bpfsmith explain`"


_PLACES: dict[str, Callable[[], str]] = {
    "words": _words,
    "topics": _topics,
    "rules": _rules,
    "references": _references,
}
