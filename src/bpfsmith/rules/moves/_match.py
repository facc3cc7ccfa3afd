"""Kinds of matches: each finds one shape of old code, by what names and receivers certainly are.

Code under a `cfg` on a feature or version is kept for another Aya on purpose and never found.
"""

from __future__ import annotations

from bpfsmith.rules._macro_args import arguments
from bpfsmith.rules._rust import Mention, compat, mentions, programs
from bpfsmith.rules.moves._table import Hit, crates, files, known
from bpfsmith.source.names import canonical, resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bpfsmith.rules._macro_args import Argument
    from bpfsmith.rules.moves._table import Match, Row
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile

__all__ = [
    "Any",
    "Call",
    "Exhaustive",
    "Feature",
    "FieldOf",
    "Impl",
    "MacroArgument",
    "Module",
    "Name",
    "Parameter",
    "Requires",
    "Root",
    "Unsafe",
    "Written",
    "old_too",
]


def old_too(paths: Iterable[str]) -> frozenset[str]:
    """Paths of kernel crates under their names until 2024 too."""
    out = set()
    for path in paths:
        out.add(canonical(path))
        if path.startswith("aya_ebpf"):
            out.add(canonical(path.replace("aya_ebpf", "aya_bpf", 1)))
    return frozenset(out)


class Any:
    """Several matches under one code."""

    def __init__(self, *parts: Match) -> None:
        self.parts = parts

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for one in self.parts for word in one.words))

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for one in self.parts:
            yield from one.find(row, project)


class Name:
    """A path that is named anywhere: `use`, types, patterns, expressions. `names`: absolute path -> its new last part
    (empty: it has none).

    Uses follow from the import: it is found, and all places are edited with it; without one, each place is.
    """

    def __init__(
        self,
        names: dict[str, str] | Iterable[str],
        *,
        where: Callable[[Mention], bool] | None = None,
        each: bool = False,
    ) -> None:
        given = names if isinstance(names, dict) else dict.fromkeys(names, "")
        self.names: dict[str, str] = {}
        for path, new in given.items():
            for one in old_too([path]):
                self.names[one] = new
        self.where = where
        self.each = each

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(path.rpartition("::")[2] for path in self.names))

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for file in files(row, project):
            if not file.has(*self.words):
                continue
            found = [
                one
                for one in mentions(file, self.names)
                if (self.where is None or self.where(one)) and not compat(file, one.item, one.start)
            ]
            for path in dict.fromkeys(one.path for one in found):
                places = [one for one in found if one.path == path]
                imports = [one for one in places if one.use and not self.each]
                words = {"old": path.rpartition("::")[2], "new": self.names[path]}
                for at, one in enumerate(imports or places):
                    together = places if imports else [one]
                    yield Hit(
                        file, one.start, one.end, item=one.item, places=together, words=words,
                        follows=bool(imports) and at > 0,
                    )  # fmt: skip


class Call:
    """A method of certain types (`on`, or as `receiver` says), or a function with an absolute path (`fn`).

    `args`: how many it has; `where` asks more of it. `show`: `name`, `call` (from the name on), `whole`, `callee`, or
    the number of an argument. `then` may replace the expression that is shown and edited (or give None: no hit);
    `words` gives more words for the message.
    """

    def __init__(
        self,
        *names: str,
        on: Iterable[str] = (),
        fn: Iterable[str] = (),
        args: int | tuple[int, ...] | None = None,
        receiver: Callable[[Expr], bool] | None = None,
        where: Callable[[Expr], bool] | None = None,
        then: Callable[[Expr], Expr | None] | None = None,
        more: Callable[[Expr], dict[str, str] | None] | None = None,
        show: str | int = "call",
    ) -> None:
        self.names = names
        self.on = old_too(on)
        self.fn = old_too(fn)
        self.args = (args,) if isinstance(args, int) else args
        self.receiver = receiver
        self.where = where
        self.then = then
        self.more = more
        self.show = show

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.names, *dict.fromkeys(path.rpartition("::")[2] for path in self.fn))

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for file in files(row, project):
            for call in self._calls(file):
                hit = self._hit(file, call)
                if hit is not None:
                    yield hit

    def _calls(self, file: SourceFile) -> Iterator[Expr]:
        if self.on or self.receiver is not None:
            yield from file.methods(*self.names)
        if self.fn:
            yield from file.calls(*dict.fromkeys(path.rpartition("::")[2] for path in self.fn))

    def _hit(self, file: SourceFile, call: Expr) -> Hit | None:  # noqa: PLR0911 - one return a reason
        if self.args is not None and len(call.args) not in self.args:
            return None
        words = {}
        if call.kind == "method":
            words["name"] = call.name
            if self.receiver is None:
                owner = type_of(call.receiver)
                if owner is None or owner.path not in self.on:
                    return None
                words["type"] = owner.name
            elif call.receiver is None or not self.receiver(call.receiver):
                return None
        else:
            callee = call.callee
            path = resolve(file, callee.path, call.item) if callee is not None and callee.kind == "path" else None
            if path is None or path not in self.fn:
                return None
            words["name"] = path.rpartition("::")[2]
            words["type"] = path.rpartition("::")[0].rpartition("::")[2]
        if (self.where is not None and not self.where(call)) or compat(file, call.item, call.start):
            return None
        if self.more is not None:
            found = self.more(call)
            if found is None:
                return None
            words.update(found)
        shown: Expr | None = call
        if self.then is not None:
            shown = self.then(call)
            if shown is None:
                return None
        start, end = _shown(shown if shown is not None else call, words.get("show", self.show))
        return Hit(file, start, end, expr=shown, item=call.item, words=words)


