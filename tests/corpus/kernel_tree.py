"""The part of a kernel source that its BPF tests need, out of Debian's `linux-source-*` package."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from debian_archive import Archive, Missing

SERIES = ("6.1", "6.12")
_WANTED = ("tools/testing/selftests/bpf", "tools/lib/bpf", "tools/include", "include/uapi", "scripts/bpf_doc.py")
_LIBBPF_HEADERS = ("bpf_helpers.h", "bpf_endian.h", "bpf_tracing.h", "bpf_core_read.h", "usdt.bpf.h")


def prepare_tree(tree: Path, archive: Archive, series: str) -> str:
    """Makes `tree` ready to compile against; returns the version of the source package."""
    done = tree / ".version"
    if done.exists():
        return done.read_text()
    if not shutil.which("xz"):
        raise Missing("no `xz`, which kernel sources are packed with", "apt-get install xz-utils")
    partial = tree.with_name(f".partial-{series}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tarball, version = _tarball(archive, series)
    top = f"linux-source-{series}"
    names = [f"{top}/{name}" for name in _WANTED]
    command = ["tar", "-xf", str(tarball), "-C", str(partial), "--strip-components=1", *names]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    _libbpf_headers(partial)
    _user_headers(partial)
    (partial / ".version").write_text(version)
    shutil.rmtree(tree, ignore_errors=True)
    partial.replace(tree)
    return version


def _tarball(archive: Archive, series: str) -> tuple[Path, str]:
    name = f"linux-source-{series}"
    installed = Path(f"/usr/src/{name}.tar.xz")
    if installed.exists():
        command = ["dpkg-query", "-W", "-f", "${Version}", name]
        return installed, subprocess.run(command, capture_output=True, text=True, check=True).stdout
    unpacked = archive.home / f"unpacked/{name}"
    tarball = unpacked / f"usr/src/{name}.tar.xz"
    version = archive.unpack(name, unpacked)
    archive.fetch(name).unlink()  # the same bytes twice otherwise
    return tarball, version


def _libbpf_headers(tree: Path) -> None:
    """`<bpf/...>` as `make -C tools/lib/bpf install_headers` lays them out."""
    target = tree / "libbpf/bpf"
    target.mkdir(parents=True)
    for name in _LIBBPF_HEADERS:
        shutil.copyfile(tree / "tools/lib/bpf" / name, target / name)
    program, header = tree / "scripts/bpf_doc.py", tree / "tools/include/uapi/linux/bpf.h"
    command = [sys.executable, str(program), "--header", "--file", str(header)]
    made = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    (target / "bpf_helper_defs.h").write_bytes(made.stdout)


# What `scripts/headers_install.sh` of the kernel does to a header on its way to user space.
_SANITIZE = (
    (re.compile(r"\b__(?:user|force|iomem|attribute_const__)\b"), ""),
    (re.compile(r"^#\s*include\s+<linux/compiler(?:_types)?\.h>", re.MULTILINE), ""),
    (re.compile(r"(?<![A-Za-z0-9_])__packed(?![A-Za-z0-9_])"), "__attribute__((packed))"),
    (re.compile(r"(?<![^\s(])(inline|asm|volatile)(?![^\s(])"), r"__\1__"),
    (re.compile(r"^(#\s*(?:ifndef|define|endif\s*/\*))\s*_UAPI", re.MULTILINE), r"\1 "),
)


def _user_headers(tree: Path) -> None:
    """`<linux/...>` of this series as `make headers_install` lays it out."""
    source, target = tree / "include/uapi", tree / "uapi"
    for path in sorted((source / "linux").rglob("*.h")):
        text = path.read_text(errors="surrogateescape")
        for pattern, replacement in _SANITIZE:
            text = pattern.sub(replacement, text)
        made = target / path.relative_to(source)
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text, errors="surrogateescape")
    shutil.rmtree(source.parent)
