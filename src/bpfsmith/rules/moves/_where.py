"""What rows ask of a call beyond its name: what becomes of its value, what its arguments are."""

from __future__ import annotations

from bpfsmith.rules._rust import EBPF, by_value, called_on, is_text
from bpfsmith.source.names import canonical, resolve
from bpfsmith.source.types import binding, mentions, split_args, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfsmith.rules._rust import Mention
    from bpfsmith.source.rust import Expr

__all__ = [
    "all_of",
    "argument_path",
    "argument_type",
    "as_count",
    "as_option",
    "as_result",
    "borrowed_fd",
    "braced",
    "btf_option",
    "by_values",
    "counted",
    "generic",
    "in_result",
    "io_error_asked",
    "lacks_size",
    "let_of",
    "literal",
    "local",
    "long_error",
    "long_parameter",
    "long_returned",
    "looked_up_program",
    "matched_as_option",
    "not_below",
    "not_of_classifier",
    "not_reference",
    "options_elsewhere",
    "pair_error",
    "questioned",
    "raw_descriptor",
    "raw_pointer",
    "result_alone",
    "single_point",
    "some_zero",
    "text_argument",
    "text_field",
    "unused_import",
    "value_of",
]  # fmt: skip


def text_argument(at: int = 0) -> Callable[[Expr], bool]:
    """The argument is certainly a Rust string."""
    return lambda call: at < len(call.args) and is_text(call.args[at])


def literal(at: int, *kinds: str) -> Callable[[Expr], bool]:
    """The argument is a literal of one of these kinds."""
    return lambda call: at < len(call.args) and call.args[at].literal in kinds


def argument_path(at: int, part: str) -> Callable[[Expr], bool]:
    """The argument is a path that means something below `part` (`::PerfTypeId::`)."""

    def ask(call: Expr) -> bool:
        if at >= len(call.args) or call.args[at].kind != "path":
            return False
        return part in (resolve(call.file, call.args[at].path, call.item) or "")

    return ask


def all_of(*asked: Callable[[Expr], bool]) -> Callable[[Expr], bool]:
    return lambda call: all(one(call) for one in asked)


def by_values(table: dict[str, dict[str, tuple[int, ...]]]) -> Callable[[Expr], dict[str, str] | None]:
    """`table`: type -> method -> arguments that are references now. Says which of them certainly are none."""

    def ask(call: Expr) -> dict[str, str] | None:
        owner = type_of(call.receiver)
        if owner is None:
            return None
        wanted = table.get(owner.name, {}).get(call.name, ())
        wrong = [at for at in wanted if at < len(call.args) and by_value(call.args[at])]
        unsure = [at for at in wanted if at < len(call.args) and at not in wrong and not _reference(call.args[at])]
        words = {"wrong": " ".join(map(str, wrong)), "show": str(wrong[0]) if wrong else ""}
        return words | ({"unsure": " ".join(map(str, unsure))} if unsure else {}) if wrong else None

    return ask


def _reference(expr: Expr) -> bool:
    """Certainly a reference: written as one, or a local or parameter declared as one."""
    if expr.kind == "ref":
        return True
    found = binding(expr) if expr.kind == "path" and "::" not in expr.path else None
    if found is None:
        return False
    if found.type:
        return found.type.startswith("&")
    return found.kind == "let" and found.let is not None and found.let.init is not None and _reference(found.let.init)


def not_reference(call: Expr) -> bool:
    return bool(call.args) and call.args[0].kind != "ref"


def in_result(expr: Expr) -> bool:
    """Whether `?` here leaves a function that certainly returns a `Result`."""
    item = expr.item
    if item is None or item.kind != "fn" or any(one.kind == "closure" for one in expr.ancestors()):
        return False
    if any(one.kind == "block" and one.fields[0] & 10 for one in expr.ancestors()):  # async and try blocks
        return False
    return item.type.partition("<")[0].strip().rpartition("::")[2] == "Result"


def questioned(call: Expr) -> Expr | None:
    """The `?` behind a call."""
    parent = call.parent
    return parent if parent is not None and parent.kind == "try" else None


def let_of(value: Expr) -> str | None:
    """The pattern that a value is bound to by `let`, else None."""
    parent = value.parent
    if parent is None or parent.kind != "block":
        return None
    let = next((one for one in parent.lets if one.init == value), None)
    return let.pattern if let is not None else None


def local(expr: Expr | None) -> bool:
    return expr is not None and expr.kind == "path" and binding(expr) is not None


def btf_option(call: Expr) -> bool:
    """The argument is certainly an `Option`."""
    argument = call.args[0]
    return argument.text.startswith(("Some(", "None")) or (
        argument.kind == "method" and argument.name in ("ok", "as_ref") and ".ok()" in argument.text
    )


