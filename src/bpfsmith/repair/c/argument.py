"""Calls in C that are given something else than they take: the context, a variable that is too narrow, another map's
call, a field beside the right one, arguments that a macro would unpack."""

from __future__ import annotations

import re

from bpfsmith.repair.c.reader import closing, split, tree
from bpfsmith.repair.c.text import functions, replace
from bpfsmith.repair.report import SAME_WORK, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates"]

_CONTEXT = re.compile(r"\b(?:const\s+)?(?:struct\s+\w+|void|__u64|unsigned long long|u64)\s*\*+\s*(\w+)")
# Helpers that take the context, first or where the number says.
_TAKES = frozenset(
    {
        *("bpf_perf_event_output", "bpf_get_stackid", "bpf_get_stack", "bpf_tail_call", "bpf_get_socket_cookie"),
        *("bpf_get_socket_uid", "bpf_fib_lookup", "bpf_sk_assign", "bpf_get_func_ip"),
        *("bpf_get_attach_cookie", "bpf_override_return", "bpf_setsockopt", "bpf_getsockopt", "bpf_bind"),
        *("bpf_sysctl_get_name", "bpf_sysctl_get_new_value", "bpf_sysctl_get_current_value"),
        *("bpf_sysctl_set_new_value", "bpf_sk_lookup_tcp", "bpf_sk_lookup_udp", "bpf_skc_lookup_tcp"),
    }
)  # fmt: skip
_STARTS = ("bpf_skb_", "bpf_xdp_", "bpf_msg_", "bpf_l3_", "bpf_l4_", "bpf_csum_", "bpf_sock_ops_", "bpf_clone_")
_NONE = frozenset({"bpf_csum_diff", "bpf_redirect", "bpf_redirect_map"})
_LONGS = {"bpf_strtol": "long", "bpf_strtoul": "unsigned long"}
_NARROW = re.compile(
    r"^[ \t]*((?:unsigned\s+|signed\s+)?(?:__)?(?:[us](?:8|16|32)|char|short|int|uint(?:8|16|32)_t))\s"
)


def candidates(ground: Ground) -> Iterator[Candidate]:
    """The same calls, each given what it takes."""
    refused = _REFUSED.search(ground.why.message)
    for function in functions(ground):
        yield from _context(function)
        yield from _wider(function)
        yield from _output(function)
        yield from _field(function)
        if refused is not None:
            yield from _typed(function, refused[1])
    yield from _unpacked(ground)
    yield from _returning(ground)


def _calls(function: Function) -> Iterator[tuple[str, int, list[tuple[int, int, str]]]]:
    """(name, offset, arguments as (start, end, text)) of the calls in the line's statements."""
    text, first = function.shown, function.first
    for one in re.finditer(r"\b([A-Za-z_]\w*)\s*\(", text):
        close = closing(text, one.end() - 1)
        rows = []
        at = one.end()
        for word in split(text[one.end() : close]):
            start = text.index(word, at) if word else at
            rows.append((first + start, first + start + len(word), word))
            at = start + len(word)
        yield one[1], first + one.start(), rows


def _context(function: Function) -> Iterator[Candidate]:
    """A call that takes the context is given something else."""
    own = _CONTEXT.search(function.head)
    if own is None:
        return
    for name, _, given in _calls(function):
        if not given or given[0][2] == own[1] or not re.fullmatch(r"(?:\([^()]*\*\)\s*)?&?\s*\w+", given[0][2]):
            continue
        callee = re.search(rf"\b{name}\s*\(\s*(?:struct\s+\w+|void)\s*\*\s*(\w+)", function.plain)
        helper = name in _TAKES or (name.startswith(_STARTS) and name not in _NONE)
        if helper or (callee is not None and callee[1] == own[1]):
            start, end, text = given[0]
            said = f"pass the context `{own[1]}` to `{name}`"
            why = f"only what was refused is another: `{own[1]}`, the one context there is, instead of `{text}`"
            yield Candidate("context", [replace(function, start, end, own[1])], said, SAME_WORK, why=why)


def _map(function: Function, name: str) -> str:
    """The text of a map's declaration."""
    found = re.search(rf"\}}\s*{re.escape(name)}\s+SEC\s*\(", function.plain)
    if found is None:
        return ""
    start = function.plain.rfind("struct", 0, function.plain.rfind("{", 0, found.start()))
    return function.plain[start : found.start()]


def _wider(function: Function) -> Iterator[Candidate]:
    """A local whose address is passed where more bytes are read or written: declared as what the call takes."""
    for name, _, given in _calls(function):
        kinds: list[tuple[int, str]] = []
        if name.startswith("bpf_map_") and given and given[0][2].startswith("&"):
            declared = _map(function, given[0][2].lstrip("& "))
            for at, word in ((1, "key"), (2, "value")):
                kind = re.search(rf"__type\s*\(\s*{word}\s*,\s*([^()]+?)\s*\)", declared)
                if kind is not None and at < len(given):
                    kinds.append((at, kind[1]))
        if name in _LONGS and len(given) > 3:
            kinds.append((3, _LONGS[name]))
        for at, kind_of in kinds:
            local = re.search(r"&\s*(\w+)$", given[at][2])
            if local is None or not re.fullmatch(r"[\w\s]+", kind_of):
                continue
            yield from _declared(function, local[1], kind_of, given[at])


