"""The types of the kernels that were asked for, and the questions that rules of `kernel-layout` put to them.

`asked(ctx)` gives them: the files of `--btf`, the kernels of the lab that `--kernels` names, else the running one. Call
it only with something in hand to compare: reading the types of a kernel takes longer than reading a project.
"""

from __future__ import annotations

import os

from bpfsmith.model.errors import BpfsmithError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from bpfsmith._native import Btf
    from bpfsmith.rules._context import CheckContext

__all__ = ["RUNNING", "Kind", "Prototype", "Types", "asked", "names_of", "table"]

RUNNING = "/sys/kernel/btf/vmlinux"
_prepared: dict[str, Types] = {}
_DEPTH = 16


class Kind:
    """A type as far as comparing asks: `what` is ptr, int, struct, union, enum, array, void or other.

    `name` of a pointer is that of the struct it leads to, `to` what it leads to.
    """

    __slots__ = ("name", "signed", "size", "text", "to", "what")

    def __init__(
        self, what: str, name: str = "", size: int = 0, signed: bool = False, to: str = "", text: str = ""
    ) -> None:
        self.what = what
        self.name = name
        self.size = size
        self.signed = signed
        self.to = to
        self.text = text


class Prototype:
    """What a function is called with and gives."""

    __slots__ = ("params", "result", "types", "variadic")

    def __init__(self, types: Types, params: list[tuple[str, int]], result: int, variadic: bool) -> None:
        self.types = types
        self.params = params
        self.result = result
        self.variadic = variadic

    def kind(self, index: int) -> Kind:
        """The type of a parameter; of what is returned for the index after the last."""
        return self.types.kind(self.params[index][1] if index < len(self.params) else self.result)

    @property
    def plain(self) -> bool:
        """Whether each parameter takes one register."""
        kinds = [self.kind(at) for at in range(len(self.params))]
        return not self.variadic and all(one.what in ("ptr", "int", "enum") and one.size <= 8 for one in kinds)

    def text(self) -> str:
        """`(struct sock *sk, int how)`."""
        return f"({', '.join(self.types.declared(one, name) for name, one in self.params) or 'void'})"


class Types:
    """The types of one kernel. `name` is how messages call it, `series` its series where that is known; `live` says
    that it is the running one."""

    __slots__ = ("_classes", "_prototypes", "btf", "live", "name", "series")

    def __init__(self, name: str, btf: Btf, series: str = "", live: bool = False) -> None:
        self.name = name
        self.btf = btf
        self.series = series
        self.live = live
        self._prototypes: dict[tuple[str, str], list[Prototype]] = {}
        self._classes: dict[str, int | None] = {}

    def __repr__(self) -> str:
        return f"Types({self.name})"

    # ------------------------------------------------------------ functions

    def prototypes(self, name: str, kind: str = "FUNC") -> list[Prototype]:
        """Those of a function, or of the tracepoint whose `btf_trace_` typedef is named; several static functions may
        have one name."""
        key = (name, kind)
        if key not in self._prototypes:
            self._prototypes[key] = [self._prototype(one, kind) for one in self.btf.find_all(name, kind)]
        return self._prototypes[key]

    def _prototype(self, at: int, kind: str) -> Prototype:
        told: Any = self.btf.type(at)
        inner: Any = self.btf.type(told["type"])
        if kind == "TYPEDEF" and inner["kind"] == "PTR":
            inner = self.btf.type(inner["type"])
        params = [(one["name"], one["type"]) for one in inner.get("params", ())]
        variadic = bool(params) and params[-1] == ("", 0)
        if kind == "TYPEDEF":
            params = params[1:]  # the tracepoint's own data
        return Prototype(self, params, inner.get("type", 0), variadic)

    # ------------------------------------------------------------ types

    def kind(self, at: int) -> Kind:  # noqa: PLR0911 - a return a kind
        """What a type is, behind its typedefs."""
        if at == 0:
            return Kind("void", text="void")
        btf = self.btf
        real: Any = btf.type(btf.resolve(at)) if btf.resolve(at) else {"kind": "VOID"}
        what = real["kind"]
        text = self.declared(at)
        if what == "INT":
            return Kind("int", real["name"], real["size"], "SIGNED" in str(real.get("encoding", "")), text=text)
        if what in ("ENUM", "ENUM64"):
            return Kind("enum", real["name"], real.get("size", 4), text=text)
        if what == "PTR":
            target = btf.resolve(real["type"]) if real["type"] else 0
            to: Any = btf.type(target) if target else {"kind": "VOID", "name": ""}
            named = to["name"] if to["kind"] in ("STRUCT", "UNION", "FWD") else ""
            return Kind("ptr", named, 8, to=to["kind"], text=text)
        if what in ("STRUCT", "UNION"):
            return Kind(what.lower(), real["name"], real.get("size", 0), text=text)
        if what == "ARRAY":
            return Kind("array", "", btf.size_of(at) or 0, text=text)
        return Kind("void" if what == "VOID" else "other", text=text)

    def declared(self, at: int, name: str = "", depth: int = 0) -> str:
        """A short spelling of a type with a name, as in a C declaration."""
        if at == 0 or depth > _DEPTH:
            return f"void {name}".rstrip() if not name.startswith("*") else f"void {name}"
        told: Any = self.btf.type(at)
        kind = told["kind"]
        if kind == "PTR":
            inner = told["type"]
            if inner and self.btf.kind(inner) == "FUNC_PROTO":
                return f"void (*{name})(..)"
            return self.declared(inner, f"*{name}", depth + 1)
        if kind in ("CONST", "VOLATILE", "RESTRICT", "TYPE_TAG"):
            spelled = self.declared(told["type"], name, depth + 1)
            return f"const {spelled}" if kind == "CONST" and not spelled.startswith("const ") else spelled
        if kind == "ARRAY":
            return f"{self.declared(told.get('type', told.get('type_id', 0)), name, depth + 1)}[]"
        word = {"STRUCT": "struct ", "UNION": "union ", "ENUM": "enum ", "ENUM64": "enum ", "FWD": "struct "}
        return f"{word.get(kind, '')}{told['name'] or '{..}'} {name}".rstrip()

    def struct(self, name: str) -> int | None:
        """The struct or union of this name; None for none, and where there are several that differ in size."""
        if name not in self._classes:
            found = self.btf.find_all(name, "STRUCT") or self.btf.find_all(name, "UNION")
            sizes = {self.btf.size_of(one) for one in found}
            self._classes[name] = found[0] if len(sizes) == 1 else None
        return self._classes[name]

    def begins_with(self, outer: str, inner: str) -> bool:
        """Whether a struct begins with another one, directly or further down: a pointer to one is one to the other."""
        at = self.struct(outer)
        for _ in range(_DEPTH):
            if at is None:
                return False
            told: Any = self.btf.type(at)
            if told["name"] == inner:
                return True
            members = told.get("members") or []
            first = self.btf.resolve(members[0]["type"]) if members else 0
            at = first if first and self.btf.kind(first) in ("STRUCT", "UNION") else None
        return False

    def members(self, at: int) -> Iterator[tuple[str, int, int, int]]:
        """(name, offset, size, type) of a struct's members in bytes, those of anonymous ones in their place; bit fields
        are left out."""
        told: Any = self.btf.type(at)
        for one in told.get("members", ()):
            if one["bitfield_size"]:
                continue
            offset, inner = one["bits_offset"] // 8, self.btf.resolve(one["type"])
            if not one["name"] and inner and self.btf.kind(inner) in ("STRUCT", "UNION"):
                for name, start, size, kind in self.members(inner):
                    yield name, offset + start, size, kind
            else:
                yield one["name"], offset, self.btf.size_of(one["type"]) or 0, one["type"]

    def element_size(self, at: int) -> int:
        """The size of one element of an array; of what is none, its own."""
        real = self.btf.resolve(at)
        told: Any = self.btf.type(real) if real else {"kind": ""}
        if told["kind"] != "ARRAY":
            return self.btf.size_of(at) or 0
        return self.btf.size_of(told.get("type", told.get("type_id", 0))) or 0

    def offset(self, at: int, path: str) -> tuple[int, int, int] | None:
        """(bit offset, bit size, type) of `a.b`; None where there is no such member."""
        try:
            return self.btf.offset_of(at, path)
        except (BpfsmithError, ValueError):
            return None