def _shown(expr: Expr, show: str | int) -> tuple[int, int]:
    if isinstance(show, int) or show.isdigit():
        one = expr.args[int(show)]
        return one.start, one.end
    if expr.kind == "method" and show in ("name", "call"):
        return expr.fields[2], (expr.fields[3] if show == "name" else expr.end)
    callee = expr.callee
    if callee is not None and show in ("name", "callee"):
        return callee.start, callee.end
    return expr.start, expr.end


class Unsafe:
    """`unsafe { call }` where the call alone stands in the block and needs it no more."""

    def __init__(self, call: Call) -> None:
        self.call = call

    @property
    def words(self) -> tuple[str, ...]:
        return self.call.words

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for hit in self.call.find(row, project):
            value = hit.expr
            while value is not None and value.parent is not None and value.parent.stripped() == hit.expr:
                value = value.parent
            block = value.parent if value is not None else None
            if value is None or block is None or not block.is_unsafe or block.statements != [value]:
                continue
            if block.tail != value or any(one.kind in ("call", "unary", "macro") for one in value.within()):
                continue  # something in it may need the block
            if any(one.kind == "block" and one.is_unsafe for one in value.within()):
                continue
            hit.expr, hit.start, hit.end = block, block.start, block.end
            yield hit


class MacroArgument:
    """An argument of a program macro: `where(macro, argument, function)` gives words for the message, or None."""

    def __init__(self, *names: str, where: Callable[[str, Argument, Item], dict[str, str] | None]) -> None:
        self.names = names
        self.where = where

    @property
    def words(self) -> tuple[str, ...]:
        return self.names

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for file in files(row, project):
            if not file.has(*self.names):
                continue
            for item, macro, attr in programs(file):
                for one in arguments(file, attr):
                    if one.name not in self.names or compat(file, item, item.start):
                        continue
                    words = self.where(macro, one, item)
                    if words is not None:
                        words = {
                            "macro": macro, "function": item.name, "argument": one.name, "value": one.value or "",
                            **words,
                        }  # fmt: skip
                        yield Hit(file, one.start, one.end, item=item, words=words, program=item.name)


class Parameter:
    """The context that a program under one of `macros` takes."""

    def __init__(self, *macros: str, takes: Iterable[str]) -> None:
        self.macros = macros
        self.takes = old_too(takes)

    @property
    def words(self) -> tuple[str, ...]:
        return self.macros

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for file in files(row, project):
            if not file.has(*self.macros):
                continue
            for item, macro, _ in programs(file):
                if macro not in self.macros or len(item.params) != 1 or compat(file, item, item.start):
                    continue
                param = item.params[0]
                if (resolve(file, param.type, item) or "") not in self.takes:
                    continue
                start = param.type_start
                yield Hit(file, start, start + len(param.type), item=item, words={"macro": macro}, program=item.name)


