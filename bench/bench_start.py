"""Start-up: what the command and the import add to a bare Python."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from _measure import BPFSMITH, Bar, Case, main, process, side_by_side

PYTHON = sys.executable


def cases(n: int) -> Sequence[Case]:
    """Whole processes, from start to end."""
    commands = {
        "`python -c pass`": [PYTHON, "-c", "pass"],
        "`python -c 'import bpfsmith'`": [PYTHON, "-c", "import bpfsmith"],
        "`python -c 'import bpfsmith; bpfsmith.read'`": [PYTHON, "-c", "import bpfsmith; bpfsmith.read"],
        "`bpfsmith --version`": [BPFSMITH, "--version"],
        "`bpfsmith --help`": [BPFSMITH, "--help"],
        "`bpfsmith check --help`": [BPFSMITH, "check", "--help"],
        "`python -m bpfsmith --version`": [PYTHON, "-m", "bpfsmith", "--version"],
    }
    rows = side_by_side({name: partial(process, command) for name, command in commands.items()}, 2 * n)
    bare = rows[0].spread("wall")[1]
    bars = [Bar("`bpfsmith --version`", "process", 50), Bar("`bpfsmith --help`", "process", 50)]
    bars += [Bar(row.subject, row.metric, round(bare + 25, 1)) for row in rows if "import bpfsmith'" in row.subject]
    remarks = (
        "`import bpfsmith` may add 25 ms: its bar is the bare Python's median plus 25. pip's start script of a command "
        "imports `re`, which is most of what `--version` costs over the import."
    )
    return [Case("Start-up", rows, bars, remarks)]


if __name__ == "__main__":
    main("start", cases)
