"""An enum is read from a packet, and `match` has no arm for values that it does not have.

## What it does
Finds `match` without a catch-all on a field of a packet header that is an enum: `ether_type` and `proto` of
`network_types` before 0.1 and 0.2, and own enums with a `repr` in own structs that are read through a pointer or
`load`. Also an enum as the value of an `Array` or `PerCpuArray` that has no variant with the number 0, which is what
the kernel fills the array with.

## Why is this bad
A value of an enum that is none of its variants is undefined behaviour. The compiler believes that it cannot happen,
and leaves out the check: an unknown ethertype runs into whichever arm stands last, or into what follows the function,
and the verifier sees code that nobody wrote.

## Example
```rust
match unsafe { (*frame).kind } {
    Kind::Data => data(&ctx),
    Kind::Control => control(&ctx),
}
```

## Use instead
```rust
match unsafe { (*frame).kind } {
    1 => data(&ctx),
    2 => control(&ctx),
    _ => Ok(xdp_action::XDP_PASS),
}
```

## Fix
Display: read the number and convert it, with an answer for what is unknown.

## Kernels
All.

## Source
Rust reference, "Behavior considered undefined" (invalid values); network-types 0.1, `EthHdr::ether_type()`, which
gives a `Result`.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import cited, covered, kernel_files, maps, place
from bpfsmith.source._typed import field_types, named_type, typed
from bpfsmith.source.types import item_of, parse_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item, SourceFile

_REPRS = ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "C")


def _numbered(item: Item | None) -> bool:
    """An enum of one's own without data."""
    if item is None or item.kind != "enum" or not item.params:
        return False
    if not any(attr.path == "repr" and any(one in attr.args for one in _REPRS) for attr in item.attrs):
        return False
    return not any(
        "(" in _text(item, one.start, one.end) or "{" in _text(item, one.start, one.end) for one in item.params
    )


def _text(item: Item, start: int, end: int) -> str:
    return item.file.text[start:end].partition("=")[0]


class EnumReadFromWire(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "silent"

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            for expr in file.of_kind("match"):
                yield from self._matched(ctx, file, expr)
            yield from self._loaded(ctx, file)
            for item, _ in maps(file):
                yield from self._stored(ctx, file, item)

    def _matched(self, ctx: CheckContext, file: SourceFile, expr: Expr) -> Iterator[Finding]:
        scrutinee = file.expr(expr.fields[0])
        at = scrutinee
        while at is not None and at.kind in ("paren", "block", "unary"):
            at = at.tail if at.kind == "block" else at.inner
        if at is None or at.kind != "field" or file.in_test(expr.item):
            return
        arms = expr.arms
        if not arms or any("::" not in pattern or names for pattern, names, _ in arms):
            return  # a catch-all, or no paths
        owner = typed(at.receiver)
        name = self._enum(file, owner, at.name) if owner is not None else None
        if name is None or scrutinee is None or not self._from_packet(at):
            return
        yield self.finding(
            ctx,
            f"{cited(at.text)} comes from the packet and may be no `{name}` at all: there is no arm for that, and the "
            "compiler takes it to be impossible",
            span=covered(ctx, scrutinee),
            fixes=[Fix("display", "read the number, or add an arm `_ =>`, and answer what is unknown")],
        )

    def _loaded(self, ctx: CheckContext, file: SourceFile) -> Iterator[Finding]:
        """`ctx.load::<Proto>(23)`, `let proto: Proto = ctx.load(23)?`."""
        for call in file.methods("load"):
            owner = typed(call.receiver) or ""
            if not owner.startswith(("aya_ebpf::programs::", "aya_bpf::programs::")) or file.in_test(call.item):
                continue
            text = file.text[call.fields[4] : call.fields[5]].strip(":<> \n")
            if not text:
                lets = (one for at in call.ancestors() if at.kind == "block" for one in at.lets)
                let = next((one for one in lets if one.init is not None and one.init.stripped() == call), None)
                text = let.type if let is not None else ""
            path = named_type(file, text, call.item) if text else None
            item = item_of(file, path) if path is not None and path.startswith("crate::") else None
            if item is None or not _numbered(item) or len(item.params) >= 256:
                continue
            yield self.finding(
                ctx,
                f"what is loaded from the packet may be no `{item.name}` at all, and the compiler takes that to be "
                "impossible",
                span=covered(ctx, call),
                labels=[Label(place(ctx, item.file, item.name_start, item.name_end), "the enum")],
                fixes=[Fix("display", "load the number, and match on it with an arm for all others")],
            )

    @staticmethod
    def _enum(file: SourceFile, owner: str, field: str) -> str | None:
        crate = file.crate
        if owner.startswith("network_types::") and crate is not None:
            if owner.endswith("EthHdr") and field == "ether_type" and crate.below("network-types", "0.1.0"):
                return "EtherType"
            if field in ("proto", "next_hdr") and crate.below("network-types", "0.2.0"):
                return "IpProto"
            return None
        if not owner.startswith("crate::"):
            return None
        struct = item_of(file, owner)
        text = field_types(file, owner).get(field)
        path = named_type(struct.file, text, struct) if text and struct is not None else None
        item = item_of(file, path) if path is not None and path.startswith("crate::") else None
        return item.name if item is not None and _numbered(item) else None

    @staticmethod
    def _from_packet(field: Expr) -> bool:
        """Reached through a pointer that a function with the context gives, or loaded from the packet."""
        from bpfsmith.source.types import binding

        at = field.receiver
        for _ in range(16):
            if at is None:
                return False
            if at.kind in ("paren", "unary", "try", "ref", "field"):
                at = at.receiver if at.kind == "field" else at.inner
            elif at.kind == "block":
                at = at.tail
            elif at.kind == "method":
                if at.name == "load":
                    return True
                at = at.receiver if at.name in ("ok_or", "map_err", "ok", "unwrap", "as_ref") else None
            elif at.kind == "call":
                return len(at.args) == 2 and any(word in at.args[0].text for word in ("ctx", "context"))
            elif at.kind == "path" and "::" not in at.path:
                found = binding(at)
                at = found.let.init if found is not None and found.let is not None else None
            else:
                return False
        return False

    def _stored(self, ctx: CheckContext, file: SourceFile, item: Item) -> Iterator[Finding]:
        """`Array<Mode>` where no `Mode` is 0."""
        parsed = parse_type(item.type)
        if parsed is None or parsed[0].rpartition("::")[2] not in ("Array", "PerCpuArray") or not parsed[1]:
            return
        path = named_type(file, parsed[1][0], item)
        value = item_of(file, path) if path is not None and path.startswith("crate::") else None
        if value is None or not _numbered(value):
            return
        number = -1
        for index, variant in enumerate(value.params):
            text = value.file.text[variant.start : variant.end]
            given = text.partition("=")[2].strip()
            number = number + 1 if not given else int(given, 0) if given.replace("_", "").isdigit() else -10
            if number in (0, -10) or (number < 0 and index == 0):
                return
        yield self.finding(
            ctx,
            f"the kernel fills `{item.name}` with zeros, and no `{value.name}` is 0: reading it before it was set is "
            "undefined behaviour",
            span=place(ctx, file, item.type_start, item.type_start + len(item.type)),
            labels=[Label(place(ctx, value.file, value.name_start, value.name_end), "the enum")],
            fixes=[Fix("display", "add a variant that is 0, or store the number")],
        )


RULE = EnumReadFromWire()
