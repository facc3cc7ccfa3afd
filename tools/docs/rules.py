"""Writes `docs/rules/`: one page per rule, the text of `bpfsmith explain CODE`, and an index by group; and the index
that the program selects by, `src/bpfsmith/rules/_index.py` (`--index`: only that).

`--check` compares instead of writing and exits 1 on a difference. Pages that belong to no rule are removed; the
hand-written and measured pages (names in lower case) are left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bpfsmith import rules
from bpfsmith.explain import explain

FOLDER = Path(__file__).resolve().parents[2] / "docs/rules"
INDEX = Path(rules.__file__).with_name("_index.py")


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
        "[How often object rules fire on the corpus](corpus.md); [how true the others are on public",
        "projects](precision.md); [what has no rule, and why](left-out.md).",
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


def table() -> str:
    """The text of `_index.py`, made from the rules themselves."""
    lines = [
        '"""What selecting asks of each rule; written by `tools/docs/rules.py`, see `rules/__init__.py`.\n',
        "code: (name, module, severity, group, phase, asks, preview, words)",
        '"""\n',
        "# ruff: noqa: E501",
        "# fmt: off",
        "RULES: dict[str, tuple[str, str, str, str, str, str, bool, tuple[str, ...]]] = {",
    ]
    for entry in rules.listing():
        row = (entry.name, entry.module, *rules.facts_of(entry.rule))
        lines.append(f"    {_text(entry.code)}: {_row(row)},")
    lines += ["}", "# What stands above holds for files of these lengths.", "FILES: dict[str, int] = {"]
    lines += [f"    {_text(name)}: {size}," for name, size in sorted(rules.files().items())]
    return "\n".join([*lines, "}"]) + "\n"


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _row(value: object) -> str:
    if isinstance(value, tuple):
        inner = ", ".join(map(_row, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return _text(value) if isinstance(value, str) else repr(value)


def main() -> int:
    text = table()
    if "--check" in sys.argv[1:] and INDEX.read_text("utf-8") != text:
        print(f"{INDEX.name} is not what the rules say")
        return 1
    if "--check" not in sys.argv[1:]:
        INDEX.write_text(text, "utf-8")
    if "--index" in sys.argv[1:]:
        return 0
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
