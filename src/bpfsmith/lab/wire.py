"""The protocol of host and guest, as bytes: frames, bodies of requests, bodies of answers. No sockets here.

The table of kinds and bodies is the documentation of `crates/agent`. An answer that is not what its kind says is a bug
of ours (`ToolError`), for the agent comes from this very package.
"""

from __future__ import annotations

from struct import Struct, error

from bpfsmith.model.errors import ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

VERSION = 1
MARK = 0xB5
HEADER = Struct("<BBHII")  # mark, kind, 0, length of the body, id
MOST_FRAME = 32 << 10  # of the guest

# Answers.
DONE, ERROR, PART, OUTPUT, ENDED, UNREADABLE, TOO_LARGE = range(7)
# Requests.
(HELLO, CLOCK, BPF, REPLAY, REPLAY_ONCE, CLOSE, DUP, PERF_EVENT_OPEN, IOCTL, IOCTL_BUFFER, MAP_READ, MAP_WRITE,
 MAP_DUMP, MAP_UPDATE, MAP_DELETE, READ_FILE, WRITE_FILE, LIST, STAT, READLINK, OPEN, MKDIRS, UNLINK, RMDIR, SYMLINK,
 READ_FD, SYMBOLS, PIDFD_OPEN, POSSIBLE_CPUS, MOUNT, UMOUNT, MODULE,
 EACH, SOCKET, BIND, SETSOCKOPT, WRITE_FD) = range(1, 38)  # fmt: skip
EXEC, INPUT, SIGNAL, RESIZE = range(40, 44)
SYNC, POWEROFF = 50, 51

# Flags of WRITE_FILE and EXEC.
CREATE, TRUNCATE, APPEND, FOLDERS = 1, 2, 4, 8
TERMINAL, NO_INPUT = 1, 2

# A number in a buffer from here on is a position in that same buffer: no address of a process is as high.
NESTED = 0x7EAF_0000_0000_0000
_MOST_NESTED = 1 << 32
_TOP = NESTED.to_bytes(8, "little")[6:]
# Commands whose buffers may hold such numbers: BPF_OBJ_GET_INFO_BY_FD and BPF_LINK_CREATE.
_NESTING = (15, 28)

_U8, _U16, _U32, _I32, _U64, _I64 = (Struct(f"<{code}") for code in "BHIiQq")
_BUFFER = Struct("<IBII")
_STAT = Struct("<QQIQIIQqqq")


def frame(kind: int, number: int, body: bytes | bytearray) -> bytes:
    """One frame: header and body."""
    return HEADER.pack(MARK, kind, 0, len(body), number) + body


def text(value: str | bytes) -> bytes:
    """As the guest gets names of files: bytes that are no UTF-8 survive as surrogates."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def counted(value: str | bytes | bytearray | memoryview) -> bytes:
    """Bytes with their length before them."""
    data = text(value) if isinstance(value, str) else bytes(value)
    return _U32.pack(len(data)) + data


class Frames:
    """Takes bytes as they come, answers whole frames."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """(kind, id, body) of each frame that is complete now."""
        held = self._data
        held += data
        found: list[tuple[int, int, bytes]] = []
        at = 0
        while at < len(held):
            if not held[at]:
                at += 1  # what filled up the frame of a dead worker
                continue
            if len(held) - at < HEADER.size:
                break
            mark, kind, zero, length, number = HEADER.unpack_from(held, at)
            if mark != MARK or zero or length > MOST_FRAME:
                raise ToolError(f"the guest sent no frame: {bytes(held[at : at + 16]).hex()}")
            end = at + HEADER.size + length
            if len(held) < end:
                break
            found.append((kind, number, bytes(held[at + HEADER.size : end])))
            at = end
        del held[:at]
        return found


class Reader:
    """Reads an answer front to back."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    def _wrong(self) -> ToolError:
        return ToolError(f"the guest's answer to {self._what} is cut off or too long ({len(self._data)} bytes)")

    def _number(self, how: Struct) -> int:
        try:
            (value,) = how.unpack_from(self._data, self._at)
        except error:
            raise self._wrong() from None
        self._at += how.size
        return int(value)

    def u8(self) -> int:
        return self._number(_U8)

    def u32(self) -> int:
        return self._number(_U32)

    def i32(self) -> int:
        return self._number(_I32)

    def u64(self) -> int:
        return self._number(_U64)

    def i64(self) -> int:
        return self._number(_I64)

    def data(self) -> bytes:
        length = self.u32()
        end = self._at + length
        if end > len(self._data):
            raise self._wrong()
        found = self._data[self._at : end]
        self._at = end
        return found

    def text(self) -> str:
        return self.data().decode("utf-8", "replace")

    def name(self) -> str:
        return self.data().decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        found = self._data[self._at :]
        self._at = len(self._data)
        return found

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def end(self) -> None:
        if self.more:
            raise self._wrong()


