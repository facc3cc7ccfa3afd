"""Changes of C that say the same in other words: each with the reason why nothing else changes."""

from __future__ import annotations

import re

from bpfsmith.model.finding import Edit, Span
from bpfsmith.repair.c.text import before, blanked, checked, closing, fresh, functions, replace
from bpfsmith.repair.c.ways import guarded
from bpfsmith.repair.report import REWRITE, SAME_WORK, Candidate
from bpfsmith.verify.cause.names import literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

_NOINLINE = re.compile(r"__noinline\b|__attribute__\s*\(\(\s*noinline\s*\)\)")
_WIDE = r"(?:const\s+|volatile\s+)*(?:__u64|__s64|u64|s64|(?:unsigned\s+)?long(?:\s+long)?|uint64_t)"
_SPLIT = re.compile(
    rf"\*\s*\(\s*{_WIDE}(?:\s+volatile)?\s*\*\s*\)\s*(&\s*\w+->\w+(?:\[\d+\])?|\w+\b)(?!\s*(?:=[^=]|\())"
)
_ARRAYS = {"cb": 5, "user_ip6": 4, "msg_src_ip6": 4, "src_ip6": 4, "dst_ip6": 4, "remote_ip6": 4, "local_ip6": 4}


def candidates(ground: Ground) -> Iterator[Candidate]:
    """Inlining, other declarations, reads in parts, larger locals, a value computed once."""
    cls = ground.cause.cls
    if cls in ("context-access", "argument-type"):
        yield from _declared(ground)
    done: set[int] = set()
    for function in functions(ground):
        if cls in ("context-access", "pointer-arithmetic"):
            yield from _split(function)
            yield from _context_array(function)
            yield from _either(function)
            yield from _per_cpu(function)
        if cls in ("missing-bounds-check", "check-wrong"):
            yield from _larger(function)
            yield from _full(function, ground)
        if cls in ("argument-type", "pointer-to-scalar"):
            yield from _task(function)
        if cls in ("check-on-copy", "check-lost", "missing-bounds-check") and function.start not in done:
            done.add(function.start)
            yield from _once(function)
    if cls in ("stack-limit", "argument-type", "return-range", "check-lost", "check-on-copy"):
        yield from _inline(ground)


# ------------------------------------------------------------ inlining


def _inline(ground: Ground) -> Iterator[Candidate]:
    for path in ground.files:
        text = ground.text(path)
        plain = blanked(text)
        edits = []
        sure = True
        for one in _NOINLINE.finditer(plain):
            head = plain[plain.rfind("\n", 0, one.start()) + 1 : one.start()]
            rest = plain[one.end() :]
            opened = rest.find("{")
            body = rest[opened : closing(rest, opened)] if opened >= 0 else ""
            name = re.search(r"([A-Za-z_]\w*)\s*(?:##\w+)?\s*\(", rest[: opened if opened >= 0 else 0])
            if "bpf_tail_call" in body:
                # In a function of its own a tail call returns to the caller; in the program it does not.
                called = rf"\b{re.escape(name[1])}\s*\(" if name else ""
                uses = len(re.findall(called, plain)) - 1 if called else 1
                last = len(re.findall(rf"\breturn\s+{called}[^;]*;", plain)) if called else 0
                sure = sure and uses > 0 and uses == last
            if re.search(r"return\s+&|=\s*&\s*\w+\s*;", body):
                sure = False  # an address of its own that it hands out does not live on for being inlined
            static = "" if "static" in head or "static" in rest[: max(opened, 0)].split("(")[0] else "static "
            edits.append((one.start(), one.end(), f"{static}__always_inline"))
        if not edits:
            continue
        said = "make it part of its callers (`__always_inline`)"
        why = "inlining changes where the code stands, not what it does"
        shape = SAME_WORK if sure else REWRITE
        groups = [[one] for one in edits] if 1 < len(edits) < 4 else []
        for group in [*groups, edits]:
            made = [Edit(_span(path, text, start, end), new) for start, end, new in group]
            yield Candidate("inline", made, said, shape, why=why)


