"""What loading will ask of a kernel: an ordered list of named commands, made without asking it anything.

    plan = make_plan(obj, kernel)          # pure: the same object and kernel give the same plan
    print(plan.text())                     # for people; `to_json()` for programs, `to_bytes()` for another machine
    door().replay(plan.steps(), len(plan.slots))

A command's fields are those of `union bpf_attr` (`kernel.attrs`). Descriptors do not exist yet when the plan is made,
so they are *slots*: names such as `map:FLOWS`, `program:count` or `btf`; the executor fills a slot with what its
command answers and writes it wherever a later command refers to it.
"""

from __future__ import annotations

from sys import byteorder as _ORDER  # noqa: N812 - a constant here

from bpfsmith.kernel.attrs import COMMANDS, NUMBERS, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Step

__all__ = ["LIFT_MEMLOCK", "Blob", "Command", "Plan", "Slot"]

LIFT_MEMLOCK = "LIFT_MEMLOCK"
"""No bpf(2) command: lifts RLIMIT_MEMLOCK, which kernels before 5.11 charge maps and programs to."""
_OTHER = {LIFT_MEMLOCK: 1000}
SCHEMA = 1


class Slot:
    """A descriptor that will be there when the command runs."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slot) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Blob:
    """Bytes a field points to; `slots` are (byte offset, slot name): the descriptor is written there as u32."""

    __slots__ = ("data", "slots")

    def __init__(self, data: bytes, slots: tuple[tuple[int, str], ...] = ()) -> None:
        self.data = data
        self.slots = slots

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob) and (other.data, other.slots) == (self.data, self.slots)

    __hash__ = None  # type: ignore[assignment]  # holds what may be large; nobody needs it as a key

    def __repr__(self) -> str:
        return f"<{len(self.data)} bytes>"


class Command:
    """One step: `name` (`BPF_MAP_CREATE`), `what` it is about (``map `FLOWS` ``), its fields, and the slot it fills."""

    __slots__ = ("fields", "name", "out", "what")

    def __init__(self, name: str, what: str, fields: dict[str, Any], out: str = "") -> None:
        self.name = name
        self.what = what
        self.fields = fields
        self.out = out

    def __repr__(self) -> str:
        return f"<{self.name} {self.what}>"


class Plan:
    """Commands in order. `slots`: their names in the order in which they are numbered; `given`: those of them the
    executor is handed instead of making them (reused maps, a token); `notes`: (what, sentence) about what the plan
    does otherwise than the object says, and why."""

    __slots__ = ("_index", "commands", "given", "notes", "object", "slots")

    def __init__(self, object_name: str = "") -> None:
        self.object = object_name
        self.commands: list[Command] = []
        self.slots: list[str] = []
        self.given: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self._index: dict[str, int] = {}

    # ------------------------------------------------------------ making

    def slot(self, name: str) -> int:
        """The number of a slot; new names get the next one."""
        at = self._index.get(name)
        if at is None:
            at = self._index[name] = len(self.slots)
            self.slots.append(name)
        return at

    def give(self, name: str) -> None:
        """A slot the caller fills."""
        self.slot(name)
        if name not in self.given:
            self.given.append(name)

    def has(self, name: str) -> bool:
        """Whether something fills that slot."""
        return name in self._index

    def add(self, name: str, what: str, fields: dict[str, Any], out: str = "") -> None:
        self.commands.append(Command(name, what, fields, out))
        if out:
            self.slot(out)

    def note(self, what: str, sentence: str) -> None:
        self.notes.append((what, sentence))

    # ------------------------------------------------------------ forms

    def steps(self) -> list[Step]:
        """As `_native.replay` takes them."""
        index = self._index
        out: list[Step] = []
        for command in self.commands:
            number = NUMBERS.get(command.name)
            if number is None:
                out.append((_OTHER[command.name], b"", [], [], -1))
                continue
            places = COMMANDS[number][1]
            attr = bytearray(size_of(command.name))
            blobs: list[tuple[int, bytes, list[tuple[int, int]]]] = []
            slots: list[tuple[int, int]] = []
            for field, value in command.fields.items():
                at, size = places[field]
                kind = value.__class__
                if kind is int:
                    if value:
                        attr[at : at + size] = value.to_bytes(size, _ORDER, signed=value < 0)
                elif kind is Slot:
                    slots.append((at, index[value.name]))
                elif kind is Blob:
                    blobs.append((at, value.data, [(offset, index[name]) for offset, name in value.slots]))
                elif kind is str:  # a name, stored in place
                    text = value.encode()[:15]
                    attr[at : at + len(text)] = text
                else:
                    blobs.append((at, value, []))
            out.append((number, bytes(attr), blobs, slots, index[command.out] if command.out else -1))
        return out

    def to_bytes(self) -> bytes:
        """One message for an executor elsewhere; `crates/sys` documents the layout."""
        from bpfsmith import _native

        return _native.encode_plan(self.steps(), len(self.slots))

    def to_json(self) -> dict[str, Any]:
        """Everything in it, as values `json` takes; `Plan.from_json` reads it back."""
        return {
            "schema": SCHEMA,
            "object": self.object,
            "slots": list(self.slots),
            "given": list(self.given),
            "notes": [{"what": what, "note": sentence} for what, sentence in self.notes],
            "commands": [
                {
                    "command": command.name,
                    "what": command.what,
                    "fields": {field: _plain(value) for field, value in command.fields.items()},
                    "out": command.out or None,
                }
                for command in self.commands
            ],
        }

    @staticmethod
    def from_json(document: dict[str, Any]) -> Plan:
        """The plan `to_json` described. `InputError` for a document of another schema."""
        if document.get("schema") != SCHEMA:
            from bpfsmith.model.errors import InputError

            raise InputError(
                f"a plan of schema {document.get('schema')!r} cannot be read", hint=f"this version writes {SCHEMA}"
            )
        plan = Plan(document["object"])
        for name in document["slots"]:
            plan.slot(name)
        plan.given = list(document["given"])
        plan.notes = [(note["what"], note["note"]) for note in document["notes"]]
        for one in document["commands"]:
            fields = {field: _rich(value) for field, value in one["fields"].items()}
            plan.commands.append(Command(one["command"], one["what"], fields, one["out"] or ""))
        return plan

    def text(self) -> str:
        """One command a line, then the notes."""
        width = max((len(command.name) for command in self.commands), default=0)
        lines = []
        for number, command in enumerate(self.commands, 1):
            shown = ", ".join(f"{field}={_short(field, value)}" for field, value in command.fields.items())
            arrow = f" -> {command.out}" if command.out else ""
            lines.append(f"{number:3}  {command.name:<{width}}  {command.what}: {shown}{arrow}".rstrip(": "))
        lines += [f"given: {', '.join(self.given)}"] if self.given else []
        lines += [f"note: {what}: {sentence}" for what, sentence in self.notes]
        return "\n".join(lines) + "\n"

    def __len__(self) -> int:
        return len(self.commands)

    def __eq__(self, other: object) -> bool:
        """The same commands in the same order with the same slots; what it says about itself does not count."""
        return isinstance(other, Plan) and self.slots == other.slots and self.steps() == other.steps()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<Plan {self.object}: {len(self.commands)} commands>"


def _plain(value: Any) -> Any:
    if isinstance(value, Slot):
        return {"slot": value.name}
    if isinstance(value, Blob):
        return {"hex": value.data.hex(), "slots": [[at, name] for at, name in value.slots]}
    if isinstance(value, bytes | bytearray):
        return {"hex": bytes(value).hex()}
    return value


def _rich(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "slot" in value:
        return Slot(value["slot"])
    data = bytes.fromhex(value["hex"])
    if "slots" in value:
        return Blob(data, tuple((at, name) for at, name in value["slots"]))
    return data


def _short(field: str, value: Any) -> str:
    if isinstance(value, Slot):
        return f"<{value.name}>"
    if isinstance(value, int):
        return hex(value) if "flags" in field and value > 9 else str(value)
    if isinstance(value, str):
        return value
    data = value.data if isinstance(value, Blob) else bytes(value)
    if field in ("license", "pathname"):
        return repr(data.rstrip(b"\0").decode(errors="replace"))
    uses = ""
    if isinstance(value, Blob) and value.slots:
        uses = " with " + ", ".join(dict.fromkeys(f"<{name}>" for _, name in value.slots))
    if len(data) <= 8 and not uses:
        return f"0x{data.hex()}" if data else "none"
    return f"{len(data)} bytes{uses}"