def _declared(function: Function, name: str, kind: str, given: tuple[int, int, str]) -> Iterator[Candidate]:
    if re.search(rf"sizeof\s*\(?\s*{re.escape(name)}\b", function.body):
        return
    for node in function.top.walk():
        text = function.plain[node.start : node.end]
        found = _NARROW.match(text) if node.kind == "plain" else None
        if found is None or not re.search(rf"[\s,]{re.escape(name)}\s*(?:[=;,])", text) or found[1] == kind:
            continue
        parts = split(text[found.end() :].rstrip().removesuffix(";"))
        wanted = [part for part in parts if re.match(rf"{re.escape(name)}\b", part)]
        if not wanted or "*" in wanted[0].split("=")[0]:
            continue
        start = node.start + found.start(1)
        if len(parts) == 1:
            edits = [replace(function, start, node.start + found.end(1), kind)]
        else:
            space = function.indent(node.start)
            others = ", ".join(part for part in parts if part is not wanted[0])
            text = f"{found[1]} {others};{function.eol}{space}{kind} {wanted[0]};"
            edits = [replace(function, node.start, node.end, text)]
        if given[2] != f"&{name}":
            edits.append(replace(function, given[0], given[1], f"&{name}"))
        said = f"declare `{name}` as `{kind}`, which is what the call takes"
        why = f"`{name}` only gets more room: what was in it stays where it was"
        yield Candidate("larger-local", edits, said, SAME_WORK, why=why)
        return


def _output(function: Function) -> Iterator[Candidate]:
    """Events for a ring buffer by the call for perf events, and the other way round; memory that was not reserved."""
    text = function.plain
    context = _CONTEXT.search(function.head)
    for name, at, given in _calls(function):
        words = [function.text[start:end] for start, end, _ in given]
        call = ""
        if name == "bpf_perf_event_output" and len(words) == 5 and "RINGBUF" in _map(function, words[1].lstrip("& ")):
            call = f"bpf_ringbuf_output({words[1]}, {words[3]}, {words[4]}, 0)"
        elif (
            name == "bpf_ringbuf_output" and len(words) == 4 and context is not None
            and "PERF_EVENT_ARRAY" in _map(function, words[0].lstrip("& "))
        ):  # fmt: skip
            call = f"bpf_perf_event_output({context[1]}, {words[0]}, BPF_F_CURRENT_CPU, {words[1]}, {words[2]})"
        elif name == "bpf_ringbuf_submit" and len(words) == 2:
            maps = re.findall(r"\}\s*(\w+)\s+SEC\s*\(", text)
            rings = [one for one in maps if "BPF_MAP_TYPE_RINGBUF" in _map(function, one)]
            pointer = re.search(rf"\*\s*{re.escape(words[0])}\b", function.body)
            if len(rings) == 1 and pointer is not None and "bpf_ringbuf_reserve" not in function.body:
                call = f"bpf_ringbuf_output(&{rings[0]}, {words[0]}, sizeof(*{words[0]}), {words[1]})"
        if call:
            end = closing(text, text.index("(", at)) + 1
            said = f"hand it over by `{call.partition('(')[0]}`, which the map and the memory are for"
            why = "the same bytes are handed over, by the call for this kind of map and memory"
            yield Candidate("output-kind", [replace(function, at, end, call)], said, SAME_WORK, why=why)


# Helpers that one type of map is for.
_FOR = {
    "bpf_map_lookup_elem": "ARRAY", "bpf_map_update_elem": "ARRAY", "bpf_tail_call": "PROG_ARRAY",
    "bpf_get_stackid": "STACK_TRACE", "bpf_redirect_map": "DEVMAP", "bpf_sk_storage_get": "SK_STORAGE",
    "bpf_task_storage_get": "TASK_STORAGE", "bpf_inode_storage_get": "INODE_STORAGE", "bpf_map_push_elem": "QUEUE",
    "bpf_map_pop_elem": "QUEUE",
}  # fmt: skip


_REFUSED = re.compile(r"cannot pass map_type \d+ into func (\w+)#")


