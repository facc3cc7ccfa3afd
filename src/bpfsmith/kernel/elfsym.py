"""Functions of executables and libraries: names, file offsets, symbol versions; and where a library is.

Reads ELF of 32 and 64 bits and both byte orders through a mapping: only the symbol tables are touched. A file offset is
what uprobes are attached by.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap
from struct import error as StructError  # noqa: N812 - an exception under its own name
from struct import iter_unpack, unpack_from

from bpfsmith.model.errors import InputError, PermissionMissing, TargetMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ElfFile", "Function", "find_binary", "from_section", "functions", "offset_of", "spells"]

# What reading past the end, or at a place no file has, raises.
MALFORMED = (StructError, OverflowError, IndexError, MemoryError)
_SYMTAB, _DYNSYM, _VERDEF, _VERSYM = 2, 11, 0x6FFFFFFD, 0x6FFFFFFF
_FUNC, _IFUNC, _WEAK = 2, 10, 2
_LOAD, _EXEC = 1, 1


class Function:
    """One function symbol: `offset` in the file and `size` in bytes, `address` as linked, `version` ("" = none), `old`:
    not the version that programs linked today get."""

    __slots__ = ("address", "name", "offset", "old", "size", "version", "weak")

    def __init__(
        self, name: str, offset: int, size: int, address: int, version: str = "", old: bool = False, weak: bool = False
    ) -> None:
        self.old = old
        self.name = name
        self.offset = offset
        self.size = size
        self.address = address
        self.version = version
        self.weak = weak

    def __repr__(self) -> str:
        return f"<Function {self.name} at {self.offset:#x}>"


class ElfFile:
    """An ELF file's sections, segments and function symbols. Malformed ones are an `InputError`."""

    def __init__(self, path: str) -> None:
        from bpfsmith import kernel

        self.path = path
        door = kernel.door()
        try:
            if door.local:
                with open(path, "rb") as file:
                    self._data = mmap(file.fileno(), 0, access=ACCESS_READ)
            else:
                data = door.read_bytes(path)
                self._data = mmap(-1, len(data))
                self._data[:] = data
        except FileNotFoundError:
            raise TargetMissing(f"there is no file `{path}`", path) from None
        except IsADirectoryError:
            raise InputError(f"`{path}` is a folder, not an executable or library", path) from None
        except PermissionError:
            raise PermissionMissing(f"`{path}` may not be read", "sudo", path) from None
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            raise InputError(f"`{path}` is not an ELF file: {error}", path) from None
        try:
            self._header()
        except MALFORMED:
            self._data.close()
            raise InputError(f"`{path}` is cut off: its ELF headers do not fit", path) from None

    def _header(self) -> None:
        data = self._data
        if data[:4] != b"\x7fELF":
            data.close()
            raise InputError(f"`{self.path}` is not an ELF file", self.path, "a script? name its interpreter's binary")
        self.bits64 = data[4] == 2
        self._end = "<" if data[5] == 1 else ">"
        end, wide = self._end, self.bits64
        (self.machine,) = unpack_from(f"{end}H", data, 18)
        phoff, shoff = unpack_from(f"{end}QQ", data, 32) if wide else unpack_from(f"{end}II", data, 28)
        phsize, phnum, shsize, shnum, shnames = unpack_from(f"{end}5H", data, 54 if wide else 42)
        # (type, flags, offset, address, size in the file)
        self.segments: list[tuple[int, int, int, int, int]] = []
        for at in range(phoff, phoff + phsize * phnum, phsize or 1):
            if wide:
                kind, flags, offset, address, _, size = unpack_from(f"{end}IIQQQQ", data, at)
            else:
                kind, offset, address, _, size, _, flags = unpack_from(f"{end}7I", data, at)
            self.segments.append((kind, flags, offset, address, size))
        rows = []
        if shoff:
            form = f"{end}IIQQQQIIQQ" if wide else f"{end}10I"
            if not shnum:  # more than 65,279: the first header holds the count
                shnum = unpack_from(form, data, shoff)[5]
            rows = [unpack_from(form, data, shoff + number * shsize) for number in range(shnum)]
        # (name, type, address, offset, size, link, entry size)
        self.sections = [(row[0], row[1], row[3], row[4], row[5], row[6], row[9]) for row in rows]
        self._names = self.sections[shnames][3] if shnames < len(self.sections) else 0

    def close(self) -> None:
        self._data.close()

    def __enter__(self) -> ElfFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def section(self, name: str) -> tuple[int, int, int] | None:
        """(address, file offset, size) of a section."""
        wanted = name.encode()
        for row in self.sections:
            if self._text(self._names + row[0]) == wanted:
                return row[2], row[3], row[4]
        return None

    def bytes_at(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]

    def _text(self, at: int) -> bytes:
        end = self._data.find(b"\0", at)
        return self._data[at:end] if end >= 0 else b""

    def offset_of(self, address: int, executable: bool = True) -> int | None:
        """Where in the file the byte with that address lies."""
        for kind, flags, offset, start, size in self.segments:
            if kind == _LOAD and start <= address < start + size and (flags & _EXEC or not executable):
                return address - start + offset
        return None

    def is_code(self, offset: int) -> bool:
        """Whether the byte at that place in the file is mapped as code."""
        return any(
            kind == _LOAD and flags & _EXEC and start <= offset < start + size
            for kind, flags, start, _, size in self.segments
        )

    # ---- symbols

    def functions(self, names: Iterable[str] | None = None, kinds: tuple[int, ...] = (_FUNC,)) -> Iterator[Function]:
        """Defined functions of `.symtab` and `.dynsym`, all or those of the given names; both tables may have one."""
        wanted = None if names is None else [name.encode() for name in names]
        for kind in (_DYNSYM, _SYMTAB):
            for row in self.sections:
                if row[1] == kind and row[5] < len(self.sections):
                    try:
                        yield from self._table(row, wanted, kind == _DYNSYM, kinds)
                    except MALFORMED:
                        raise InputError(f"`{self.path}` has a damaged symbol table", self.path) from None

    def _table(
        self, row: tuple[int, ...], wanted: list[bytes] | None, dynamic: bool, kinds: tuple[int, ...]
    ) -> Iterator[Function]:
        _, _, _, offset, size, link, _ = row
        strings = self._data[self.sections[link][3] : self.sections[link][3] + self.sections[link][4]]
        places: set[int] | None = None
        if wanted is not None:
            # A name may be the tail of a longer one in the string table, so every place where it ends is one.
            places = {at for name in wanted for at in _occurrences(strings, name + b"\0")}
            if not places:
                return
        wide = self.bits64
        form = f"{self._end}IBBHQQ" if wide else f"{self._end}IIIBBH"
        table = self._data[offset : offset + size - size % (24 if wide else 16)]
        for number, entry in enumerate(iter_unpack(form, table)):
            if wide:
                name, info, _, index, value, length = entry
            else:
                name, value, length, info, _, index = entry
            if (places is not None and name not in places) or info & 15 not in kinds:
                continue
            if not 0 < index < len(self.sections) or not value:
                continue  # defined elsewhere
            if self.machine == 40:
                value &= ~1  # the lowest bit marks Thumb code
            section = self.sections[index]
            end = strings.find(b"\0", name)
            yield Function(
                strings[name:end].decode("utf-8", "replace"), value - section[2] + section[3], length, value,
                *(self._version(number) if dynamic else ("", False)), info >> 4 == _WEAK,
            )  # fmt: skip

    def _version(self, number: int) -> tuple[str, bool]:
        """(name, whether programs linked today get another one)."""
        for _, kind, _, offset, size, _, _ in self.sections:
            if kind == _VERSYM and number * 2 < size:
                (index,) = unpack_from(f"{self._end}H", self._data, offset + number * 2)
                return self._versions().get(index & 0x7FFF, ""), bool(index & 0x8000)
        return "", False

    def _versions(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for _, kind, _, offset, _, link, _ in self.sections:
            at = offset if kind == _VERDEF else 0
            while at:
                _, flags, index, _, _, first, following = unpack_from(f"{self._end}4H3I", self._data, at)
                (name,) = unpack_from(f"{self._end}I", self._data, at + first)
                if not flags & 1:  # the first is the library's own name
                    found[index & 0x7FFF] = self._text(self.sections[link][3] + name).decode("utf-8", "replace")
                at = at + following if following else 0
        return found


def _occurrences(text: bytes, part: bytes) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


# ------------------------------------------------------------ functions by name


def functions(path: str, name: str) -> list[Function]:
    """The functions of that name, glob pattern, or path of Rust or C++ (`crate::module::function`: every instance);
    `name@VERSION` picks a version. One per file offset, by offset. `TargetMissing` with near matches when none is."""
    from bpfsmith.kernel.targets import is_pattern

    plain, _, version = name.partition("@")
    version = version.lstrip("@")
    with ElfFile(path) as elf:
        if is_pattern(plain):
            from fnmatch import translate
            from re import compile as compile_pattern

            fits = compile_pattern(translate(plain)).match
            found = [one for one in elf.functions() if fits(one.name)]
        else:
            found = list(elf.functions([plain]))
            if not found and "::" in plain:
                found = [one for one in elf.functions() if spells(one.name, plain)]
        if version:
            found = [one for one in found if one.version == version]
        chosen_late = all(one.old for one in found) and not version and list(elf.functions([plain], (_IFUNC,)))
        if not found or chosen_late:
            raise _no_function(elf, path, name, plain)
    by_offset: dict[int, Function] = {}
    for one in found:
        there = by_offset.get(one.offset)
        # A strong name before a weak alias of the same code.
        if there is None or (there.weak and not one.weak):
            by_offset[one.offset] = one
    return [by_offset[offset] for offset in sorted(by_offset)]


def spells(mangled: str, path: str) -> bool:
    """Whether a mangled name (Rust's legacy and v0, Itanium C++) is that path; its types and hash do not count."""
    joined = "".join(f"{len(part)}{part}" for part in path.split("::"))
    before, found, rest = mangled.partition(joined)
    if not found:
        return False
    if mangled.startswith("_ZN"):
        return before == "_ZN" and rest.startswith(("17h", "E"))
    return mangled.startswith("_R") and not before[-1:].isdigit() and not rest[:1].isdigit()


def offset_of(path: str, name: str) -> int:
    """The file offset of one function; an ambiguous name is an `InputError` that says what to do."""
    found = functions(path, name)
    if len(found) > 1:
        found = [one for one in found if not one.old] or found
        found = [one for one in found if not one.weak] or found
    if len(found) > 1:
        versions = [one.version for one in found if one.version]
        pick = f"`{name}@{versions[-1]}` picks one, " if len(set(versions)) > 1 else ""
        raise InputError(
            f"`{path}` has {len(found)} functions `{name}`", path, f"{pick}`all_matches=True` takes all, `offset=` one"
        )
    return found[0].offset


def _no_function(elf: ElfFile, path: str, name: str, plain: str) -> TargetMissing:
    from bpfsmith.model.near import did_you_mean

    every = list(elf.functions())
    if list(elf.functions([plain], (_IFUNC,))):
        # What lies at its address is the function that chooses, called once per process.
        made = sorted({one.name for one in every if plain in one.name})[:3]
        return TargetMissing(
            f"`{plain}` of `{path}` is chosen among several functions when a program starts", path,
            f"attach to those: {', '.join(made)}" if made else "attach to the one chosen, by its own name or `offset=`",
        )  # fmt: skip
    if not every:
        return TargetMissing(
            f"`{path}` has no function symbols: it is stripped", path,
            "attach by `offset=`, or to a file with symbols (build with `-g`, or install its debug package)",
        )  # fmt: skip
    versions = sorted({one.version for one in every if one.name == plain and one.version})
    if versions:
        return TargetMissing(f"`{path}` has no function `{name}`", path, f"it has the versions {', '.join(versions)}")
    names = {one.name for one in every if abs(len(one.name) - len(plain)) < 12 or plain in one.name}
    # Rust and C++ carry the plain name inside a mangled one.
    inside = sorted(one for one in names | {one.name for one in every} if f"{len(plain)}{plain}" in one)[:1]
    hint = f"did you mean `{inside[0]}`?" if inside else did_you_mean(plain, names)
    return TargetMissing(f"`{path}` has no function `{name}`", path, hint or f"`nm -D {path}` lists those it exports")


# ------------------------------------------------------------ where a binary is


def find_binary(which: str, pid: int = -1) -> str:
    """The path of an executable or library: a path as it is, `libssl.so.3`, `libssl` or `ssl` from the places libraries
    are, `bash` from PATH. With `pid` what that process has mapped goes first, seen through its root where that
    differs."""
    from bpfsmith import kernel

    which = os.fspath(which)
    if not kernel.door().local:
        return _in_guest(which)
    if pid > 0 and (found := _of_process(which, pid)):
        return found
    if "/" in which:
        if not os.path.exists(which):
            from bpfsmith.model.near import did_you_mean

            folder, _, name = which.rpartition("/")
            try:
                hint = did_you_mean(name, os.listdir(folder or "/"))
            except OSError:
                hint = f"there is no folder `{folder}` either"
            raise TargetMissing(f"there is no file `{which}`", which, hint)
        return os.path.realpath(which)
    for folder in os.get_exec_path() if ".so" not in which else ():
        path = os.path.join(folder, which)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return os.path.realpath(path)
    libraries = _libraries()
    for name in (which,) if ".so" in which else (f"{which}.so", f"lib{which}.so"):
        fits = [libraries[name]] if name in libraries else []
        fits += [path for known, path in libraries.items() if known.startswith(f"{name}.")]
        for path in fits:
            if _is_elf(path):  # `libc.so` is a text for the linker
                return os.path.realpath(path)
    from bpfsmith.model.near import did_you_mean

    raise TargetMissing(
        f"there is no executable or library `{which}`", which, did_you_mean(which, libraries) or "pass its path"
    )


def _in_guest(which: str) -> str:
    """A path is one of the guest's files; so is what stands where its programs and libraries are."""
    from bpfsmith import kernel

    folders = ("",) if "/" in which else ("/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/", "/lib/", "/usr/lib/")
    for folder in folders:
        if kernel.door().exists(f"{folder}{which}"):
            return f"{folder}{which}"
    raise TargetMissing(f"there is no file `{which}` in the guest", which, "put it there, or take the image `tools`")


def from_section(path: str) -> str:
    """The path a section name means: Aya writes it without the first slash, libbpf as it is."""
    if "/" in path and not path.startswith("/") and not os.path.exists(path) and os.path.exists(f"/{path}"):
        return f"/{path}"
    return path


def _is_elf(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _of_process(which: str, pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
            paths = dict.fromkeys(line.split(None, 5)[5].rstrip("\n") for line in file if line.count("/") > 1)
    except FileNotFoundError:
        raise TargetMissing(f"there is no process {pid}", str(pid)) from None
    except (OSError, IndexError):
        return None
    for path in paths:
        name = path.rpartition("/")[2]
        if which in (path, name) or name.startswith((f"{which}.so", f"lib{which}.so")):
            elsewhere = f"/proc/{pid}/root{path}"
            return elsewhere if not _same_root(pid) and os.path.exists(elsewhere) else path
    return None


def _same_root(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    except OSError:
        return True


def _libraries() -> dict[str, str]:
    """soname -> path, from the loader's cache and the usual folders; this machine's own architecture only."""
    found: dict[str, str] = {}
    folders = [one for one in os.environ.get("LD_LIBRARY_PATH", "").split(":") if one]
    machine = os.uname().machine
    usual = [f"{root}/{part}" for root in ("/usr/local/lib", "/usr/lib", "/lib")
             for part in (f"{machine}-linux-gnu", "")] + ["/usr/lib64", "/lib64"]  # fmt: skip
    for folder in folders:
        _list(folder, found)
    for name, path in _cached():
        found.setdefault(name, path)
    for folder in usual:
        _list(folder.rstrip("/"), found)
    return found


def _list(folder: str, found: dict[str, str]) -> None:
    try:
        for name in os.listdir(folder):
            if ".so" in name:
                found.setdefault(name, f"{folder}/{name}")
    except OSError:
        pass


def _cached() -> Iterator[tuple[str, str]]:
    """(soname, path) of /etc/ld.so.cache (`struct cache_file_new` of glibc)."""
    try:
        with open("/etc/ld.so.cache", "rb") as file:
            data = file.read()
    except OSError:
        return
    start = data.find(b"glibc-ld.so.cache1.1")
    if start < 0:
        return
    (count,) = unpack_from("=I", data, start + 20)
    wide = {"x86_64": 0x0300, "aarch64": 0x0A00, "s390x": 0x0400, "ppc64le": 0x0500}.get(os.uname().machine)
    for number in range(count):
        at = start + 48 + number * 24
        if at + 24 > len(data):
            return
        flags, key, value = unpack_from("=iII", data, at)
        if wide is not None and flags & 0xFF00 != wide:
            continue
        name = data[start + key : data.find(b"\0", start + key)]
        path = data[start + value : data.find(b"\0", start + value)]
        yield name.decode("utf-8", "replace"), path.decode("utf-8", "surrogateescape")
