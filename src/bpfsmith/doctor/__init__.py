"""Floor 4: `doctor`, what this machine allows, and what it takes to allow the rest.

>>> import bpfsmith
>>> report = bpfsmith.doctor()                                                              # doctest: +SKIP
>>> [check.name for check in report.checks if check.status == "missing"]                    # doctest: +SKIP
['kprobes']
"""

from __future__ import annotations

from bpfsmith._verbs import make_callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.doctor.report import DoctorReport

__all__ = ["doctor"]


def doctor(*, helpers: bool = True, clean: bool = False) -> DoctorReport:
    """Asks this machine what eBPF it allows: kernel, rights, mounts, and every type of program, map, attachment and
    helper by a probe each. Under two seconds; nothing is attached or left loaded; without root the answers are what
    this user may do.

    `helpers`: whether helpers are asked for too (most of the time it takes). `clean`: removes what processes of
    bpfsmith that were killed left behind (see the report's `left`), and only that."""
    from bpfsmith.doctor._job import run

    return run(helpers, clean)


make_callable(__name__)
