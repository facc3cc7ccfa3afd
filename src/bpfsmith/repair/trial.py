"""Does the program still do its work behind a check that was added? A copy of it that counts is run.

In the copy each added check counts how often it left and how often it was passed. It runs in a guest, on the packets,
contexts and map contents that two programs are compared with: a check that fails on all of them takes the work away,
whatever its text says.
"""

from __future__ import annotations

import re

from bpfsmith.model.errors import BpfsmithError
from bpfsmith.repair.behaviour import RUNNABLE, given, refill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from bpfsmith.model.object import Object
    from bpfsmith.repair.report import Candidate
    from bpfsmith.source.rust import Expr, Let, SourceFile

__all__ = ["Counts", "counting", "run", "said"]

_ROUNDS = 4
LEFT, PASSED = "bpfsmith_left", "bpfsmith_passed"


class Counts:
    """`runs` of the copy; `left`, `passed`: for each check, how often."""

    __slots__ = ("left", "passed", "runs")

    def __init__(self, runs: int, left: Sequence[int], passed: Sequence[int]) -> None:
        self.runs = runs
        self.left = tuple(left)
        self.passed = tuple(passed)

    def refuted(self, limits: Sequence[bool], *, checked: bool) -> str:
        """What the runs say against the checks, of those that are limits: one that was come to and never passed; where
        what it asks was `checked` before, one that ever failed."""
        for limit, left, passed in zip(limits, self.left, self.passed, strict=True):
            if limit and left and not passed:
                return "the added check never let the program go on"
            if limit and left and checked:
                return f"the added check fails for what is in bounds ({_times(left)})"
        return ""

    def __repr__(self) -> str:
        return f"<Counts of {self.runs} runs: left {self.left}, passed {self.passed}>"


def counting(texts: Mapping[str, tuple[str, str]], done: Sequence[Candidate]) -> tuple[dict[str, str], list[bool]]:
    """The changed texts with what counts put in, and of each check that is counted whether it is a limit."""
    out: dict[str, str] = {}
    number = 0
    limits = []
    for path, (old, new) in sorted(texts.items()):
        places = _rust(old, new) if path.endswith(".rs") else _c(old, new, done)
        text = new
        rows: list[tuple[int, int, str]] = []
        make = _rust_count if path.endswith(".rs") else _c_count
        for start, end, behind, condition in places:
            limits.append(_LIMIT.search(condition.replace("->", ".")) is not None and not _META.search(condition))
            branch = new[start:end]
            rows.append((start, end, f"{{ {make(f'{LEFT}{number}')} {branch} }}"))
            rows.append((behind, behind, f" {make(f'{PASSED}{number}')}"))
            number += 1
        for start, end, put in sorted(rows, reverse=True):
            text = text[:start] + put + text[end:]
        if places and not path.endswith(".rs"):
            names = ", ".join(f"{word}{at}" for word in (LEFT, PASSED) for at in range(number))
            text = f"volatile unsigned long long {names};\n{text}"
        out[path] = text
    return out, limits


_LIMIT = re.compile(r"[<>]")
_META = re.compile(r">=?\s*(?:\([^()]*\)\s*)*(?:\w+(?:->|\.))?data\b")  # packets of test runs have no metadata


def run(kernel: str, obj: Object, program: str, count: int) -> Counts | None:
    """Runs the copy that counts; None where the kernel does not take it or cannot run it."""
    from bpfsmith import lab

    found = obj.program(program)
    kind = (found.type if found is not None else None) or ""
    if kind not in RUNNABLE:
        return None
    left, passed, runs = [0] * count, [0] * count, 0
    try:
        with lab.kernel(kernel) as guest:
            for fill in range(_ROUNDS):
                runs += _round(guest.load, obj, program, kind, fill, (left, passed))
    except (BpfsmithError, KeyError):
        return None
    return Counts(runs, left, passed)


def _round(
    load: Callable[..., Any], obj: Object, program: str, kind: str, fill: int, counts: tuple[list[int], list[int]]
) -> int:
    runs = 0
    with load(obj, select=program) as loaded:
        refill(loaded, fill)
        for _, inputs in given(kind):
            try:
                loaded.programs[program].test_run(**inputs)
            except BpfsmithError:
                continue  # not all contexts are taken by all kernels
            runs += 1
        for word, totals in zip((LEFT, PASSED), counts, strict=True):
            for at in range(len(totals)):
                value = loaded.globals[f"{word}{at}"]
                totals[at] += int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
    return runs


def said(counts: Counts | None, kernel: str, kind: str) -> str:
    """What the runs showed, as a part of a sentence."""
    if counts is None:
        if kind in RUNNABLE:
            return f"a copy of it that counts could not be run on {kernel}"
        return f"programs of type `{kind}` cannot be run by hand: what the check lets through was not tried"
    passed, left = sum(counts.passed), sum(counts.left)
    if not passed and not left:
        return f"none of {counts.runs} test runs on {kernel} came to the check"
    return f"in {counts.runs} test runs on {kernel} the check was passed {_times(passed)} and left {_times(left)}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


# ------------------------------------------------------------ C


def _c_count(name: str) -> str:
    return f"{name}++;"


def _c(old: str, new: str, done: Sequence[Candidate]) -> list[tuple[int, int, int, str]]:
    """Of each check that was put in: where its branch stands, and where it ends."""
    from bpfsmith.repair.shape_c import guards

    found, _ = guards(old, new, done)
    return [
        (one.node.parts[0].start, one.node.parts[0].end, one.node.end, one.condition) for one in found
        if one.condition and one.node.parent is not None and one.node.parent.kind in ("block", "top")
    ]  # fmt: skip


# ------------------------------------------------------------ Rust


def _rust_count(name: str) -> str:
    word = name.upper()
    return (
        f"{{ #[unsafe(no_mangle)] static mut {name}: u64 = 0; #[allow(non_snake_case)] let {word} = &raw mut {name}; "
        f"unsafe {{ {word}.write_volatile({word}.read_volatile().wrapping_add(1)) }} }}"
    )


def _rust(old: str, new: str) -> list[tuple[int, int, int, str]]:
    from bpfsmith.repair.shape import added
    from bpfsmith.source.rust import Let, parse_files

    before, after = parse_files(["old.rs", "new.rs"], [old.encode(), new.encode()])
    out = []
    for one in added(before, after):
        branch = one.other if isinstance(one, Let) else one.branches[1]
        if branch is not None and not _last(one, after):
            test = None if isinstance(one, Let) else one.branches[0]
            out.append((branch.start, branch.end, one.end, test.text if test is not None else ""))
    return out


def _last(one: Expr | Let, file: SourceFile) -> bool:
    """Whether nothing may stand behind it: it is the value of its block."""
    return not file.text[one.end :].lstrip() or file.text[one.end :].lstrip().startswith("}")
