"""Fetches Debian packages without touching the system: no root, no change to its lists, nothing installed.

A private apt state with bookworm's index makes the corpus the same on every Debian machine, whatever it runs itself.
The mirror is the one the machine's own apt uses. Run as a program: `debian_archive.py DIR NAME...` unpacks packages.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SUITES = (("main", "bookworm"), ("security", "bookworm-security"))
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Missing(Exception):
    """Something this machine lacks: `args[0]` says what, `command` gets it."""

    def __init__(self, what: str, command: str = "") -> None:
        super().__init__(what)
        self.command = command


class Archive:
    """One private apt state under `home`; the index is read once per object.

    `architecture` is amd64 on every machine: kernels, their sources and BPF objects are data here, never run. `suites`:
    (main or security, suite); another choice than bookworm needs a `home` of its own.
    """

    def __init__(self, home: Path, architecture: str = "amd64", suites: Sequence[tuple[str, str]] = SUITES) -> None:
        self.home = home
        self.architecture = architecture
        self.suites = suites
        self.debs = home / "debs"
        self._updated = False

    def _options(self) -> list[str]:
        apt = self.home / "apt"
        options = {
            "Dir::Etc::sourcelist": apt / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State::lists": apt / "lists",
            "Dir::State::status": apt / "status",
            "Dir::Cache": apt / "cache",
            "APT::Architecture": self.architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        for kind in ("DEP-11", "DEP-11-icons", "DEP-11-icons-small", "Contents-deb", "CNF"):
            options[f"Acquire::IndexTargets::deb::{kind}::DefaultEnabled"] = "false"
        return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def update(self) -> None:
        """Reads bookworm's index, once."""
        if self._updated:
            return
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Missing("the corpus is made from Debian packages, and `apt-get` is not here", "use a Debian machine")
        if not KEYRING.exists():
            raise Missing(f"no `{KEYRING}`", "apt-get install debian-archive-keyring")
        apt = self.home / "apt"
        for folder in (apt / "lists/partial", apt / "cache/archives/partial", self.debs):
            folder.mkdir(parents=True, exist_ok=True)
        (apt / "status").touch()
        mirrors = _mirrors()
        lines = [f"deb [signed-by={KEYRING}] {mirrors[which]} {suite} main" for which, suite in self.suites]
        (apt / "sources.list").write_text("\n".join(lines) + "\n")
        self._run("apt-get", "-q", "update")
        self._updated = True

    def _run(self, program: str, *words: str, cwd: Path | None = None) -> str:
        command = [program, *self._options(), *words]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise Missing(f"`{program} {' '.join(words)}` failed: {said[-1] if said else 'no message'}")
        return done.stdout

    def newest(self, pattern: str) -> str:
        """The package with the highest version number in its name among those matching `pattern` whole."""
        self.update()
        listed = self._run("apt-cache", "search", "--names-only", pattern).splitlines()
        names = [line.split(" - ")[0] for line in listed]
        fitting = [name for name in names if re.fullmatch(pattern, name)]
        if not fitting:
            raise Missing(f"no package matches `{pattern}`")
        return max(fitting, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def fetch(self, name: str) -> Path:
        """The `.deb` of `name`, newest version, from the cache when it was fetched before."""
        kept = sorted(self.debs.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
        if kept:
            return kept[-1]
        self.update()
        partial = self.debs / f".partial-{name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self._run("apt-get", "-q", "download", name, cwd=partial)
        (deb,) = partial.glob("*.deb")
        kept_as = self.debs / deb.name
        deb.replace(kept_as)
        partial.rmdir()
        return kept_as

    def unpack(self, name: str, target: Path) -> str:
        """Unpacks package `name` into `target`; returns its version."""
        deb = self.fetch(name)
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", deb, target], check=True, stdin=subprocess.DEVNULL)
        return deb.name.split("_")[1].replace("%3a", ":").replace("%2b", "+")


def _mirrors() -> dict[str, str]:
    """The addresses of Debian's main and security archives, as the machine's own apt has them."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    found: dict[str, str] = {}
    for address in listed:
        last = address.rstrip("/").rsplit("/", 1)[-1]
        if last == "debian":
            found.setdefault("main", address)
        elif last == "debian-security":
            found.setdefault("security", address)
    if "main" in found and "security" not in found:
        found["security"] = found["main"].rstrip("/") + "-security/"
    if "main" not in found:
        raise Missing("apt here names no Debian archive", "apt-get update")
    return found


if __name__ == "__main__":
    home, *wanted = sys.argv[1:]
    for package in wanted:
        print(package, Archive(Path(home)).unpack(package, Path(home) / "root"))
