"""References, locks and sections in C that are not given back on some way out."""

from __future__ import annotations

import re

from bpfsmith.repair.c.held import Leak, Taken, leaks
from bpfsmith.repair.c.reader import closing
from bpfsmith.repair.c.text import before, fresh, functions, replace
from bpfsmith.repair.report import NO_NEW_PATH, SAME_WORK, Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Edit
    from bpfsmith.repair.c.text import Function
    from bpfsmith.repair.ground import Ground

__all__ = ["candidates", "moved"]

# Sections: what opens one -> what closes it, on the same operand.
_SECTIONS = {
    "bpf_spin_lock": "bpf_spin_unlock",
    "bpf_res_spin_lock": "bpf_res_spin_unlock",
    "bpf_rcu_read_lock": "bpf_rcu_read_unlock",
    "bpf_preempt_disable": "bpf_preempt_enable",
    "bpf_local_irq_save": "bpf_local_irq_restore",
}
_SECOND = {"bpf_ringbuf_discard": ", 0", "bpf_ringbuf_submit": ", 0"}
_SECOND |= {"bpf_ringbuf_discard_dynptr": ", 0", "bpf_ringbuf_submit_dynptr": ", 0"}
# Calls that take nothing that has to be given back, whatever their names end with.
_NO_TAKERS = re.compile(
    r"bpf_(?:get_current\w*|sk_storage_get|task_storage_get|inode_storage_get|cgrp_storage_get|rdonly_cast)"
)
_FIXED = re.compile(r"-?\w+|\(.*\)\s*-?\d+")


def candidates(ground: Ground) -> Iterator[Candidate]:
    """What gives it back, on each way out that forgets it."""
    if ground.cause.cls in ("pointer-arithmetic", "argument-type"):
        yield from moved(ground)
        return
    done = set()
    for function in functions(ground):
        if function.name in done:
            continue
        done.add(function.name)
        for taken, name, ends in _taken(ground, function):
            found = leaks(function, taken)
            if found:
                yield from _given(function, name, ends, found)


def moved(ground: Ground) -> Iterator[Candidate]:
    """A pointer that was moved since it was taken: what gives it back gets the one that was not."""
    done = set()
    for function in functions(ground):
        if function.start in done:
            continue
        done.add(function.start)
        for taken, name, ends in _taken(ground, function):
            if not name.isidentifier():
                continue
            word = rf"(?<![\w.>]){name}"
            steps = re.search(rf"{word}\s*(?:\+\+|\+=|=\s*{name}\s*\+)|\+\+\s*{name}\b", function.body)
            node = function.holder(taken.start)
            if steps is None or node.kind != "plain":
                continue
            whole = fresh(function, "whole")
            space = function.indent(node.start)
            edits = [replace(function, node.end, node.end, f"{function.eol}{space}__auto_type {whole} = {name};")]
            for one in re.finditer(rf"\b(?:{'|'.join(ends)})\s*\(\s*({name})\b", function.body):
                if function.start + one.start() > taken.start:
                    edits.append(replace(function, function.start + one.start(1), function.start + one.end(1), whole))
            if len(edits) > 1:
                said = f"give back what `{name}` was before it was moved"
                why = f"`{whole}` is `{name}` as it was taken: the same memory is given back"
                yield Candidate("kept-pointer", edits, said, SAME_WORK, why=why)


def _taken(ground: Ground, function: Function) -> Iterator[tuple[Taken, str, tuple[str, ...]]]:
    """What the function takes: (where, its name, what gives it back)."""
    from bpfsmith.verify.cause.pairs import releases

    body = function.body
    for one in re.finditer(r"\b(\w+)\s*\(", body):
        word, start = one[1], function.start + one.start()
        close = closing(body, one.end() - 1)
        given = body[one.end() : close]
        if word in _SECTIONS:
            name = given.strip()
            takes = rf"\b{word}\s*\(\s*{re.escape(name)}"
            yield Taken(name, start, takes, (_SECTIONS[word],), plain=True), name, (_SECTIONS[word],)
            continue
        if word == "bpf_map_lookup_elem" and ground.operand("acquire") != word:
            continue
        if not word.startswith("bpf_") or _NO_TAKERS.fullmatch(word):
            continue
        known = word if releases(word) else f"{word}_impl"
        ends = tuple(dict.fromkeys(end.removesuffix("_impl") for end in releases(known)))
        if not ends:
            continue
        into = re.search(r"(?<![\w.>])([A-Za-z_]\w*(?:(?:->|\.)\w+)*)\s*=\s*(?:\([^()]*\)\s*)*$", body[: one.start()])
        last = re.search(r"&\s*\w+\s*$", given)
        first = re.match(r"\s*(&\s*\w+)\s*(?:,|$)", given)
        if word.endswith("_dynptr") and last is not None:
            name = "".join(last[0].split())
        elif re.fullmatch(r"bpf_iter_\w+_new", word) and first is not None:
            name = "".join(first[1].split())
        elif into is not None:
            name = into[1]
        else:
            continue
        takes = (
            rf"(?<![\w.>]){re.escape(name)}\s*=\s*(?:\([^()]*\)\s*)*{word}\s*\("
            if not name.startswith("&")
            else rf"\b{word}\s*\((?=[^;]*{re.escape(name)}\b)"
        )
        yield Taken(name, start, takes, ends), name, ends


