"""Installs Debian packages when that is allowed (root on Debian), and otherwise says which command would."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence

from shell import Failed, Missing, capture, run

_LOCK = ("-o", "DPkg::Lock::Timeout=900")
_updated = False


def offered(names: Sequence[str]) -> list[str]:
    """Those of `names` that this machine's apt can install."""
    listed = capture(["apt-cache", "policy", *names]) if shutil.which("apt-cache") else ""
    blocks = re.split(r"^(?=\S)", listed, flags=re.MULTILINE)
    found = {block.split(":", 1)[0] for block in blocks if re.search(r"Candidate: (?!\(none\))", block)}
    return [name for name in names if name in found]


def matching(pattern: str) -> list[str]:
    """Packages whose whole name matches; reads the lists afresh when none does."""

    def search() -> list[str]:
        lines = capture(["apt-cache", "search", "--names-only", f"^{pattern}$"]).splitlines()
        return [line.split(" - ")[0] for line in lines]

    found = search()
    if not found and _may_install() and not _updated:
        update()
        found = search()
    return found


def candidate(name: str) -> str:
    """The version that apt would install; empty when none."""
    match = re.search(r"Candidate: (\S+)", capture(["apt-cache", "policy", name]))
    return match[1] if match and match[1] != "(none)" else ""


def update() -> None:
    """Reads the package lists, once per run."""
    global _updated  # noqa: PLW0603 - one list per process
    if not _updated:
        run(["apt-get", *_LOCK, "-qq", "update"], quiet=True, about="reads the package lists, some seconds")
        _updated = True


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def installed(name: str) -> bool:
    """Whether dpkg has the package installed."""
    return capture(["dpkg-query", "-W", "-f", "${db:Status-Status}", name]) == "installed"


def install(names: Sequence[str], why: str) -> None:
    """Installs the packages that are not there. Raises `Missing` where that is not ours to do."""
    wanted = [name for name in names if not installed(name)]
    if not wanted:
        return
    command = "apt-get install " + " ".join(wanted)
    if not _may_install():
        raise Missing(why, command if os.geteuid() == 0 else f"sudo {command}")
    if offered(wanted) != wanted:
        update()
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    words = ["apt-get", *_LOCK, "-qq", "install", "-y", "--no-install-recommends", *wanted]
    about = "installs packages, up to a minute or two"
    try:
        run(words, env=env, quiet=True, about=about)
    except Failed:
        if _updated:
            raise
        update()  # versions in an old list may be gone from the mirror
        run(words, env=env, quiet=True, about=about)
