"""Writes `docs/guide/attach-families.md`: the table of families of programs and what attaching each means here.

`--check` compares instead of writing and exits 1 on a difference.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bpfsmith.run.attach import Family, families

PAGE = Path(__file__).resolve().parents[2] / "docs/guide/attach-families.md"

STATES = {
    "fires": "attached; the tests see it run on every kernel of 5.10, 6.1, 6.12, 6.18 and 7.3 that has it",
    "untried": "attached, but no kernel of the tests has what it is attached to",
    "none": "nothing to attach to: the note says what runs it",
}
HEAD = """# Families of programs, and how each is attached

`program.attach()` attaches by what the section says; the method named here takes the family's own options (see its
docstring). *Since* is the first kernel series that attaches such programs, *link* the first with a `bpf_link`, which
ends with its holder, whatever ends that; what has none is recorded, and `bpfsmith doctor --clean` removes what a killed
process left. Every family needs CAP_BPF to load; *capability* is what attaching needs besides.

"""


def text() -> str:
    lines = [HEAD + "| state | means |", "|---|---|"]
    lines += [f"| {state} | {means} |" for state, means in STATES.items()]
    lines += [
        "",
        "| family | program types | attach types | target | method | since | link | capability | needs | state |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(row) for row in families()]
    lines += ["", "## Notes", ""]
    lines += [f"* **{row.name}**: {row.note}" for row in families() if row.note]
    return "\n".join(lines) + "\n"


def _row(row: Family) -> str:
    kinds = ", ".join(f"`{word}`" for word in row.types)
    if row.attach_types:
        attach = ", ".join(f"`{word}`" for word in row.attach_types)
    else:
        attach = ", ".join(f"`{word}/...`" for word in row.sections) or "any"
    method = f"`{row.method}`" if row.state != "none" and row.method != "attach" else ""
    cells = [
        row.name, kinds, attach, row.target, method, row.since, row.link or "none", row.capability, row.needs,
        row.state,
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


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