_UNWRAPS = frozenset({"ok_or", "ok_or_else", "unwrap", "expect", "unwrap_or", "unwrap_or_else", "unwrap_or_default"})
_ASKS = frozenset({"is_some", "is_none", "map", "and_then", "filter"})


def as_option(call: Expr) -> Expr | None:  # noqa: PLR0911 - one return a use
    """What unwraps the call (and can go with it), or the call itself where it is asked or matched as an `Option`."""
    parent = call.parent
    if parent is None:
        return None
    if parent.kind == "try":
        return parent
    if parent.kind == "method" and parent.receiver == call and parent.name in _UNWRAPS:
        whole, outer = parent, parent.parent
        result = parent.name.startswith("ok_or")
        while result and outer is not None and (outer.kind == "try" or (outer.name in _UNWRAPS)):
            result = outer.name.startswith("map_err")
            whole, outer = outer, outer.parent
        return whole
    if parent.kind == "method" and parent.receiver == call and parent.name in _ASKS:
        return call
    if parent.kind == "let":
        pattern = call.file.text[parent.fields[0] : parent.fields[1]]
        return call if pattern.startswith(("Some", "None")) else None
    if parent.kind == "match" and parent.fields[0] == call.id:
        return call if any(pattern.startswith(("Some", "None")) for pattern, _, _ in parent.arms) else None
    return call if (let_of(call) or "").startswith("Some") else None


_RESULT_ASKS = frozenset(
    {"is_err", "is_ok", "ok", "err", "map_err", "map", "unwrap", "expect", "unwrap_err", "unwrap_or"}
)


def as_result(call: Expr) -> bool:  # noqa: PLR0911 - one return a use
    """Whether anything is done with the value that only a `Result` allows."""
    at, parent = call, call.parent
    while parent is not None and (
        parent.kind == "paren" or (parent.kind == "block" and parent.is_unsafe and parent.tail == at)
    ):
        at, parent = parent, parent.parent
    if parent is None:
        return False
    if parent.kind == "try":
        return True
    if parent.kind == "method":
        return parent.receiver == at and parent.name in _RESULT_ASKS
    if parent.kind == "match":
        return parent.fields[0] == at.id and any(pattern.startswith(("Ok", "Err")) for pattern, _, _ in parent.arms)
    if parent.kind == "let":
        return call.file.text[parent.fields[0] : parent.fields[1]].startswith(("Ok", "Err"))
    let = next((one for one in parent.lets if one.init == at), None)
    if let is None:
        return False
    if let.pattern.startswith(("Ok", "Err")):
        return True
    asked = (one.parent for one in mentions(let))
    return any(one is not None and (one.kind == "try" or one.name in _RESULT_ASKS) for one in asked)


def counted(value: Expr) -> bool:
    """Cast, the length of a `vec!`, array or capacity, an end of a range, a term."""
    parent = value.parent
    if parent is None:
        return False
    if parent.kind == "macro":
        return parent.path == "vec" and len(parent.args) == 2 and parent.args[1] == value
    if parent.kind == "repeat":
        return parent.operands[1] == value
    if parent.kind == "binary":
        return parent.op in ("+", "-", "*")
    if parent.kind == "call":
        made = parent.callee
        return made is not None and made.path.rpartition("::")[2] == "with_capacity" and parent.args == [value]
    return parent.kind in ("cast", "range")


def as_count(call: Expr) -> Expr | None:
    """The unwrapped value of a call, where it is used as a `usize`: at once, or by all uses of its `let`."""
    value = call
    while value.parent is not None and value.parent.stripped() == call:
        value = value.parent
    if value == call:
        return None  # still a `Result`
    if counted(value):
        return value
    parent = value.parent
    let = next((one for one in parent.lets if one.init == value), None) if parent is not None else None
    if let is None:
        return None
    used = list(mentions(let))
    return value if let.type == "usize" or (used and all(counted(one) for one in used)) else None


def argument_type(at: int, module: str, *names: str) -> Callable[[Expr], bool]:
    """The argument is certainly of a type of this module (of these names)."""

    def ask(call: Expr) -> bool:
        found = type_of(call.args[at]) if at < len(call.args) else None
        return found is not None and found.within(module) and (not names or found.name in names)

    return ask


def raw_descriptor(call: Expr) -> bool:
    """The first argument is the number of a descriptor."""
    first = call.args[0] if call.args else None
    return first is not None and first.kind == "method" and first.name == "as_raw_fd" and not first.args


def borrowed_fd(call: Expr) -> bool:
    """The first argument is what `fd()` of a program lends, unwrapped."""
    first = call.args[0].stripped()
    if first.kind != "method" or first.name != "fd" or first.args or first == call.args[0]:
        return False
    found = type_of(first.receiver)
    return found is not None and found.within("aya::programs")


