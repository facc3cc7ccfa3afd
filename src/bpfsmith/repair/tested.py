"""Is a test that was put into a C function a check of what is used behind it, and does it leave as a failure does?

Its condition must be one of a pointer, index or length; it must leave the way the function's other failure branches do;
and whenever the program comes past it, it must come to a use of what was tested: else the program would leave where it
went on before.
"""

from __future__ import annotations

import re

from bpfsmith.repair.c.reader import blanked, bodies, split, tree
from bpfsmith.repair.conventions import TRACING, words
from bpfsmith.repair.failures import FILTER, Way, agree, deciding, sorts, value_of, ways
from bpfsmith.verify.cause.names import literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.reader import Body, Node

__all__ = [
    "CALL",
    "LEAVES",
    "NO_CALLS",
    "PROBE",
    "TOKEN",
    "Guard",
    "Text",
    "check",
    "judged",
    "only_leave",
    "parts",
    "within",
]

TOKEN = re.compile(
    r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'|0[xX][0-9a-fA-F_]+\w*|\d[\w.]*|[A-Za-z_]\w*|->|<<=|>>=|\.\.\."
    r"|[-+*/%&|^=!<>]=|&&|\|\||<<|>>|\+\+|--|\S"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|(\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+')", re.DOTALL)
LEAVES = ("return", "goto", "break", "continue")
_LOOPS = ("for", "while", "do", "loop")
PROBE = re.compile(
    r"bpf_probe_read(?:_kernel|_user)?(?:_str)?\s*\(\s*&\s*(\w+)\s*,\s*sizeof\s*\(\s*\1\s*\)\s*,\s*(.+)\)", re.DOTALL
)
CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
NO_CALLS = frozenset({"sizeof", "if", "__typeof__", "typeof", "void", "long", "unsigned", "int", "offsetof"})
_CALLBACKS = re.compile(
    r"\bbpf_(?:loop|for_each_map_elem|timer_set_callback|user_ringbuf_drain|find_vma|wq_set_callback)\s*\("
)
_CAST = re.compile(
    r"\(\s*(?:const\s+|volatile\s+|unsigned\s+|struct\s+)*"
    r"(?:void|long|int|char|short|__?[usb]\w*\d+|u\d+|size_t)\s*\**\s*\)"
)
_NAMED = r"[A-Za-z_][\w.>\-\[\]]*"


class Guard:
    """A test that was put in: `node` of the new text, its `condition` and how it leaves (`return 0`, `continue`);
    `convention`: it returns what takes no part, as no other failure branch tells."""

    __slots__ = ("body", "condition", "convention", "leave", "node")

    def __init__(self, node: Node, condition: str, leave: str, body: Body) -> None:
        self.node = node
        self.condition = condition
        self.leave = leave
        self.body = body
        self.convention = False


class Text:
    """A text with its tokens, functions and statements."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.plain = blanked(text)
        kept = _COMMENT.sub(lambda one: one[1] if one[1] else re.sub(r"[^\n]", " ", one[0]), text)
        found = [(one[0], one.start()) for one in TOKEN.finditer(kept)]
        self.kept = kept
        self.tokens = [one for one, _ in found]
        self.offsets = [at for _, at in found]
        self.bodies = list(bodies(self.plain))
        self.tops = [tree(self.plain, one.start, one.end) for one in self.bodies]

    def nodes(self) -> Iterator[tuple[Node, Body]]:
        for top, body in zip(self.tops, self.bodies, strict=True):
            for node in top.walk():
                yield node, body

    def of(self, node: Node) -> str:
        return self.kept[node.start : node.end]

    def body(self, name: str) -> tuple[Body, Node] | None:
        for one, top in zip(self.bodies, self.tops, strict=True):
            if one.name == name:
                return one, top
        return None


def only_leave(node: Node) -> Node | None:
    """The way out that is all of a branch."""
    while node.kind == "block":
        if len(node.parts) != 1:
            return None
        node = node.parts[0]
    return node if node.kind in LEAVES else None


def parts(condition: str, by: str) -> list[str]:
    """A condition's parts between `||` or `&&` that no bracket holds; brackets around the whole are taken off."""
    condition = _bare(condition)
    out, depth, start = [], 0, 0
    for at, letter in enumerate(condition):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and condition.startswith(by, at) and at >= start:
            out.append(condition[start:at])
            start = at + len(by)
    return [*out, condition[start:]]


def _bare(text: str) -> str:
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for at, letter in enumerate(text):
            depth += (letter == "(") - (letter == ")")
            if depth == 0 and at < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text


def check(part: str) -> bool:  # noqa: PLR0911 - one return a form
    """`!p`, `p == NULL`, `n == 0`, `x > end`, `i >= N`, `n <= 0`, and such behind an `a &&`."""
    joined = parts(part, "&&")
    part = _bare(joined[-1]).replace("->", ".")
    if any(re.search(r"\|\|", one) and not one.strip().startswith("(") for one in joined[:-1]):
        return False
    if re.fullmatch(rf"!\s*\(?\s*{_NAMED}\s*\)?", part):
        return True
    found = re.fullmatch(r"(.+?)\s*(==|>=|<=|>|<)\s*(.+)", part, re.DOTALL)
    if found is None or re.search(r"(?<![<>])(?:[<>]=?|[!=]=)(?![<>])", re.sub(r"<<|>>", "", found[3])):
        return False
    left, op, right = found[1], found[2], _bare(found[3])
    if not re.search(r"[A-Za-z_]", left):
        return False
    if op == "==":
        return right in ("0", "NULL")
    number = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+)[uUlL]*", right)
    value = literal(number[1]) if number is not None else None
    if op in (">", ">="):
        return value is None or value >= 1
    return (value is None and right.startswith("-")) or (value is not None and value <= 1)


# ------------------------------------------------------------ one test


def judged(one: Guard, before: Text, after: Text, type_: str | None, entry: str) -> str | None:
    """What is wrong with a test that was put in; None when nothing is."""
    shown = f"if ({' '.join(one.condition.split())[:60]})"
    wrong = _way(one, before, after, type_, entry)
    if wrong is not None:
        return f"{wrong}: `{shown} {one.leave};`"
    if not one.condition or PROBE.fullmatch(one.condition.strip()):
        return None  # the read itself, where it stood
    opposite = _opposite(one, before)
    if opposite:
        return f"`if ({opposite})` leaves for nearly all that `{shown}` lets through"
    if not _used(one, after):
        return f"what `{shown}` tests is used on some ways only, and the program would leave on the others too"
    return None


def _way(  # noqa: PLR0911, PLR0912, PLR0915 - one return a reason
    one: Guard, before: Text, after: Text, type_: str | None, entry: str
) -> str | None:
    """Whether it leaves as the function's other failures do."""
    loop = one.node.parent
    while loop is not None and loop.kind not in _LOOPS:
        loop = loop.parent
    word, _, value = one.leave.partition(" ")
    errors = not (one.body.name == entry and (type_ or "").startswith("sched_"))
    start, end = one.body.start, one.body.end
    wanted, givers = sorts(one.condition, after.plain, start, one.node.start)

    def near(top: Node, text: Text, span: tuple[int, int]) -> tuple[list[Way], list[Way]]:
        """The branches that look for a failure, and those of them that decide here."""
        every = ways(top, text.plain, *span, but=one.node, errors=errors)
        some = deciding(every, wanted, givers)
        return [way for way in every if way.sorts != {FILTER} or way in some], some

    own, same = near(loop, after, (start, end)) if loop is not None else ([], [])
    if same and (type_ not in TRACING or one.body.name != entry):
        if not agree(same):
            return "the other checks of that kind do not agree on how to leave"
        told = value_of(one.leave, after.plain, start, end, one.node.start, errors=errors)
        if told != same[0].value:
            return "the other checks of that kind leave otherwise"
    if word in ("break", "continue"):
        if loop is None:
            return "it leaves no loop"
        if word in (way.said.partition(" ")[0] for way in own) or (word == "continue" and loop.kind in ("for", "loop")):
            return None
        head = after.plain[loop.head[0] : loop.head[1]] if loop.head is not None else ""
        if loop.kind == "while" and any(re.search(rf"\b{re.escape(name)}\b", head) for name in _names(one.condition)):
            return None  # as the loop's own end
        return "no other test of the loop leaves so"
    ends = re.search(r">=?\s*\(?[^&|]*\b\w*end\b", one.condition) is not None
    if loop is not None and loop.kind in ("for", "loop") and not ends and one.leave not in [way.said for way in own]:
        return "the loop's later rounds would be cut off"
    found = before.body(one.body.name)
    if found is None:
        return "the function is new"
    body, top = found
    failures, decide = near(top, before, (body.start, body.end))
    failures = [way for way in failures if way.node.kind in ("return", "goto")]
    decide = [way for way in decide if way.node.kind in ("return", "goto")]
    known = [way.said for way in failures]
    if decide and not same and (type_ not in TRACING or body.name != entry):
        if not agree(decide):
            return "the function's other checks of that kind do not agree on what to return"
        if value_of(one.leave, after.plain, start, end, one.node.start, errors=errors) != decide[0].value:
            return "it returns what no other failure of that kind returns"
    if known and one.leave in known and word == "goto":
        here = _label(one.leave, one.node.start, one.body, after)
        outer = after.tops[after.bodies.index(one.body)]
        alike = [way.node.start for way in near(outer, after, (start, end))[0] if way.said == one.leave]
        labels = {_label(one.leave, at, one.body, after) for at in alike}
        return None if here in labels else "what is returned behind the label is another value by then"
    if known and (decide or same):
        return None if one.leave in known else "it returns what no other failure of the function returns"
    every = {" ".join(before.of(node).rstrip(";").split()) for node in top.walk() if node.kind == "return"}
    head = body.head[: body.head.find(body.word)]
    if re.search(r"\bvoid\s*$", head):
        return None if not value else "the function returns nothing"
    constant = {way for way in every if re.fullmatch(r"return -?[A-Z0-9_]\w*", way)}
    if len(every) == 1 and constant == every:
        return None if one.leave in every else "it returns what the function never returns"
    if "*" in head:
        return None if value in ("NULL", "0") else "it returns another pointer than none"
    if body.name != entry:
        from bpfsmith.repair.c.callers import asked_for, predicate

        says_no = value in ("0", "false") and predicate(body.name, before.plain, body.start, body.end)
        if (says_no or (value and asked_for(body.name, before.plain) == value)) and _harmless(
            body.name, value, before, type_, entry
        ):
            return None
    if body.name == entry and value in words(type_):
        every = {way.said for way in ways(top, before.plain, body.start, body.end)} - {one.leave}
        if any(way.startswith("return") for way in every) and type_ not in TRACING:
            return "the function leaves otherwise elsewhere, and has no failure branch"
        one.convention = True
        return None
    if value == "0" and re.search(rf"{_CALLBACKS.pattern}[^;]*\b{re.escape(body.name)}\b", before.plain):
        return None
    return "the function has no failure branch that the new one could agree with"


def _opposite(one: Guard, before: Text) -> str:
    """A test of the function that leaves where a packet is long enough: behind it and one that leaves where it is not,
    hardly a packet is left."""
    found = before.body(one.body.name)
    if found is None or not re.search(r">=?[^<>]*\b\w*end\b", one.condition.replace("->", ".")):
        return ""
    for node in found[1].walk():
        if node.kind == "if" and node.head is not None and only_leave(node.parts[0]) is not None:
            head = _head(node, before)
            if re.search(r"^[^<>]*<=?[^<>]*\b\w*end\b|\b\w*end\b[^<>]*>=?[^<>]*$", head) and not re.search(
                "[&|]{2}", head
            ):
                return " ".join(before.of(node)[before.of(node).find("(") + 1 :].split(")\n")[0].split())[:60].rstrip(
                    ")"
                )
    return ""


def _harmless(name: str, value: str, text: Text, type_: str | None, entry: str) -> bool:
    """Whether each caller takes an answer for a failure, or goes on with it: it leaves as its other failures do, or
    with what takes no part."""
    called = re.compile(rf"\b{re.escape(name)}\s*\(")
    for body, top in zip(text.bodies, text.tops, strict=True):
        if body.name == name:
            continue
        uses = len(called.findall(text.plain[body.start : body.end]))
        fine = 0
        for node in top.walk():
            if node.kind == "if" and node.head is not None:
                head = text.plain[node.head[0] : node.head[1]].strip()
                if not called.search(head):
                    continue
                refused = (
                    re.match(r"!\s*\w+\s*\(", head) is not None
                    or re.search(r"\)\s*(?:<\s*0|==\s*-1)$", head) is not None
                )
                if not refused:
                    fine += re.fullmatch(r"\w+\s*\(.*\)(?:\s*>\s*0)?", head, re.DOTALL) is not None and value != "-1"
                    continue
                leave = only_leave(node.parts[0])
                said = " ".join(text.of(leave).rstrip(";").split()) if leave is not None else ""
                known = [way.said for way in ways(top, text.plain, body.start, body.end, but=node)]
                own = body.name == entry and said.partition(" ")[2] in words(type_)
                fine += len(node.parts) == 1 and (said in known or own or said == "continue")
            elif node.kind == "return" and body.name == entry:
                told = re.fullmatch(
                    r"return\s+(.*?\))\s*\?([^?:]*):([^?:]*);", text.plain[node.start : node.end], re.DOTALL
                )
                if told is not None and re.match(rf"{re.escape(name)}\s*\(", told[1]):
                    fine += told[3].strip() in words(type_)
        if fine != uses:
            return False
    return True


def _head(node: Node, text: Text) -> str:
    return text.plain[node.head[0] : node.head[1]].replace("->", ".") if node.head is not None else ""


def _label(goto: str, at: int, body: Body, text: Text) -> str:
    """What set the variable last that is returned behind a label, where a `goto` stands."""
    label = goto.partition(" ")[2]
    behind = re.search(rf"\b{re.escape(label)}\s*:(.*)", text.plain[body.start : body.end], re.DOTALL)
    told = re.search(r"\breturn\s+([A-Za-z_]\w*)\s*;", behind[1]) if behind is not None else None
    if told is None or told[1].isupper():
        return ""
    found = re.findall(rf"(?<![\w.>]){told[1]}\s*[-+|&]?=(?!=)[^;]*;", text.plain[body.start : at])
    return "".join(found[-1].split()) if found else ""


# ------------------------------------------------------------ whether what is tested is used


def _used(one: Guard, after: Text) -> bool:
    """Whether, past the test, the program comes to a use of what each part of it tests on every way."""
    for part in parts(one.condition, "||"):
        joined = parts(part, "&&")
        ahead = "".join("".join(joined[:-1]).split()) if len(joined) > 1 else ""
        if not used_at(joined[-1], one.node, one.node.end, one.body, after, ahead):
            return False
    return True


def used_at(test: str, node: Node, start: int, body: Body, text: Text, ahead: str = "") -> bool:
    """Whether every way from behind a statement (or, of its own text, from an offset in it) leads to a use of what a
    test is about."""
    plain = text.plain
    pointer = _of_pointer(test)
    names = _names(test)
    if pointer:
        # What was made of the pointer stands for it.
        made = re.findall(r"\b([A-Za-z_]\w*)\s*=(?!=)([^;]*);", plain[body.start : body.end])
        names |= {name for name, value in made if any(re.search(rf"\b{re.escape(one)}\b", value) for one in names)}
    for name in names:
        word = re.escape(name).replace(r"\-\>", r"\s*->\s*").replace(r"\.", r"\s*\.\s*")
        for use in re.finditer(rf"(?<![\w.>]){word}(?!\w)", plain[start : body.end]):
            at = start + use.start()
            rest = plain[at + len(use[0]) :].lstrip()
            if _no_use(plain[:at], rest) or (pointer and not _followed(plain[body.start : at], rest, text)):
                continue
            if start < node.end:
                if at < node.end and not _asked(plain[start:at]):
                    return True
            elif _comes_to(node, at, text, ahead):
                return True
    return False


def _of_pointer(test: str) -> bool:
    """Whether a test is of null or of the packet's end."""
    test = _bare(test).replace("->", ".")
    return re.match(r"!\s*\w", test) is not None or re.search(r"NULL$|[<>]=?.*\b\w*(?:end|meta)\b", test) is not None


def _followed(ahead: str, rest: str, text: Text, depth: int = 0) -> bool:
    """Whether a pointer is followed: by `->`, `[`, `*`, or by a function that is given it; one of the file's own must
    follow it on every way."""
    if rest.startswith(("->", "[")):
        return True
    if re.search(r"\*\s*(?:\(\s*[\w\s]+\*+\s*\)\s*)?\(*\s*(?:\(\s*[\w\s]+\*+\s*\)\s*)?$", ahead):
        return re.search(r"[=(,;{}&|!<>?:+-]\s*\*[^;]*$|\breturn\s*\*[^;]*$", ahead) is not None
    closed = 0
    for at in range(len(ahead) - 1, -1, -1):
        letter = ahead[at]
        if letter in ";{}":
            return False
        if letter == ")":
            closed += 1
        elif letter == "(":
            if closed:
                closed -= 1
                continue
            word = re.search(r"(\w+)\s*$", ahead[:at])
            if word is not None:
                if word[1] in ("if", "while", "for", "switch", "return", "sizeof"):
                    return False
                return _by_callee(word[1], len(split(ahead[at + 1 :])) - 1, text, depth)
    return False


def _by_callee(name: str, number: int, text: Text, depth: int) -> bool:
    """Whether a function of the file always follows its argument; others, of the kernel, take no null."""
    found = text.body(name)
    if found is None:
        return True
    body, top = found
    taken = split(body.head[body.head.find("(") + 1 : body.head.rfind(")")])
    word = re.search(r"(\w+)\s*(?:\[\w*\])?$", taken[number]) if number < len(taken) else None
    if word is None or depth > 2:
        return False
    plain = text.plain
    for one in top.parts:
        for use in re.finditer(rf"(?<![\w.>]){word[1]}(?!\w)", plain[one.start : one.end]):
            at = one.start + use.start()
            rest = plain[at + len(use[0]) :].lstrip()
            if _no_use(plain[:at], rest) or not _followed(plain[body.start : at], rest, text, depth + 1):
                continue
            if within(one, at, text, ""):
                return True
        if _may_leave(one, text):
            return False
    return False


def _no_use(ahead: str, rest: str) -> bool:
    """Whether a name is only set, measured, or its address taken."""
    if re.match(r"(?:=(?!=)|[-+*/|&^]=)", rest) and not re.search(r"\*\s*$", ahead):
        return True
    if re.search(r"sizeof\s*\(?\s*\*?\s*$", ahead):
        return True
    return re.search(r"(?<!&)&\s*$", ahead) is not None and not rest.startswith(("->", "["))


def _names(part: str) -> set[str]:
    """What a test is about: the pointer, the index, the length; not the end or the size it is compared with."""
    part = _bare(part).removeprefix("!")
    found = re.fullmatch(r"(.+?)\s*(==|>=|<=|>|<)\s*(.+)", part.replace("->", "\0"), re.DOTALL)
    left = (found[1] if found is not None else part.replace("->", "\0")).replace("\0", "->")
    left = _CAST.sub(" ", left)
    left = re.sub(r"\bsizeof\s*\([^()]*\)", " ", left)
    out = set()
    for one in re.findall(r"[A-Za-z_]\w*(?:(?:->|\.)\w+)*", left):
        if not one.isupper() and one not in NO_CALLS:
            out.add(one)
    return out


def _comes_to(guard: Node, at: int, text: Text, ahead: str) -> bool:
    """Whether every way from behind a test leads to an offset."""
    node, parent = guard, guard.parent
    while parent is not None:
        for one in parent.parts[parent.parts.index(node) + 1 :]:
            if one.start <= at < one.end:
                return within(one, at, text, ahead)
            if _may_leave(one, text) or _acts(one, text):
                return False
        if parent.kind in (*_LOOPS, "switch"):
            return False
        node, parent = parent, parent.parent
    return False


def _may_leave(node: Node, text: Text) -> bool:
    """Whether a statement may leave those around it; tests that only leave because something failed may."""
    for one in node.walk():
        if one.kind in ("return", "goto"):
            branch = one.parent
            while branch is not None and branch.kind == "block" and len(branch.parts) == 1:
                branch = branch.parent
            if not (branch is node and branch.kind == "if" and len(branch.parts) == 1 and _fresh_test(branch, text)):
                return True
        if one.kind in ("break", "continue"):
            outer = one.parent
            while outer is not None and outer is not node.parent and outer.kind not in (*_LOOPS, "switch"):
                outer = outer.parent
            if outer is None or outer is node.parent:
                return True
    return False


def _acts(node: Node, text: Text) -> bool:
    """Whether a statement does what would be missed: calls something, or writes through a pointer."""
    said = text.plain[node.start : node.end]
    if any(one not in NO_CALLS and one not in ("while", "for", "switch") for one in CALL.findall(said)):
        return not _BARRIER.match(said)
    return re.search(r"(?:->\s*\w+|\]|^\s*\*+\s*\w+)\s*(?:=(?!=)|[-+*/|&^]=|\+\+|--)", said) is not None


_BARRIER = re.compile(r"\s*(?:asm|__asm__|barrier_var)\b")


def _fresh_test(branch: Node, text: Text) -> bool:
    """A test of null or of the packet's end: another one of the same use."""
    assert branch.head is not None
    head = text.plain[branch.head[0] : branch.head[1]]
    return all(check(part) and "&&" not in part for part in parts(head, "||")) and "==" not in head


def within(node: Node, at: int, text: Text, ahead: str) -> bool:  # noqa: PLR0911 - one return a kind
    """Whether a statement, once begun, always comes to an offset in it."""
    if node.kind == "block":
        for one in node.parts:
            if one.start <= at < one.end:
                return within(one, at, text, ahead)
            if _may_leave(one, text):
                return False
        return False
    if node.kind == "do":
        return not (node.head and node.head[0] <= at < node.head[1]) and within(node.parts[0], at, text, ahead)
    if node.head is not None:
        if not node.head[0] <= at < node.head[1]:
            return False
        start = node.head[0]
        if node.kind == "for" and text.plain[start:at].count(";") > 1:
            return False
        if ahead:
            return _behind(text.plain[start:at], ahead)
        return not _asked(text.plain[start:at])
    return not _asked(text.plain[node.start : at]) if not ahead else _behind(text.plain[node.start : at], ahead)


def _behind(head: str, ahead: str) -> bool:
    """`a && p->n`: behind the very `a &&` that the test has too, and nothing else."""
    found = "".join(head.split())
    for way in (f"{ahead}&&", f"{_bare(ahead)}&&"):
        start = found.find(way)
        if start >= 0 and not _asked(found[:start]) and not _asked(found[start + len(way) :]):
            return True
    way = f"{_bare(ahead)}?"  # `a ? p->n : 7`
    start = found.find(way)
    behind = found[start + len(way) :]
    return start >= 0 and ":" not in behind and not _asked(found[:start]) and not _asked(behind)


def _asked(head: str) -> bool:
    """Whether what stands behind a text is computed only sometimes: behind `&&`, `||` or `?`."""
    stack = [False]
    at = 0
    while at < len(head):
        letter = head[at]
        if letter in "([{":
            stack.append(False)
        elif letter in ")]}" and len(stack) > 1:
            stack.pop()
        elif letter in ",;":
            stack[-1] = False
        elif letter == "?" or head.startswith(("&&", "||"), at):
            stack[-1] = True
            at += letter != "?"
        at += 1
    return any(stack)
