"""What the source calls a value: read from the line that made it, only where it is certain."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace

__all__ = ["assigned", "name"]


def name(trace: Trace, step: Step, where: str) -> str | None:
    """As `Trace.name`: the variable that the statement defining the value assigns to."""
    for link in trace.origin(step, where):
        if link.how in ("call", "load", "return"):
            place = trace.own_place(link.step)
            return None if place is None or place.text is None else assigned(place.text)
    return None


def assigned(text: str) -> str | None:
    """The variable a line of C or Rust gives a value: `value` of `let Some(value) = MAP.get(&key) else {`, `*v` gives
    None. Comparisons, compound assignments and fields are none."""
    line = text.strip()
    for start in ("if ", "while ", "} else if "):
        if line.startswith(start):
            line = line[len(start) :].lstrip("( ")
    left, equals, right = line.partition("=")
    if not equals or right.startswith("=") or left[-1:] in "!<>+-*/%&|^":
        return None
    rust = left.startswith("let ")
    left = left.removeprefix("let ").removeprefix("mut ").strip() if rust else left.strip()
    if rust:
        left = left.partition(":")[0].strip()
        for wrapper in ("Some(", "Ok("):
            if left.startswith(wrapper) and left.endswith(")"):
                left = left[len(wrapper) : -1].strip()
        left = left.removeprefix("mut ").strip()
    else:
        left = left.rpartition(" ")[2].lstrip("*") if " " in left or "*" in left[1:] else left
    return left if left.isidentifier() else None
