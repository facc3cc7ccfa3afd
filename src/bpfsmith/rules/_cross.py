"""What the rules of the group `cross` share: pairs of kernel and user side, places, close names, layouts compared."""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._rust import place, replace
from bpfsmith.source.aya import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bpfsmith.model.finding import Span
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import KernelMap, KernelProgram, MapUse, Pair, Use
    from bpfsmith.source.layout import Field, Layout
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = [
    "candidates", "close_name", "comparable", "differences", "item_place", "listed", "literal", "loaded", "name_fix",
    "opened", "owner_crate", "pairs", "same_item", "shape", "text_place", "tolerated", "unmentioned",
]  # fmt: skip

_ALIKE = 0.75


def pairs(project: Project) -> Iterator[Pair]:
    """The pairs of the project's model."""
    yield from model(project).pairs


def item_place(ctx: CheckContext, item: Item) -> Span:
    """The name of an item."""
    return place(ctx, item.file, item.name_start, item.name_end)


def text_place(ctx: CheckContext, at: tuple[SourceFile, int, int]) -> Span:
    """A stretch of a file."""
    return place(ctx, *at)


def close_name(name: str, known: Iterable[str]) -> str | None:
    """The one known name that was probably meant: the same but for case and underscores, or nearly the same."""
    from difflib import get_close_matches

    names = sorted(set(known))
    plain = name.replace("_", "").replace("-", "").lower()
    same = [one for one in names if one.replace("_", "").lower() == plain]
    if len(same) == 1:
        return same[0]
    found = get_close_matches(name, names, 1, _ALIKE)
    return found[0] if found else None


def literal(pair: Pair, use: Use, name: str) -> Expr:
    """Where a name of a use is written: its argument, or the one string of the user side that says it."""
    argument = use.argument
    if argument is not None and argument.string is not None:
        return argument
    found = [
        one
        for user in pair.users
        for file in user.crate.files
        if f'"{name}"' in file.text
        for one in file.of_kind("lit")
        if one.string == name
    ]
    return found[0] if len(found) == 1 else argument if argument is not None else use.expr


def name_fix(ctx: CheckContext, where: Expr, right: str, kind: str) -> Fix:
    """Writes the right name where the wrong one stands as a literal."""
    if where.string is None or not where.text.startswith('"'):
        return Fix("display", f"name the {kind} `{right}`")
    return Fix("unsafe", f"name the {kind} `{right}`", [replace(ctx, where.file, where.start, where.end, f'"{right}"')])


def listed(names: Iterable[str], kind: str) -> str:
    """`it has `a`, `b` and 3 more`: what there is instead."""
    every = sorted(set(names))
    if not every:
        return f"it has no {kind}"
    shown = ", ".join(f"`{one}`" for one in every[:6])
    return f"it has {shown}" + (f" and {len(every) - 6} more" if len(every) > 6 else "")


def tolerated(expr: Expr) -> bool:
    """Whether a `None` of this call is asked for: `if let`, `match`, `let else`, `is_some()`, `.map(..)`."""
    at, parent = expr, expr.parent
    while parent is not None and (
        parent.kind in ("paren", "await") or (parent.kind == "method" and parent.name in ("as_mut", "as_ref"))
    ):
        at, parent = parent, parent.parent
    if parent is None:
        return True
    if parent.kind == "method" and parent.receiver == at:
        return parent.name not in (
            *("unwrap", "expect", "ok_or", "ok_or_else", "context", "with_context", "wrap_err", "wrap_err_with"),
            *("try_into", "unwrap_or_else", "ok_or_eyre"),
        )
    return parent.kind != "try"


def candidates(pair: Pair, use: Use) -> list[KernelProgram]:
    """The kernel programs that a use of one name can mean."""
    return pair.program(use.name) if use.name is not None else []


def opened(pair: Pair) -> Iterator[tuple[MapUse, KernelMap]]:
    """Each use of one name that is a map of the kernel side, with that map; names that several objects have differently
    are left out."""
    for use in pair.map_uses:
        found = pair.map(use.name) or _misspelt(pair, use) if use.name is not None else []
        if found and all(_alike(found[0], other) for other in found[1:]):
            yield use, found[0]


