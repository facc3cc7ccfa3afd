#!/usr/bin/env python3
"""What the kernel selftests expect the verifier to say of their programs, and which family we read from the real logs:
`selftest_messages.py [--kernels 5.10,6.12] [--sample 300] [--write]`.

Every program of Debian's Linux 6.12 selftests of which a message is expected (the negative tests). What is expected
stands in the objects (`__msg` becomes a BTF declaration tag) or in tables of the tests that load them. The family is
right when it is that of the expected message; where a kernel rejects a program for another reason than the tests know
(an older kernel lacks the helper first), nothing is expected of it. `--write` puts the table into
docs/verifier/measured-messages.md.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import build_corpus
import selftests
from selftests import MATRIX, Program

from bpfsmith import _native
from bpfsmith.verify.messages import classify

PAGE = Path(__file__).resolve().parents[2] / "docs/verifier/measured-messages.md"
MARK = re.compile(r"(<!-- selftests -->\n).*?(<!-- end selftests -->)", re.DOTALL)
_TAG = re.compile(r"comment:test_expect_msg=(?:\d+=)?(.*)", re.DOTALL)
_ENTRY = re.compile(r'\{\s*"(\w+)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+),?\s*\}')
_SKELETON = re.compile(r'#include "(\w+)\.skel\.h"')


class Read(NamedTuple):
    """One kernel: rejected programs; those of which an expected message is in the log; what we read otherwise; lines
    of no known kind; those of which no message was found at all."""

    kernel: str
    rejected: int
    expected: int
    wrong: list[str]
    unknown: list[str]
    silent: list[str]

    @property
    def share(self) -> float:
        return 100 * (1 - len(self.wrong) / max(self.expected, 1))


def expectations(every: Sequence[Program], corpus: Path) -> dict[Program, list[str]]:
    """The messages the tests expect, by program; `{{..}}` in one is a regular expression."""
    tables = _tables(corpus / "src/6.12/tools/testing/selftests/bpf/prog_tests")
    found: dict[Program, list[str]] = {}
    tags: dict[Path, dict[str, list[str]]] = {}
    for one in every:
        if one.path not in tags:
            tags[one.path] = _tags(one.path)
        said = tags[one.path].get(one.name, []) + tables.get((one.stem, one.name), [])
        if said:
            found[one] = said
    return found


def _tags(path: Path) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    try:
        btf = _native.Btf.from_elf(path.read_bytes())
    except _native.ReadError:
        return out
    for number in range(btf.first_id, len(btf)):
        if btf.kind(number) != "DECL_TAG":
            continue
        tag = btf.type(number)
        said = _TAG.match(str(tag["name"]))
        if said:
            out.setdefault(btf.name(int(str(tag["type"]))), []).append(said[1])
    return out


def _tables(folder: Path) -> dict[tuple[str, str], list[str]]:
    """`{ "program", "message" }` of the tests that load objects by their skeletons."""
    out: dict[tuple[str, str], list[str]] = {}
    for path in sorted(folder.glob("*.c")):
        text = path.read_text(errors="replace")
        for name, said in _ENTRY.findall(text):
            message = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', said)).replace('\\"', '"')
            for stem in _SKELETON.findall(text):
                out.setdefault((stem, name), []).append(message)
    return out


def _pattern(message: str) -> re.Pattern[str]:
    parts = re.split(r"\{\{(.*?)\}\}", message)
    return re.compile("".join(part if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def families(messages: Sequence[str], log: _native.VerifierLog) -> set[str]:
    """Of the lines that the tests expect and the log has; a note or a state expected says nothing of a family."""
    out = set()
    for message in messages:
        pattern = _pattern(message)
        for _, line in log.told:
            if pattern.search(line):
                found = classify(line)
                if found is not None and found.row is not None and found.row.kind != "note":
                    out.add(found.family)
    return out


def measured(
    every: Sequence[Program], kernels: Sequence[str], tell: Callable[[str], None] = lambda _: None
) -> list[Read]:
    """By kernel, of those programs of which something is expected."""
    expected = expectations(every, build_corpus.where())
    every = [one for one in every if one in expected]
    cells, took = selftests.judged(every, kernels, tell)
    tell(f"{len(cells)} verdicts in {took:.0f} s")
    out = []
    for kernel in kernels:
        count, right, wrong, unknown, silent = 0, 0, [], [], []
        for one in every:
            cell = cells[kernel, one]
            if cell.verdict != "rejected" or not cell.log:
                continue
            count += 1
            log = _native.VerifierLog(cell.log)
            found = classify(log, rejected=True)
            name = f"{one.stem}: {one.name}"
            unknown += [f"{name}: {text}" for _, text in log.unknown]
            if found is None and log.told:
                silent.append(f"{name}: {log.message}")
            wanted = families(expected.get(one, ()), log)
            if not wanted:
                continue
            right += 1
            if found is None or found.family not in wanted:
                wrong.append(f"{name}: {'/'.join(sorted(wanted))} expected, {found.family if found else 'none'} read")
        out.append(Read(kernel, count, right, wrong, unknown, silent))
    return out


def lines(results: Sequence[Read], words: str) -> list[str]:
    """The table, and what differs."""
    out = ["| kernel | logs of rejections | with an expected message | family right | lines of no known kind |"]
    out.append("|---|---:|---:|---:|---:|")
    for one in results:
        out.append(f"| {one.kernel} | {one.rejected:,} | {one.expected:,} | {one.share:.1f} % | {len(one.unknown)} |")
    out += ["", f"`{words}` repeats it. Read otherwise than expected:", ""]
    out += [f"* {one.kernel}: {text}" for one in results for text in one.wrong] or ["* none"]
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":", 1)[0])
    parser.add_argument("--kernels", default=",".join(MATRIX), help="series or names, separated by commas")
    parser.add_argument("--sample", type=int, default=0, help="so many programs instead of all")
    parser.add_argument("--write", action="store_true", help="writes docs/verifier/measured-messages.md")
    options = parser.parse_args()
    start = time.monotonic()

    def tell(text: str) -> None:
        print(f"messages: {time.monotonic() - start:5.0f} s  {text}", file=sys.stderr, flush=True)

    every = selftests.programs(build_corpus.build(full=True))
    if options.sample:
        every = selftests.sample(every, options.sample)
    results = measured(every, options.kernels.split(","), tell)
    words = f"python tests/corpus/selftest_messages.py{f' --sample {options.sample}' if options.sample else ''}"
    text = "\n".join(lines(results, words))
    print(text)
    for one in results:
        print(*one.unknown[:20], *one.silent[:20], sep="\n")
    if options.write:
        PAGE.write_text(MARK.sub(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text("utf-8")), "utf-8")
    return int(any(one.share < 98 for one in results))


if __name__ == "__main__":
    sys.exit(main())
