"""Variables as the object's DWARF knows them: where they are declared, of what type, and where they are kept."""

from __future__ import annotations

from bpfsmith.verify.cause.result import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace

__all__ = ["Variable", "at_stack", "declared", "frame", "function_line", "in_register", "variables"]


class Variable:
    """`function` and `name` as DWARF has them; `path`, `line` of the declaration; `type`, `size` in bytes and `fields`
    (name, first byte, bytes) of a struct; `places`: (first slot, past the last, `reg` or `frame`, number): a register,
    or bytes above the lowest of the function's own stack."""

    __slots__ = ("fields", "function", "line", "name", "parameter", "path", "places", "size", "type")

    def __init__(
        self,
        function: str,
        name: str,
        declared: tuple[str, int],
        parameter: bool,
        typed: tuple[str, int, list[tuple[str, int, int]]],
        places: list[tuple[int, int, str, int]],
    ) -> None:
        self.function = function
        self.name = name
        self.path, self.line = declared
        self.parameter = parameter
        self.type, self.size, self.fields = typed
        self.places = places

    def kept(self, slot: int, kind: str) -> int | None:
        """The register, or the bytes above the frame's lowest, that it is kept in at a slot."""
        return next((number for start, end, what, number in self.places if what == kind and start <= slot < end), None)

    def __repr__(self) -> str:
        return f"<Variable {self.name} in {self.function}>"


def variables(trace: Trace) -> list[Variable]:
    """All of the program's functions; empty without an object or without DWARF."""
    program = trace.program
    if program is None:
        return []
    kept: list[Variable] | None = trace.kept.get("locals")
    if kept is not None:
        return kept
    from bpfsmith.model.errors import BpfsmithError

    try:
        rows = [Variable(*row) for row in program.native.variables()]
    except (BpfsmithError, AttributeError, ValueError):
        rows = []
    trace.kept["locals"] = rows
    return rows


def frame(trace: Trace, slot: int) -> int:
    """Bytes of the own stack of the function a slot lies in."""
    if trace.program is not None:
        for _, first, slots, size in trace.program.functions():
            if first <= slot < first + slots:
                return size
    return 0


def at_stack(trace: Trace, slot: int, offset: int) -> Variable | None:
    """The variable that holds byte `offset` below the frame's top (-8) at a slot; the smallest of several."""
    bytes_ = frame(trace, slot)
    found: Variable | None = None
    for one in variables(trace):
        above = one.kept(slot, "frame")
        if above is None or not one.size:
            continue
        start = above - bytes_
        if start <= offset < start + one.size and (found is None or one.size < found.size):
            found = one
    return found


def in_register(trace: Trace, slot: int, register: str) -> Variable | None:
    """The variable that a register holds before a slot."""
    number = int(register[1:])
    return next((one for one in variables(trace) if one.kept(slot, "reg") == number), None)


def declared(trace: Trace, name: str, step: Step | int) -> Place | None:
    """Where a local variable of the function around a step is declared; None where there are several or none."""
    slot = step if isinstance(step, int) else step.slot
    found = [one for one in variables(trace) if one.name == name and one.line]
    near = [one for one in found if any(start <= slot < end for start, end, _, _ in one.places)]
    if not near:
        lines = {(one.path, one.line) for one in found}
        near = found if len(lines) == 1 else []
    return place(trace, near[0]) if near else None


def place(trace: Trace, variable: Variable) -> Place:
    """The declaration's line, with its text where the source is here."""
    from bpfsmith.verify.cause import parts

    return Place(variable.path, variable.line, 0, parts.text_of(trace, variable.path, variable.line), variable.function)


def function_line(trace: Trace, name: str) -> Place | None:
    """The line that declares a function of the program, taken from its first parameter; None without one."""
    from bpfsmith.verify.cause import parts

    for one in variables(trace):
        if one.parameter and one.line and one.function in (name, name.rpartition("::")[2]):
            return Place(one.path, one.line, 0, parts.text_of(trace, one.path, one.line), one.function)
    return None
