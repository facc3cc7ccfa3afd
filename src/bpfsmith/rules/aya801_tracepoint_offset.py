"""An offset given to `ctx.read_at` at which a kernel's tracepoint has no such field, or another one.

## What it does
Compares `ctx.read_at::<T>(N)` in programs on tracepoints (named by the user side's `attach(category, name)`, else by
the attribute) with the record that each asked kernel makes: the format file of the running kernel where it can be read,
else `trace_event_raw_*` in BTF; system calls have their arguments at 16, 24, 32 and so on. Found are

* an offset in the middle of a field, between two, or behind the last one;
* a type that reads more than the field has, and `__data_loc` fields, which hold where the data is, read as the data;
* an offset at which the kernels have different fields;
* an offset in a constant or local with the name of a field that is elsewhere;
* a struct read as the record, or as a part of it, with a field of the record's name at another place.

Nothing is said of events whose record cannot be told.

## Why is this bad
The program loads and reads something else: the fields of a record change from release to release, and with options and
architectures. `sched_wakeup` lost its `success` in 5.14, and `target_cpu` went from 36 to 32.

## Example
```rust
// on 5.10: `success`, which is always 1
let target_cpu: i32 = unsafe { ctx.read_at(32) }?;
```

## Use instead
```rust
#[unsafe(no_mangle)]
static TARGET_CPU: Global<u32> = Global::new(32);
// user side: `EbpfLoader::new().override_global("TARGET_CPU", &offset, true)`, `offset` read from
// /sys/kernel/tracing/events/sched/sched_wakeup/format
let target_cpu: i32 = unsafe { ctx.read_at(TARGET_CPU.load() as usize) }?;
```

## Fix
Unsafe where all asked kernels have the field that is meant at one other offset: that offset. Display otherwise.

## Kernels
Those asked for: of `--kernels` what the lab has prepared, the files of `--btf`, or else the running one.

## Source
Linux, `include/trace/events/`, `include/trace/stages/stage1_struct_define.h`, `kernel/trace/trace_syscalls.c`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Evidence, Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._kernel_events import record
from bpfsmith.rules._kernel_targets import asks, number, severity_of, type_asked
from bpfsmith.rules._kernel_types import asked, names_of, table
from bpfsmith.rules._rust import covered, replace
from bpfsmith.source.across import constant_item
from bpfsmith.source.layout import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._kernel_events import Field, Record
    from bpfsmith.rules._kernel_targets import Aim, Ask
    from bpfsmith.rules._kernel_types import Types
    from bpfsmith.source.layout import Layout
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

_COMMON = 8
_WORDS = ("offset", "off", "field", "at", "pos")


class _Read:
    """One `read_at`: the offset, the type where it is known, the field that its names say is meant."""

    __slots__ = ("call", "given", "made", "names", "offset", "where")

    def __init__(self, call: Expr, where: Expr, offset: int) -> None:
        self.call = call
        self.where = where
        self.offset = offset
        self.given = type_asked(call)
        self.made: Layout | None = layout(call.file, self.given, call.item) if self.given else None
        self.names = [*_words_of(where.path if where.kind == "path" else ""), *_words_of(_bound_to(call))]

    def meant(self, aim: Aim, records: list[Record]) -> str:
        """The field that is meant, if the names say so."""
        for name in self.names:
            for one in (name, name.removeprefix(f"{aim.name}_"), name.removeprefix(f"{aim.category}_")):
                if any(record.named(one) is not None for record in records):
                    return one
        return ""


class TracepointOffset(SourceRule):
    severity = "error"
    group = "kernel-layout"
    phase = "silent"
    words = ("read_at",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for ask in asks(project, "read_at", "tracepoint"):
            where = ask.call.args[0] if len(ask.call.args) == 1 else None
            offset = number(where)
            if where is None or offset is None:
                continue
            read = _Read(ask.call, where, offset)
            if offset < _COMMON and (read.made is None or read.made.kind != "struct"):
                continue
            kernels = asked(ctx)
            if not kernels:
                return
            found = [_wrong(read, aim, kernels) for aim in ask.aims]
            # A function that several programs share may know which of them it serves.
            if found and all(one is not None for one in found) and found[0] is not None:
                yield self._finding(ask, read, *found[0], ctx)

    def _finding(
        self, ask: Ask, read: _Read, text: str, wrong: list[Types], records: list[Record], ctx: CheckContext
    ) -> Finding:
        aim = ask.aims[0]
        meant = "" if read.made is not None and read.made.kind == "struct" else read.meant(aim, records)
        return self.finding(
            ctx,
            text,
            program=aim.program.name,
            span=covered(ctx, read.where),
            severity=severity_of(wrong),
            labels=[Label(aim.span(ctx), "attached to this")],
            evidence=[Evidence("kernels", _table(aim, read, meant, records))],
            fixes=[_fix(ctx, aim, read, meant, records)],
            kernels=[one.series for one in wrong if one.series],
        )


def _words_of(name: str) -> list[str]:
    """`PREV_PID_OFFSET` -> `prev_pid`: what a name says is there."""
    name = name.rpartition("::")[2].lower().strip("_")
    parts = name.split("_")
    while len(parts) > 1 and parts[-1] in _WORDS:
        parts.pop()
    while len(parts) > 1 and parts[0] in _WORDS:
        parts.pop(0)
    short = "_".join(parts)
    return [one for one in (name, short) if one]


def _bound_to(call: Expr) -> str:
    """The name of the local that is given the value itself."""
    child = call
    for at in call.ancestors():
        if at.kind == "block":
            for let in at.lets:
                if let.init == child:
                    return let.name or (let.names[0] if let.pattern.startswith(("Ok(", "Some(")) else "")
            if at.tail != child or (at.item is not None and at.item.expr == at):
                return ""
        elif at.kind not in ("try", "paren", "method", "let") or (at.kind == "method" and at.receiver != child):
            return ""
        child = at
    return ""


def _wrong(read: _Read, aim: Aim, kernels: list[Types]) -> tuple[str, list[Types], list[Record]] | None:
    """(message, kernels on which it is so, all records) for one program."""
    records = [one for one in (record(kernel, aim.category, aim.name) for kernel in kernels) if one is not None]
    if not records:
        return None
    whole = read.made is not None and read.made.kind == "struct"
    meant = "" if whole else read.meant(aim, records)
    if whole:
        told = [(one, _members(read, one, records)) for one in records]
    else:
        told = [(one, _elsewhere(read, meant, one) if meant else _misfit(read, one)) for one in records]
    wrong = [(one, text) for one, text in told if text]
    if wrong:
        text = wrong[0][1]
        same = [one.types for one, other in wrong if other == text]
        return f"`{aim.name}` {text} on {names_of(same)}", [one.types for one, _ in wrong], records
    return None if meant or whole else _disagree(read, aim, records)


def _members(read: _Read, one: Record, records: list[Record]) -> str:
    """What is wrong with the fields of a struct that are read, by their names."""
    if read.made is None or not read.made.certain:
        return ""
    for member in read.made.fields:
        known = any(other.named(member.name) is not None for other in records)
        if not known or member.offset < 0 or not any(True for _ in read.call.file.fields_named(member.name)):
            continue
        at = read.offset + member.offset
        field = one.named(member.name)
        if field is None:
            return f"has no field `{member.name}`, which `{read.given}` has at {at}: that is {_what(one, at)}"
        if field.offset != at:
            return f"has `{member.name}` at {field.offset}, and `{read.given}` at {at}: that is {_what(one, at)}"
        if member.size > field.size and member.layout.kind in ("int", "uint", "pointer"):
            return f"has {field.size} bytes of `{member.name}`, and `{read.given}` has {member.size}"
    return ""


def _elsewhere(read: _Read, meant: str, one: Record) -> str:
    field = one.named(meant)
    if field is None:
        return f"has no field `{meant}`: offset {read.offset} is {_what(one, read.offset)}"
    inside = field.offset <= read.offset < field.end
    if inside and (read.offset == field.offset or _part(read, field)):
        return _too_wide(read, field)
    return f"has `{meant}` at {field.offset}, not at {read.offset}: that is {_what(one, read.offset)}"


def _misfit(read: _Read, one: Record) -> str:
    """Why a read hits no field of the record; empty when it may be meant."""
    field = one.at(read.offset)
    if field is None:
        if read.offset >= one.end and one.open:
            return ""
        return f"has no field at offset {read.offset}: that is {_what(one, read.offset)}"
    if read.offset != field.offset and not _part(read, field):
        if read.made is None and (read.offset - field.offset) % field.element == 0:
            return ""
        if read.made is None or read.made.kind not in ("int", "uint", "pointer", "bool", "array", "char"):
            return ""
        return f"has no field at offset {read.offset}: that is {_what(one, read.offset)}"
    return _too_wide(read, field)


def _part(read: _Read, field: Field) -> bool:
    """Whether a read of a part of a field may be meant: elements of an array, half of a number."""
    if read.made is None:
        return (read.offset - field.offset) % field.element == 0
    return read.offset + read.made.size <= field.end


def _too_wide(read: _Read, field: Field) -> str:
    made = read.made
    if made is None or made.kind not in ("int", "uint", "pointer", "array") or read.offset + made.size <= field.end:
        return ""
    if field.dynamic:
        plain = field.name.removeprefix("__data_loc_").removeprefix("__rel_loc_")
        return (
            f"holds at offset {read.offset} where `{plain}` is (`{field.name}`, 4 bytes), and not the data that "
            f"`{read.given}` would be"
        )
    if made.kind == "array" and field.element == field.size:
        return ""  # the rest of the record in one piece
    left = field.end - read.offset
    return f"has {left} bytes of `{field.name}` at offset {read.offset}, `{read.given}` reads {made.size}"


def _what(one: Record, offset: int) -> str:
    field = one.at(offset)
    if field is not None:
        return f"`{field.name}`" if offset == field.offset else f"{offset - field.offset} bytes into `{field.name}`"
    if offset < one.end:
        return "padding"
    return "in the data behind its fields" if one.open else "behind its end"


def _disagree(read: _Read, aim: Aim, records: list[Record]) -> tuple[str, list[Types], list[Record]] | None:
    """Kernels that have different fields at the offset, of which one has moved."""
    first = records[0].at(read.offset)
    for other in records[1:]:
        field = other.at(read.offset)
        if first is None or field is None or field.name == first.name:
            continue
        if records[0].named(field.name) is None and other.named(first.name) is None:
            continue  # renamed
        text = (
            f"`{aim.name}` has `{first.name}` at offset {read.offset} on {records[0].types.name}, "
            f"and `{field.name}` on {other.types.name}"
        )
        return text, [records[0].types, other.types], records
    return None


def _table(aim: Aim, read: _Read, meant: str, records: list[Record]) -> str:
    if read.made is not None and read.made.kind == "struct":
        return _whole(aim, read, records)
    head = ["kernel", f"at {read.offset}"]
    if meant:
        head.append(f"`{meant}` is at")
    rows = []
    for one in records:
        field = one.at(read.offset)
        row = [one.types.name, field.text if field is not None and field.offset == read.offset else ""]
        row[1] = row[1] or _what(one, read.offset).replace("`", "")
        if meant:
            named = one.named(meant)
            row.append(str(named.offset) if named is not None else "-")
        rows.append(row)
    size = f", {read.made.size} bytes" if read.made is not None else ""
    return f"`{aim.category}:{aim.name}`, offset {read.offset}{size} in the source\n{table(head, rows)}"


def _whole(aim: Aim, read: _Read, records: list[Record]) -> str:
    """The fields of a struct that the record has too: where they are in each."""
    rows = []
    for member in read.made.fields if read.made is not None else ():
        found = [one.named(member.name) for one in records]
        if any(one is not None for one in found):
            places = [str(one.offset) if one is not None else "-" for one in found]
            rows.append([member.name, str(read.offset + member.offset), *places])
    head = ["field", f"in {read.given}", *(one.types.name for one in records)]
    return f"offsets in `{aim.category}:{aim.name}`, in bytes\n{table(head, rows)}"


def _fix(ctx: CheckContext, aim: Aim, read: _Read, meant: str, records: list[Record]) -> Fix:
    fields = [one.named(meant) for one in records] if meant else []
    offsets = {one.offset for one in fields if one is not None}
    if meant and len(offsets) == 1 and None not in fields:
        right = str(offsets.pop())
        if right != str(read.offset):
            place = _literal(read.where)
            if place is not None:
                edit = replace(ctx, place.file, place.start, place.end, right)
                return Fix("unsafe", f"read at {right}, where {names_of(one.types for one in records)} have it", [edit])
    if any(one.dynamic for one in (record.at(read.offset) for record in records) if one is not None):
        return Fix(
            "display",
            f"read the `u32`: its lower half is the offset of the data, its upper half the length; "
            f"`let at = (ctx.read_at::<u32>({read.offset})? & 0xffff) as usize`, then "
            "`bpf_probe_read_kernel_str_bytes(ctx.as_ptr().add(at).cast(), buffer)`",
        )
    format_file = f"/sys/kernel/tracing/events/{aim.category}/{aim.name}/format"
    return Fix(
        "display",
        "make the offset a global, `#[unsafe(no_mangle)] static OFFSET: Global<u32> = Global::new(0)`, read with "
        f"`ctx.read_at(OFFSET.load() as usize)`; the user side takes it from {format_file} and sets it with "
        '`EbpfLoader::override_global("OFFSET", &offset, true)`',
    )


def _literal(where: Expr) -> Expr | None:
    """The number itself: the argument, or the value of the constant that it names."""
    if where.integer is not None:
        return where
    if where.kind != "path":
        return None
    item = constant_item(where.file, where.path, where.item)
    value = item.expr if item is not None else None
    return value if value is not None and value.integer is not None else None


RULE = TracepointOffset()
