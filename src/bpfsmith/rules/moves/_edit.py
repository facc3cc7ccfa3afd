"""Kinds of edits: each makes a function that turns one old form (`Hit`) into a fix, or None where it cannot.

Text that is written in may hold `$name` for what a pattern captured, and `{aya::path::Name}` for the shortest way to
name that path where the edit is made.
"""

from __future__ import annotations

import itertools
import re

from bpfsmith.model.finding import Fix
from bpfsmith.rules._rust import borrow_edits, c_string_fix, rename_fix, replace
from bpfsmith.rules.moves._pattern import arguments, matches
from bpfsmith.source.names import canonical, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfsmith.model.finding import Edit
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.rules._rust import Mention
    from bpfsmith.rules.moves._table import EditKind, Hit
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = [
    "after",
    "append",
    "as_method",
    "bare",
    "borrow",
    "borrow_receiver",
    "c_string",
    "count",
    "delete",
    "delete_call",
    "display",
    "enclosing",
    "in_place",
    "into_if_path",
    "members",
    "method",
    "named",
    "only",
    "rename",
    "rewrite",
    "visible",
    "worded",
    "wrap",
]


def visible(file: SourceFile, item: Item | None, path: str) -> str:
    """The shortest way to write an absolute path here that certainly means it."""
    parts = path.split("::")
    for count in range(1, min(len(parts), 3)):
        short = "::".join(parts[-count:])
        found = resolve(file, short, item)
        if found is not None and canonical(found) == canonical(path):
            return short
    if file.crate is not None:  # a dependency may have another name here
        for one in file.crate.dependencies:
            if one.package.replace("-", "_") == parts[0]:
                return "::".join([one.alias.replace("-", "_"), *parts[1:]])
    return path


_NAMED = re.compile(r"\{([a-z_]+::[\w:]+)\}")
_CAPTURE = re.compile(r"\$(\w+)")


def named(text: str, hit: Hit) -> str:
    file, item = hit.file, hit.item
    return _NAMED.sub(lambda one: visible(file, item, one[1]) if file is not None else one[1], text)


def display(message: str) -> EditKind:
    """Only says what to do."""
    return lambda hit, _: Fix("display", worded(message, hit.words))


def worded(message: str, words: dict[str, str]) -> str:
    """A message with its words; what is in brackets and no word stays."""
    return message.format_map(_Words(words))


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def only(since: str, edit: EditKind) -> EditKind:
    """An edit for what a release has: `only("aya 0.15.0", wrap(0))`; `only("<aya 0.15.0", ..)` for older ones."""
    package, _, version = since.removeprefix("<").partition(" ")

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.crate is None:
            return None
        asked = hit.crate.below if since.startswith("<") else hit.crate.at_least
        return edit(hit, ctx) if asked(package, version) else None

    return make


def rename(applicability: str = "safe") -> EditKind:
    """The new name at every place of a path; an import keeps the old one where something else has the new one."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if not hit.places or hit.file is None:
            return None
        new = hit.words["new"]
        fix = rename_fix(ctx, hit.file, list(hit.places), new, f"write `{new}`")
        kind = fix.applicability if applicability == "safe" else applicability
        if not _taken(hit.file, hit.words["old"], new):
            return Fix(kind, fix.message, fix.edits)
        return Fix(kind, fix.message, [edit for one in hit.places for edit in _renamed(ctx, hit, one)])

    return make


def _taken(file: SourceFile, old: str, new: str) -> bool:
    """Whether a name is something else in this file."""
    if any(True for _ in file.items_named(new)):
        return True
    return any(use.name == new and use.path.rpartition("::")[2] not in (old, new) for use in file.uses)


def _renamed(ctx: CheckContext, hit: Hit, one: Mention) -> list[Edit]:
    """One place where the new name is taken: the import gets both names, a path of several parts the new one."""
    file, old, new = one.file, hit.words["old"], hit.words["new"]
    if one.text != old:
        return []
    if one.use:
        return [replace(ctx, file, one.start, one.end, f"{new} as {old}")]
    if file.text[: one.start].rstrip().endswith("::"):
        return [replace(ctx, file, one.start, one.end, new)]
    return []


def members(names: dict[str, str], message: str) -> EditKind:
    """The new name of a type together with those of its members (`XdpFlags::SKB_MODE`); None with any other member."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file, new = hit.file, hit.words["new"]
        if file is None:
            return None
        edits: list[Edit] = []
        taken = _taken(file, hit.words["old"], new)
        for one in hit.places:
            if taken:
                edits.extend(_renamed(ctx, hit, one))
            elif one.text == hit.words["old"]:
                edits.append(replace(ctx, file, one.start, one.end, new))
            if one.use:
                continue
            after = re.compile(r"\s*::\s*(\w+)").match(file.text, one.end)
            if after is None:
                continue  # a type
            if after[1] not in names:
                return None
            if names[after[1]] != after[1]:
                edits.append(replace(ctx, file, after.start(1), after.end(1), names[after[1]]))
        return Fix("safe", message, edits) if edits else None

    return make


