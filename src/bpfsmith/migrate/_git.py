"""Whether Git could bring back what a migration is about to change."""

from __future__ import annotations

import os

from bpfsmith.model.errors import InputError

__all__ = ["require_clean"]

_SECONDS = 30


def require_clean(root: str) -> str:
    """`InputError` where Git holds changes that are not committed; else a note, empty when there is none."""
    if not _tracked(root):
        return "the project is not in a Git repository: nothing but `--diff` shows what changed"
    import shutil
    import subprocess

    git = shutil.which("git")
    if git is None:
        return "`git` is not installed, so nobody knows whether everything is committed"
    try:
        done = subprocess.run(
            # A file system monitor is a program of the repository's choice.
            [git, "-c", "core.fsmonitor=false", "status", "--porcelain", "--", "."],
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"`git status` fails: {error}", where=root, hint="`--allow-dirty` does not ask it") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise InputError(f"`git status` fails: {lines[0]}", where=root, hint="`--allow-dirty` does not ask it")
    changed = [line[3:] for line in done.stdout.decode("utf-8", "replace").splitlines()]
    if changed:
        few = ", ".join(f"`{one}`" for one in changed[:3]) + (
            f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        )
        raise InputError(
            f"not everything is committed: {few}",
            where=root,
            hint="commit it, or say `--allow-dirty`; `--diff` only shows",
        )
    return ""


def _tracked(root: str) -> bool:
    at = os.path.abspath(root)
    while True:
        if os.path.exists(os.path.join(at, ".git")):
            return True
        parent = os.path.dirname(at)
        if parent == at:
            return False
        at = parent