def _span(path: str, text: str, start: int, end: int) -> Span:

    def at(offset: int) -> tuple[int, int]:
        return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1

    return Span(path, *at(start), *at(end))


# ------------------------------------------------------------ declarations


def _declared(ground: Ground) -> Iterator[Candidate]:
    """A global that is written may not be `const`; one a helper asks to be constant must be; a map's flag."""
    why = "every instruction is the same one: only a declaration is another"
    for path in ground.files:
        text = ground.text(path)
        plain = blanked(text)
        for function in functions(ground):
            if function.path != path:
                continue
            for name in dict.fromkeys(re.findall(r"\b[A-Za-z_]\w*\b", function.shown)):
                kind = r"((?:static\s+)?)(const\s+)?((?:volatile\s+)?(?:struct\s+)?\w+\s+)"
                pattern = rf"^{kind}{re.escape(name)}\b(\s*\[[^\]]*\])*\s*(=[^;]*)?;"
                found = re.search(pattern, plain, re.MULTILINE)
                if found is None or found[3].strip() in ("return", "extern", "typedef", "struct"):
                    continue
                if found[2] and ground.cause.cls == "context-access":
                    start, end = found.start(2), found.end(2)
                    said = f"declare `{name}` as what is written: not `const`"
                    yield Candidate("declaration", [Edit(_span(path, text, start, end), "")], said, SAME_WORK, why=why)
                if not found[2] and found[4] and ground.why.family == "V21":
                    start = found.start(3)
                    said = f"declare `{name}`, which nothing writes, as `const`"
                    edit = Edit(_span(path, text, start, start), "const ")
                    yield Candidate("declaration", [edit], said, SAME_WORK, why=why)
        if ground.why.family != "V17" and ground.cause.cls != "context-access":
            continue
        for one in re.finditer(r"^[ \t]*__uint\s*\(\s*map_flags\s*,\s*([^()]*)\)\s*;[ \t]*\n", plain, re.MULTILINE):
            flags = [word.strip() for word in one[1].split("|")]
            if "BPF_F_RDONLY_PROG" not in flags:
                continue
            left = [word for word in flags if word != "BPF_F_RDONLY_PROG"]
            said = "let programs write to the map"
            if left:
                edit = Edit(_span(path, text, one.start(1), one.end(1)), " | ".join(left))
            else:
                edit = Edit(_span(path, text, one.start(), one.end()), "")
            yield Candidate("declaration", [edit], said, SAME_WORK, why=why)


# ------------------------------------------------------------ reads in parts


def _split(function: Function) -> Iterator[Candidate]:
    """Eight bytes at once as two times four: the same bytes."""
    first = function.first
    for one in _SPLIT.finditer(function.shown):
        halves = f"(volatile __u32 *)({one[1]})"
        text = f"((__u64)({halves})[1] << 32 | ({halves})[0])"
        edit = replace(function, first + one.start(), first + one.end(), text)
        said = f"read `{one[1].strip()}` and what follows it four bytes at a time"
        yield Candidate("split-read", [edit], said, SAME_WORK, why="the same bytes are read, four at a time")


def _context_array(function: Function) -> Iterator[Candidate]:
    """An array of the context by a variable index: read as a whole first, then indexed."""
    first = function.first
    for one in re.finditer(r"\b(\w+->(\w+))\s*\[", function.shown):
        count = _ARRAYS.get(one[2])
        close = closing(function.plain, first + one.end() - 1)
        index = function.text[first + one.end() : close].strip()
        if (
            count is None
            or re.fullmatch(r"\w*\d+|[A-Z_]+", index)
            or re.match(r"\s*=[^=]", function.plain[close + 1 :])
        ):
            continue
        # Only what cannot reach behind the array has a value there and here.
        mask = re.search(r"&\s*(0[xX][0-9a-fA-F]+|\d+)\s*\)?$", index)
        most = literal(mask[1]) if mask is not None else None
        sure = most is not None and most < count
        name = fresh(function, "words")
        values = ", ".join(f"{one[1]}[{at}]" for at in range(count))
        at = function.statement()
        edits = [
            *before(function, at, [f"__u32 {name}[{count}] = {{ {values} }};"]),
            replace(function, first + one.start(), first + one.end() - 1, name),
        ]
        said = f"read all of `{one[1]}` at fixed offsets, and index what was read"
        shape = SAME_WORK if sure else REWRITE
        yield Candidate("split-read", edits, said, shape, why="the same element of the same array is used")


