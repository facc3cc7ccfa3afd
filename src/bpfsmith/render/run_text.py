"""`run` for a person: a line per event while it runs, tables at the end."""

from __future__ import annotations

from bpfsmith.render.inspect_table import Paint, printable, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, TextIO

    from bpfsmith.run.runreport import MapShown, ProgramRun, RunReport

__all__ = ["TextOutput", "render", "value_text"]

_LEVELS = {"error": "red", "warn": "yellow", "info": "green", "debug": "blue", "trace": "dim"}
_BYTES = 64  # of a record without a type, shown in full
_INNER = 16  # the same within a value
_TEXT = 160  # characters of a text or list within a value


class TextOutput:
    """A sink that writes lines. What was written is flushed when nothing more comes, not per event."""

    def __init__(self, out: TextIO, *, color: bool = False) -> None:
        self._write = out.write
        self._flush = out.flush
        self._paint = Paint(color)
        self._width = 0
        self._labels: dict[str, str] = {}

    def started(self, report: RunReport, seconds: float) -> None:
        paint = self._paint
        count, loaded = len(report.programs), sum(not one.left_out for one in report.programs)
        word = "program" if count == 1 else "programs"
        of = f"{count} {word}" if count == loaded else f"{loaded} of {count} programs"
        self._write(f"{paint(printable(report.path), 'bold')}: {of}, ready in {_seconds(seconds)}\n")
        rows = [(one.name, one.type, _where(one)) for one in report.programs]
        for line in table(("program", "type", "attached to"), rows, paint)[1:]:
            self._write(line + "\n")
        for note in report.notes:
            self._write(f"  {paint('note:', 'yellow')} {printable(note)}\n")
        self._width = max((len(one.name) for one in report.streams), default=0)
        self._write("\n")
        self._flush()

    def event(self, name: str, value: Any, at: float) -> None:
        label = self._labels.get(name)
        if label is None:
            label = self._labels[name] = self._paint(printable(name.ljust(self._width)), "cyan")
        self._write(f"{at:9.3f}  {label}  {value_text(value, top=True)}\n")

    def log(self, record: Any, at: float) -> None:
        level = str(getattr(record, "level", "info")).lower()
        label = self._paint(f"{level:<5}", _LEVELS.get(level, "dim"))
        target = getattr(record, "target", "")
        place = self._paint(f"{printable(target)}: ", "dim") if target else ""
        self._write(f"{at:9.3f}  {label}  {place}{printable(str(getattr(record, 'message', record)))}\n")

    def lost(self, name: str, count: int, at: float) -> None:
        self._write(f"{at:9.3f}  {self._paint(f'{count:,} records of `{printable(name)}` lost', 'red')}\n")

    def shown(self, entries: MapShown, at: float) -> None:
        self._write(f"{at:9.3f}  {self._paint(printable(entries.name), 'cyan')}  {_count(entries)}\n")
        for line in _entries(entries, 11):
            self._write(line + "\n")

    def text(self, name: str, text: str) -> None:  # noqa: ARG002
        self._write(f"{printable(text.rstrip(chr(10)).expandtabs())}\n")

    def flush(self) -> None:
        self._flush()


def render(report: RunReport, *, color: bool = False) -> str:
    """The summary."""
    return "\n".join(_lines(report, Paint(color))) + "\n"


def _lines(report: RunReport, paint: Paint) -> Iterator[str]:
    ended = {"time": "", "end": "", "caller": ""}.get(report.stopped, f", ended by {report.stopped}")
    if report.workload is not None and report.stopped == "workload":
        failed = f", which failed with status {report.workload.status}" if report.workload.status else ""
        ended = f", ended with the workload{failed}"
    yield ""
    yield paint(f"{_seconds(report.seconds)}{ended}", "bold")
    span = report.seconds if report.seconds > 1e-3 else 1e-15
    rows = [
        (
            one.name,
            _number(one.runs),
            None if one.runs is None else _rate(one.runs / span),
            None if one.ns_per_run is None else f"{one.ns_per_run:,.0f}",
            _number(one.missed) if one.missed else None,
        )
        for one in report.programs
        if not (one.note and not one.runs)
    ]
    yield from _table(("program", "runs", "per second", "ns per run", "missed"), rows, paint)
    streams = [
        (one.name, f"{one.count:,}", _rate(one.count / span), _number(one.lost), one.bad or None)
        for one in report.streams
    ]
    if streams:
        yield ""
        yield from _table(("events", "records", "per second", "lost", "bad"), streams, paint)
    if report.logs:
        yield ""
        yield f"  {paint('log records', 'dim')}  {report.logs:,}"
    for shown in report.maps:
        yield ""
        yield f"  {paint(printable(shown.name), 'bold')}  {paint(f'{shown.type}, {_count(shown)}', 'dim')}"
        yield from _entries(shown, 4)
    if report.globals:
        yield ""
        width = max(map(len, report.globals))
        for name, value in report.globals.items():
            yield f"  {paint(printable(name.ljust(width)), 'dim')}  {value_text(value)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], paint: Paint) -> list[str]:
    """A name and numbers; the last column only where it says something."""
    width = len(head) if any(row[-1] for row in rows) else len(head) - 1
    return table(head[:width], [row[:width] for row in rows], paint, right=range(1, width))


def _where(one: ProgramRun) -> str:
    if one.targets:
        return ", ".join(target.replace("`", "") for target in one.targets)
    return one.note or "-"


def _count(shown: MapShown) -> str:
    count = len(shown.entries)
    if shown.more:
        return f"the first {count} entries"
    return "1 entry" if count == 1 else f"{count} entries" if count else "empty"


def _entries(shown: MapShown, indent: int) -> Iterable[str]:
    pairs = [(value_text(key), value_text(value, top=True)) for key, value in shown.entries]
    width = min(max((len(key) for key, _ in pairs), default=0), 40)
    for key, value in pairs:
        yield f"{' ' * indent}{key.ljust(width)}  {value}"
    if shown.more:
        yield f"{' ' * indent}..."


def value_text(value: Any, top: bool = False) -> str:  # noqa: PLR0911 - one line per kind
    """A key, value or record on one line: `name=value` of structs, nested ones in braces, bytes in hexadecimal."""
    kind = value.__class__
    if kind is int:
        return str(value)
    fields = getattr(value, "_asdict", None)
    if fields is not None or kind is dict:
        pairs = zip(value._fields, value, strict=True) if fields is not None else value.items()
        inner = " ".join(f"{name}={value_text(part)}" for name, part in pairs)
        return inner if top else f"{{{inner}}}"
    if isinstance(value, str):
        plain = value.isprintable() and value and " " not in value and len(value) <= _TEXT
        return value if plain else _cut(repr(str(value)))
    if isinstance(value, bytes | bytearray | memoryview):
        data, most = bytes(value), _BYTES if top else _INNER
        return data[:most].hex(" ", 4) + (f" ... {len(data)} bytes" if len(data) > most else "")
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        inner = " ".join(value_text(part) for part in value[:_TEXT])
        return f"[{inner}{' ...' if len(value) > _TEXT else ''}]"
    if hasattr(value, "tolist"):
        return value_text(value.tolist())
    return printable(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 3] + "..."


def _number(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _rate(value: float) -> str | None:
    if value > 1e12:  # no time passed
        return None
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
