"""Regenerates the outputs shown in `README.md` (and in other pages that show some).

A block that follows a line `<!-- output: COMMAND -->` is what COMMAND really prints, run in the root of the checkout
(or, with `output in FOLDER:`, there) with `.venv/bin` (or the running Python's folder) first in PATH, without colour,
100 columns wide. `<!-- output[1:12]: COMMAND -->` shows lines 1 to 12 only. `<!-- output live: COMMAND -->` is run as
root in a network of its own with traffic on `eth0` (`tools/demo/network.py`), and what follows `<!-- output lab:
COMMAND -->` needs the lab's kernels; their numbers are those of the last run. `--check` compares instead of writing and
exits 1 on a difference; of live and lab blocks all but the numbers, and only where they can be run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/guide/explain.md")
BLOCK = re.compile(
    r"(?P<head><!-- output(?:\[(?P<first>\d+):(?P<last>\d+)\])?(?: (?P<kind>live|lab))?(?: in (?P<folder>\S+))?: "
    r"(?P<command>.+?) -->\n+```[a-z]*\n)"
    r"(?P<text>.*?)(?P<tail>```)",
    re.DOTALL,
)


NETWORK = ROOT / "tools/demo/network.py"
_NUMBER = re.compile(r"\d[\d,.]*(?: (?:ns|us|ms|s)\b)?")


def output(command: str, folder: str, kind: str = "") -> list[str] | None:
    """The lines a command prints; stderr counts as well. A traceback or exit code above 1 is a failure here; None for
    one of a `kind` (`live`, `lab`) that this machine cannot run."""
    words = shlex.split(command.removeprefix("sudo ") if kind == "live" else command)
    if kind == "live":
        words = [sys.executable, str(NETWORK), *words]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    # What somebody has built in the examples must not change the page: objects are looked for in an empty folder.
    own = {"NO_COLOR": "1", "COLUMNS": "100", "PATH": path, "CARGO_TARGET_DIR": str(ROOT / "target/none")}
    # The first time, guests say that they boot: a page shows what a user sees from then on.
    for _ in range(2 if kind == "lab" else 1):
        done = subprocess.run(
            words,
            cwd=ROOT / folder,
            env=os.environ | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    # 3: the environment lacks something; 77: there is no such network here.
    if kind and done.returncode in (3, 77):
        if kind in os.environ.get("BPFSMITH_REQUIRE", "").split(","):
            raise SystemExit(f"`{command}` must run here:\n{done.stdout}")
        return None
    if done.returncode > 1:
        raise SystemExit(f"`{command}` ended with {done.returncode}:\n{done.stdout}")
    return [line.rstrip() for line in done.stdout.splitlines()]


def regenerated(text: str, live: Callable[[str, str], bool]) -> str:
    """The page with each block's text replaced; `live(have, new)` says whether a live block takes its new text."""

    def replace(match: re.Match[str]) -> str:
        folder = match["folder"] or "."
        lines = output(match["command"], folder, match["kind"] or "")
        if lines is None:
            print(f"cannot be run here, so it stays as it is: {match['command']}", file=sys.stderr)
            return match[0]
        if match["first"]:
            lines = lines[int(match["first"]) - 1 : int(match["last"])]
        prompt = ([f"$ cd {folder}"] if match["folder"] else []) + ["$ " + match["command"]]
        new = "\n".join([*prompt, *lines]).rstrip() + "\n"
        if match["kind"] and not live(match["text"], new):
            new = match["text"]
        return match["head"] + new + match["tail"]

    return BLOCK.sub(replace, text)


def alike(have: str, new: str) -> bool:
    """Whether two texts differ only in numbers, and in the width of columns that hold some."""
    return _shape(have) == _shape(new)


def _shape(text: str) -> list[str]:
    return [_NUMBER.sub("0", " ".join(line.split())) for line in text.splitlines()]


def main() -> int:
    stale = 0
    checking = "--check" in sys.argv[1:]
    for name in PAGES:
        page = ROOT / name
        have = page.read_text("utf-8")
        wanted = regenerated(have, lambda old, new: not checking or not alike(old, new))
        if not BLOCK.search(have):
            raise SystemExit(f"{name} shows no output: this check would pass for nothing")
        if have == wanted:
            continue
        stale += 1
        if checking:
            print(f"{name} does not show what its commands print")
        else:
            page.write_text(wanted, "utf-8")
    return 1 if stale and checking else 0


if __name__ == "__main__":
    sys.exit(main())
