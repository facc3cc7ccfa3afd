"""Reading verifier logs: 64 MB whole and in pieces, beside a loop over the same lines in Python."""

from __future__ import annotations

from collections.abc import Sequence

from _measure import CACHE, ROOT, Bar, Case, main, python, side_by_side

SEED = ROOT / "tests/data/verifier_logs"
SIZE = 64 << 20
RATE = 100  # MB a second

NATIVE = """
from bpfsmith._native import VerifierLog
data = open(sys.argv[1], "rb").read()
begin()
log = VerifierLog(data)
mark("whole")
begin()
log.state(log.path[-1])
mark("last state")
"""
PIECES = """
from bpfsmith._native import VerifierLog
begin()
reader = VerifierLog.reader()
with open(sys.argv[1], "rb", buffering=0) as file:
    while piece := file.read(1 << 20):
        reader.feed(piece)
log = reader.finish()
mark("in pieces")
"""
LOOP = """
import re
insn = re.compile(r"(\\\\d+): \\\\(([0-9a-f]{2})\\\\) (.*)")
begin()
visits = {}
message = ""
with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
    for line in file:
        found = insn.match(line)
        if found is not None:
            slot = int(found[1])
            visits[slot] = visits.get(slot, 0) + 1
        elif not line.startswith((";", "processed ")):
            message = line
mark("whole")
"""


def _log() -> str:
    """64 MB of what 5.10 printed of a program, over and over, as one log that is rejected in the end."""
    path = CACHE / "log-64.log"
    if not path.exists() or path.stat().st_size < SIZE:
        path.parent.mkdir(parents=True, exist_ok=True)
        round_ = (SEED / "5.10-2-goes_round.log").read_text(encoding="utf-8").partition("verification time ")[0]
        again = round_.partition("\n")[2]
        with path.open("w", encoding="utf-8") as out:
            out.write(round_)
            for _ in range(SIZE // len(again) + 1):
                out.write(again)
            out.write("0: (71) r0 = *(u8 *)(r9 +0)\nR9 !read_ok\nprocessed 1000000 insns (limit 1000000)\n")
    return str(path)


def cases(n: int) -> Sequence[Case]:
    """The reader, whole and in pieces, and a loop that only counts instructions."""
    path = _log()
    runs = {
        "`VerifierLog(data)`": python(NATIVE, path),
        "`VerifierLog.reader()`, pieces of 1 MiB": python(PIECES, path),
        "a loop over the lines in Python, one expression": python(LOOP, path),
    }
    rows = side_by_side(runs, max(3, n // 2))
    most = round(SIZE / RATE / 1e3)
    bars = [
        Bar("`VerifierLog(data)`", "whole", most),
        Bar("`VerifierLog.reader()`, pieces of 1 MiB", "in pieces", most),
    ]
    remarks = (
        f"64 MiB of a log of level 2 (5.10); the bar is {RATE} MB/s. The loop in Python counts instructions and "
        "keeps the last message: no paths, no states."
    )
    return [Case("Reading a verifier's log", rows, bars, remarks)]


if __name__ == "__main__":
    main("log", cases)
