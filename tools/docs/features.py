"""Writes `docs/guide/features.md` from `features.table` beside this file: what works here and in other loaders.

`--check` compares instead of writing and exits 1 on a difference. `rows()` is the table, for its test.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/guide/features.md"
TABLE = Path(__file__).with_name("features.table")

STATES = {
    "yes": (
        "yes",
        "the named tests see it work on real kernels (those of 5.10 .. 7.3 that have it); paths are below `tests/`",
    ),
    "untried": ("untried here", "it is there, and tested as far as the machine of the tests goes; no kernel ran it"),
    "no": ("no", "with the reason"),
}
HEAD = """# What works, here and elsewhere

The other columns were read in public sources on 2026-11-22: aya 0.14, libbpf 1.7, cilium/ebpf 0.22, bcc 0.26 (its
Python side). They say what was found there, nobody ran it for this page: `?` was not looked up, `–` has no meaning
there. Families of programs with their kernels, capabilities and methods: [attach-families.md](attach-families.md).

"""


class Row(NamedTuple):
    """One feature: its group, our state (a word of `STATES`), what there is to say, tests, the other loaders."""

    group: str
    feature: str
    state: str
    note: str
    tests: tuple[str, ...]
    others: tuple[str, ...]

    def paths(self) -> list[tuple[str, str]]:
        """The tests as (path from the repository's root, function)."""
        out = []
        for name in self.tests:
            path, function = name.split("::")
            out.append((f"tests/{path}.py" if "/" in path else f"tests/kernel/{path}.py", function))
        return out


def rows() -> list[Row]:
    """The table. `ValueError` names a line that is none."""
    out: list[Row] = []
    group = ""
    for number, line in enumerate(TABLE.read_text("utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            group = line[3:]
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 7 or not all(cells[:2] + cells[3:]):
            raise ValueError(f"{TABLE.name}:{number}: 7 cells are wanted, and only the tests may be missing")
        state, _, note = cells[1].partition(": ")
        if state not in STATES:
            raise ValueError(f"{TABLE.name}:{number}: `{state}` is none of {', '.join(STATES)}")
        tests = tuple(name.strip() for name in cells[2].split(",") if name.strip())
        out.append(Row(group, cells[0], state, note, tests, tuple(cells[3:])))
    return out


def text() -> str:
    lines = [HEAD + "| bpfsmith | means |", "|---|---|"]
    lines += [f"| {word} | {means} |" for word, means in STATES.values()]
    group = ""
    for row in rows():
        if row.group != group:
            group = row.group
            lines += ["", f"## {group}", "", "| | bpfsmith | aya | libbpf | cilium/ebpf | bcc | seen by |"]
            lines += ["|---|---|---|---|---|---|---|"]
        ours = STATES[row.state][0] + (f": {row.note}" if row.note else "")
        seen = ", ".join(f"`{name.replace('::', '.py::')}`" for name in row.tests)
        lines.append("| " + " | ".join([row.feature, ours, *row.others, seen]) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    wanted = text()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text("utf-8") != wanted:
            print(f"docs/guide/{PAGE.name} is not what the table says: run `python tools/docs/{Path(__file__).name}`")
            return 1
        return 0
    PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
