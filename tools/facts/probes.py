"""Questions about what programs may do: helpers, kernel functions, contexts, hooks, results. Data in, data out.

Each answers plain tables with short texts, ready to be written; what a text means is said with its function."""

from __future__ import annotations

from typing import Any

from asking import each, last_line, numbers, ranges, returning
from variants import SLEEPABLE, Variant

from bpfsmith import facts, kernel
from bpfsmith.kernel._tiny import MOV64_IMM, call, create, insn, ld_imm64
from bpfsmith.kernel.probe import WITH_MAP, map_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What the verifiers of 5.10 .. 7.3 say when a helper is none of theirs, not this program's, or only for sleepers.
UNKNOWN = ("invalid func ",)
REFUSED = (
    "unknown func ", "program of this type cannot use helper ", "helper call is not allowed in probe",
    "supported only for ", "not supported for program type ",
)  # fmt: skip
SLEEPS = ("helper call might sleep in a non-sleepable prog", "sleepable helper ")
GPL = ("cannot call GPL-restricted function from non-GPL compatible program",)
# Beyond the last helper there is: the next number must be unknown.
LAST = 211


class Unclear(Exception):
    """An answer that none of the known wordings explains."""


def said(answer: int, log: str, words: Iterable[str]) -> bool:
    return answer != 0 and any(word in log for word in words)


def judged(answer: int, log: str) -> str:
    """`unknown`, `no`, `sleeping` (only programs that may sleep), or `yes`: the verifier went on to the arguments."""
    if said(answer, log, UNKNOWN):
        return "unknown"
    if said(answer, log, REFUSED):
        return "no"
    if said(answer, log, SLEEPS):
        return "sleeping"
    if answer and not last_line(log):
        raise Unclear(f"{answer} without a word")
    return "yes"


def helper_code(variant: Variant, number: int) -> bytes:
    return call(number) + returning(variant.result or 0)


def known_helpers(variant: Variant) -> list[int]:
    """The numbers this kernel has; one question each, of any type of program."""
    tried = list(range(1, LAST + 2))
    answers = each([variant.load(helper_code(variant, number)) for number in tried])
    return [n for n, (answer, log) in zip(tried, answers, strict=True) if judged(answer, log) != "unknown"]


def helpers(variants: Sequence[Variant]) -> dict[str, dict[str, str]]:
    """variant -> `{"yes": numbers, "sleeping": numbers}`: called with nothing in its arguments, what comes first?"""
    there = known_helpers(variants[0])
    jobs = [(one, number) for one in variants for number in there]
    answers = each([one.load(helper_code(one, number)) for one, number in jobs])
    out: dict[str, dict[str, set[int]]] = {one.name: {} for one in variants}
    for (one, number), (answer, log) in zip(jobs, answers, strict=True):
        out[one.name].setdefault(judged(answer, log), set()).add(number)
    told = {
        name: {word: ranges(some[word]) for word in ("yes", "sleeping") if word in some} for name, some in out.items()
    }
    held(variants, told)
    return told


def licences(variants: Sequence[Variant], allowed: dict[str, set[int]]) -> dict[str, str]:
    """variant -> helpers refused to programs without a GPL-compatible licence. One variant of each type."""
    firsts = {one.word: one for one in reversed(variants)}
    jobs = [(one, number) for one in firsts.values() for number in sorted(allowed[one.name])]
    answers = each([one.load(helper_code(one, number), "Proprietary") for one, number in jobs])
    out: dict[str, set[int]] = {}
    for (one, number), (answer, log) in zip(jobs, answers, strict=True):
        if said(answer, log, GPL):
            out.setdefault(one.name, set()).add(number)
    return {name: ranges(found) for name, found in out.items()}


def held(variants: Sequence[Variant], found: dict[str, dict[str, str]]) -> None:
    """Takes those helpers away from the types that may not use such a map."""
    for struct, those in WITH_MAP.items():
        made = map_with(struct)
        if isinstance(made, int):
            continue  # no such structure here: the helpers are none either
        with made:
            code = ld_imm64(1, 1, made.fileno())
            answers = each([one.load(code + returning(one.result or 0)) for one in variants])
        for one, (answer, log) in zip(variants, answers, strict=True):
            if answer and struct not in log and "map type array" not in log:
                raise Unclear(f"{one.name} with {struct}: {answer} {last_line(log)}")
            if answer:
                left = numbers(found[one.name].get("yes", "")) - set(those)
                found[one.name]["yes"] = ranges(left)


# ---------------------------------------------------------------- kernel functions

# Before 5.13 the instruction itself is none.
NO_KFUNC = (
    "calling kernel function ", "BPF_CALL uses reserved fields", "invalid kernel function call",
    "cannot find address for kernel function ",
)  # fmt: skip
# Asked before it is looked at whether the type may call them; the second is asked again, with an arena.
ARENA = ("arena pointer requires a program with an associated arena",)
DEVICE = ("metadata kfuncs require device-bound program",)


