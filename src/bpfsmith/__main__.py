"""`python -m bpfsmith`."""

from __future__ import annotations

import sys

from bpfsmith.cli import main

if __name__ == "__main__":
    sys.exit(main())