def method(new: str, message: str | None = None, applicability: str = "safe") -> EditKind:
    """Another name for the method or function that is called."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        span = _name_span(hit.expr)
        if span is None or hit.file is None:
            return None
        return Fix(applicability, message or f"call `{new}`", [replace(ctx, hit.file, *span, new)])

    return make


def _name_span(call: Expr | None) -> tuple[int, int] | None:
    if call is None:
        return None
    if call.kind == "method":
        return call.fields[2], call.fields[3]
    callee = call.callee
    if callee is None or callee.kind != "path":
        return None
    last = callee.path.rpartition("::")[2]
    text = callee.text
    at = text.rfind(last)
    return (callee.start + at, callee.start + at + len(last)) if at >= 0 else None


def rewrite(pattern: str, new: str, message: str, applicability: str = "safe", name: str | None = None) -> EditKind:
    """Other arguments: `pattern` is what they must look like, `new` what is written between the brackets instead;
    `name` also renames the method. What was captured in the same order stays untouched."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        call, file = hit.expr, hit.file
        if call is None or file is None:
            return None
        wanted, captures = arguments(pattern), {}  # type: tuple[list[Expr], dict[str, Expr]]
        if len(wanted) != len(call.args):
            return None
        if not all(matches(one, other, captures) for one, other in zip(wanted, call.args, strict=True)):
            return None
        edits = _between(hit, ctx, _inside(call), named(new, hit), captures)
        span = _name_span(call)
        if name is not None and span is not None:
            edits.insert(0, replace(ctx, file, *span, name))
        return Fix(applicability, message, edits)

    return make


def _inside(call: Expr) -> tuple[int, int]:
    """The text between the brackets of a call, without white space and a comma at the end."""
    args = call.args
    if args:
        return args[0].start, args[-1].end
    end = call.end - 1
    return end, end


def _between(hit: Hit, ctx: CheckContext, span: tuple[int, int], new: str, captures: dict[str, Expr]) -> list[Edit]:
    """Edits that leave captured expressions where they are as long as their order is that of the source."""
    file = hit.file
    if file is None:
        return []
    parts = _CAPTURE.split(new)  # text, name, text, name, .., text
    used = [captures[one] for one in parts[1::2]]
    ordered = all(one.end <= two.start for one, two in itertools.pairwise(used))
    if not ordered or len({one.id for one in used}) != len(used):
        text = "".join(part if at % 2 == 0 else captures[part].text for at, part in enumerate(parts))
        return [replace(ctx, file, *span, text)]
    out = []
    starts = [span[0], *(one.end for one in used)]
    ends = [*(one.start for one in used), span[1]]
    for text, start, end in zip(parts[0::2], starts, ends, strict=True):
        old = file.text[start:end]
        if "".join(old.split()) != "".join(text.split()):
            out.append(replace(ctx, file, start, end, text))
    return out


def append(text: str, message: str, applicability: str = "safe", name: str | None = None) -> EditKind:
    """One more argument at the end."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        call = hit.expr
        if call is None or hit.file is None:
            return None
        end = _inside(call)[1]
        comma = ", " if call.args else ""
        edits = [replace(ctx, hit.file, end, end, comma + named(text, hit))]
        span = _name_span(call)
        if name is not None and span is not None:
            edits.insert(0, replace(ctx, hit.file, *span, name))
        return Fix(applicability, message, edits)

    return make


def wrap(at: int, before: str, behind: str, applicability: str = "safe") -> EditKind:
    """Something around one argument: `[..]`."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.expr is None or hit.file is None or at >= len(hit.expr.args):
            return None
        one = hit.expr.args[at]
        edits = [
            replace(ctx, hit.file, one.start, one.start, before),
            replace(ctx, hit.file, one.end, one.end, behind),
        ]
        return Fix(applicability, f"write `{before}{one.text}{behind}`", edits)

    return make


def c_string(at: int = 0, *more: EditKind) -> EditKind:
    """The `c` before a literal; `more` must be possible too."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.expr is None or at >= len(hit.expr.args):
            return None
        first = c_string_fix(ctx, hit.expr.args[at])
        if not first.edits:
            return first
        edits = list(first.edits)
        for edit in more:
            fix = edit(hit, ctx)
            if fix is None or not fix.edits:
                return fix
            edits.extend(fix.edits)
        return Fix(first.applicability, first.message, edits)

    return make


def borrow(message: str) -> EditKind:
    """`&` before the arguments that the match named (`hit.words["wrong"]`, their numbers)."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.expr is None:
            return None
        wrong = [hit.expr.args[int(at)] for at in hit.words["wrong"].split()]
        # Where another argument may be a value too, the result need not compile.
        applicability = "unsafe" if hit.words.get("unsure") else "safe"
        return Fix(applicability, message, [edit for one in wrong for edit in borrow_edits(ctx, one)])

    return make


def after(text: str, message: str, applicability: str = "safe", at: int | None = None) -> EditKind:
    """Text behind the expression (or its argument number `at`)."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.expr is None or hit.file is None or (at or 0) >= max(1, len(hit.expr.args)):
            return None
        end = hit.expr.end if at is None else hit.expr.args[at].end
        return Fix(applicability, message, [replace(ctx, hit.file, end, end, named(text, hit))])

    return make


def delete(message: str, applicability: str = "safe") -> EditKind:
    """The text that is shown goes."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.file is None:
            return None
        return Fix(applicability, message, [replace(ctx, hit.file, hit.start, hit.end, "")])

    return make


