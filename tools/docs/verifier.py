"""Writes `docs/verifier/`: one page per family of verifier messages, the text of `bpfsmith explain V06` with a rejected
program of the case collection (`tests/md/verdict/`): what each kernel says of it, its cause, and a fix; and an index.

`--check` compares instead of writing and exits 1 on a difference. Measured pages (names in lower case) are left alone.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from bpfsmith.verify.messages import FAMILIES, Family, rows

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/verifier"
sys.path.insert(0, str(ROOT / "tests/md"))

import verdict  # noqa: E402 - the case collection's own reader

LANGUAGES = ("rust", "c")


def pages() -> dict[str, str]:
    """File name -> text of everything that is generated here."""
    shown = [one for one in verdict.cases() if not one.aside and (one.messages or one.made)]
    made = {"README.md": index()}
    for row in FAMILIES:
        made[f"{row.code}.md"] = page(row, [one for one in shown if one.family == row.code])
    return made


def page(row: Family, cases: list[verdict.Case]) -> str:
    """What `explain` prints, with examples before the list of messages."""
    told, _, messages = row.page.partition("\n## Messages\n")
    examples = "".join(example(one) for one in chosen(cases))
    return f"{told.rstrip()}\n\n{examples}## Messages\n{messages}"


def chosen(cases: list[verdict.Case]) -> list[verdict.Case]:
    """One of each language: the shortest that shows it on most kernels."""
    out = []
    for language in LANGUAGES:
        own = [one for one in cases if one.language == language]
        if own:
            out.append(min(own, key=lambda one: (one.rejected is None, -len(one.messages), _length(one), one.name)))
    return out


def _length(one: verdict.Case) -> int:
    return len(one.rejected.text) if one.rejected is not None else len(one.log)


def example(one: verdict.Case) -> str:
    """The program, what kernels say, the cause, and the fix as a diff."""
    lines = [f"## Example: {one.title[0].lower()}{one.title[1:]}", "", one.why, ""]
    if one.rejected is not None:
        lines += [f"```{one.language}", one.rejected.text.rstrip(), "```", ""]
        source = one.rejected.text.splitlines()
        places = [f"`{source[line - 1].strip()}` (line {line})" for line in one.rejected.causes if line <= len(source)]
        lines += [f"The cause (`{one.cls}`) is in {' or '.join(places)}.", ""]
    if one.log:
        lines += ["A log in the kernel's formats, as no kernel of the lab can be made to say it:", ""]
        lines += ["```text", *one.log.rstrip().splitlines()[-8:], "```", ""]
    if one.messages:
        lines += ["| kernel | message |", "|---|---|"]
        by_text: dict[str, list[str]] = {}
        for kernel, text in one.messages.items():
            by_text.setdefault(text, []).append(kernel)
        lines += [f"| {', '.join(kernels)} | `{text.replace('|', '&#124;')}` |" for text, kernels in by_text.items()]
        lines.append("")
    if one.rejected is not None and one.accepted is not None:
        before, after = one.rejected.text.splitlines(), one.accepted.text.splitlines()
        diff = list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]
        kernels = f", which {', '.join(one.accepted.kernels)} accept" if one.accepted.kernels else ""
        lines += [f"The fix{kernels}:", "", "```diff", *(line.rstrip() for line in diff), "```", ""]
    return "\n".join(lines) + "\n"


def index() -> str:
    """The table of all families."""
    formats = [row for row in rows() if row.kind != "note"]
    kernels = sum(1 for row in formats if row.first[:1].isdigit())
    lines = [
        "# Messages of the verifier",
        "",
        f"{kernels:,} message formats of Linux 4.18 .. 7.3, and {len(formats) - kernels} of loaders, in"
        f" {len(FAMILIES)} families. `bpfsmith explain V06` prints",
        "a page; `bpfsmith explain LOG` finds the family, and the cause, of a rejection. [How much of the sources and",
        "selftests of kernels the table knows](measured-messages.md); [how often the cause is right](measured.md);",
        "[classes of causes](../guide/cause-classes.md).",
        "",
        "| family | says | classes of causes |",
        "|---|---|---|",
    ]
    lines += [
        f"| [{one.code} {one.name}]({one.code}.md) | {one.title} | {', '.join(f'`{cls}`' for cls in one.classes)} |"
        for one in FAMILIES
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    wanted = pages()
    there = {one.name: one for one in FOLDER.glob("*.md") if not one.name[0].islower()} if FOLDER.is_dir() else {}
    if "--check" in sys.argv[1:]:
        wrong = [name for name in sorted({*wanted, *there}) if not _same(there.get(name), wanted.get(name))]
        if wrong:
            few = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
            print(f"docs/verifier: {few}: not what the table and the cases say: run `python tools/docs/verifier.py`")
        return int(bool(wrong))
    FOLDER.mkdir(exist_ok=True)
    for name, path in there.items():
        if name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        if not _same(there.get(name), text):
            (FOLDER / name).write_text(text, "utf-8")
    return 0


def _same(path: Path | None, text: str | None) -> bool:
    return path is not None and text is not None and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
