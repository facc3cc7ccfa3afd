"""Which fields fill the gaps of a type, in words: `_pad: [u8; 7]` after `kind`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.layout import Layout

__all__ = ["fill"]

_SHOWN = 4


def _gaps(found: Layout, owner: str, out: dict[tuple[str, str], int]) -> None:
    """{(field before the gap, type that gets the field): size}, inner types included."""
    if found.kind == "array":
        if found.element is not None:
            _gaps(found.element, owner, out)
        return
    if found.kind not in ("struct", "tuple") or not found.fields:
        return
    own = found.item.name if found.item is not None else owner
    fields = sorted(found.fields, key=lambda one: one.offset)
    for at, field in enumerate(fields):
        end = fields[at + 1].offset if at + 1 < len(fields) else found.size
        gap = end - field.offset - field.size
        _gaps(field.layout, own, out)
        if gap > 0:
            out.setdefault((field.name, own), gap)


def fill(found: Layout, name: str) -> str:
    """What to do about the padding of a type called `name`."""
    gaps: dict[tuple[str, str], int] = {}
    _gaps(found, name.rpartition("::")[2], gaps)
    if not gaps:
        return "add a field for each gap and set it to 0"
    short = name.rpartition("::")[2]
    parts = []
    for at, ((field, owner), size) in enumerate(gaps.items(), 1):
        pad = "_pad" if len(gaps) == 1 else f"_pad{at}"
        of = f" of `{owner}`" if owner != short else ""
        parts.append(f"`{pad}: [u8; {size}]` after `{field}`{of}")
    more = f", and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    shown = parts[:_SHOWN]
    text = ", ".join(shown) if more or len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]
    return f"add {text}{more}, and set {'it' if len(gaps) == 1 else 'them'} to 0"
