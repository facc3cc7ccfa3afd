"""Regenerates the outputs shown in `README.md` (and in other pages that show some).

A block that follows a line `<!-- output: COMMAND -->` is what COMMAND really prints, run in the root of the checkout
(or, with `output in FOLDER:`, there) with `.venv/bin` (or the running Python's folder) first in PATH, without colour,
100 columns wide. `<!-- output[1:12]: COMMAND -->` shows lines 1 to 12 only. `--check` compares instead of writing and
exits 1 on a difference.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md",)
BLOCK = re.compile(
    r"(?P<head><!-- output(?:\[(?P<first>\d+):(?P<last>\d+)\])?(?: in (?P<folder>\S+))?: "
    r"(?P<command>.+?) -->\n+```[a-z]*\n)"
    r"(?P<text>.*?)(?P<tail>```)",
    re.DOTALL,
)


def output(command: str, folder: str) -> list[str]:
    """The lines a command prints; stderr counts as well. A traceback or exit code above 1 is a failure here."""
    words = shlex.split(command)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    # What somebody has built in the examples must not change the page: objects are looked for in an empty folder.
    own = {"NO_COLOR": "1", "COLUMNS": "100", "PATH": path, "CARGO_TARGET_DIR": str(ROOT / "target/none")}
    done = subprocess.run(
        words,
        cwd=ROOT / folder,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode > 1:
        raise SystemExit(f"`{command}` ended with {done.returncode}:\n{done.stdout}")
    return [line.rstrip() for line in done.stdout.splitlines()]


def regenerated(text: str) -> str:
    """The page with each block's text replaced."""

    def replace(match: re.Match[str]) -> str:
        folder = match["folder"] or "."
        lines = output(match["command"], folder)
        if match["first"]:
            lines = lines[int(match["first"]) - 1 : int(match["last"])]
        prompt = ([f"$ cd {folder}"] if match["folder"] else []) + ["$ " + match["command"]]
        return match["head"] + "\n".join([*prompt, *lines]).rstrip() + "\n" + match["tail"]

    return BLOCK.sub(replace, text)


def main() -> int:
    stale = 0
    for name in PAGES:
        page = ROOT / name
        have = page.read_text("utf-8")
        wanted = regenerated(have)
        if not BLOCK.search(have):
            raise SystemExit(f"{name} shows no output: this check would pass for nothing")
        if have == wanted:
            continue
        stale += 1
        if "--check" in sys.argv[1:]:
            print(f"{name} does not show what its commands print")
        else:
            page.write_text(wanted, "utf-8")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