def _misspelt(pair: Pair, use: MapUse) -> list[KernelMap]:
    """The one map that a name nobody has certainly means: the same but for case and underscores, or but for a letter,
    of a kind that is opened so."""
    from difflib import get_close_matches

    from bpfsmith.source.aya.tables import OPENS

    name = use.name
    if name is None or not pair.named or not pair.kernel_complete or use.type not in OPENS or name.startswith("."):
        return []
    known = pair.map_names
    plain = name.replace("_", "").lower()
    close = [one for one in known if one.replace("_", "").lower() == plain] or get_close_matches(
        name, sorted(known), 2, 0.85
    )
    found = pair.map(close[0]) if len(close) == 1 else []
    return found if found and found[0].kind in OPENS[use.type][0] and not pair.says(close[0]) else []


def unmentioned(pair: Pair, made: KernelMap | KernelProgram) -> bool:
    """Whether nothing of the user side has to do with it, as far as all of the user side is known: it loads the object
    that it is in, attaches something, computes no names, and has no text that is this name."""
    if not pair.user_complete or not pair.kernel_complete or pair.says(made.name):
        return False
    if any(one.names is not None and made.name in one.names for one in (*pair.program_uses, *pair.map_uses)):
        return False  # by a constant of another crate
    if not any(one.attaches for one in pair.program_uses):
        return False  # not written to its end
    if made.file.gates(made.item):
        return False  # under a `cfg`: perhaps not even in the object
    return not pair.says(made.item.name) and loaded(pair, made) and not _meant(pair, made)


def loaded(pair: Pair, made: KernelMap | KernelProgram) -> bool:
    """Whether the object that it is in is the only one of its crate, or certainly loaded."""
    for kernel in pair.kernels:
        if made in kernel.maps or made in kernel.programs:
            return len(kernel.crate.binaries()) == 1
    return False


def _meant(pair: Pair, made: KernelMap | KernelProgram) -> bool:
    """Whether a use of the user side names nothing that there is, and this may be what it means: that is the mistake,
    and it is told where it is made."""
    from bpfsmith.source.aya import MapUse
    from bpfsmith.source.aya.tables import OPENS

    if made in pair.programs:
        known = pair.program_names
        lost: list[Use] = [one for one in pair.program_uses if one.names and one.names - known]
    else:
        known = pair.map_names
        lost = [one for one in pair.map_uses if one.names and one.names - known]
    for use in lost:
        if any(close_name(name.rpartition("/")[2], known) == made.name for name in (use.names or set()) - known):
            return True
        if made in pair.programs and sum(not pair.says(one.name) for one in pair.programs) == 1:
            return True  # the only one that is left
        kinds = OPENS.get(use.type, ((), ()))[0] if isinstance(use, MapUse) else ()
        if made.kind in kinds and sum(one.kind in kinds and not pair.says(one.name) for one in pair.maps) == 1:
            return True
    return False


def owner_crate(project: Project, made: KernelMap | KernelProgram) -> bool:
    """Whether it is in one of the crates asked about."""
    return made.file.crate in project.crates


def _alike(one: KernelMap, other: KernelMap) -> bool:
    """Whether two objects define a map of one name alike."""
    if one.kind != other.kind or not one.kind:
        return False
    for mine, theirs in ((one.key_layout, other.key_layout), (one.value_layout, other.value_layout)):
        if (mine is None) != (theirs is None):
            return False
        if mine is not None and theirs is not None and not (same_item(mine, theirs) or mine.size == theirs.size):
            return False
    return True


# Layouts

_OPEN_ORDER = ("the compiler orders", "without `repr")


def comparable(one: Layout, other: Layout) -> bool:
    """Whether the sizes of both are what the compiler makes of them, whatever order it chooses for the fields."""
    return all(part.certain or any(word in part.why for word in _OPEN_ORDER) for part in (one, other))