# ------------------------------------------------------------ requests


def clock(nanoseconds: int, seed: bytes) -> bytes:
    """`CLOCK`: the time since 1970, and bytes for the random numbers."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return _I64.pack(seconds) + _U32.pack(rest) + counted(seed)


def bpf(command: int, attr: bytes | bytearray, buffers: Iterable[tuple[int, Any]]) -> bytes:
    """`buffers`: (offset of the address in the attr, what it points to); what cannot be written to is only sent."""
    parts = [_U32.pack(command), counted(attr), b""]
    count = 0
    for at, data in buffers:
        view = memoryview(data).cast("B")
        whole = bytes(view)
        head = whole.rstrip(b"\0") if not view.readonly else whole
        nested = _nested(head) if command in _NESTING else []
        if nested:
            changed = bytearray(head)
            for place in nested:
                changed[place + 6 : place + 8] = b"\0\0"
            head = bytes(changed)
        parts += (_BUFFER.pack(at, not view.readonly, len(whole), len(head)), head, _U32.pack(len(nested)))
        parts += map(_U32.pack, nested)
        count += 1
    parts[2] = _U32.pack(count)
    return b"".join(parts)


def _nested(data: bytes) -> list[int]:
    """Where numbers from `NESTED` on stand."""
    words = memoryview(data[: len(data) & ~7]).cast("Q")
    return [at * 8 for at, word in enumerate(words) if 0 <= word - NESTED < _MOST_NESTED]


def bpf_answer(command: int, body: bytes, attr: bytearray, buffers: Iterable[tuple[int, Any]]) -> int:
    """Writes what changed into the attr and the buffers; the value or `-errno`."""
    reader = Reader(body, "bpf")
    value = reader.i64()
    _apply(reader, memoryview(attr))
    for at, data in buffers:
        view = memoryview(data).cast("B")
        # Who looks there learns where the buffer lies: for the guest's buffers that is `NESTED`.
        attr[at : at + 8] = _U64.pack(NESTED)
        if view.readonly:
            continue
        nested = _nested(bytes(view)) if command in _NESTING else []
        for place in nested:
            view[place + 6 : place + 8] = b"\0\0"  # as it was sent
        _apply(reader, view)
        for place in nested:
            if any(view[place : place + 8]):  # else the kernel says that there is nothing
                view[place + 6 : place + 8] = _TOP
    reader.end()
    return value


def _apply(reader: Reader, view: memoryview) -> None:
    at, data = reader.u32(), reader.data()
    if not data:
        return
    if at + len(data) > len(view):
        raise ToolError(f"the guest's answer to bpf changes byte {at + len(data)} of {len(view)}")
    view[at : at + len(data)] = data


def perf_event_open(
    attr: bytes, pid: int, cpu: int, group: int, flags: int, buffers: Iterable[tuple[int, bytes]]
) -> bytes:
    """`PERF_EVENT_OPEN`; `buffers`: (offset in the attr, what the pointer there points to)."""
    parts = [_I32.pack(pid), _I32.pack(cpu), _I32.pack(group), _U64.pack(flags), counted(attr), b""]
    count = 0
    for at, data in buffers:
        parts += (_BUFFER.pack(at, 0, len(data), len(data)), data, _U32.pack(0))
        count += 1
    parts[5] = _U32.pack(count)
    return b"".join(parts)


def replay(plan: bytes, given: Iterable[tuple[int, int]], level: int, limit: int) -> bytes:
    """`REPLAY` and `REPLAY_ONCE`: `given` are (slot, descriptor), `limit` the most bytes of a log."""
    slots = [_U32.pack(slot) + _I32.pack(fd) for slot, fd in given]
    return b"".join((_U32.pack(level), _U64.pack(limit), _U32.pack(len(slots)), *slots, plan))


def outcome(
    body: bytes, infos: bool
) -> tuple[list[int], tuple[int, int, str] | None, list[tuple[int, str]], list[tuple[int, bytes]]]:
    """(descriptors, failure, logs, infos)."""
    reader = Reader(body, "a plan")
    step, errno, log = reader.i32(), reader.i32(), reader.text()
    fds = [reader.i32() for _ in range(reader.u32())]
    logs = [(reader.u32(), reader.text()) for _ in range(reader.u32())]
    told = [(reader.u32(), reader.data()) for _ in range(reader.u32())] if infos else []
    reader.end()
    return fds, None if step < 0 else (step, errno, log), logs, told


def answers(body: bytes) -> list[tuple[int, str]]:
    """(value or `-errno`, log) of each command."""
    reader = Reader(body, "many commands")
    out = []
    while reader.more:
        out.append((reader.i64(), reader.text()))
    return out


def numbers(layout: str, *values: int) -> bytes:
    """Numbers as they stand in a body; `layout` in the words of `struct`, little-endian and not aligned."""
    return Struct(f"<{layout}").pack(*values)


def execution(
    argv: Iterable[str | bytes], env: Iterable[str | bytes], cwd: str | bytes, flags: int, rows: int, columns: int
) -> bytes:
    """`EXEC`; `env`: `NAME=value`."""

    def listed(words: Iterable[str | bytes]) -> bytes:
        packed = [counted(word) for word in words]
        return _U32.pack(len(packed)) + b"".join(packed)

    return _U8.pack(flags) + _U16.pack(rows) + _U16.pack(columns) + counted(cwd) + listed(argv) + listed(env)


# ------------------------------------------------------------ answers


def hello(body: bytes) -> dict[str, str]:
    """What a guest tells about itself."""
    reader = Reader(body, "hello")
    version = reader.u32()
    if version != VERSION:
        raise ToolError(f"the guest speaks version {version} of the protocol, and this is version {VERSION}")
    told = {}
    while reader.more:
        name = reader.text()
        told[name] = reader.text()
    return told


def status(body: bytes) -> tuple[int, ...]:
    """(dev, ino, mode, nlink, uid, gid, size, atime, mtime, ctime)."""
    try:
        return _STAT.unpack(body)
    except error:
        raise ToolError(f"the guest's answer to stat has {len(body)} bytes") from None


def names(body: bytes) -> list[str]:
    """The answer to `LIST`."""
    reader = Reader(body, "a list")
    found = []
    while reader.more:
        found.append(reader.name())
    return found


def symbols(body: bytes) -> dict[str, list[tuple[int, str]]]:
    """The answer to `SYMBOLS`: name -> (address, module) each."""
    reader = Reader(body, "symbols")
    found = {}
    while reader.more:
        name = reader.text()
        found[name] = [(reader.u64(), reader.text()) for _ in range(reader.u32())]
    return found


def ended(body: bytes) -> tuple[int, int, int, str]:
    """(how, code, generation, text)."""
    reader = Reader(body, "the end of a worker")
    return reader.u8(), reader.i32(), reader.u32(), reader.rest().decode("utf-8", "replace")
