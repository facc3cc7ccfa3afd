"""Finds eBPF objects by what is in them."""

from __future__ import annotations

import os
from errno import EINVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_EM_BPF = 247
# Folders that hold no objects a person built and may be huge.
SKIPPED = frozenset((".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"))

# Folders of `/` without files: they take minutes, and opening what is in them may do something.
_MADE_UP = frozenset(("proc", "sys", "dev"))


def starts_like_object(path: str) -> bool:
    """Whether the first 20 bytes are those of a relocatable ELF file for BPF; unreadable files are not."""
    head = first_bytes(path)
    return len(head) >= 20 and head[:4] == b"\x7fELF" and elf_kind(head) == (1, _EM_BPF)


def elf_kind(head: bytes) -> tuple[int, int]:
    """`e_type` and `e_machine` of an ELF header of at least 20 bytes."""
    if head[5] == 2:
        return head[16] << 8 | head[17], head[18] << 8 | head[19]
    return head[17] << 8 | head[16], head[19] << 8 | head[18]


def first_bytes(path: str, count: int = 64) -> bytes:
    """The first bytes of a regular file, `b""` when they cannot be read."""
    try:
        # A FIFO or device in the folder must not block.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(handle, count)
    except OSError:
        return b""
    finally:
        os.close(handle)


def open_input(path: str) -> BinaryIO:
    """Opens a file that is no object; `OSError` for a named pipe, which may wait for ever.

    Devices may never end: read no more than is sensible. A shell's `<(command)` is a pipe too, but one that is open at
    its other end, and has no name in the file system.
    """
    from stat import S_ISFIFO

    if S_ISFIFO(os.stat(path).st_mode) and os.path.lexists(os.path.realpath(path)):
        raise OSError(EINVAL, "it is a named pipe, no file", path)
    from bpfsmith.read.overlay import opened

    return opened(path)


def find(folder: str) -> list[str]:
    """Every object below `folder`, each once."""
    found: list[str] = []
    for top, folders, files in os.walk(folder):
        folders[:] = worth(top, folders)
        found.extend(objects_among(top, files))
    return once(found)


def worth(top: str, folders: list[str]) -> list[str]:
    """The folders of `top` that may hold objects, sorted."""
    left = SKIPPED | _MADE_UP if os.path.realpath(top) == "/" else SKIPPED
    return sorted(one for one in folders if one not in left)


def objects_among(folder: str, files: Iterable[str]) -> list[str]:
    """Paths of those files in the folder that are objects."""
    paths = (os.path.normpath(os.path.join(folder, file)) for file in files)
    return [path for path in paths if starts_like_object(path)]


def once(paths: Iterable[str]) -> list[str]:
    """Sorted; of hard links (Cargo's `deps/`) the shortest path; without what is gone meanwhile."""
    found: dict[tuple[int, int], str] = {}
    for path in paths:
        try:
            stat = os.stat(path)
        except OSError:
            continue
        key = (stat.st_dev, stat.st_ino)
        if key not in found or (len(path), path) < (len(found[key]), found[key]):
            found[key] = path
    return sorted(found.values())