def same_item(one: Layout, other: Layout) -> bool:
    """Whether both are one definition: of the project, or the same primitive."""
    if one.item is not None and other.item is not None:
        return one.item.file is other.item.file and one.item.id == other.item.id
    return one.item is None and other.item is None and one.name == other.name


def differences(kernel: Layout, user: Layout) -> list[tuple[Field | None, Field | None]]:
    """The fields of two types of one size that do not lie alike: (kernel side, user side) by offset. Empty where they
    may well mean the same: bytes against a number, signed against unsigned, other names for the same places."""
    if same_item(kernel, user) or kernel.size != user.size or not (kernel.certain and user.certain):
        return []
    ours, theirs = list(kernel.leaves()), list(user.leaves())
    named = _moved(ours, theirs)
    if named:
        return named
    if len(ours) < 2 or len(theirs) < 2:
        return [(ours[0], theirs[0])] if len(ours) == len(theirs) == 1 and _unlike(ours[0], theirs[0]) else []
    # Both say more than "so many bytes": their borders must agree.
    starts = {one.offset: one for one in theirs}
    out: list[tuple[Field | None, Field | None]] = []
    for field in ours:
        other = starts.get(field.offset)
        if other is None:
            inside = next((one for one in theirs if one.offset < field.offset < one.offset + one.size), None)
            if inside is not None and not _bytes(inside):
                out.append((field, inside))
        elif (other.size != field.size and not _bytes(field) and not _bytes(other)) or _unlike(field, other):
            out.append((field, other))
    return out


def _moved(ours: list[Field], theirs: list[Field]) -> list[tuple[Field | None, Field | None]]:
    """Fields of one name at different places: two copies of a struct that have drifted apart."""
    by_name = {one.name.rpartition(".")[2]: one for one in theirs}
    if len(by_name) != len(theirs) or len({one.name.rpartition(".")[2] for one in ours}) != len(ours):
        return []  # which is which cannot be told
    out: list[tuple[Field | None, Field | None]] = []
    common = 0
    for field in ours:
        other = by_name.get(field.name.rpartition(".")[2])
        if other is None or field.name.rpartition(".")[2].isdigit():
            continue
        common += 1
        if other.offset != field.offset:
            out.append((field, other))
    return out if common >= 2 else []


def _bytes(field: Field) -> bool:
    """Bytes without a meaning of their own, or padding by name."""
    one = field.layout
    while one.kind == "array" and one.element is not None:
        one = one.element
    return one.size <= 1 or (one.item is None and one.kind == "struct") or "pad" in field.name.lower()


def _unlike(one: Field, other: Field) -> bool:
    """Kinds that cannot mean the same value: a floating point number against an integer, a pointer against a number of
    another kind."""
    if _bytes(one) or _bytes(other) or one.size != other.size:
        return False
    return (one.layout.kind == "float") != (other.layout.kind == "float")


def shape(one: Layout) -> str:
    """`struct Flow: 0..4 source u32, 4..6 port u16, 6..8 padding`: a type with its bytes."""
    if not one.fields:
        return f"{one.name}: {one.size} byte{'s' if one.size != 1 else ''}"
    rows = [(field.offset, field.size, f"{field.name} {field.type}") for field in one.fields]
    if any(at < 0 for at, _, _ in rows):
        return f"{one.name}: {one.size} bytes, order chosen by the compiler"
    rows.extend((at, size, "padding") for at, size in _own_padding(one))
    text = ", ".join(f"{at}..{at + size} {what}" for at, size, what in sorted(rows) if size)
    return f"{one.name} ({one.size} bytes): {text}"


def _own_padding(one: Layout) -> list[tuple[int, int]]:
    at = 0
    out = []
    for field in sorted(one.fields, key=lambda field: field.offset):
        if field.offset > at:
            out.append((at, field.offset - at))
        at = max(at, field.offset + field.size)
    if one.size > at:
        out.append((at, one.size - at))
    return out if one.kind == "struct" else []
