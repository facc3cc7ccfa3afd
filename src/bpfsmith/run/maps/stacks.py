"""Stack traces that programs stored, with names."""

from __future__ import annotations

from bisect import bisect_right
from sys import byteorder

from bpfsmith import kernel
from bpfsmith.model.errors import BpfsmithError
from bpfsmith.run.maps.spec import F_STACK_BUILD_ID
from bpfsmith.run.maps.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Frame", "StackTrace", "StackTraces"]

_KERNEL = 1 << 63  # kernel addresses have the highest bit set on every 64-bit architecture


class Frame:
    """One call. `address`; `name` of the function ("" = not known) and `offset` in it; `where`: the kernel module, or
    the file it is in ("" = the kernel itself, or not known)."""

    __slots__ = ("address", "name", "offset", "where")

    def __init__(self, address: int, name: str = "", offset: int = 0, where: str = "") -> None:
        self.address = address
        self.name = name
        self.offset = offset
        self.where = where

    def __str__(self) -> str:
        text = f"{self.name}+{self.offset:#x}" if self.name else f"{self.address:#x}"
        return f"{text} [{self.where}]" if self.where else text

    def __repr__(self) -> str:
        return f"<Frame {self}>"


class StackTrace(tuple):  # type: ignore[type-arg]
    """Addresses, the innermost call first. `frames(pid)` names them: those of the kernel by kallsyms, those of a
    process by its mapped files, as long as it runs."""

    __slots__ = ()

    def frames(self, pid: int | None = None) -> list[Frame]:
        user = _Process(pid) if pid is not None else None
        found = []
        for address in self:
            if address >= _KERNEL:
                found.append(_kernel_symbols().frame(address))
            else:
                found.append(user.frame(address) if user is not None else Frame(address))
        return found

    def text(self, pid: int | None = None) -> str:
        """One line per call."""
        return "\n".join(map(str, self.frames(pid)))


class BuildIdFrame(Frame):
    """A call as file and offset: `build_id` (hex) names the file, `offset` is in it; `address` is 0."""

    __slots__ = ("build_id",)

    def __init__(self, build_id: str, offset: int) -> None:
        super().__init__(0, "", offset, build_id)
        self.build_id = build_id

    def __str__(self) -> str:
        return f"{self.build_id[:12]}+{self.offset:#x}"


class StackTraces(Table):
    """`stack_trace`: the number `bpf_get_stackid` answered -> the addresses. With BPF_F_STACK_BUILD_ID the frames are
    `BuildIdFrame`s. Programs store, user space reads and deletes.

        for frame in bpf.maps["STACKS"][event.stack].frames(event.pid): print(frame)
    """

    __slots__ = ()

    def _decode_value(self, raw: Any) -> Any:
        data = bytes(raw)
        if self.spec.flags & F_STACK_BUILD_ID:
            return tuple(self._build_ids(data))
        numbers = memoryview(data).cast("Q").tolist()
        # Unused places are zero; a return address never is.
        return StackTrace(numbers[: numbers.index(0)] if 0 in numbers else numbers)

    def _build_ids(self, data: bytes) -> list[Frame]:
        found: list[Frame] = []
        for at in range(0, len(data), 32):
            status = int.from_bytes(data[at : at + 4], byteorder)
            last = int.from_bytes(data[at + 24 : at + 32], byteorder)
            if status == 0:
                break
            # Where there is no build id, the kernel gives the address itself.
            found.append(BuildIdFrame(data[at + 4 : at + 24].hex(), last) if status == 1 else Frame(last))
        return found

    def _missing(self, key: Any) -> Any:
        if isinstance(key, int) and key < 0:
            error = super()._missing(key)
            error.hint = "a negative number is an error of bpf_get_stackid: -14 no stack, -17 its place is taken"
            return error
        return super()._missing(key)

    def __contains__(self, key: object) -> bool:
        return not (isinstance(key, int) and key < 0) and super().__contains__(key)

    def _encode_key(self, key: Any) -> bytes:
        if isinstance(key, int) and key < 0:
            raise self._missing(key)
        return super()._encode_key(key)

    def to_numpy(self, **options: Any) -> Any:
        """Rows of `key` and `value`: as many addresses as the map keeps, unused ones 0."""
        return super().to_numpy(**options) if self.spec.flags & F_STACK_BUILD_ID else self._addresses()

    def _addresses(self) -> Any:
        from bpfsmith.run.columns import numpy
        from bpfsmith.run.maps import bulk

        numpy()
        layout = self._layout()
        rows, _ = bulk.dump(self, layout)
        depth = self.spec.value_size // 8
        dtype = {"names": ["key", "value"], "formats": ["u4", ("u8", (depth,))], "offsets": [0, layout.value_at],
                 "itemsize": layout.row}  # fmt: skip
        return numpy().frombuffer(rows, numpy().dtype(dtype))


