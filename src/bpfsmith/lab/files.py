"""Which files of this machine a guest gets: those of the current folder, and those named.

The current folder is in the guest at the same path, with copies of its files, so that a command line works there as it
works here. Version control, build output and virtual environments stay behind, and so does everything when it is too
much.
"""

from __future__ import annotations

import os
from stat import S_ISDIR, S_ISREG

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Files = dict[str, tuple[int, bytes]]

__all__ = ["MOST", "MOST_FILES", "below", "fetched", "here", "named", "wanted"]

MOST = 64 << 20
"""Bytes of files a guest gets of one folder."""
MOST_FILES = 4096
SKIPPED = frozenset({
    ".git", ".hg", ".svn", ".jj", "target", "node_modules", ".venv", "venv", "__pycache__", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".tox", ".cache",
})  # fmt: skip
# Folders a guest has of its own: nothing of ours may stand in their place.
SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
HOME = "/root"


def here() -> str:
    """The current folder as a guest has it; `/root` for one that a guest has of its own."""
    path = os.getcwd()
    return HOME if _systems(path) else path


def _systems(path: str) -> bool:
    whole = ("/", "/tmp", "/var", "/home", "/mnt")
    return path in whole or any(path == one or path.startswith(f"{one}/") for one in SYSTEM)


def below(folder: str, place: str, most: int = MOST, count: int = MOST_FILES) -> Files | str:
    """Path in the guest -> (mode, contents) of the regular files below `folder`, which become files below `place`;
    what may not be read is left out. A sentence, when they are more than `most` bytes or `count` files."""
    found: Files = {}
    total = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one not in SKIPPED)
        for name in sorted(names):
            path = os.path.join(root, name)
            try:
                told = os.stat(path)
                if not S_ISREG(told.st_mode):
                    continue
                total += told.st_size
                if total > most or len(found) >= count:
                    which = f"{most >> 20} MB" if total > most else f"{count} files"
                    return f"`{folder}` holds more than {which}"
                with open(path, "rb") as file:
                    found[os.path.join(place, os.path.relpath(path, folder))] = (told.st_mode & 0o777, file.read())
            except OSError:
                continue
    return found


def named(path: str, place: str = "", most: int = MOST) -> Files:
    """A file, or a folder with all below it, as `place` in the guest (default: where it is here). `InputError` when it
    is not there or too large."""
    path = os.path.abspath(path)
    place = place or path
    try:
        told = os.stat(path)
        if S_ISDIR(told.st_mode):
            found = below(path, place, most)
            if isinstance(found, str):
                raise InputError(f"{found}, too much for a guest", path, "name what is needed of it, file by file")
            return found
        if not S_ISREG(told.st_mode):
            raise InputError(f"`{path}` is neither a file nor a folder", path)
        if told.st_size > most:
            raise InputError(f"`{path}` is larger than the {most >> 20} MB a guest takes", path)
        with open(path, "rb") as file:
            return {place: (told.st_mode & 0o777, file.read())}
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {(error.strerror or str(error)).lower()}", path) from None


def wanted(words: Iterable[str]) -> list[tuple[str, str]]:
    """`LOCAL` or `LOCAL:GUEST` -> (local, guest), "" where none is given. A file whose name has a colon is taken
    whole."""
    found = []
    for word in words:
        first, colon, second = word.rpartition(":")
        if not colon or os.path.exists(word):
            first, second = word, ""
        if not first:
            raise InputError(f"`{word}` names no file", hint="write `FILE` or `FILE:PLACE`")
        found.append((first, second))
    return found


def fetched(words: Iterable[str]) -> list[tuple[str, str]]:
    """`GUEST` or `GUEST:LOCAL` -> (guest, local): the last colon parts them, whatever exists here; a name in the guest
    that has one is written with a colon behind it. `InputError` for a folder, and for two that would become one."""
    found: dict[str, tuple[str, str]] = {}
    for word in words:
        place, _, path = word.rpartition(":") if ":" in word else (word, "", "")
        target = path or os.path.basename(place)
        if not os.path.basename(place) or not os.path.basename(target):
            raise InputError(f"`{word}` names no file", hint="write `PLACE` or `PLACE:FILE`, file by file")
        first, _ = found.setdefault(os.path.abspath(target), (place, target))
        if first != place:
            raise InputError(f"`{first}` and `{place}` would both become `{target}`", hint="write `PLACE:FILE`")
    return list(found.values())