def asked(ctx: CheckContext) -> list[Types]:
    """The kernels to compare with, oldest first; empty when there is none. Says so once."""
    known: list[Types] | None = ctx.types
    if known is None:
        known = ctx.types = _asked(ctx)
        if not known:
            asked_for = ctx.kernels.newest() if ctx.kernels.specified else "6.12"
            which = f"kernel {ctx.kernels}" if ctx.kernels.specified else "a kernel"
            ctx.notes.append(
                f"no types of {which} are here, so offsets, arguments and attach targets were not compared with them: "
                f"`bpfsmith lab get {asked_for}` and `--kernels {asked_for}`, or `--btf FILE`"
            )
    return known


def _asked(ctx: CheckContext) -> list[Types]:
    found = [Types(_short(one.name), one.btf, one.series if one.version else "") for one in ctx.btf if one.has_btf]
    if ctx.kernels.specified:
        found.extend(_of_lab(ctx.kernels.series))
    elif not found:
        running = _running()
        found = [running] if running is not None else []
    return found


def _short(name: str) -> str:
    """`5.10` of `/some/folder/5.10.btf`: kernels as people call them."""
    base = os.path.basename(name)
    return base.removesuffix(".btf") or name


def _of_lab(series: Iterable[str]) -> list[Types]:
    from bpfsmith.lab import store

    try:
        newest = {one.series: one for one in store.all() if one.has_btf}
    except OSError:
        return []
    out = []
    for name in series:
        one = newest.get(name)
        if one is None:
            continue
        if one.folder not in _prepared:
            try:
                _prepared[one.folder] = Types(one.name, one.btf(), one.series)
            except BpfsmithError:  # damaged: `lab` and `doctor` say so
                continue
        out.append(_prepared[one.folder])
    return out


def _running() -> Types | None:
    if RUNNING not in _prepared:
        from bpfsmith._native import Btf

        try:
            with open(RUNNING, "rb") as file:
                _prepared[RUNNING] = Types(os.uname().release, Btf.parse(file.read()), live=True)
        except (OSError, BpfsmithError):
            return None
    return _prepared[RUNNING]


def names_of(kernels: Iterable[Types]) -> str:
    """`5.10, 6.12`."""
    return ", ".join(one.name for one in kernels)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Columns under each other, two spaces between them."""
    every = [head, *rows]
    widths = [max(len(row[at]) for row in every) for at in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in every]
    return "\n".join(lines)
