"""How often each object rule fires on the corpus, and how true that is: writes `docs/rules/corpus.md`.

    python tests/corpus/rule_counts.py [--write]

Every object of the whole corpus is checked by itself (nothing is merged between objects). Where this machine's kernel
can load programs, findings are held against its verdict; verdicts are kept in the user's cache. What people made of a
sample of the findings is in `rule_samples.toml` beside this file. Without `--write` the page is printed.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import build_corpus
import verifier_ref

import bpfsmith
from bpfsmith import rules

PAGE = Path(__file__).resolve().parents[2] / "docs/rules/corpus.md"
SAMPLES = Path(__file__).with_name("rule_samples.toml")
ASKED = "6.1"


class Hit(NamedTuple):
    """One finding of an object rule; `accepted` is None where the kernel was not asked or does not say."""

    code: str
    severity: str
    path: Path
    program: str | None
    message: str
    accepted: bool | None


def objects(*, full: bool = True) -> list[dict[str, Any]]:
    """The manifest rows of every object that was built."""
    manifest = build_corpus.manifest(build_corpus.where()) or {"objects": []}
    return [row for row in manifest["objects"] if row["ok"] and (full or row["sample"])]


def accepted(rows: Iterable[dict[str, Any]]) -> dict[tuple[Path, str], bool]:
    """(object, program) -> whether the running kernel took it; refusals that are no verdict are left out."""
    paths = [build_corpus.where() / row["path"] for row in rows if row.get("target") != "bpfeb"]
    found = {}
    for one in verifier_ref.verdicts(paths):
        if one.what in ("accepted", "rejected"):
            found[one.path, one.program] = one.what == "accepted"
    return found


def hits(
    rows: Iterable[dict[str, Any]], verdicts: dict[tuple[Path, str], bool], select: Iterable[str], kernels: str | None
) -> Iterator[Hit]:
    """What the object rules say, object by object."""
    codes = list(select)
    for row in rows:
        path = build_corpus.where() / row["path"]
        for one in bpfsmith.check(path, select=codes, kernels=kernels).findings:
            taken = None if one.program is None else verdicts.get((path, one.program))
            yield Hit(one.code, one.severity, path, one.program, one.message, taken)


def page() -> str:
    """The text of `docs/rules/corpus.md`."""
    rows = objects()
    verdicts = accepted(rows)
    samples = tomllib.loads(SAMPLES.read_text("utf-8"))
    codes = [entry.code for entry in rules.listing() if entry.code.startswith("OBJ")]
    plain = _by_code(hits(rows, verdicts, codes, None))
    asked = _by_code(hits(rows, verdicts, [code for code in codes if code not in plain], ASKED))
    release = ".".join(os.uname().release.split(".")[:2])
    taken = Counter(verdicts.values())
    about = [
        f"""Checked: {len(rows)} objects: the BPF selftests of Linux 6.1 and 6.12, built by three versions of clang for
        several instruction sets and both byte orders, what `bpftool gen object` links of them, and the objects Debian
        ships. Selftests break rules on purpose: many exist to be rejected, print, deny, or leave maps to user space.
        Counts show where a rule fires and whether it is right there, not how often code in the wild needs it.""",
        f"""Linux {release} was asked to load each little-endian program by itself. It accepted {taken[True]}; its
        verifier rejected {taken[False]}. Programs it would not look at (no such kernel function, a hook this machine
        does not offer) count as neither. *Accepted* are findings about programs this kernel takes: where a rule says
        that the verifier refuses something on every kernel, there may be none among its errors.""",
        """*Sample* are findings looked at with their source or the kernel's verdict: true / arguable / false. Arguable
        is what is so, but was meant.""",
    ]
    asked_about = f"Rules that say nothing without kernels asked for, with `--kernels {ASKED}`:"
    repeat = """`./dev test --full` builds the whole corpus; `python tests/corpus/rule_counts.py --write`, as root,
        writes this page. `tests/corpus/test_verdicts.py` holds what must stay: no error about a program that is
        accepted."""
    lines = ["# Object rules on real objects", ""]
    for text in about:
        lines += [*wrap(" ".join(text.split()), 120), ""]
    lines += [*_table(codes, plain, samples, ""), "", *wrap(asked_about, 120), ""]
    lines += [*_table([code for code in codes if code not in plain], asked, samples, "none"), ""]
    lines += [*wrap(" ".join(repeat.split()), 120), ""]
    return "\n".join(lines)


def _by_code(found: Iterable[Hit]) -> dict[str, list[Hit]]:
    out: dict[str, list[Hit]] = defaultdict(list)
    for one in found:
        out[one.code].append(one)
    return dict(out)


def _table(codes: Iterable[str], found: dict[str, list[Hit]], samples: dict[str, Any], nothing: str) -> Iterator[str]:
    yield "| rule | findings | objects | accepted | sample | judged |"
    yield "|---|---|---|---|---|---|"
    for code in codes:
        here = found.get(code, [])
        if not here and not nothing:
            continue
        entry = rules.find(code)
        counts = Counter(one.severity for one in here)
        words = ", ".join(
            f"{counts[word]} {word}{'s' * (counts[word] > 1)}" for word in ("error", "warning", "note") if counts[word]
        )
        about = [one for one in here if one.program is not None]
        taken = str(sum(one.accepted is True for one in about)) if about else "–"
        sample = samples.get(code, {})
        judged = f"{sample['true']} / {sample['arguable']} / {sample['false']}" if sample else "–"
        name = f"[{code}]({code}.md) {entry.name}" if entry is not None else code
        said = f"{sample['said']} ({sample['date']})" if sample else ""
        yield f"| {name} | {words or nothing} | {len({one.path for one in here})} | {taken} | {judged} | {said} |"


def main() -> int:
    text = page()
    if "--write" in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text, "utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
