"""Writes `docs/rules/`: one page per rule, the text of `bpfsmith explain CODE`, and an index by group.

`--check` compares instead of writing and exits 1 on a difference. Pages that belong to no rule are removed; the
hand-written and measured pages (names in lower case) are left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bpfsmith import rules
from bpfsmith.explain import explain

FOLDER = Path(__file__).resolve().parents[2] / "docs/rules"


def pages() -> dict[str, str]:
    """File name -> text of everything that is generated here."""
    made = {"README.md": index()}
    for entry in rules.listing():
        made[f"{entry.code}.md"] = explain(entry.code).markdown
    return made


def index() -> str:
    """The table of all rules, by group."""
    by_group: dict[str, list[rules.Entry]] = {}
    for entry in rules.listing():
        by_group.setdefault(entry.rule.group, []).append(entry)
    lines = [
        "# Rules",
        "",
        f"{len(rules.listing())} rules. Each page is what `bpfsmith explain CODE` prints; each rule is one file in",
        "`src/bpfsmith/rules/` and one Markdown test in `tests/md/`, whose programs are really compiled.",
        "[How often each fires on the corpus](corpus.md).",
    ]
    for group in rules.GROUPS:
        if group not in by_group:
            continue
        lines += ["", f"## {group}", "", "| code | name | severity | shows in | finds |", "|---|---|---|---|---|"]
        for entry in by_group[group]:
            rule = entry.rule
            summary = rule.docs.summary.replace("|", "\\|")
            lines.append(
                f"| [{entry.code}]({entry.code}.md) | {entry.name} | {rule.severity} | {rule.phase} | {summary} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    wanted = pages()
    have = {path.name: path for path in FOLDER.glob("[A-Z]*.md")}
    stale = [name for name, text in wanted.items() if name not in have or have[name].read_text("utf-8") != text]
    stale += [name for name in have if name not in wanted]
    if "--check" in sys.argv[1:]:
        for name in sorted(stale):
            print(f"docs/rules/{name} is not what the rules say")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in set(have) - set(wanted):
        have[name].unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
