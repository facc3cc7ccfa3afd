"""The log records of Aya programs (`info!(&ctx, ...)`), decoded for both generations of `aya-log-ebpf`.

    for record in aya_logs(bpf):
        print(record)                       # [2026-11-22T15:04:05Z INFO  flows] new flow to 10.0.0.1

Wire format, learnt from the published sources of `aya-log-common` and `aya-log-ebpf`: fields and arguments are
(u8 tag, u16 length, bytes), in the machine's byte order. Fields: target, level, module, file, line (u32), number of
arguments; then the arguments, a display hint before each that has one.

generation | crates | map `AYA_LOGS` | first field tag | number of arguments | record
---|---|---|---|---|---
1 | aya-log-ebpf 0.1 (aya-log 0.2.x) and before | perf event array | 1 | usize | the bytes
2 | aya-log-ebpf 0.2 and later (aya-log 0.3) | ring buffer | 0 | u32 | u16 size of it all, the bytes, padding
"""

from __future__ import annotations

from contextlib import suppress
from math import isfinite, isnan
from struct import error as StructError  # noqa: N812
from struct import pack, unpack, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

__all__ = ["LEVELS", "MAP", "LogRecord", "aya_logs", "decode"]

MAP = "AYA_LOGS"
#: Name of the global (`u8`) that switches levels off before loading: 0 none, 1 errors ... 5 everything.
LEVEL_GLOBAL = "AYA_LOG_LEVEL"
LEVELS = ("OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE")