class Root:
    """A path that starts with the name a crate had before, where only the new one is a dependency."""

    def __init__(self, names: dict[str, str], package: str, old: str) -> None:
        self.names = names
        self.package = package
        self.old = old

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.names)

    def find(self, row: Row, project: Project) -> Iterator[Hit]:  # noqa: ARG002 - every crate that has the new one
        for crate in project.crates:
            if crate.dependency(self.package) is None and not (
                crate.dependency(self.old) is not None and known(project, crate, self.package, "0.1.0")
            ):
                continue
            for file in crate.files:
                if file.has(*self.names):
                    yield from self._in_file(file)

    def _in_file(self, file: SourceFile) -> Iterator[Hit]:
        for old, new in self.names.items():
            # Another crate or module may be called so here.
            local = any(True for _ in file.items_named(old)) or any(use.name == old for use in file.uses)
            crate_files = file.crate.files if file.crate is not None else ()
            local = local or any(
                f"as {old}" in " ".join(other.text[item.start : item.end].split())
                for other in crate_files
                for item in other.items_of_kind("extern_crate")
            )
            given = file.crate.dependency_crate(old) if file.crate is not None else None
            if local or given not in (None, self.old.replace("-", "_")):
                continue
            places = sorted(set(self._places(file, old)))
            for at, (start, item) in enumerate(places):
                scope = file.item_at(item)
                if compat(file, scope, start):
                    continue
                words = {
                    "old": old, "new": new, "severity": "error",
                    "message": f"`{old}` is called `{new}` since its first release, there is no crate of the old name",
                }  # fmt: skip
                yield Hit(
                    file, start, start + len(old), item=scope, words=words, follows=at > 0,
                    places=[Mention(file, old, one, one + len(old), None, False) for one, _ in places],
                )  # fmt: skip

    @staticmethod
    def _places(file: SourceFile, old: str) -> Iterator[tuple[int, int]]:
        import re

        word = re.compile(rf"\b{old}\b(?=\s*(::|;|as\b))")
        for use in file.uses:
            if use.path.partition("::")[0] == old:
                for found in word.finditer(file.text, use.stmt_start, use.stmt_end):
                    yield found.start(), use.owner
        spelled = [(path, start, end, owner) for owner, path, start, end in file.paths_with(old)]
        spelled.extend((one.path, one.start, one.end, -1) for one in file.path_exprs(old))
        spelled.extend((one.path, one.start, one.end, -1) for one in file.of_kind("macro", "struct"))
        for path, start, end, owner in spelled:
            if path.startswith(f"{old}::"):
                hit = word.search(file.text, start, end)
                if hit is not None:
                    yield hit.start(), owner
        for attr in file.attrs:
            if attr.path.startswith(f"{old}::"):
                hit = word.search(file.text, attr.start, attr.end)
                if hit is not None:
                    yield hit.start(), -1


class Module:
    """A module that has another name: in the middle of imports too."""

    def __init__(self, path: str, new: str) -> None:
        self.path = path
        self.new = new

    @property
    def words(self) -> tuple[str, ...]:
        return (self.path.rpartition("::")[2],)

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        import re

        old = self.words[0]
        word = re.compile(rf"\b{old}\b(?=\s*::)")
        wanted = old_too([self.path])
        for file in files(row, project):
            if not file.has(old):
                continue
            places = [(one.start, one.item) for one in mentions(file, wanted)]
            for use in file.uses:
                scope = file.item_at(use.owner)
                path = resolve(file, use.path, scope) or ""
                if any(path.startswith(f"{one}::") for one in wanted):
                    found = word.search(file.text, use.stmt_start, use.stmt_end)
                    if found is not None:
                        places.append((found.start(), scope))
            spelled = {start: item for start, item in places if not compat(file, item, start)}
            every = [Mention(file, self.path, at, at + len(old), None, False) for at in sorted(spelled)]
            for at, one in enumerate(every):
                words = {"old": old, "new": self.new}
                yield Hit(file, one.start, one.end, item=spelled[one.start], places=every, words=words, follows=at > 0)


class Written:
    """A struct expression of certain paths (`PerfEventScope::OneProcessAnyCpu { pid }`); `where` asks more."""

    def __init__(self, names: dict[str, str] | Iterable[str], *, where: Callable[[Expr], bool] | None = None) -> None:
        given = names if isinstance(names, dict) else dict.fromkeys(names, "")
        self.names = {canonical(path): new for path, new in given.items()}
        self.where = where

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(path.rpartition("::")[2] for path in self.names))

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for file in files(row, project):
            if not file.has(*self.words):
                continue
            for one in file.structs(*self.words):
                path = resolve(file, one.path, one.item) if one.path else None
                if path not in self.names or path is None or compat(file, one.item, one.start):
                    continue
                if self.where is None or self.where(one):
                    words = {"old": path.rpartition("::")[2], "new": self.names[path]}
                    yield Hit(file, one.start, one.end, expr=one, item=one.item, words=words)


