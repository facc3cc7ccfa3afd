"""Is the failing branch of an added check the only new path? Looked for in the texts, whatever made the change.

What may be new: tests whose branch does nothing but return what the function's failure branches return, `?`, reading
again what a test is about, and bytes that are initialised. Everything the functions did before must stand there still.
A condition must be about what the program works with; one that is always true would take the user's work away by
another name.
"""

from __future__ import annotations

import re
from collections import Counter

from bpfsmith.repair.conventions import neutral
from bpfsmith.repair.report import REWRITE, SAME_WORK, UNSURE_BRANCH
from bpfsmith.repair.rust.failures import tested, unlike
from bpfsmith.repair.tightened import TIGHTENED, undone
from bpfsmith.repair.used import always_used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfsmith.repair.report import Candidate
    from bpfsmith.source.rust import Expr, Item, Let, SourceFile

__all__ = ["added", "by_convention", "rust", "shape"]

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])'|0[xX][0-9a-fA-F_]+\w*|\d[\w.]*|[A-Za-z_]\w*|->|=>|::|\.\.=|\.\."
    r"|<<=|>>=|[-+*/%&|^=!<>]=|&&|\|\||<<|>>|\+\+|--|\S",
    re.DOTALL,
)


def shape(
    texts: Mapping[str, tuple[str, str]], done: Sequence[Candidate], type_: str | None = None, entry: str = ""
) -> str | None:
    """None when it is so; else what is new besides, as a sentence.
    `type_`, `entry`: of the program and its function."""
    if any(one.shape in (REWRITE, SAME_WORK) for one in done):
        return "the change is more than an added check, and no kernel of the lab runs both"
    if any(one.shape == UNSURE_BRANCH for one in done) and not by_convention(done, type_):
        return "the function has no failure branch that the new one could agree with"
    for path, (old, new) in sorted(texts.items()):
        if path.endswith(".rs"):
            wrong = rust(old, new, done)
        else:
            from bpfsmith.repair.shape_c import c

            wrong = c(old, new, done, type_, entry)
        if wrong is not None:
            return wrong
    return None


def by_convention(done: Sequence[Candidate], type_: str | None) -> bool:
    """Whether what had to be chosen is what takes no part at this hook."""
    return all(
        one.shape != UNSURE_BRANCH or (one.kind not in _VERDICTS and neutral(type_, one.returns)) for one in done
    )


_VERDICTS = ("return-range", "in-range")  # a value that is out of range meant something: what, nobody says


# ------------------------------------------------------------ Rust

# Calls that only look, or make an operation one that can fail.
_PURE = frozenset(
    {
        *(
            "is_null",
            "is_none",
            "is_some",
            "is_err",
            "is_ok",
            "ok_or",
            "ok_or_else",
            "ok",
            "map_err",
            "data",
            "data_end",
            "size_of",
        ),
        *("size_of_val", "wrapping_add", "add", "cast", "cast_mut", "cast_const", "len", "get", "get_mut", "get_ptr"),
        *("get_ptr_mut", "try_into", "try_from", "checked_sub", "checked_add", "black_box", "as_ptr", "as_mut_ptr"),
        *("from_ne_bytes", "MaybeUninit", "zeroed", "uninit", "new", "Err", "Ok", "Some", "core", "null", "null_mut"),
        *("read_volatile", "read_unaligned", "read", "first", "copied", "unwrap_or", "checked_add", "as_ref", "as_mut"),
        *(
            "bpf_sk_fullsock",
            "default",
            "metadata",
            "saturating_sub",
            "get_unchecked",
            "addr_of",
            "addr_of_mut",
            "from",
            "compiler_fence",
        ),
    }
)
_READS = ("bpf_probe_read", "bpf_get_", "read_at", "load_bytes", "bpf_skb_load", "bpf_xdp_load", "bpf_ktime")
# Promises to the compiler and shortcuts that a test takes the place of.
_UNCHECKED = frozenset(
    {
        *("unwrap_unchecked", "get_unchecked", "get_unchecked_mut", "unreachable_unchecked", "assert_unchecked"),
        *("unwrap", "expect", "uninit", "assume_init", "read", "write", "panic", "unreachable", "read_volatile"),
        *("assert", "assert_eq", "assert_ne", "debug_assert", "todo", "unimplemented", "forget"),
    }
)
_ASSIGNS = frozenset({"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="})
_LOOPS = ("loop", "while", "for", "break", "continue")
# Given back on a way out that was there: what was reserved.
_RELEASES = frozenset(
    {
        *("submit", "discard", "bpf_ringbuf_discard", "bpf_sk_release", "bpf_ringbuf_submit", "bpf_spin_unlock"),
        *("into", "drop"),
    }
)