def _typed(function: Function, refused: str) -> Iterator[Candidate]:
    """A map of another type, where the kernel refused the map's type and all that is done with it wants that."""
    for name, _, given in _calls(function):
        wanted = _FOR.get(name) if name == refused else None
        found = next(
            (
                one[2].lstrip("& ")
                for one in given
                if re.fullmatch(r"&\s*\w+", one[2]) and _map(function, one[2].lstrip("& "))
            ),
            "",
        )
        if wanted is None or not found:
            continue
        declared = _map(function, found)
        kind = re.search(r"\bBPF_MAP_TYPE_(\w+)", declared)
        others = {one[1] for one in re.finditer(rf"\b(bpf_\w+)\s*\((?:[^;()]*,)?\s*&\s*{found}\b", function.plain)}
        if kind is None or kind[1] == wanted or any(_FOR.get(one) not in (wanted, None) for one in others):
            continue
        start = function.plain.index(declared) + kind.start()
        said = f"declare `{found}` as a map of the type that `{name}` works on"
        why = (
            f"no kernel lets `{name}` have a map of another type, and nothing else is done with `{found}`; user space "
            "opens it as the new type"
        )
        edit = replace(function, start, start + len(kind[0]), f"BPF_MAP_TYPE_{wanted}")
        yield Candidate("map-type", [edit], said, SAME_WORK, why=why)


_OWN = {
    "bpf_timer_": "bpf_timer",
    "bpf_spin_": "bpf_spin_lock",
    "bpf_wq_": "bpf_wq",
    "bpf_res_spin_": "bpf_res_spin_lock",
}


def _field(function: Function) -> Iterator[Candidate]:
    """The address of a field beside the one that the call is for."""
    for name, _, given in _calls(function):
        kind = next((word for start, word in _OWN.items() if name.startswith(start)), "")
        found = (
            re.fullmatch(r"(?:\([^()]*\)\s*)?&?\s*\(?\s*(\w+)->(\w+)\s*\)?", given[0][2]) if given and kind else None
        )
        if found is None:
            continue
        typed = re.search(
            rf"\bstruct\s+(\w+)\s*\*\s*(?:\w+\s*(?:=[^,;]*)?,\s*\*\s*)*{found[1]}\b", function.head + function.body
        )
        fields = re.search(rf"\bstruct\s+{typed[1]}\s*\{{([^{{}}]*)\}}", function.plain) if typed is not None else None
        right = re.findall(rf"\bstruct\s+{kind}\s+(\w+)\s*;", fields[1]) if fields is not None else []
        if len(right) == 1 and right[0] != found[2]:
            start, end, _ = given[0]
            said = f"pass the field `{right[0]}`, which is the `{kind}`"
            why = f"only what was refused is another: the one `{kind}` of the value instead of `{found[2]}`"
            yield Candidate(
                "context", [replace(function, start, end, f"&{found[1]}->{right[0]}")], said, SAME_WORK, why=why
            )


_TRACED = ("fentry", "fexit", "fmod_ret", "tp_btf", "lsm", "struct_ops")


def _unpacked(ground: Ground) -> Iterator[Candidate]:
    """`int f(struct a *x, int y)` of a traced function: its arguments stand in the context, in this order."""
    section = ground.program.section.split("/")[0].rstrip(".s")
    if not ground.program.section.startswith(_TRACED) and section not in _TRACED:
        return
    for function in functions(ground):
        if function.name != ground.program.name or "BPF_PROG" in function.head:
            continue
        found = re.search(rf"\b{re.escape(function.name)}\s*\(", function.head)
        if found is None or not re.search(r"include\s*<bpf/bpf_tracing\.h>", function.text):
            continue
        given = function.head[found.end() : closing(function.head, found.end() - 1)]
        if len(split(given)) < 2 and re.match(r"\s*(?:void|__u64|unsigned long long)\s*\*", given):
            continue
        at = function.plain.rindex(function.head, 0, function.start + 1) + found.start()
        text = f"BPF_PROG({function.name}, "
        edit = replace(function, at, at + len(found[0]), text)
        said = f"let `BPF_PROG` take the arguments of `{function.name}` out of the context"
        why = "a program has one argument, the context, in which those of the traced function stand in this order"
        yield Candidate("arguments", [edit], said, SAME_WORK, why=why)
        return


def _returning(ground: Ground) -> Iterator[Candidate]:
    """A function that makes a tail call has to return a number: one that nobody looks at."""
    if "tail_call" not in f"{ground.why.message} {ground.cause.headline}".replace(" ", "_"):
        return
    from bpfsmith.repair.c.reader import blanked, bodies
    from bpfsmith.repair.c.text import Function

    for path in ground.files:
        plain = blanked(ground.text(path))
        for body in bodies(plain):
            void = re.search(r"\bvoid(?=\s+\w+\s*\()", body.head)
            if void is None or "bpf_tail_call" not in plain[body.start : body.end]:
                continue
            function = Function(ground, path, plain.count("\n", 0, body.start) + 1)
            edits = [replace(function, body.begin + void.start(), body.begin + void.end(), "int")]
            top = tree(plain, body.start, body.end)
            for node in top.walk():
                if node.kind == "return":
                    edits.append(replace(function, node.start, node.end, "return 0;"))
            last = top.parts[-1] if top.parts else None
            if last is not None and last.kind != "return":
                space = function.indent(last.start)
                edits.append(replace(function, last.end, last.end, f"{function.eol}{space}return 0;"))
            said = f"let `{body.name}` return `int`"
            why = f"`{body.name}` returns 0, which nothing looks at"
            yield Candidate("returns-int", edits, said, SAME_WORK, why=why)