class Impl:
    """`impl Trait for ..` of a trait that wants more (`missing`, an associated type) than it did."""

    def __init__(self, trait: str, missing: str) -> None:
        self.trait = canonical(trait)
        self.missing = missing

    @property
    def words(self) -> tuple[str, ...]:
        return (self.trait.rpartition("::")[2],)

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        name = self.trait.rpartition("::")[2]
        for file in files(row, project):
            if not file.has(name):
                continue
            for item in file.items_of_kind("impl"):
                if item.extra.partition("<")[0].rpartition("::")[2].strip() != name:
                    continue
                if resolve(file, item.extra.partition("<")[0].strip(), item) != self.trait:
                    continue
                has = any(one.name == self.missing for one in item.children())
                if not has and f"type {self.missing}" not in file.text[item.body_start : item.body_end]:
                    start = item.extra_start
                    yield Hit(file, start, start + len(item.extra), item=item, words={"missing": self.missing})


class Exhaustive:
    """A `match` that names variants of an enum and has no arm for the rest, though there are `more` of them now."""

    def __init__(self, enums: dict[str, tuple[str, ...]]) -> None:
        self.enums = {canonical(path): more for path, more in enums.items()}

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(path.rpartition("::")[2] for path in self.enums)

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for file in files(row, project):
            if not file.has(*self.words):
                continue
            for one in file.of_kind("match"):
                hit = self._hit(file, one)
                if hit is not None:
                    yield hit

    def _hit(self, file: SourceFile, one: Expr) -> Hit | None:
        import re

        enum, seen = None, set()
        for pattern, _, _ in one.arms:
            for part in pattern.split("|"):
                name = re.match(r"\s*&?\s*((?:\w+\s*::\s*)+\w+)", part)
                if name is None:
                    return None
                path = resolve(file, "".join(name[1].split()), one.item)
                owner, _, variant = (path or "").rpartition("::")
                if owner not in self.enums or enum not in (None, owner):
                    return None
                enum = owner
                seen.add(variant)
        if enum is None or compat(file, one.item, one.start):
            return None
        missing = [more for more in self.enums[enum] if more not in seen]
        if not missing:
            return None
        words = {"type": enum.rpartition("::")[2], "new": ", ".join(f"`{more}`" for more in missing)}
        subject = one.file.expr(one.fields[0])
        start, end = (one.start, subject.end) if subject is not None else (one.start, one.start + len("match"))
        return Hit(file, start, end, expr=one, item=one.item, words=words)


class FieldOf:
    """A chain of fields (`skb.skb`) of a value of certain types."""

    def __init__(self, chain: str, on: Iterable[str]) -> None:
        self.chain = chain.split(".")
        self.on = old_too(on)

    @property
    def words(self) -> tuple[str, ...]:
        return (self.chain[-1],)

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for file in files(row, project):
            if not file.has(self.chain[-1]):
                continue
            for field in file.fields_named(self.chain[-1]):
                at: Expr | None = field
                for name in reversed(self.chain):
                    at = at.receiver if at is not None and at.kind == "field" and at.name == name else None
                owner = type_of(at) if at is not None else None
                if owner is not None and owner.path in self.on and not compat(file, field.item, field.start):
                    yield Hit(file, field.start, field.end, expr=field, item=field.item, words={"type": owner.name})


class Feature:
    """A Cargo feature of a dependency that it does not have any more."""

    words = ("Cargo.toml",)

    def __init__(self, package: str, *names: str) -> None:
        self.package = package
        self.names = names

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for crate in crates(row, project):
            wanted = crate.dependency(self.package)
            gone = sorted(set(self.names) & set(wanted.features)) if wanted is not None else []
            if gone:
                message = f"{self.package} {row.first.removesuffix('.0')} has no feature `{gone[0]}`"
                yield Hit(None, 0, 0, crate=crate, words={"old": gone[0], "new": "", "message": message})


class Requires:
    """A dependency on a package in the manifest; `where(dependency, crate)` gives words for the message, or None."""

    words = ("Cargo.toml",)

    def __init__(self, package: str) -> None:
        self.package = package

    def find(self, row: Row, project: Project) -> Iterator[Hit]:
        for crate in crates(row, project):
            if crate.dependency(self.package) is not None:
                yield Hit(None, 0, 0, crate=crate)
