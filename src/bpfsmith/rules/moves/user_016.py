"""User side, gone or changed with aya 0.16."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import count
from bpfsmith.rules.moves._match import Call
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import as_count

__all__ = ["ROWS"]

ROWS = (
    Row(
        "AYA221",
        "nr-cpus-as-number",
        "`nr_cpus` gives a `NonZeroU32` since aya 0.16, not a `usize`.",
        item="nr_cpus() -> usize",
        side="user",
        crate="aya",
        last="0.15.0",
        first="0.16.0",
        replacement="NonZeroU32",
        match=Call(fn=("aya::util::nr_cpus",), then=as_count, show="whole"),
        edits=(count(),),
        message="`nr_cpus` gives a `NonZeroU32` since aya 0.16, not a `usize`",
        found="Finds the result of `aya::util::nr_cpus` cast with `as`, used as the length of `vec![..; n]` or as "
        "the end of a range, directly or through a `let`, where aya is 0.16.0 or newer.",
        why='It does not compile: "expected `usize`, found `NonZero<u32>`", or E0605 for `as`.',
        old="""\
let cpus = nr_cpus()?;
let counters = vec![0; cpus];
""",
        new="""\
let cpus = nr_cpus()?.get() as usize;
let counters = vec![0; cpus];
""",
        fix="Safe: adds `.get() as usize` where the number is made, if all its uses are as a number.",
        source="aya 0.16.0, `aya/src/util.rs`; compiled with 0.14 and 0.16.",
    ),
)