def _either(function: Function) -> Iterator[Candidate]:
    """Fields of the context on several ways, which the compiler reads by one instruction: all are read first."""
    own = function.own()
    node = own[0] if own else None
    while node is not None and node.parent is not None and node.parent.kind not in ("top", "label"):
        node = node.parent
    context = re.search(r"\bstruct\s+\w+\s*\*\s*(\w+)\s*\)\s*\{", function.head)
    if node is None or context is None or node.kind in ("for", "while", "do", "loop"):
        return
    text = function.plain[node.start : node.end]
    reads: dict[str, list[tuple[int, int]]] = {}
    for one in re.finditer(rf"(?<![\w.>&]){context[1]}->(\w+)\b", text):
        behind = text[one.end() :].lstrip()
        if re.match(r"=(?!=)|\+\+|--|[-+|&^]=|\[|->|\.", behind) or text[: one.start()].rstrip().endswith("&"):
            return
        reads.setdefault(one[1], []).append((node.start + one.start(), node.start + one.end()))
    if not 2 <= len(reads) <= 4 or re.search(r"\bbpf_\w+\s*\(", text):
        return
    lines, edits = [], []
    for field, places in reads.items():
        name = fresh(function, field)
        name = name if name != field else f"{field}_now"
        lines += [f"__u32 {name} = {context[1]}->{field};", f'asm volatile("" : "+r"({name}));']
        edits += [replace(function, start, end, name) for start, end in places]
    said = f"read {' and '.join(f'`{one}`' for one in reads)} first, each by itself"
    why = "the same fields are read, before it is chosen between them"
    yield Candidate("split-read", [*before(function, node.start, lines), *edits], said, SAME_WORK, why=why)


def _per_cpu(function: Function) -> Iterator[Candidate]:
    """A per-CPU variable of the kernel: this processor's."""
    first = function.first
    for one in re.finditer(r"\b([A-Za-z_]\w*)\.(?=\w)", function.shown):
        found = re.search(
            rf"^extern\s+((?:const\s+)?(?:volatile\s+)?(?:struct\s+)?\w+)\s+{re.escape(one[1])}\b[^;]*__ksym",
            function.plain,
            re.MULTILINE,
        )
        if found is not None and "__ksym" in found[0]:
            text = f"(({found[1]} *)bpf_this_cpu_ptr(&{one[1]}))->"
            edit = replace(function, first + one.start(), first + one.end(), text)
            said = f"take this processor's `{one[1]}` by `bpf_this_cpu_ptr`"
            why = "a per-CPU variable has no value but that of a processor; the same field of it is used"
            yield Candidate("this-cpu", [edit], said, SAME_WORK, why=why)


# ------------------------------------------------------------ locals


