"""Whether a `cfg(..)` is certainly off: `any()`, tests, other targets than BPF in kernel crates, their debug builds."""

from __future__ import annotations

from bpfsmith.source.types import split_args

__all__ = ["certainly_off"]

_DEPTH = 32
# What bpfel-unknown-none and bpfeb-unknown-none say.
_BPF = {
    "target_arch": ("bpf",),
    "target_os": ("none", "unknown"),
    "target_pointer_width": ("64",),
    "target_family": (),
}


def certainly_off(gate: str, kernel: bool) -> bool:
    """Whether code under this condition is never compiled; `kernel` says for BPF, where only release builds load."""
    text = "".join(gate.split())
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return _value(text.rstrip(","), kernel, 0) is False


def _value(text: str, kernel: bool, depth: int) -> bool | None:  # noqa: PLR0911 - one return a kind
    if depth > _DEPTH:
        return None
    head, bracket, rest = text.partition("(")
    if bracket and rest.endswith(")") and head in ("any", "all", "not"):
        parts = [_value(one, kernel, depth + 1) for one in split_args(rest[:-1]) if one]
        if head == "not":
            return None if len(parts) != 1 or parts[0] is None else not parts[0]
        decides = head == "any"
        if decides in parts:
            return decides
        return None if None in parts else not decides
    if text in ("test", "false"):
        return False
    if text == "true":
        return True
    if not kernel:
        return None
    if text in ("debug_assertions", "unix", "windows"):
        return False
    name, equals, value = text.partition("=")
    allowed = _BPF.get(name)
    return value.strip('"') in allowed if equals and allowed is not None else None