def rust(old: str, new: str, done: Sequence[Candidate]) -> str | None:
    """As `shape`, for one Rust file."""
    from bpfsmith.source.rust import parse_files

    before, after = parse_files(["old.rs", "new.rs"], [old.encode(), new.encode()])
    if any(one.kind == TIGHTENED for one in done):
        text, wrong = undone(before, after)
        if wrong is not None:
            return wrong
        (after,) = parse_files(["new.rs"], [text.encode()])
    olds, news = _functions(before), _functions(after)
    if set(olds) - set(news):
        return f"the function `{min(set(olds) - set(news))[0]}` is gone"
    for key, item in news.items():
        former = olds.get(key)
        if former is None:
            return f"the function `{key[0]}` is new"
        if _tokens(former) == _tokens(item):
            continue
        if former.type.split() != item.type.split() and "".join(item.type.split()) != _optional(former):
            return f"`{key[0]}` returns another type"
        wrong = _function(former, item, done)
        if wrong is not None:
            return wrong
    return None


def _optional(former: Item) -> str:
    """What a function returns that may say now that there is nothing."""
    return f"Option<{''.join(former.type.split())}>"


def _functions(file: SourceFile) -> dict[tuple[str, int], Item]:
    out: dict[tuple[str, int], Item] = {}
    seen: Counter[str] = Counter()
    for item in file.items_of_kind("fn"):
        out[item.name, seen[item.name]] = item
        seen[item.name] += 1
    return out


def _tokens(item: Item) -> list[str]:
    return [one for one in _TOKEN.findall(item.file.text[item.start : item.end]) if not one.startswith(("//", "/*"))]


def _words(expr: Expr) -> str:
    return "".join(expr.text.split())


def _calls(item: Item) -> Counter[str]:
    out: Counter[str] = Counter()
    body = item.expr
    if body is not None:
        for one in body.within("call", "method", "macro"):
            if one.kind == "call":
                out[one.callee.path.rpartition("::")[2] if one.callee is not None and one.callee.path else "?"] += 1
            elif one.kind == "method":
                out[one.name] += 1
            else:
                out[f"{one.path.rpartition('::')[2]}!"] += 1
    return out


def _function(  # noqa: PLR0911 - one return a reason
    before: Item, after: Item, done: Sequence[Candidate]
) -> str | None:
    old, new = before.expr, after.expr
    if old is None or new is None:
        return "a body is gone"
    releases = any(one.kind == "release" for one in done)
    lost = _calls(before) - _calls(after)
    for name in lost:
        never = [item for item in before.file.items_named(name) if item.kind == "fn" and item.type.strip() == "!"]
        if name.rstrip("!") not in _UNCHECKED and not never:
            return f"a call of `{name}` is gone"
    again = _again(old, new) if any(one.kind == "re-derive" for one in done) else Counter()
    for name in _calls(after) - _calls(before) - again:
        plain = name.rstrip("!")
        if plain in _PURE or plain.startswith(_READS) or (releases and plain in _RELEASES):
            continue
        return f"a call of `{name}` is new"
    if Counter(one.kind for one in new.within(*_LOOPS)) != Counter(one.kind for one in old.within(*_LOOPS)):
        return "a loop is new or gone"
    wrong = _values(old, new)
    if wrong is not None:
        return wrong
    wrong = _assignments(old, new, filled={one.kind for one in done} >= {"initialise"})
    if wrong is not None:
        return wrong
    returns = {text for one in done for text in one.returns.split(" or ")}
    if "".join(after.type.split()) == _optional(before):
        returns.add("None")
    return _branches(old, new, returns, some="".join(after.type.split()) == _optional(before))


def _values(old: Expr, new: Expr) -> str | None:
    """Numbers must stand there still, and operands where they stood."""
    lost = _numbers(old) - _numbers(new)
    if lost:
        return f"the number {next(iter(lost))} is gone"
    was, now = _operations(old), _operations(new)
    for left, op, right in now - was:
        if (right, op, left) in was - now and op not in ("+", "*", "&", "|", "^", "==", "!="):
            return f"the operands of `{left} {op} {right}` changed places"
    return None


def _numbers(expr: Expr) -> Counter[int]:
    return Counter(one.integer for one in expr.within("lit") if one.integer is not None)


def _operations(expr: Expr) -> Counter[tuple[str, str, str]]:
    out: Counter[tuple[str, str, str]] = Counter()
    for one in expr.within("binary"):
        left, right = one.operands
        if left is not None and right is not None:
            out[_words(left), one.op, _words(right)] += 1
    return out


def _again(old: Expr, new: Expr) -> Counter[str]:
    """The calls of `let` statements that stand there once more, to read again where the packet is."""
    was = Counter(" ".join(let.file.text[let.start : let.end].split()) for let in _lets(old))
    out: Counter[str] = Counter()
    for let in _lets(new):
        text = " ".join(let.file.text[let.start : let.end].split())
        if was[text]:
            was[text] -= 1
        elif any(" ".join(one.file.text[one.start : one.end].split()) == text for one in _lets(old)) and let.init:
            out.update(one.name for one in let.init.within("method"))
            out.update(one.callee.path.rpartition("::")[2] for one in let.init.within("call") if one.callee is not None)
    return out