def in_place(text: str, message: str, applicability: str = "safe") -> EditKind:
    """Other text for what is shown."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.file is None:
            return None
        new = named(text, hit).format_map(_Words(hit.words))
        edits = [replace(ctx, hit.file, hit.start, hit.end, new)]
        return Fix(applicability, worded(message, hit.words), edits)

    return make


def delete_call(pattern: str, message: str, applicability: str = "safe") -> EditKind:
    """The whole `.method(..)` of a chain goes, when its arguments look like `pattern`."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        call = hit.expr
        if call is None or hit.file is None or call.receiver is None:
            return None
        wanted, captures = arguments(pattern), {}  # type: tuple[list[Expr], dict[str, Expr]]
        if len(wanted) != len(call.args) or not all(
            matches(one, other, captures) for one, other in zip(wanted, call.args, strict=True)
        ):
            return None
        return Fix(applicability, message, [replace(ctx, hit.file, call.receiver.end, call.end, "")])

    return make


def into_if_path(at: int, message: str) -> EditKind:
    """`.into()` behind an argument that is a path into a type (`TcAttachType::Ingress`); else what to do by hand."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.expr is None or hit.file is None or at >= len(hit.expr.args):
            return None
        one = hit.expr.args[at]
        if one.kind != "path" or "::" not in one.path:
            return Fix("display", message)
        return Fix("safe", message, [replace(ctx, hit.file, one.end, one.end, ".into()")])

    return make


def bare(whole: Callable[[Expr], Expr | None], message: str, applicability: str = "safe") -> EditKind:
    """What unwraps the expression (`whole` says how far that goes) goes away."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.expr is None or hit.file is None:
            return None
        outer = whole(hit.expr)
        if outer is None or outer == hit.expr:
            return None
        return Fix(applicability, message, [replace(ctx, hit.file, hit.expr.end, outer.end, "")])

    return make


def count() -> EditKind:
    """`NonZeroU32` -> `usize`; only `.get()` where a cast follows."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        value = hit.expr
        if value is None or hit.file is None:
            return None
        cast = value.parent is not None and value.parent.kind == "cast"
        text = ".get()" if cast else ".get() as usize"
        return Fix("safe", f"write `{text}` after it", [replace(ctx, hit.file, value.end, value.end, text)])

    return make


def enclosing(name: str, pattern: str, new: str, message: str, renamed: dict[str, str] | None = None) -> EditKind:
    """The call of method `name` around what is shown is rewritten (`rewrite`, to `renamed` or the same name); an
    import of the type whose member was named is changed to that of the new one."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        file = hit.file
        if file is None:
            return None
        call = next((one for one in file.methods(name) if one.start <= hit.start and hit.end <= one.end), None)
        if call is None:
            return None
        old, hit.expr = hit.expr, call
        names = renamed or {}
        edits: list[Edit] = []
        text = new
        for was, now in names.items():
            use = next((one for one in file.uses if canonical(_full(file, one.path)) == canonical(was)), None)
            if use is not None and not use.renamed and not use.public and file.text[use.start : use.end] == use.name:
                short = now.rpartition("::")[2]
                edits.append(replace(ctx, file, use.start, use.end, short))
                text = text.replace("{" + now + "}", short)
        fix = rewrite(pattern, text, message, name="attach")(hit, ctx)
        hit.expr = old
        return Fix(fix.applicability, message, [*fix.edits, *edits]) if fix is not None else None

    return make


def _full(file: SourceFile, path: str) -> str:
    return resolve(file, path) or path


def as_method(at: int, text: str, message: str, applicability: str = "safe") -> EditKind:
    """`&x` as an argument becomes `x.text`."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        if hit.expr is None or hit.file is None or at >= len(hit.expr.args):
            return None
        whole = one = hit.expr.args[at]
        while one.kind == "ref" and one.inner is not None:
            one = one.inner
        if one.kind not in ("path", "field", "method", "call"):
            return None
        edits = [replace(ctx, hit.file, whole.end, whole.end, f".{text}")]
        if one.start > whole.start:
            edits.insert(0, replace(ctx, hit.file, whole.start, one.start, ""))
        return Fix(applicability, message, edits)

    return make


def borrow_receiver(at: int, message: str) -> EditKind:
    """`x.as_raw_fd()` as an argument becomes `&x`."""

    def make(hit: Hit, ctx: CheckContext) -> Fix | None:
        one = hit.expr.args[at] if hit.expr is not None and at < len(hit.expr.args) else None
        receiver = one.receiver if one is not None else None
        if hit.file is None or one is None or receiver is None:
            return None
        edits = [
            replace(ctx, hit.file, one.start, one.start, "&"),
            replace(ctx, hit.file, receiver.end, one.end, ""),
        ]
        return Fix("unsafe", message, edits)

    return make