def _larger(function: Function) -> Iterator[Candidate]:
    """A local that is smaller than the constant length it is passed with."""
    for call in re.finditer(r"\b(bpf_\w+)\s*\(", function.shown):
        first = function.first
        close = closing(function.plain, first + call.end() - 1)
        given = function.text[first + call.end() : close]
        for name in dict.fromkeys(re.findall(r"\b[a-z_]\w*\b", given)):
            array = re.search(rf"\b(?:char|__u8|u8|unsigned char)\s+{re.escape(name)}\s*\[([^\]]+)\]", function.body)
            if array is None or re.search(rf"sizeof\s*\(?\s*{re.escape(name)}\b", function.body):
                continue
            behind = given[given.index(name) + len(name) :]
            for told in dict.fromkeys(re.findall(r"\bsizeof\s*\([^()]*\)|\b[A-Z][A-Z0-9_]+\b|\b\d+\b", behind)):
                size = told
                if size.startswith("BPF_"):
                    continue
                pointed = re.fullmatch(r"sizeof\s*\(\s*\*\s*(\w+)\s*\)", size)
                if pointed is not None:
                    kind = re.search(rf"\b((?:struct\s+)?\w+)\s*\*\s*{pointed[1]}\b", function.head + function.body)
                    size = f"sizeof({kind[1]})" if kind is not None else size
                start, end = function.start + array.start(1), function.start + array.end(1)
                said = f"make `{name}` as large as what the helper is told, {size}"
                why = f"`{name}` only gets more room: what was inside of it stays where it was"
                yield Candidate("larger-local", [replace(function, start, end, size)], said, SAME_WORK, why=why)


def _task(function: Function) -> Iterator[Candidate]:
    """The current task as a typed pointer: the same address."""
    for one in re.finditer(r"\bbpf_get_current_task\s*\(\s*\)", function.body):
        cast = "" if re.search(r"\)\s*$", function.body[: one.start()]) else "(__u64)"
        start, end = function.start + one.start(), function.start + one.end()
        edit = replace(function, start, end, f"{cast}bpf_get_current_task_btf()")
        said = "take the current task as a typed pointer, by `bpf_get_current_task_btf`"
        yield Candidate("typed-task", [edit], said, SAME_WORK, why="both helpers give the same address")


def _full(function: Function, ground: Ground) -> Iterator[Candidate]:
    """Fields that only full sockets have: the full socket, or the failing branch."""
    fails = function.failing()
    if "sock" not in f"{ground.why.message} {ground.cause.headline}":
        return
    for name in dict.fromkeys(re.findall(r"\b([a-z_]\w*)->", function.shown)):
        if not re.search(rf"struct\s+bpf_sock\s*\*\s*{name}\b", function.body):
            continue
        edit = guarded(function, function.statement(), [f"!{name}"], fails, [f"{name} = bpf_sk_fullsock({name});"])
        said = f"take the full socket of `{name}` by `bpf_sk_fullsock`, and return where there is none"
        yield checked("full-socket", edit, said, fails)


# ------------------------------------------------------------ once


def _once(function: Function) -> Iterator[Candidate]:
    """A pointer that a macro computes anew at each use: computed once, where it is used first."""
    body = function.body
    macros = {
        one[1]: one[2]
        for one in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)\(\w+\)[ \t]+(.*)$", function.plain, re.MULTILINE)
    }
    seen: dict[str, list[tuple[int, int]]] = {}
    for one in re.finditer(r"\b(\w+)\s*\(", body):
        if one[1] in macros and not re.search(r"bpf_\w+\s*\(|\+\+|--|[^=!<>]=[^=]", macros[one[1]]):
            close = closing(body, one.end() - 1) + 1
            seen.setdefault(body[one.start() : close], []).append((one.start(), close))
    for text, places in seen.items():
        if len(places) < 2:
            continue
        between = body[places[0][1] : places[-1][0]]
        # Nothing that is written or called in between may change what the expression reads.
        if re.search(r"[^=!<>]=[^=]|\+\+|--|\b(?!if|return|sizeof|while|for|switch)\w+\s*\((?!void)", between):
            continue
        name = fresh(function, "once")
        line = function.text.count("\n", 0, function.start + places[0][0]) + 1
        at = function.statement(line)
        edits = before(function, at, [f"__auto_type {name} = {text};"])
        edits += [replace(function, function.start + start, function.start + end, name) for start, end in places]
        said = f"compute `{text[:40]}` once, and use what was compared"
        why = f"nothing between the uses of `{text[:40]}` changes what it is made of"
        yield Candidate("once", edits, said, SAME_WORK, why=why)