def _lets(body: Expr) -> list[Let]:
    return [let for block in body.within("block") for let in block.lets]


def _assignments(old: Expr, new: Expr, *, filled: bool) -> str | None:
    """`filled`: fields of a value that was made whole before may be set one by one."""
    was = Counter(_left(one) for one in old.within("binary") if one.op in _ASSIGNS)
    now = Counter(_left(one) for one in new.within("binary") if one.op in _ASSIGNS)
    if was.total() > now.total():
        return "something is not written any more"
    fresh = now - was
    if filled:
        fresh = Counter({left: count for left, count in fresh.items() if "." not in left[0] or "*" in left[0]})
    if fresh.total() > (was - now).total():
        return f"`{next(iter(fresh))[0]}` is written to besides"
    return None


def _left(one: Expr) -> tuple[str, str]:
    left = one.operands[0]
    return (_words(left) if left is not None else "", one.op)


def _branches(  # noqa: PLR0911, PLR0912 - one branch a kind of newness
    old: Expr, new: Expr, returns: set[str], *, some: bool = False
) -> str | None:
    """Every new way out is the failing branch of a new test, and every new test has nothing else in it. `some`: what
    the function gives is in `Some` now."""
    known = Counter(_words(one) for one in old.within("return"))
    tests = Counter(_test(one) for one in old.within("if"))
    allowed: set[int] = set()
    arms = Counter(_words(one) for one in old.within("match"))
    for one in new.within("if"):
        mark = _test(one)
        if tests[mark]:
            tests[mark] -= 1
            continue
        condition, then, other = one.branches
        if other is not None or then is None or condition is None:
            # `if let` and `match` that take the place of a promise are tests too: their text tells
            return "a new `if` has two branches"
        leave = _only_return(then)
        if leave is None:
            return f"the branch of `if {condition.text[:60]}` does more than fail"
        wrong = _condition(condition, old)
        if wrong is not None:
            return wrong
        if _opposite(condition, old):
            return f"another test leaves for nearly all that `if {condition.text[:60]}` lets through"
        if not _asserted(condition, old) and not always_used(one, condition):
            shown = condition.text[:60]
            return f"what `if {shown}` tests is used on some ways only, and the program would leave on the others too"
        allowed.add(leave.id)
    lets = Counter(let.other.text for block in old.within("block") for let in block.lets if let.other is not None)
    for block in new.within("block"):
        for let in block.lets:
            if let.other is None:
                continue
            if lets[let.other.text]:
                lets[let.other.text] -= 1
                continue
            leave = _only_return(let.other)
            if leave is not None:
                allowed.add(leave.id)
    for one in new.within("return"):
        text = _words(one)
        if some and text.startswith("returnSome(") and text.endswith(")"):
            text = f"return{text[len('returnSome(') : -1]}"
        if known[text] and one.id not in allowed:
            known[text] -= 1
            continue
        if one.id in allowed:
            said = _words(one.inner) if one.inner is not None else ""
            if said not in {"".join(text.split()) for text in returns}:
                return f"`{one.text}` is none of the function's other failures"
            wrong = unlike(old, tested(one), said) if said and not some else None
            if wrong is not None:
                return f"{wrong}: `{one.text}`"
            continue
        if _in_arm(one, arms):
            continue
        return f"`{one.text}` is a new way out"
    return None


def _in_arm(leave: Expr, arms: Counter[str]) -> bool:
    """`None => return ..` where a promise stood, or an arm of a test that is new as a whole."""
    for outer in leave.ancestors():
        if outer.kind == "match":
            for pattern, _, result in outer.arms:
                if result is not None and result.start <= leave.start < result.end:
                    return pattern.strip().split("(")[0] in ("None", "Err", "_") and not arms[_words(outer)]
            return False
        if outer.kind not in ("block", "paren"):
            return False
    return False


def _opposite(condition: Expr, old: Expr) -> bool:
    """Whether a test of the function leaves where a packet is long enough, and the new one where it is not."""

    def compares(expr: Expr, ops: tuple[str, ...]) -> bool:
        right = expr.operands[1] if expr.kind == "binary" and expr.op in ops else None
        return right is not None and re.search(r"\b\w*end\b", right.text) is not None

    if not compares(condition, (">", ">=")):
        return False
    return any(
        test is not None and then is not None and other is None and compares(test, ("<", "<="))
        and _only_return(then) is not None
        for test, then, other in (one.branches for one in old.within("if"))
    )  # fmt: skip