def kfunc_types(variants: Sequence[Variant]) -> list[Variant]:
    """Permissions go by program type; the filters of some sets look further, at what these are loaded for."""
    out: dict[str, Variant] = {}
    for one in variants:
        key = f"{one.word} {one.sleepable}"
        if one.word == "struct_ops":
            # Schedulers: what one member may call another may not.
            key += one.target if one.target.startswith("sched_ext_ops.") else one.target.split(".")[0]
        elif one.word == "lsm":
            key += one.attach
        elif one.word == "cgroup_sock_addr":
            key += one.attach.split("_")[1][:4]
        elif one.attach.endswith("session") or one.attach in ("trace_iter", "trace_fexit"):
            key += one.attach
        out.setdefault(key, one)
    return list(out.values())


def kfuncs(variants: Sequence[Variant], names: Sequence[str] = ()) -> dict[str, list[str]]:
    """kernel function (all of the facts, or `names`) -> the program types that may call it. Absent: neither in this
    kernel's types nor in those of the modules it has loaded; an empty list: a function there, that no program may
    call."""
    live = kernel.live()
    names = names or [row.name for row in facts.kfuncs.all()]
    ids = {name: found for name in names if (found := live.btf.find(name, "FUNC")) is not None}
    asked = kfunc_types(variants)
    out = _callable(asked, ids, 0, b"")
    for module, btf in live.modules:
        more = {name: found for name in names if name not in ids and (found := btf.find(name, "FUNC")) is not None}
        number = live.module_id(module)
        if not more or number is None:
            continue
        ids |= more
        with kernel.call_fd("BPF_BTF_GET_FD_BY_ID", f"module `{module}`", btf_id=number) as fd:
            # The first entry stands for the kernel itself.
            out |= _callable(asked, more, 1, bytes(4) + fd.fileno().to_bytes(4, "little"))
    return {name: list(out[name]) for name in sorted(out)}


def _callable(variants: Sequence[Variant], ids: dict[str, int], off: int, fds: bytes) -> dict[str, dict[str, None]]:
    jobs = [(one, name) for one in variants for name in ids]
    given = {"fd_array": fds} if fds else {}
    answers = each(
        [
            one.load(insn(0x85, src=2, off=off, imm=ids[name]) + returning(one.result or 0), **given)
            for one, name in jobs
        ]
    )
    unsaid = [at for at, (answer, log) in enumerate(answers) if said(answer, log, ARENA)]
    arena = create(33, 0, 0, 1, 1 << 10, map_extra=1 << 44) if unsaid else -1
    if not isinstance(arena, int):
        with arena:
            start = ld_imm64(2, 1, arena.fileno())
            codes = [(jobs[at][0], insn(0x85, src=2, off=off, imm=ids[jobs[at][1]])) for at in unsaid]
            again = each([one.load(start + code + returning(one.result or 0), **given) for one, code in codes])
        for at, told in zip(unsaid, again, strict=True):
            answers[at] = told
    out: dict[str, dict[str, None]] = {name: {} for name in ids}
    for (one, name), (answer, log) in zip(jobs, answers, strict=True):
        if said(answer, log, NO_KFUNC) or (one.word != "xdp" and said(answer, log, DEVICE)):
            continue
        if answer and not last_line(log):
            raise Unclear(f"{name} in {one.name}: {answer} without a word")
        out[name].setdefault(one.word)
    return out


# ---------------------------------------------------------------- contexts

# Program types whose context is a structure of fixed shape: type -> its name in the kernel's types.
STRUCTS = {
    "socket_filter": "__sk_buff", "sched_cls": "__sk_buff", "sched_act": "__sk_buff", "cgroup_skb": "__sk_buff",
    "lwt_in": "__sk_buff", "lwt_out": "__sk_buff", "lwt_xmit": "__sk_buff", "lwt_seg6local": "__sk_buff",
    "sk_skb": "__sk_buff", "flow_dissector": "__sk_buff", "xdp": "xdp_md", "cgroup_sock": "bpf_sock",
    "cgroup_sock_addr": "bpf_sock_addr", "sock_ops": "bpf_sock_ops", "cgroup_device": "bpf_cgroup_dev_ctx",
    "sk_msg": "sk_msg_md", "sk_reuseport": "sk_reuseport_md", "cgroup_sysctl": "bpf_sysctl",
    "cgroup_sockopt": "bpf_sockopt", "sk_lookup": "bpf_sk_lookup", "perf_event": "bpf_perf_event_data",
    "netfilter": "bpf_nf_ctx", "kprobe": "pt_regs", "raw_tracepoint": "bpf_raw_tracepoint_args",
    "raw_tracepoint_writable": "bpf_raw_tracepoint_args",
}  # fmt: skip
WIDTHS = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
LOAD, STORE = 0x61, 0x63


