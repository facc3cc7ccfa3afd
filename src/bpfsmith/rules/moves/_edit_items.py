"""Kinds of edits of what is declared: imports, type arguments, arms of a `match`, blocks, arguments of macros."""

from __future__ import annotations

from bpfsmith.model.finding import Fix
from bpfsmith.rules._macro_args import without
from bpfsmith.rules._rust import replace
from bpfsmith.rules.moves._edit import named, worded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules.moves._table import EditKind, Hit
    from bpfsmith.source.rust import SourceFile

__all__ = [
    "before_name",
    "delete_argument",
    "delete_arm",
    "drop_generics",
    "drop_import",
    "insert_in_body",
    "unwrap_block",
    "unwrap_generic",
]


def drop_import(message: str = "leave it out") -> EditKind:
    """The import goes, where nothing in the file uses it (any more)."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file = hit.file
        if file is None or not hit.places or any(not one.use for one in hit.places):
            return None
        name = hit.places[0].text
        if any(name in one.text for one in file.of_kind("tokens")):
            return None
        edits = []
        for one in hit.places:
            edit = _without_leaf(file, one.start)
            if edit is None:
                return None
            edits.append(replace(ctx, file, edit[0], edit[1], ""))
        return Fix("safe", message, edits)

    return make


def _without_leaf(file: SourceFile, start: int) -> tuple[int, int] | None:
    """What to delete of a `use` statement so that the leaf that starts there is gone."""
    use = next((one for one in file.uses if one.start == start), None)
    if use is None or use.public or use.renamed:
        return None
    text = file.text
    stmt = text[use.stmt_start : use.stmt_end]
    if "{" not in stmt:
        end = use.stmt_end
        while text[end : end + 1] in (" ", "\t"):
            end += 1
        line = text.rfind("\n", 0, use.stmt_start) + 1
        if text[end : end + 1] == "\n" and not text[line : use.stmt_start].strip():
            return line, end + 1
        return use.stmt_start, use.stmt_end
    left = start
    while text[left - 1] not in "{,":
        left -= 1
    right = use.end
    while right < use.stmt_end and text[right] not in "},":
        right += 1
    if text[right] == ",":
        right += 1
        while text[right : right + 1] in (" ", "\n", "\t", "\r"):
            right += 1
        return left + len(text[left:start]) - len(text[left:start].lstrip()), right
    if text[left - 1] == ",":
        return left - 1, right
    return None


def delete_arm(message: str) -> EditKind:
    """The arm of a `match` whose whole pattern this is."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file = hit.file
        if file is None:
            return None
        for match in file.of_kind("match"):
            for arm in match.fields[1]:
                body = file.expr(arm[4])
                if not arm[0] <= hit.start < arm[1] or body is None:
                    continue
                if "|" in file.text[arm[0] : arm[1]]:
                    return None
                end = body.end
                if file.text[end : end + 1] == ",":
                    end += 1
                line = file.text.rfind("\n", 0, arm[0]) + 1
                alone = not file.text[line : arm[0]].strip() and file.text[end : end + 1] == "\n"
                first, last = (line, end + 1) if alone else (arm[0], end)
                return Fix("safe", message, [replace(ctx, file, first, last, "")])
        return None

    return make


def unwrap_generic(message: str) -> EditKind:
    """`Wrapper<T>` -> `T` at every place, and the import goes; None where the wrapper stands without its argument."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file = hit.file
        if file is None:
            return None
        edits = []
        for one in hit.places:
            if one.use:
                gone = _without_leaf(file, one.start)
                if gone is None:
                    return None
                edits.append(replace(ctx, file, gone[0], gone[1], ""))
                continue
            inside = _generics(file.text, one.end)
            start = one.start
            while file.text[start - 1].isalnum() or file.text[start - 1] in "_:":
                start -= 1
            if inside is None:
                return None
            edits.append(replace(ctx, file, start, inside[0] + 1, ""))
            edits.append(replace(ctx, file, inside[1] - 1, inside[1], ""))
        return Fix("safe", message, edits)

    return make


def _generics(text: str, at: int) -> tuple[int, int] | None:
    """The `<..>` that stands here."""
    if text[at : at + 1] != "<":
        return None
    depth = 0
    for end in range(at, len(text)):
        if text[end] == "<":
            depth += 1
        elif text[end] == ">" and text[end - 1] not in "-=":
            depth -= 1
            if depth == 0:
                return at, end + 1
        elif text[end] in ";{}":
            return None
    return None


def drop_generics(message: str) -> EditKind:
    """The `<..>` behind a type goes."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        inside = _generics(hit.file.text, hit.end) if hit.file is not None else None
        if hit.file is None or inside is None:
            return None
        return Fix("safe", message, [replace(ctx, hit.file, inside[0], inside[1], "")])

    return make


def insert_in_body(text: str, message: str) -> EditKind:
    """A line at the start of an item's body."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file, item = hit.file, hit.item
        if file is None or item is None or not item.body_end:
            return None
        at = file.text.find("{", item.body_start) + 1
        if not 0 < at <= item.body_end:
            return None
        return Fix("safe", message, [replace(ctx, file, at, at, "\n" + named(text, hit))])

    return make


def before_name(text: str, message: str) -> EditKind:
    """Text before the name that is shown."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.file is None:
            return None
        shown = worded(message, {"name": hit.words["old"]})
        return Fix("safe", shown, [replace(ctx, hit.file, hit.start, hit.start, text)])

    return make


def unwrap_block(message: str) -> EditKind:
    """`unsafe { x }` -> `x`; the block is `hit.expr`."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        block, file = hit.expr, hit.file
        if block is None or file is None or block.tail is None:
            return None
        tail = block.tail
        gap = file.text[block.start : tail.start] + file.text[tail.end : block.end]
        if "//" in gap or "/*" in gap:
            return None
        edits = [
            replace(ctx, file, block.start, tail.start, ""),
            replace(ctx, file, tail.end, block.end, ""),
        ]
        return Fix("safe", message, edits)

    return make


def delete_argument(message: str, applicability: str = "safe") -> EditKind:
    """The argument of a macro that the match found (`hit.words["argument"]`) goes, with its comma."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        found = _attribute(hit)
        if found is None or hit.file is None:
            return None
        return Fix(applicability, worded(message, hit.words), [replace(ctx, hit.file, *found, "")])

    return make


def _attribute(hit: Hit) -> tuple[int, int] | None:
    from bpfsmith.rules._macro_args import arguments as of

    if hit.file is None or hit.item is None:
        return None
    for attr in hit.item.attrs:
        for one in of(hit.file, attr):
            if one.start == hit.start:
                return without(hit.file, attr, one)
    return None