def _given(function: Function, name: str, ends: tuple[str, ...], found: list[Leak]) -> Iterator[Candidate]:
    release = _release(function, name, ends, found)
    helper = release.partition("(")[0]
    shown = name or helper
    said = f"give `{shown}` back by `{helper}` before the way out that forgets it"
    edits: list[Edit] = []
    for one in found:
        edits += _put(function, one, name, release)
    yield Candidate("release", edits, said, NO_NEW_PATH)
    if len(found) > 1:
        for one in found:
            yield Candidate("release", _put(function, one, name, release), said, NO_NEW_PATH)


def _release(function: Function, name: str, ends: tuple[str, ...], found: list[Leak]) -> str:
    """The call that gives it back. What is thrown away is a record on a way that fails; one that was filled on the way
    that no call of the function gives it back is submitted."""
    body = function.body
    used = [one for one in ends if re.search(rf"\b{one}\s*\([^;]*\b{re.escape(name.lstrip('&'))}\b", body)]
    helper = used[0] if used else ends[0]
    discard = next((one for one in ends if "discard" in one), "")
    if discard:
        fills = rf"\b{re.escape(name)}\s*(?:->|\[)[^;=]*=(?!=)|\*\s*{re.escape(name)}\s*=(?!=)"
        only = not used and re.search(fills, body) is not None
        again = name.startswith("&") and used
        final = only and len(found) == 1
        helper = used[0] if again else next(one for one in ends if "submit" in one) if final else discard
    if not re.search(rf"\b{helper}\b", function.text) and re.search(rf"\b{helper}_impl\b", function.text):
        return f"{helper}_impl({name}, NULL);"
    return f"{helper}({name}{_SECOND.get(helper, '')});"


def _put(function: Function, leak: Leak, name: str, release: str) -> list[Edit]:
    node = leak.at
    if leak.where == "before":
        lines, more = [], []
        if node.kind == "return" or "bpf_throw" in function.plain[node.start : node.end]:
            start = node.start + len("return")
            end = function.plain.rfind(";", node.start, node.end)
            if node.kind != "return":
                start = function.plain.index("(", function.plain.index("bpf_throw", node.start)) + 1
                end = closing(function.plain, start - 1)
            value = function.plain[start:end].strip()
            plain = name.lstrip("&").split("->")[0].split(".")[0]
            # What is read of it, or under the lock, is read before it is given back.
            if (
                value
                and not _FIXED.fullmatch(value)
                and (re.search(rf"\b{re.escape(plain)}\b", value) or not value.isupper())
            ):
                local = fresh(function, "result")
                lines.append(f"__auto_type {local} = {' '.join(function.text[start:end].split())};")
                space = " " if node.kind == "return" else ""
                more.append(replace(function, start, end, f"{space}{local}"))
        lines += [f"if ({name})", f"{function.tab}{release}"] if leak.maybe else [release]
        return [*before(function, node.start, lines), *more]
    if leak.where == "else":
        space, tab = function.indent(node.start), function.tab
        eol = function.eol
        braces = node.parts[0].kind == "block"
        text = (
            f" else {{{eol}{space}{tab}{release}{eol}{space}}}"
            if braces
            else f"{eol}{space}else{eol}{space}{tab}{release}"
        )
        return [replace(function, node.end, node.end, text)]
    if node.kind in ("block", "top"):
        if node.parts:
            last = node.parts[-1]
            space = function.indent(last.start)
            return [replace(function, last.end, last.end, f"{function.eol}{space}{release}")]
        return [replace(function, node.start + 1, node.start + 1, f" {release} ")]
    # The only statement of a branch.
    edits = before(function, node.start, [])
    space = function.indent(node.start)
    closes = edits[-1]
    return [edits[0], replace(function, node.end, node.end, f"{function.eol}{space}{release}{closes.text}")]