def fields_of(struct: str) -> list[tuple[str, int, int]]:
    """(name, offset, size) of every field of this kernel's structure, arrays element by element; [] = no such type."""
    if struct == "bpf_raw_tracepoint_args":  # declared without a length; the kernel reads this many
        return [(f"args[{index}]", 8 * index, 8) for index in range(13)]
    btf = kernel.live().btf
    found = btf.find(struct, "STRUCT")
    return [] if found is None else list(_flat(btf, found, 0, ""))


def _flat(btf: Any, type_id: int, base: int, prefix: str) -> Iterable[tuple[str, int, int]]:
    for member in btf.type(type_id)["members"]:
        at = base + member["bits_offset"] // 8
        inner = btf.resolve(member["type"])
        kind = btf.kind(inner)
        name = member["name"] if member["name"] not in ("", "(anon)") else ""
        if member.get("bitfield_size"):
            continue  # above all padding that makes a pointer 8 bytes wide everywhere
        full = f"{prefix}.{name}" if prefix and name else prefix or name
        if kind in ("STRUCT", "UNION"):
            yield from _flat(btf, inner, at, full)
        elif kind == "ARRAY":
            row = btf.type(inner)
            element = btf.size_of(row.get("type") or row["type_id"]) or 1
            for index in range(row["nr_elems"]):
                yield f"{full}[{index}]", at + index * element, element
        elif full:
            yield full, at, btf.size_of(inner) or 8


def access_code(variant: Variant, offset: int, width: int, write: bool) -> bytes:
    if write:
        start = insn(MOV64_IMM, 2) + insn(STORE | WIDTHS[width], 1, 2, offset)
    else:
        start = insn(LOAD | WIDTHS[width], 0, 1, offset)
    return start + returning(variant.result or 0)


def contexts(variants: Sequence[Variant]) -> dict[str, dict[str, str]]:
    """variant -> field -> `r1248 w4`: the widths in bytes it may be read and written with at its start."""
    jobs = [
        (one, name, offset, width, write)
        for one in variants
        if one.word in STRUCTS and not one.sleepable
        for name, offset, size in fields_of(STRUCTS[one.word])
        for write in (False, True)
        for width in WIDTHS
        if offset % width == 0
    ]
    answers = each([one.load(access_code(one, offset, width, write)) for one, _, offset, width, write in jobs])
    out: dict[str, dict[str, list[str]]] = {}
    for (one, name, _, width, write), (answer, log) in zip(jobs, answers, strict=True):
        if answer and "invalid bpf_context access" not in log and "invalid access to context" not in log:
            line = last_line(log)
            if "ctx access" not in line and "context" not in line and "leads to an unsupported" not in line:
                raise Unclear(f"{one.name} {name} {width} {'write' if write else 'read'}: {answer} {line}")
        found = out.setdefault(one.name, {}).setdefault(name, ["r", "w"])
        if answer == 0:
            found[write] += str(width)
    return {
        variant: {name: " ".join(one for one in found if len(one) > 1) for name, found in fields.items()}
        for variant, fields in out.items()
    }


# ---------------------------------------------------------------- hooks and results


def hooks(names: Sequence[str] = ()) -> dict[str, str]:
    """security hook (all of the facts, or `names`) -> letters: `p` a program loads for it, `s` also one that sleeps,
    `1` it may return 1. Absent: this kernel has no such hook."""
    btf = kernel.live().btf
    names = names or [row.name for row in facts.lsm_hooks.all()]
    ids = {name: found for name in names if (found := btf.find(f"bpf_lsm_{name}", "FUNC"))}
    questions = {"p": (0, 0), "s": (0, SLEEPABLE), "1": (1, 0)}
    jobs = [(name, letter) for name in ids for letter in questions]

    def one(name: str, letter: str) -> Any:
        value, flags = questions[letter]
        at = Variant("lsm", "lsm_mac", name, expected_attach_type=27, attach_btf_id=ids[name], prog_flags=flags)
        return at.load(returning(value))

    out = dict.fromkeys(ids, "")
    for (name, letter), (answer, _) in zip(jobs, each([one(*job) for job in jobs]), strict=True):
        if answer == 0:
            out[name] += letter
    return out


def results(variants: Sequence[Variant]) -> dict[str, str]:
    """variant -> the values of -2 .. 5 that its programs may return; only where the verifier refuses some."""
    tried = range(-2, 6)
    asked = [one for one in variants if not one.sleepable]
    jobs = [(one, value) for one in asked for value in tried]
    answers = each([one.load(returning(value)) for one, value in jobs])
    out: dict[str, list[int]] = {one.name: [] for one in asked}
    for (one, value), (answer, _) in zip(jobs, answers, strict=True):
        if answer == 0:
            out[one.name].append(value)
    return {name: " ".join(map(str, found)) for name, found in out.items() if len(found) < len(tried)}


__all__ = ["contexts", "fields_of", "helpers", "hooks", "judged", "kfuncs", "ld_imm64", "licences", "results"]