def _asserted(condition: Expr, old: Expr) -> bool:
    """Whether the contrary of a test was asserted where it stands now: that panicked on every way."""
    inner = condition.inner if condition.kind == "unary" and condition.op == "!" else condition
    text = _words(inner).strip("()") if inner is not None else ""
    asserts = (one for one in old.within("macro") if one.path.rpartition("::")[2] in _ASSERTS)
    return any(text in _words(one) for one in asserts)


_ASSERTS = frozenset({"assert", "assert_eq", "assert_ne", "debug_assert"})


def added(before: SourceFile, after: SourceFile) -> list[Expr | Let]:
    """The tests of a changed file whose branch only leaves, which the old one does not have."""
    out: list[Expr | Let] = []
    olds = _functions(before)
    for key, item in _functions(after).items():
        old = olds[key].expr if key in olds else None
        if item.expr is None or old is None:
            continue
        tests = Counter(_test(one) for one in old.within("if"))
        lets = Counter(_words(let.other) for block in old.within("block") for let in block.lets if let.other)
        for one in item.expr.within("if"):
            tests[_test(one)] -= 1
            if tests[_test(one)] < 0 and one.branches[1] is not None and _only_return(one.branches[1]) is not None:
                out.append(one)
        for block in item.expr.within("block"):
            for let in block.lets:
                if let.other is not None:
                    lets[_words(let.other)] -= 1
                    if lets[_words(let.other)] < 0:
                        out.append(let)
    return out


def _test(one: Expr) -> str:
    condition = one.branches[0]
    return _words(condition) if condition is not None else ""


def _only_return(block: Expr) -> Expr | None:
    """The `return` that is all of a block (a discard before it apart)."""
    at: Expr | None = block
    while at is not None and at.kind == "block":
        statements = at.statements
        if len(statements) != 1 or not hasattr(statements[0], "kind"):
            return None
        at = statements[0]  # type: ignore[assignment]
    return at if at is not None and at.kind == "return" else None


def _condition(condition: Expr, old: Expr) -> str | None:
    """A test must look at something the function works with, and compare it with a bound."""
    names = {one.path for one in condition.within("path")}
    if not names:
        return f"`{condition.text[:60]}` tests nothing of the program's"
    known = {one.path for one in old.within("path")}
    bound = set()
    for block in condition.file.of_kind("block"):
        for let in block.lets:
            bound.update(let.names)
    params = {one.name for one in condition.item.params} if condition.item is not None else set()
    if not any(name in known or name in bound or name in params for name in names):
        return f"`{condition.text[:60]}` tests nothing the function works with"
    return None if _is_check(condition) else f"`{condition.text[:60]}` is no check of a pointer, index or length"


def _is_check(condition: Expr) -> bool:  # noqa: PLR0911 - one return a kind
    """`p.is_null()`, `x > end`, `i >= N`, `n == 0`, and such joined by `||`; `!(..)` of the contrary."""
    while condition.kind == "paren" and condition.inner is not None:
        condition = condition.inner
    if condition.kind == "binary" and condition.op == "||":
        return all(one is not None and _is_check(one) for one in condition.operands)
    if condition.kind == "unary" and condition.op == "!":
        return condition.inner is not None and _refuted(condition.inner)
    if condition.kind == "method":
        return condition.name in ("is_null", "is_none", "is_err", "is_empty")
    if condition.kind != "binary":
        return False
    left, right = condition.operands
    if left is None or right is None:
        return False
    if condition.op in (">=", ">"):
        # `x >= 0` and `len > 0` hold nearly always: what they guard would be gone.
        limit = right.integer
        return limit is None or limit >= 1
    if condition.op in ("<", "<="):
        limit = right.integer
        return limit is None or limit <= 1
    if condition.op == "==":
        return right.integer == 0 or right.text in ("0", "None") or right.kind == "path"
    return condition.op == "!="


def _refuted(condition: Expr) -> bool:  # noqa: PLR0911 - one return a kind
    """Whether the contrary of it is a check: `x < N`, `p + n <= end`, `n != 0`, `found.is_some()`, joined by `&&`."""
    while condition.kind == "paren" and condition.inner is not None:
        condition = condition.inner
    if condition.kind == "unary" and condition.op == "!":
        return condition.inner is not None and _is_check(condition.inner)
    if condition.kind == "method":
        return condition.name in ("is_some", "is_ok")
    if condition.kind != "binary":
        return False
    left, right = condition.operands
    if left is None or right is None:
        return False
    if condition.op == "&&":
        return _refuted(left) and _refuted(right)
    limit = right.integer
    if condition.op in ("<", "<="):
        return limit is None or limit >= 1
    if condition.op in (">", ">="):
        return limit is None or limit <= 1
    if condition.op == "!=":
        return limit == 0 or right.text in ("0", "None") or right.kind == "path"
    return condition.op == "=="