class _Symbols:
    """Names by address."""

    __slots__ = ("addresses", "names")

    def __init__(self, rows: list[tuple[int, str, str]]) -> None:
        rows.sort()
        self.addresses = [address for address, _, _ in rows]
        self.names = [(name, where) for _, name, where in rows]

    def frame(self, address: int) -> Frame:
        # A return address is the byte after the call: the call decides whose it is.
        at = bisect_right(self.addresses, address - 1) - 1
        if at < 0 or not self.addresses[at]:
            return Frame(address)
        name, where = self.names[at]
        return Frame(address, name, address - self.addresses[at], where)


_cache: dict[int, _Symbols] = {}


def _kernel_symbols() -> _Symbols:
    """/proc/kallsyms, read once per process: it has a line per function. Addresses are 0 where kptr_restrict hides
    them: then calls have no names."""
    door = kernel.door()
    found = _cache.get(id(door))
    if found is None:
        rows = []
        try:
            for line in door.read_text("/proc/kallsyms").splitlines():
                parts = line.split()
                if len(parts) > 2 and parts[1] in "tTwW":
                    rows.append((int(parts[0], 16), parts[2], parts[3].strip("[]") if len(parts) > 3 else ""))
        except OSError:
            pass
        _cache.clear()
        found = _cache[id(door)] = _Symbols(rows)
    return found


class _Process:
    """Names of a process's addresses, by the files it has mapped."""

    __slots__ = ("maps", "pid", "tables")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.maps: list[tuple[int, int, int, str]] = []
        self.tables: dict[str, _Symbols | None] = {}
        try:
            text = kernel.door().read_text(f"/proc/{pid}/maps")
        except OSError:
            return  # it ended
        for line in text.splitlines():
            parts = line.split(None, 5)
            if len(parts) == 6 and "x" in parts[1] and parts[5].startswith("/"):
                first, _, last = parts[0].partition("-")
                self.maps.append((int(first, 16), int(last, 16), int(parts[2], 16), parts[5]))

    def frame(self, address: int) -> Frame:
        for first, last, offset, path in self.maps:
            if first <= address < last:
                place = address - first + offset
                table = self._table(path)
                found = table.frame(place) if table is not None else Frame(address)
                return Frame(address, found.name, found.offset if found.name else place, path.rpartition("/")[2])
        return Frame(address)

    def _table(self, path: str) -> _Symbols | None:
        if path not in self.tables:
            self.tables[path] = self._read(path)
        return self.tables[path]

    def _read(self, path: str) -> _Symbols | None:
        from bpfsmith.kernel.elfsym import ElfFile

        # Through its own root: it may run in another mount namespace.
        for one in (f"/proc/{self.pid}/root{path}", path):
            try:
                with ElfFile(one) as elf:
                    return _Symbols([(function.offset, function.name, "") for function in elf.functions()])
            except BpfsmithError:
                continue
        return None