_COLOURS = ("", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[34m", "\x1b[36m")


class LogRecord:
    """One log record. `level`: `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`; `target`: the module unless the program
    names another; `module`, `file`, `line`: where it was written. `malformed`: what was wrong with its bytes (empty:
    nothing); then `message` holds what could be read."""

    __slots__ = ("file", "level", "line", "malformed", "message", "module", "target", "time")

    def __init__(
        self, level: str, target: str, message: str, module: str = "", file: str = "", line: int = 0,
        malformed: str = "", time: float = 0.0,
    ) -> None:  # fmt: skip
        self.level = level
        self.target = target
        self.message = message
        self.module = module
        self.file = file
        self.line = line
        self.malformed = malformed
        self.time = time

    def text(self, colour: bool = False) -> str:
        """As env_logger prints it: `[2026-11-22T15:04:05Z INFO  target] message`; the time is that of its decoding."""
        from time import gmtime, strftime, time

        stamp = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(self.time or time()))
        level = f"{self.level:<5}"
        if colour and self.level in LEVELS:
            level = f"{_COLOURS[LEVELS.index(self.level)]}{level}\x1b[0m"
        said = f"{self.message} (malformed: {self.malformed})" if self.malformed else self.message
        return f"[{stamp} {level} {self.target or '?'}] {said}"

    __str__ = text

    def to_json(self) -> dict[str, object]:
        """`{"level","target","message","module","file","line"}`, and `malformed` where it is."""
        out: dict[str, object] = {
            name: getattr(self, name) for name in ("level", "target", "message", "module", "file", "line")
        }
        if self.malformed:
            out["malformed"] = self.malformed
        return out

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LogRecord) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"LogRecord({self.level!r}, {self.target!r}, {self.message!r}, file={self.file!r}, line={self.line})"


# ------------------------------------------------------------ numbers as Rust prints them


def _float(value: float, width: int) -> str:
    """Rust's `Display` of a float: the shortest digits that read back the same, never an exponent."""
    if not isfinite(value):
        return "NaN" if isnan(value) else "inf" if value > 0 else "-inf"
    text = repr(value)
    if width == 4:
        for digits in range(1, 10):
            text = f"{value:.{digits}g}"
            with suppress(OverflowError):  # the largest ones, rounded up
                if unpack("=f", pack("=f", float(text)))[0] == value:
                    break
    if "e" in text:
        from decimal import Decimal

        text = format(Decimal(text), "f")
    return text[:-2] if text.endswith(".0") else text


def _ipv4(octets: bytes) -> str:
    return ".".join(map(str, octets))


def _ipv6(octets: bytes) -> str:
    """As Rust (RFC 5952): the first longest run of at least two zero groups is `::`; mapped IPv4 in dots."""
    if octets[:12] == bytes(10) + b"\xff\xff":
        return "::ffff:" + _ipv4(octets[12:])
    groups = unpack(">8H", octets)
    best, length, at = 0, 0, 0
    while at < 8:
        run = 0
        while at + run < 8 and groups[at + run] == 0:
            run += 1
        if run > length:
            best, length = at, run
        at += run or 1
    if length < 2:
        return ":".join(f"{group:x}" for group in groups)
    head = ":".join(f"{group:x}" for group in groups[:best])
    tail = ":".join(f"{group:x}" for group in groups[best + length :])
    return f"{head}::{tail}"


_DEFAULT, _HEX, _UPPER_HEX, _IP, _MAC, _UPPER_MAC, _POINTER = range(1, 8)


def _integer(code: str) -> Callable[[bytes, int], str]:
    def show(data: bytes, hint: int) -> str:
        value = unpack("=" + code, data)[0]
        if hint in (_HEX, _UPPER_HEX):
            bits = value & (1 << 8 * len(data)) - 1  # negative numbers as Rust: two's complement
            return f"{bits:x}" if hint == _HEX else f"{bits:X}"
        if hint == _IP and len(data) == 4:
            return _ipv4(value.to_bytes(4, "big"))
        if hint == _POINTER:
            return f"{value:#x}"
        return str(value)

    return show


def _real(code: str) -> Callable[[bytes, int], str]:
    return lambda data, hint: _float(unpack("=" + code, data)[0], len(data))  # noqa: ARG005


def _bytes(data: bytes, hint: int) -> str:
    return data.hex().upper() if hint == _UPPER_HEX else data.hex()


def _sized(size: int, show: Callable[[bytes], str]) -> Callable[[bytes, int], str]:
    def shown(data: bytes, hint: int) -> str:
        if len(data) != size:
            raise ValueError(f"{len(data)} bytes where {size} are wanted")
        # `{:x}` of a byte array of such a size is one of the arrays, too (aya-log-ebpf 0.2+).
        return _bytes(data, hint) if hint in (_HEX, _UPPER_HEX) else show(data)

    return shown


def _mac(data: bytes, hint: int) -> str:
    if len(data) != 6:
        raise ValueError(f"{len(data)} bytes where 6 are wanted")
    if hint in (_HEX, _UPPER_HEX):
        return _bytes(data, hint)
    text = data.hex(":")
    return text.upper() if hint == _UPPER_MAC else text


def _segments(data: bytes) -> str:
    return _ipv6(pack(">8H", *unpack("=8H", data)))


def _unknown(data: bytes, hint: int) -> str:  # noqa: ARG001
    raise ValueError("an argument of a tag nobody knows")


def _text(data: bytes, hint: int) -> str:  # noqa: ARG001
    return data.decode("utf-8", "replace")


_NUMBERS = [_integer(code) for code in "bhiqq"] + [_integer(code) for code in "BHIQQ"] + [_real("f"), _real("d")]
# By argument tag from 1 on; tag 0 is a display hint.
_ARGUMENTS = [
    *_NUMBERS, _sized(4, _ipv4), _sized(16, _ipv6), _sized(4, _ipv4), _mac, _sized(16, _ipv6), _sized(16, _segments),
    _bytes, _text, _integer("Q"),
]  # fmt: skip
# aya-log-common 0.1.14 (aya 0.12) and before had no addresses of their own.
_OLDEST = [*_NUMBERS, _mac, _sized(16, _ipv6), _sized(16, _segments), _bytes, _text]


# ------------------------------------------------------------ records


def _parts(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """(tag, value, where the next begins)."""
    while at < end:
        if at + 3 > end:
            raise ValueError("it ends within a field")
        tag, size = unpack_from("=BH", data, at)
        at += 3
        if at + size > end:
            raise ValueError(f"a field of {size} bytes reaches beyond its end")
        yield tag, data[at : at + size], at + size
        at += size


def _span(data: bytes, generation: int | None) -> tuple[int, int, int]:
    """(generation, first byte, byte after the last)."""
    if generation is None:
        # The first generation begins with the tag 1; a size of the second (at least 35 bytes) with tag 0 after it.
        second = len(data) >= 3 and data[2] == 0 and 8 < unpack_from("=H", data)[0] <= len(data)
        generation = 2 if second and not (data[0] == 1 and _fits(data)) else 1
    if generation == 1:
        return 1, 0, len(data)
    if len(data) < 2:
        raise ValueError("it has no size")
    size = unpack_from("=H", data)[0]
    if not 2 <= size <= len(data):
        raise ValueError(f"it says it has {size} bytes, and {len(data)} are there")
    return 2, 2, size


def _fits(data: bytes) -> bool:
    """Whether two fields of the first generation begin it: target, then a level of one byte."""
    size = unpack_from("=H", data, 1)[0]
    return data[3 + size : 6 + size] == b"\x02" + pack("=H", 1)


def decode(data: bytes, generation: int | None = None) -> LogRecord:
    """A record of `AYA_LOGS`; `generation` 1 or 2, None: told from the bytes. Never fails: what cannot be read is said
    in `malformed`, and the rest is there."""
    from time import time

    record = LogRecord("ERROR", "", "", time=time())
    data = bytes(data)
    try:
        generation, at, end = _span(data, generation)
        count, at = _head(record, data, at, end, 1 if generation == 1 else 0)
        record.message, problem = _message(data, at, end, count, generation)
        record.malformed = problem
    except (ValueError, StructError) as error:
        record.malformed = str(error)
    if record.malformed and not record.message:
        record.message = f"log record of {len(data)} bytes: {data[:32].hex()}{'...' if len(data) > 32 else ''}"
    return record


def _head(record: LogRecord, data: bytes, at: int, end: int, first: int) -> tuple[int, int]:
    """Fills in the fields; (number of arguments, where they begin)."""
    seen: dict[int, bytes] = {}
    for tag, value, after in _parts(data, at, end):
        field = tag - first
        if not 0 <= field <= 5:
            raise ValueError(f"no field has the tag {tag}")
        if field in seen:
            raise ValueError(f"the field {tag} is there twice")
        seen[field] = value
        at = after
        if field == 0:
            record.target = value.decode("utf-8", "replace")
        elif field == 1:
            level = value[0] if len(value) == 1 else 0
            if not 1 <= level <= 5:
                raise ValueError(f"no level has the number {value.hex()}")
            record.level = LEVELS[level]
        elif field == 2:
            record.module = value.decode("utf-8", "replace")
        elif field == 3:
            record.file = value.decode("utf-8", "replace")
        elif field == 4:
            record.line = unpack("=I", value)[0]
        if len(seen) == 6:
            number = seen[5]
            if len(number) not in (4, 8):
                raise ValueError(f"a number of arguments of {len(number)} bytes")
            return unpack("=I" if len(number) == 4 else "=Q", number)[0], at
    raise ValueError("it ends before its arguments")


def _message(data: bytes, at: int, end: int, count: int, generation: int) -> tuple[str, str]:
    """(the arguments put together, what was wrong)."""
    arguments: list[tuple[int, bytes]] = []
    problem = ""
    try:
        if count:
            for tag, value, _ in _parts(data, at, end):
                arguments.append((tag, value))
                if len(arguments) == count:
                    break
    except ValueError as error:
        problem = str(error)
    if len(arguments) < count and not problem:
        problem = f"{len(arguments)} of {count} arguments are there"
    table = _OLDEST if generation == 1 and _is_oldest(arguments) else _ARGUMENTS
    text, hint = "", 0
    for tag, value in arguments:
        if tag == 0:
            hint = value[0] if len(value) == 1 else 0
            continue
        try:
            text += (table[tag - 1] if tag <= len(table) else _unknown)(value, hint)
        except (ValueError, StructError) as error:
            text += f"<{value.hex()}>"
            problem = problem or str(error)
        if table[min(tag, len(table)) - 1] is not _text:
            hint = 0
    return text, problem


def _is_oldest(arguments: list[tuple[int, bytes]]) -> bool:
    """Whether the tags are those of 0.1.14: told by texts (17 there, 16-byte arrays later) and sizes of arrays."""
    hint = 0
    for tag, value in arguments:
        if tag > 17:
            return False
        size = len(value)
        if (
            (tag, size) in ((13, 6), (15, 16))
            or (tag == 16 and size != 6)
            or (tag == 17 and (size != 16 or hint != _IP))
        ):
            return True
        hint = value[0] if tag == 0 and size == 1 else 0
    return False


# ------------------------------------------------------------ streams


class aya_logs:  # noqa: N801 - used like a function
    """The log records of a loaded object (or of its `AYA_LOGS` map): iterate over it, also with `async for`.

    timeout: seconds without a record after which the loop ends. level: least severe level to give (`INFO` leaves out
    `DEBUG` and `TRACE`; to keep programs from writing them, load with `globals={"AYA_LOG_LEVEL": 3}`). `lost`: records
    the first generation's perf buffers had no room for. `UnknownName` when the object has no such map.
    """

    def __init__(self, source: Any, timeout: float | None = None, level: str = "TRACE") -> None:
        from bpfsmith.model.errors import InputError, UnknownName

        if level.upper() not in LEVELS:
            raise InputError(f"no level is called `{level}`", hint=f"one of {', '.join(LEVELS[1:])}")
        maps = getattr(source, "maps", None)
        if maps is not None:
            if MAP not in maps:
                raise UnknownName(
                    f"the object has no map `{MAP}`: its programs log nothing", hint="use aya-log-ebpf in the program"
                )
            source = maps[MAP]
        self.map = source
        self.timeout = timeout
        self._level = LEVELS.index(level.upper())
        self.generation = 1 if source.spec.type == "perf_event_array" else 2
        if self.generation == 1:
            # Now, so that nothing is lost until the first read; LOG_BUF_CAPACITY is 8 KiB, a record at most that.
            source._source()

    @property
    def lost(self) -> int:
        return int(getattr(self.map, "lost", 0))

    def _decoded(self, data: bytes) -> LogRecord | None:
        record = decode(data, self.generation)
        return record if LEVELS.index(record.level) <= self._level or record.malformed else None

    def __iter__(self) -> Iterator[LogRecord]:
        for data in self.map.events(self.timeout, record=bytes):
            record = self._decoded(data)
            if record is not None:
                yield record

    def read(self, timeout: float | None = None) -> LogRecord | None:
        """One record; None when none comes for `timeout` seconds."""
        for data in self.map.events(timeout, record=bytes):
            record = self._decoded(data)
            if record is not None:
                return record
        return None

    async def __aiter__(self) -> AsyncIterator[LogRecord]:
        async for data in self.map.aevents(self.timeout, record=bytes):
            record = self._decoded(data)
            if record is not None:
                yield record
