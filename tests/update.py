"""`python -m tests.update`: writes the golden texts and the snapshots in `api/` anew; look at the difference before you
commit it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "corpus")]


def golden() -> None:
    from bpfsmith.render import renderer
    from unit.sample_report import report, write_sources
    from unit.test_render import FILES, GOLDEN

    GOLDEN.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_sources(Path(folder))
        for name, (kind, color) in FILES.items():
            (GOLDEN / name).write_text(renderer(kind, color=color).render(report()), encoding="utf-8")
        os.chdir(before)


def main() -> None:
    golden()
    try:
        import snapshots
    except ImportError:
        return
    snapshots.write()


if __name__ == "__main__":
    main()
