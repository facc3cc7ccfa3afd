"""Which shared libraries executables and libraries of this machine need, read from the files themselves.

`closure(paths)` follows DT_NEEDED as the dynamic loader does (RPATH and RUNPATH with $ORIGIN, LD_LIBRARY_PATH, the
loader's cache, the usual folders). No `ldd`: that runs the loader once per file, and some systems have none.
"""

from __future__ import annotations

import os
from struct import unpack_from

from bpfsmith.kernel.elfsym import MALFORMED, ElfFile, _libraries
from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Closure", "closure", "trimmed"]

_LOAD, _DYNAMIC, _INTERP = 1, 2, 3
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29


class Closure:
    """`libraries`: soname -> path on this machine, sorted; `loaders`: the program interpreters asked for, as the
    executables name them; `folder`: where the C library is, which every loader searches without being told."""

    __slots__ = ("folder", "libraries", "loaders")

    def __init__(self) -> None:
        self.libraries: dict[str, str] = {}
        self.loaders: set[str] = set()
        self.folder = "/lib"


def closure(paths: Iterable[str]) -> Closure:
    """Everything the files at `paths` are linked against, and what that needs. A library that cannot be found is an
    `EnvironmentMissing`: the machine could not run the file either."""
    found = Closure()
    known = _libraries()
    todo = [(path, "") for path in paths]
    machine = None
    while todo:
        path, inherited = todo.pop()
        with ElfFile(path) as elf:
            machine = machine or elf.machine
            try:
                loader, needed, own = _dynamic(elf)
            except MALFORMED:
                continue  # not for a loader: no dynamic section to speak of
        if loader:
            found.loaders.add(loader)
        search = [
            folder.replace("$ORIGIN", os.path.dirname(os.path.realpath(path))).replace(
                "${ORIGIN}", os.path.dirname(os.path.realpath(path))
            )
            for folder in f"{own}:{inherited}".split(":")
            if folder
        ]
        for name in needed:
            if name in found.libraries or any(loader.endswith(f"/{name}") for loader in found.loaders):
                continue
            at = _find(name, search, known, machine)
            if at is None:
                raise EnvironmentMissing(f"`{path}` needs the library `{name}`, which is not here", "", path)
            found.libraries[name] = at
            todo.append((at, ":".join(search)))
    found.libraries = dict(sorted(found.libraries.items()))
    for name in ("libc.so.6", *(name for name in found.libraries if name.startswith("libc."))):
        if name in found.libraries:
            found.folder = os.path.dirname(found.libraries[name])
            break
    return found


def _dynamic(elf: ElfFile) -> tuple[str, list[str], str]:
    """(interpreter, DT_NEEDED, search path) of one file."""
    loader, rows = "", []
    wide, end = elf.bits64, elf._end
    for kind, _, offset, _, size in elf.segments:
        if kind == _INTERP:
            loader = elf.bytes_at(offset, size).rstrip(b"\0").decode()
        elif kind == _DYNAMIC:
            data = elf.bytes_at(offset, size)
            form, step = (f"{end}QQ", 16) if wide else (f"{end}II", 8)
            rows = [unpack_from(form, data, at) for at in range(0, len(data) - step + 1, step)]
    table = next((value for tag, value in rows if tag == _STRTAB), 0)
    start = next((off + table - addr for kind, _, off, addr, size in elf.segments
                  if kind == _LOAD and addr <= table < addr + size), None)  # fmt: skip
    if start is None:
        return loader, [], ""
    needed, run, old = [], "", ""
    for tag, value in rows:
        if tag not in (_NEEDED, _RPATH, _RUNPATH):
            continue
        text = elf.bytes_at(start + value, 4096).partition(b"\0")[0].decode("utf-8", "surrogateescape")
        if tag == _NEEDED:
            needed.append(text)
        elif tag == _RUNPATH:
            run = text
        else:
            old = text
    return loader, needed, run or old


def _find(name: str, search: list[str], known: dict[str, str], machine: int | None) -> str | None:
    places = [name] if "/" in name else [os.path.join(folder, name) for folder in search]
    if name in known:
        places.append(known[name])
    for place in places:
        try:
            with ElfFile(place) as elf:
                if elf.machine == machine:
                    return place
        except BpfsmithError:
            continue
    return None


def trimmed(data: bytes) -> bytes:
    """An ELF file without what no loader reads: sections behind the last segment (symbols for debuggers, section
    headers). Returned as it is where that saves less than a third, or where it is no 64-bit little-endian ELF."""
    if data[:6] != b"\x7fELF\x02\x01":
        return data
    try:
        (phoff,) = unpack_from("<Q", data, 32)
        phsize, phnum = unpack_from("<HH", data, 54)
        end = phoff + phsize * phnum
        for number in range(phnum):
            _, _, offset, _, _, size = unpack_from("<IIQQQQ", data, phoff + number * phsize)
            end = max(end, offset + size)
    except MALFORMED:
        return data
    if end * 3 > len(data) * 2:
        return data
    kept = bytearray(data[:end])
    kept[40:48] = bytes(8)  # e_shoff
    kept[60:64] = bytes(4)  # e_shnum, e_shstrndx
    return bytes(kept)