_ERRORS = ("anyhow::Error", "eyre::Report", "color_eyre::Report", "std::io::Error")
_RESULTS = ("anyhow::Result", "std::io::Result", "eyre::Result", "color_eyre::Result", "color_eyre::eyre::Result")


def pair_error(call: Expr) -> bool:
    """The error of the call goes through `?` to one that cannot be made of a pair."""
    outer = call.parent
    while outer is not None and outer.kind == "method" and outer.name in ("context", "with_context"):
        outer = outer.parent
    if outer is None or outer.kind != "try" or not in_result(outer):
        return False
    item = call.item
    if item is None:
        return False
    text = "".join(item.type.split())
    head, _, rest = text.partition("<")
    args = split_args(rest[:-1]) if rest.endswith(">") else []
    path = resolve(call.file, head, item) or ""
    if len(args) < 2:
        return path in (
            "anyhow::Result",
            "std::io::Result",
            "eyre::Result",
            "color_eyre::Result",
            "color_eyre::eyre::Result",
        )
    if args[1].startswith("Box<dyn"):
        return True
    return (resolve(call.file, args[1], item) or "") in _ERRORS


def braced(mention: Mention) -> bool:
    """A variant written with named fields: `X { io_error }`, but not `X { .. }`, which every variant allows."""
    after = mention.file.text[mention.end : mention.end + 200].lstrip()
    return after.startswith("{") and not after[1:].lstrip().startswith("..")


def unused_import(mention: Mention) -> bool:
    """An import of a name that nothing else in the file has."""
    return mention.use and mention.file.text.count(mention.text) == 1


def generic(mention: Mention) -> bool:
    """A type written with generic arguments."""
    return mention.file.text[mention.end : mention.end + 1] == "<"


def text_field(name: str) -> Callable[[Expr], bool]:
    """The field of a struct expression is certainly a Rust string."""
    return lambda struct: any(field == name and is_text(value) for field, value in struct.struct_fields)


def not_below(module: str) -> Callable[[Mention], bool]:
    """A path written without this module just before the name; one segment alone is a name from elsewhere."""

    def ask(mention: Mention) -> bool:
        text = mention.file.text
        start = mention.start
        while text[start - 1].isalnum() or text[start - 1] in "_:":
            start -= 1
        before = text[start : mention.start].rstrip(":")
        if before.rpartition("::")[2] == module:
            return False
        if mention.use:
            use = next((one for one in mention.file.uses if one.start == mention.start), None)
            return use is not None and use.path.rpartition("::")[0].rpartition("::")[2] != module
        return bool(before)

    return ask


def matched_as_option(call: Expr) -> bool:
    """Used in a way that an `Option` allows and a `Result` does not."""
    parent = call.parent
    if parent is None or parent.kind == "try":
        return False
    if parent.kind == "method":
        return parent.receiver == call and parent.name in ("ok_or", "ok_or_else", "is_some", "is_none", "filter")
    return as_option(call) is not None


def value_of(call: Expr) -> Expr:
    """The expression that the call's value becomes: through brackets and `unsafe { .. }`."""
    at, parent = call, call.parent
    while parent is not None and (
        parent.kind == "paren" or (parent.kind == "block" and parent.is_unsafe and parent.tail == at)
    ):
        at, parent = parent, parent.parent
    return at


_LONGS = ("aya_bpf::cty::c_long", "aya_ebpf::cty::c_long", "aya_ebpf_cty::c_long", "core::ffi::c_long")


def _long(call: Expr, text: str) -> bool:
    plain = "".join(text.split())
    if plain == "i64":
        return True
    path = resolve(call.file, plain, call.item) if plain.replace("::", "").isidentifier() else None
    return path in _LONGS


def long_parameter(call: Expr) -> tuple[Expr, int, int] | None:
    """The closure behind the call that takes the error as a `c_long`, with the place of that type."""
    value = value_of(call)
    parent = value.parent
    if parent is None or parent.kind != "method" or parent.receiver != value or len(parent.args) != 1:
        return None
    closure = parent.args[0]
    if parent.name not in ("map_err", "or_else", "unwrap_or_else") or closure.kind != "closure":
        return None
    params = closure.fields[0]
    if len(params) != 1 or not _long(call, call.file.text[params[0][3] : params[0][4]]):
        return None
    return closure, params[0][3], params[0][4]


def long_returned(call: Expr) -> bool:
    """The value of a function that returns `Result<_, c_long>`."""
    value = value_of(call)
    item, parent = call.item, value.parent
    if item is None or item.kind != "fn" or any(one.kind == "closure" for one in call.ancestors()):
        return False
    while parent is not None and parent.kind == "block" and parent.tail == value and parent != item.expr:
        value, parent = parent, parent.parent
    tail = parent is not None and parent == item.expr and parent.tail == value
    if not tail and (parent is None or parent.kind != "return"):
        return False
    head, _, rest = "".join(item.type.split()).partition("<")
    args = split_args(rest[:-1]) if rest.endswith(">") else []
    return head.rpartition("::")[2] == "Result" and len(args) == 2 and _long(call, args[1])


