"""Floor 2: the verdict of one kernel on one program, and verifiers' logs taken apart.

from bpfsmith import kernel, verdict
with kernel.through(guest.door, guest.kernel):     # or without, for the running kernel
    print(verdict.judge(obj, obj.program("count")))
"""

from __future__ import annotations

from bpfsmith.run.verifier_log import Log, parse
from bpfsmith.verdict.judge import REASONS, VERDICTS, Judged, judge
from bpfsmith.verdict.request import Request

__all__ = ["REASONS", "VERDICTS", "Judged", "Log", "Request", "judge", "parse"]
