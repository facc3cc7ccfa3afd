"""`./dev demo`: runs the scenes in `tools/demo/`, in the order of their names, and ends with what to try next.

A scene is a Python or shell file. Its first comment or docstring line is the title. It is started in the root of the
checkout with `.venv/bin` first in PATH and has 15 seconds. Exit 0: shown; 77: skipped, its only line says why; anything
else fails the demo. Less is more: a scene prints about ten lines, longer ones are cut.
"""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from shell import BIN, ROOT, Failed, environment, relative

SCENES = ROOT / "tools/demo"
SECONDS, LINES, ALL_LINES, SKIPPED = 15, 12, 42, 77  # with the seven lines of a first `setup` under 50
TRY = (
    ("bpfsmith check examples/packet-counter-broken", "what is wrong with an Aya workspace"),
    ("bpfsmith explain which-map", "an answer with facts and kernel versions"),
    ("bpfsmith verify PATH", "which kernels take an object (`lab get` fetches kernels)"),
    ("bpfsmith run PATH", "any BPF object, live (root)"),
)


def title(scene: Path) -> str:
    """The first words of a scene, without their quotes or comment sign."""
    for line in scene.read_text().splitlines():
        text = line.strip().strip('"#').strip()
        if text and not line.startswith("#!"):
            return text.rstrip(".")
    return scene.stem


def show() -> None:
    """Runs all scenes, their lines as they come. Raises `Failed` when one of them fails."""
    failed: list[str] = []
    left = ALL_LINES
    for scene in sorted([*SCENES.glob("[0-9]*.py"), *SCENES.glob("[0-9]*.sh")]):
        code, lines = _run(scene, room=max(2, min(LINES, left - 6)))
        left -= lines
        if code not in (0, SKIPPED):
            failed.append(relative(str(scene)))
    print("Try next:")
    for command, what in TRY:
        print(f"   .venv/bin/{command:52} {what}")
    if failed:
        raise Failed(f"{', '.join(failed)} failed")


def _run(scene: Path, room: int) -> tuple[int, int]:
    """Exit code, and how many lines were printed."""
    runner = [str(BIN / "python")] if scene.suffix == ".py" else ["sh"]
    running = subprocess.Popen(
        [*runner, str(scene)], cwd=ROOT, env=environment({"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert running.stdout is not None
    late = threading.Event()

    def stop() -> None:
        late.set()
        running.kill()

    watchdog = threading.Timer(SECONDS, stop)
    watchdog.start()
    first, count = "", 0
    for count, line in enumerate(running.stdout, start=1):
        # A scene that is skipped says one line; so the first one waits for the second.
        if count == 1:
            first = line.rstrip()
            continue
        if count == 2:
            print(f"== {title(scene)}")
            _show(first)
        if count <= room:
            _show(line)
    code = running.wait()
    watchdog.cancel()
    if code == SKIPPED:
        print(f"-- {title(scene)}: skipped, {first or 'no reason given'}")
        return code, 1
    if count < 2:
        print(f"== {title(scene)}")
        _show(first)
    if late.is_set():
        _show(f"no end after {SECONDS} s")
    if count > room:
        _show(f"... {count - room} more lines")
    return code, 1 + min(count, room + 1)


def _show(line: str) -> None:
    print(f"   {line}"[:160].rstrip(), flush=True)