def long_error(call: Expr) -> bool:
    """The error is certainly taken for a `c_long`."""
    return long_parameter(call) is not None or long_returned(call)


def not_of_classifier(mention: Mention) -> bool:
    """In a file without programs for traffic control, whose context is another."""
    return not any(attr.path.rpartition("::")[2] == "classifier" for attr in mention.file.attrs)


def raw_pointer(call: Expr) -> bool:
    """The first argument is a local declared as a raw pointer."""
    first = call.args[0]
    found = binding(first) if first.kind == "path" and "::" not in first.path else None
    return found is not None and found.type.startswith("*")


def lacks_size(mention: Mention) -> bool:
    """A type with one generic argument or none; an expression or an import says nothing."""
    file = mention.file
    if mention.use:
        return False
    end = mention.end
    is_type = any(start <= mention.start and end <= stop for _, _, start, stop in file.paths)
    if not is_type:
        return False
    if file.text[end : end + 1] != "<":
        return not file.text[end:].lstrip().startswith("::")
    inside = file.text[end + 1 : file.text.find(">", end)]
    return "," not in inside


_POINTS = frozenset({"aya::programs::UProbeAttachLocation", "aya::programs::UProbeAttachPoint"})


def single_point(call: Expr) -> bool:
    """The first argument is certainly one place to attach to, not several."""
    first = call.args[0]
    if first.literal in ("str", "int") or is_text(first):
        return True
    if first.kind == "call" and first.callee is not None and first.callee.kind == "path":
        path = resolve(call.file, first.callee.path, call.item) or ""
        return canonical(path).rpartition("::")[0] in _POINTS
    found = type_of(first)
    return found is not None and found.path in _POINTS


def some_zero(at: int) -> Callable[[Expr], bool]:
    """The argument is `Some(0)`."""

    def ask(call: Expr) -> bool:
        one = call.args[at]
        if one.kind != "call" or one.callee is None or one.callee.text != "Some" or len(one.args) != 1:
            return False
        return one.args[0].integer == 0

    return ask


def result_alone(call: Expr) -> bool:
    """Used in a way that a `Result` allows and an `Option` does not."""
    parent = call.parent
    if parent is None:
        return False
    if parent.kind == "method":
        return parent.receiver == call and parent.name in ("map_err", "is_ok", "is_err", "ok", "err", "unwrap_err")
    if parent.kind == "let":
        return call.file.text[parent.fields[0] : parent.fields[1]].startswith(("Ok(", "Err("))
    if parent.kind == "match":
        return parent.fields[0] == call.id and any(one.startswith(("Ok(", "Err(")) for one, _, _ in parent.arms)
    return (let_of(call) or "").startswith(("Ok(", "Err("))


def looked_up_program(receiver: Expr) -> bool:
    """What `program_mut(..)` of an `Ebpf` gave, of whatever type it is: at once, or through a `let`."""
    at: Expr | None = receiver.stripped()
    if at is not None and at.kind == "path" and "::" not in at.path:
        found = binding(at)
        let = found.let if found is not None and found.kind == "let" and not found.type else None
        at = let.init.stripped() if let is not None and let.init is not None else None
    return at is not None and at.kind == "method" and at.name == "program_mut" and called_on(at, EBPF)


def options_elsewhere(call: Expr) -> bool:
    """The third argument is no `TcAttachOptions` made here, and no options of an older release."""
    one = call.args[2]
    if one.kind == "call" and one.callee is not None and "TcAttachOptions::" in one.callee.text:
        return False
    return not argument_type(2, "aya::programs", "TcOptions", "NlOptions")(call)


def io_error_asked(call: Expr) -> Expr | None:
    """Where the error that a call gave is asked for what only an `io::Error` knows."""
    outer: Expr | None = call.parent
    if outer is None:
        return None
    if outer.kind == "let":
        pattern, outer = call.file.text[outer.fields[0] : outer.fields[1]], outer.parent
        patterns = [pattern]
    elif outer.kind == "match" and outer.fields[0] == call.id:
        patterns = [pattern for pattern, _, _ in outer.arms]
    else:
        return None
    names = {one[4:-1].strip() for one in patterns if one.startswith("Err(") and one.endswith(")")}
    if outer is None or outer.kind not in ("if", "match"):
        return None
    for asked in call.file.methods("kind", "raw_os_error"):
        receiver = asked.receiver
        if receiver is None or not outer.start <= asked.start < outer.end or asked.args:
            continue
        if receiver.kind != "path" or receiver.path not in names:
            continue
        found = binding(receiver)
        if found is not None and found.kind == "pattern" and found.scope == outer:
            return asked
    return None
