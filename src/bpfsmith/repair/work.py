"""Do both objects do the same work? For edits that say the same in other words, beside the reason for that.

What a maker of such an edit vouches for stands in its candidate; here the two objects are held against it.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bpfsmith.model.program import Program
    from bpfsmith.repair.report import Candidate

__all__ = ["argued", "changed", "giving_back", "instead", "second_release"]

_LOAD_WIDE = 0x18
_MOVE = 0xB7  # a constant into a register
# Kinds of edits that leave every instruction as it was: only what they refer to is declared in another way.
_DECLARED = frozenset({"declaration", "larger-value", "larger-entry", "map-type"})
# Kinds whose reason is known here; what another maker vouches for is not shown.
_KNOWN = _DECLARED | {
    *("inline", "order", "split-read", "split-write", "larger-local", "once", "barrier", "context", "typed-task"),
    *("this-cpu", "negative-errno", "released-twice", "per-cpu-scratch", "returns-int", "kept-pointer"),
    *("output-kind", "arguments"),
}
# Kinds that put a call where another one that does the same was: old name -> new name.
_TYPED = {"bpf_get_current_task": "bpf_get_current_task_btf"}
_OUTPUT = {
    "bpf_perf_event_output": "bpf_ringbuf_output",
    "bpf_ringbuf_output": "bpf_perf_event_output",
    "bpf_ringbuf_submit": "bpf_ringbuf_output",
}
_TAKES = r"bpf_(?:list_push_\w+|rbtree_add\w*|kptr_xchg)\s*\([^;]*\b"  # what takes a reference over
_RELEASES = re.compile(r"bpf_\w*(?:release|discard|submit|drop|(?<!out)put)\w*")
_ERRNO = re.compile(r"(?:[\w:]*::)?E[A-Z][A-Z0-9]+")


def instead(done: Sequence[Candidate]) -> dict[str, str]:
    """Calls that stand for others now, by the kinds of the changes: old name -> new name."""
    kinds = {one.kind for one in done}
    return (_TYPED if "typed-task" in kinds else {}) | (_OUTPUT if "output-kind" in kinds else {})


def giving_back(program: Program) -> frozenset[str]:
    """The functions it calls that give something back: of two calls of one the compiler may make one."""
    names = (name or "" for _, _, _, name in program.calls())
    return frozenset(name for name in names if _RELEASES.match(name) or _ENDS.match(name))


_ENDS = re.compile(r"bpf_\w*(?:unlock|destroy|enable|restore)")


def second_release(texts: Mapping[str, tuple[str, str]], done: Sequence[Candidate]) -> str:
    """Which release was taken out where one was made twice; "" where that is not all that is gone."""
    if {one.kind for one in done} != {"released-twice"}:
        return ""
    gone = []
    for old, new in texts.values():
        before, after = old.split("\n"), new.split("\n")
        for tag, i1, i2, _, _ in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if tag != "equal":
                if tag != "delete" or i2 - i1 > 2:
                    return ""
                gone.append(" ".join(before[i1:i2]))
    one = re.sub(r"^\s*if\s*\([^(){};]*\)\s*", "", gone[0]) if len(gone) == 1 else ""
    called = re.fullmatch(r"\s*(?:unsafe\s*\{\s*)?(\w+)\s*\([^;{}]*\)\s*;?\s*\}?;?\s*", one)
    return called[1] if called is not None and _RELEASES.fullmatch(called[1]) else ""


def _given(text: str, release: str) -> str:
    """What a release is given, as a pattern."""
    found = re.search(rf"\b{re.escape(release)}\s*\(\s*&?\s*(\w+)", text)
    return re.escape(found[1]) if found is not None else r"\Z"


def argued(
    before: Program, after: Program, texts: Mapping[str, tuple[str, str]], done: Sequence[Candidate]
) -> tuple[str | None, str]:
    """Where no kernel runs both: (what is shown, or None, and a sentence of why). `texts`: path -> (old, new)."""
    from bpfsmith.repair.report import FAILING_BRANCH, SAME_WORK, UNSURE_BRANCH
    from bpfsmith.repair.shape import shape

    if all(one.shape == SAME_WORK for one in done):
        wrong = changed(before, after, texts, done)
        if wrong is not None:
            return None, f"not shown to do the same: {wrong}"
        said = "; ".join(dict.fromkeys(one.why for one in done))
        if second_release(texts, done):
            return "same-work", f"{said}; nothing else is gone, and the kernel counts that it is given back once"
        return "same-work", f"{said}; the same helpers are called and the same is written"
    wrong = shape(texts, done, after.type, after.name)
    if wrong is not None:
        return None, f"not shown to do the same: {wrong}"
    returns = next((one for one in done if one.returns), None)
    said = "the only new path is the failing branch of the check that was added"
    if returns is not None:
        why = f"by convention: {returns.why}" if returns.shape == UNSURE_BRANCH else returns.why
        word = "does" if returns.returns.partition(" ")[0] in ("continue", "break", "goto", "return") else "returns"
        said += f", which {word} `{returns.returns}` ({why})"
    elif not any(one.shape in (FAILING_BRANCH, UNSURE_BRANCH) for one in done):
        said = "no path was added"
    return "only-failing-branch", f"{said}; every helper call and map write is still reached"


def changed(  # noqa: PLR0911, PLR0912 - one return a reason
    before: Program, after: Program, texts: Mapping[str, tuple[str, str]], done: Sequence[Candidate]
) -> str | None:
    """What differs in the work of two programs, as a sentence; None when nothing does."""
    kinds = {one.kind for one in done}
    if not kinds <= _KNOWN:
        return "the change is more than an added check, and no kernel of the lab runs both"
    if kinds <= _DECLARED:
        return _instructions(before, after, sizes="larger-entry" in kinds)
    if "negative-errno" in kinds:
        wrong = _negated(texts) if kinds == {"negative-errno"} else "more than a sign is another"
        if wrong is not None:
            return wrong
    old, new = _calls(before), _calls(after)
    for name, other in instead(done).items():
        count = min(old[name] - new[name], new[other] - old[other])
        if count > 0:
            old[name] -= count
            old[other] += count
    release = second_release(texts, done)
    if "released-twice" in kinds and not release:
        return "more than one release is gone"
    if release:
        # The compiler may have had it in several places; one must be left, but where another call took it.
        if not new[release] and not any(
            re.search(f"{_TAKES}{_given(old_, release)}\\b", old_) for old_, _ in texts.values()
        ):
            return f"no call of {release} is left"
        old[release] = new[release]
    if "this-cpu" in kinds:
        new["bpf_this_cpu_ptr"] = old["bpf_this_cpu_ptr"]
    scratch = sum(one.kind == "per-cpu-scratch" for one in done)
    lookups = new["bpf_map_lookup_elem"] - old["bpf_map_lookup_elem"]
    if scratch and lookups >= scratch:
        # A function that is called from several places has its lookup in each.
        old["bpf_map_lookup_elem"] = new["bpf_map_lookup_elem"]
    if "larger-local" in kinds:
        wrong = _wider(texts)
        if wrong is not None:
            return wrong
    if scratch:
        wrong = _kept_between(before, texts)
        if wrong is not None:
            return wrong
    if "order" in kinds:
        # What is written as often as before the compiler may have made one of.
        for name in set(old) | set(new):
            if old[name] != new[name] and min(old[name], new[name]) > 0 and _as_often(name, texts):
                old[name] = new[name]
    if "inline" in kinds:
        # A body that is put in several places has its calls as often.
        lost, fresh = set(+old) - set(+new), set(+new) - set(+old)
    else:
        lost, fresh = set(old - new), set(new - old)
    if lost:
        return f"a call of {min(lost)} is gone"
    if fresh:
        return f"a call of {min(fresh)} is new"
    stored, stores = _stores(before), _stores(after)
    if stored and not stores:
        return "nothing is written to memory any more"
    return None


_NARROW = re.compile(
    r"^\s*(?:const\s+)?(?:__u(?:8|16|32)|u(?:8|16|32)|__be(?:16|32)|unsigned (?:char|short|int)|char|short|int)\s+"
    r"(\w+)\s*(?:=|;)"
)
# What has 16 bits at most: ports, lengths and types of packets' headers, by the kind of struct that is read.
_WORD = re.compile(
    r"\s*(?:bpf_(?:ntohs|htons)\s*\([^;]*\)|\(__?u(?:8|16)\)[^;]*"
    r"|(?P<of>\w+)->(?:dest|source|h_proto|tot_len|window|h_vlan_TCI|payload_len))\s*"
)
_HEADERS = r"struct\s+(?:tcphdr|udphdr|ethhdr|iphdr|ipv6hdr|vlan_hdr)\s*\*\s*(?:\w+\s*,\s*\*?\s*)*"
_NUMBER = re.compile(r"\s*(?:(0[xX][0-9a-fA-F]+|[1-9]\d*|0)[uUlL]*|\{\s*0?\s*\})\s*")


def _wider(texts: Mapping[str, tuple[str, str]]) -> str | None:
    """Whether a number that is declared wider could hold more than it did: what is written to it must fit anyway."""
    for old, new in texts.values():
        rows = SequenceMatcher(None, old.split("\n"), new.split("\n"), autojunk=False).get_opcodes()
        lines = [line for tag, i1, i2, _, _ in rows if tag != "equal" for line in old.split("\n")[i1:i2]]
        for found in filter(None, map(_NARROW.match, lines)):
            bits = 8 if "8" in found[0] or "char" in found[0] else 16 if "16" in found[0] or "short" in found[0] else 31
            written = re.findall(rf"(?<![\w.>]){found[1]}\s*([-+*/|&^]|<<|>>)?=(?!=)([^;]*);", old)
            counted = re.search(rf"(?:\+\+|--)\s*{found[1]}\b|(?<![\w.>]){found[1]}\s*(?:\+\+|--)", old)
            if counted or any(op or not _fits(value, bits, old) for op, value in written):
                return f"`{found[1]}` may hold more than it did"
    return None


def _fits(value: str, bits: int, text: str) -> bool:
    """Whether a value that is written has so many bits at most."""
    if number := _NUMBER.fullmatch(value):
        return number[1] is None or int(number[1], 0) < 1 << bits
    word = _WORD.fullmatch(value)
    if word is None or bits < 16:
        return False
    return word["of"] is None or re.search(rf"{_HEADERS}{word['of']}\b", text) is not None


def _as_often(name: str, texts: Mapping[str, tuple[str, str]]) -> bool:
    """Whether a call is written as often as before, and is written at all."""
    called = re.compile(rf"\b{re.escape(name)}\s*\(")
    counts = [(len(called.findall(old)), len(called.findall(new))) for old, new in texts.values()]
    return any(old for old, _ in counts) and all(old == new for old, new in counts)


_ZEROED = re.compile(r"=\s*\{|memset\s*\(|zeroed\s*\(|write_bytes\s*\(|=\s*\[0|=\s*\([\w\s]+\)\s*\{|default\s*\(")


# Programs that nothing of their own kind interrupts on a processor: network programs run with soft interrupts off, and
# the kernel does not run a traced program again while it runs there. Hooks of LSM, cgroups, iterators, user space and
# raw tracepoints have no such guard on every kernel.
_ALONE = re.compile(
    r"(?:xdp|tc|tcx|classifier|action|kprobe|kretprobe|ksyscall|kretsyscall|tp|tracepoint|perf_event|fentry|fexit"
    r"|fmod_ret)(?![^/.])"
)


def _kept_between(before: Program, texts: Mapping[str, tuple[str, str]]) -> str | None:
    """What is in memory of a processor stays from one run to the next: what began with zeros has to do so still, and
    nothing else may run there meanwhile."""
    if before.section.partition("/")[0].endswith(".s"):
        return "another program may run on this processor while this one sleeps"
    if _ALONE.match(before.section) is None:
        return "another run on this processor may come between"
    for old, new in texts.values():
        if "bpf_clone_redirect" in old:
            return "the program may run again inside `bpf_clone_redirect`"
        if len(_ZEROED.findall(new)) < len(_ZEROED.findall(old)):
            return "what began with zeros would begin with what the last run left"
    return None


def _negated(texts: Mapping[str, tuple[str, str]]) -> str | None:
    """Whether all that is new is a sign before the names of errors that are returned."""
    for old, new in texts.values():
        before, after = _WORDS.findall(old), _WORDS.findall(new)
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if tag == "equal":
                continue
            if tag != "insert" or after[j1:j2] != ["-"] or i2 != i1 or _ERRNO.fullmatch(after[j2]) is None:
                return "more than a sign is another"
            if j1 and after[j1 - 1] not in ("return", "{", ":", "?", "(", ",", "=>", "else"):
                return "the sign is part of a computation"
    return None


_WORDS = re.compile(r"[A-Za-z_][\w:]*|=>|\S")


def _calls(program: Program) -> Counter[str]:
    """Helper and kernel functions that are called, how often in the code that can be reached."""
    dead = set(program.unreachable())
    out: Counter[str] = Counter()
    for slot, kind, number, name in program.calls():
        if kind in ("helper", "kfunc") and slot not in dead:
            out[name or f"helper {number}"] += 1
    return out


def _stores(program: Program) -> int:
    """Writes to memory other than the stack."""
    dead = set(program.unreachable())
    return sum(
        insn.code & 7 in (2, 3) and insn.dst != 10 for insn in program.instruction_view() if insn.slot not in dead
    )


def _instructions(before: Program, after: Program, *, sizes: bool = False) -> str | None:
    """Whether all instructions are the same, what wide loads refer to apart; `sizes`: one constant may be larger."""
    old, new = list(before.instruction_view()), list(after.instruction_view())
    if len(old) != len(new):
        return "the instructions are others"
    for one, other in zip(old, new, strict=True):
        if (one.slot, one.code, one.dst, one.off) != (other.slot, other.code, other.dst, other.off):
            return "the instructions are others"
        if one.code != _LOAD_WIDE and (one.src, one.imm) != (other.src, other.imm):
            if sizes and one.code == _MOVE and one.src == other.src and other.imm > one.imm:
                sizes = False
                continue
            return "the instructions are others"
    return None
