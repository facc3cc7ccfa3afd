#!/usr/bin/env python3
"""A Rust compiler newer than this Debian release has, for crates that want one: aya 0.15 and 0.16 need 1.98.

    new_rust.py install        gets Debian experimental's rustc into the cache (about 350 MB to fetch)
    new_rust.py env            prints what to export, for a shell

Its packages are unpacked into a folder of their own, with the libraries they want: nothing is installed, and no rights
are needed. The compiler runs under the C library it was built for; what it makes is linked by this machine's `cc`.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from shell import CACHE, Failed, Missing, capture, run, say

HOME = CACHE / "tools" / "rust-experimental"
MINIMUM = (1, 98)
RECIPE = "python3 tools/dev/new_rust.py install"
_WANTED = ("rustc", "libstd-rust-dev")
# What the compiler itself never opens: linking is done by this machine's tools.
_NOT_NEEDED = re.compile(
    r"^(binutils|cpp|gcc(?!-\d+-base)|libasan|libtsan|libubsan|libhwasan|liblsan|libcc1|libc-dev|libc6-dev|linux-libc|"
    r"libgcc-\d+-dev|libbinutils|libctf|libgprofng|libsframe|libquadmath|libitm|libisl|libmpc|libmpfr|libgomp)"
)
_SOURCES = """\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} sid main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} experimental main
"""
_WRAPPER = """\
#!/bin/sh
# The compiler under the C library it was built for.
here={root}
exec "$here/{loader}" --library-path "{libraries}" --argv0 "$here/usr/bin/rustc" "$here/usr/bin/rustc" \\
    --sysroot "$here/usr" "$@"
"""


def find() -> Path | None:
    """The compiler of the cache, if it is there and new enough."""
    wrapper = HOME / "rustc"
    return wrapper if wrapper.exists() and _version(wrapper) >= MINIMUM else None


def env() -> dict[str, str]:
    """What makes a cargo use it. Raises `Missing`."""
    compiler = find()
    if compiler is None:
        raise Missing(f"no rustc {MINIMUM[0]}.{MINIMUM[1]}", RECIPE)
    return {"RUSTC": str(compiler)}


def _version(rustc: Path) -> tuple[int, int]:
    found = re.search(r"^rustc (\d+)\.(\d+)", capture([rustc, "--version"]))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def install() -> None:
    """Fetches by this machine's apt, whose signatures count, into folders of our own. Raises `Missing` or `Failed`."""
    if find() is not None:
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Missing("fetching Debian's packages needs apt and dpkg")
    fetched = HOME.with_name(HOME.name + ".apt")
    for name in ("lists/partial", "cache/archives/partial"):
        (fetched / name).mkdir(parents=True, exist_ok=True)
    (fetched / "status").touch()
    (fetched / "sources.list").write_text(_SOURCES.format(mirror=_mirror()), encoding="utf-8")
    apt = [
        "apt-get",
        *("-o", f"Dir::State::lists={fetched}/lists", "-o", f"Dir::State::status={fetched}/status"),
        *("-o", f"Dir::Cache={fetched}/cache", "-o", f"Dir::Etc::sourcelist={fetched}/sources.list"),
        *("-o", "Dir::Etc::sourceparts=/dev/null", "-o", "Dir::Etc::preferencesparts=/dev/null"),
        *("-o", "Acquire::Languages=none", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"),
    ]
    run([*apt, "-qq", "update"], quiet=True, about="reads the lists of Debian sid and experimental, 12 MB")
    planned = capture([*apt, "-t", "experimental", "-s", "install", "--no-install-recommends", *_WANTED])
    names = [name for name in re.findall(r"^Inst (\S+)", planned, re.MULTILINE) if not _NOT_NEEDED.match(name)]
    if not names:
        raise Failed("apt does not say what rustc of Debian experimental consists of")
    unpacked = HOME.with_name(f"{HOME.name}.new")
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    archives = fetched / "cache/archives"
    chosen = [f"{name}={_planned(planned, name)}" for name in names]
    run([*apt, "-qq", "download", *chosen], quiet=True, cwd=archives, about="fetches the compiler, 100 MB and more")
    for package in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
    _wrapper(unpacked)
    shutil.rmtree(HOME, ignore_errors=True)
    unpacked.rename(HOME)
    shutil.rmtree(fetched)
    if find() is None:
        raise Failed(f"{HOME}/rustc does not run: {capture([HOME / 'rustc', '--version'])}")


def _planned(text: str, name: str) -> str:
    found = re.search(rf"^Inst {re.escape(name)} \((\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def _mirror() -> str:
    """The one that apt is set up with."""
    said = capture(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"])
    sites = [line.split()[0] for line in said.splitlines() if line.split()[0].rstrip("/").endswith("/debian")]
    return sites[0] if sites else "http://deb.debian.org/debian"


def _wrapper(root: Path) -> None:
    loader = next((one for one in root.rglob("ld-linux-*.so.*")), None)
    if loader is None:
        raise Failed("the packages hold no C library")
    folders = sorted({one.parent for one in root.rglob("*.so*") if "rustlib" not in one.parts})
    libraries = ":".join(str(HOME / one.relative_to(root)) for one in folders)
    script = root / "rustc"
    script.write_text(
        _WRAPPER.format(root=shlex.quote(str(HOME)), loader=loader.relative_to(root), libraries=libraries),
        encoding="utf-8",
    )
    script.chmod(0o755)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("install", "env"))
    args = parser.parse_args()
    try:
        if args.command == "install":
            install()
            say(f"{HOME}/rustc")
        else:
            for name, value in env().items():
                print(f"export {name}={shlex.quote(value)}")
    except (Missing, Failed) as error:
        say(f"error: {error}")
        return 3 if isinstance(error, Missing) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
