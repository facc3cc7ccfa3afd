"""`./dev demo`: runs the scenes in `tools/demo/`, in the order of their names, and ends with what to try next.

A scene is a Python or shell file. Its first comment or docstring line is the title. It is started in the root of the
checkout with `.venv/bin` first in PATH and has 15 seconds. Exit 0: shown; 77: skipped, the last line says why; anything
else fails the demo. Less is more: a scene prints about ten lines, longer ones are cut.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from shell import BIN, ROOT, Failed, environment, relative

SCENES = ROOT / "tools/demo"
SECONDS, LINES, ALL_LINES, SKIPPED = 15, 12, 32, 77  # with the seven lines of a first `setup` under 40
TRY = (
    ("bpfsmith check examples/packet-counter-broken", "what is wrong with an Aya workspace"),
    ("bpfsmith explain which-map", "an answer with facts and kernel versions"),
    ("bpfsmith inspect --asm PATH", "any BPF object, source between instructions"),
)


def title(scene: Path) -> str:
    """The first words of a scene, without their quotes or comment sign."""
    for line in scene.read_text().splitlines():
        text = line.strip().strip('"#').strip()
        if text and not line.startswith("#!"):
            return text.rstrip(".")
    return scene.stem


def show() -> None:
    """Runs all scenes. Raises `Failed` when one of them fails."""
    failed: list[str] = []
    left = ALL_LINES
    for scene in sorted([*SCENES.glob("[0-9]*.py"), *SCENES.glob("[0-9]*.sh")]):
        runner = [str(BIN / "python")] if scene.suffix == ".py" else ["sh"]
        start = time.monotonic()
        try:
            done = subprocess.run(
                [*runner, str(scene)], cwd=ROOT, env=environment({"NO_COLOR": "1"}), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=SECONDS,
            )  # fmt: skip
            code, lines = done.returncode, done.stdout.rstrip().splitlines()
        except subprocess.TimeoutExpired:
            code, lines = 1, [f"no end after {SECONDS} s"]
        if code == SKIPPED:
            print(f"-- {title(scene)}: skipped, {lines[-1] if lines else 'no reason given'}")
            left -= 1
            continue
        print(f"== {title(scene)} ({time.monotonic() - start:.1f} s)")
        room = max(2, min(LINES, left - 6))
        for line in lines[:room]:
            print(f"   {line}"[:160].rstrip())
        if len(lines) > room:
            print(f"   ... {len(lines) - room} more lines")
        left -= 1 + min(len(lines), room + 1)
        if code:
            failed.append(relative(str(scene)))
    print("Try next:")
    for command, what in TRY:
        print(f"   .venv/bin/{command:52} {what}")
    if failed:
        raise Failed(f"{', '.join(failed)} failed")
