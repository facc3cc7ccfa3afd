"""Writes what real kernels answered about the facts into `docs/exactness.md`; with `--check` compares."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools/facts"))
import claims  # noqa: E402 - its folder is no package

PAGE = ROOT / "docs/exactness.md"
START, END = "<!-- facts: start -->\n", "<!-- facts: end -->\n"


def main() -> int:
    text = PAGE.read_text()
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    new = f"{before}{START}{claims.summary()}\n{END}{after}"
    if "--check" in sys.argv[1:]:
        return int(new != text)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
