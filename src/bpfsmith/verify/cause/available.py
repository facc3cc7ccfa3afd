"""What this kernel, this type of program or this process does not offer: helpers, kernel functions, features, rights.

The class is `environment`; the advice says what to type, or from which kernel on it loads.
"""

from __future__ import annotations

from bpfsmith.verify.cause import parts
from bpfsmith.verify.cause.result import Advice, Cause, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.facts.helpers import Helper
    from bpfsmith.verify.cause.trace import Trace
    from bpfsmith.verify.messages import Match

__all__ = ["asleep", "find"]

CORE_POISON = 0xBAD2310  # libbpf's number for an instruction whose CO-RE relocation found nothing
KFUNC_POISON = "2002000"  # .. and for a weak kernel function that is not there
CAPABILITIES = "CAP_BPF, CAP_PERFMON and, for network programs, CAP_NET_ADMIN"


def find(trace: Trace, match: Match | None) -> Cause | None:  # noqa: PLR0911
    """`environment` for what is not offered here; None where the message is about something else."""
    message = parts.said(trace, match)
    if "GPL" in message:
        return _licence(trace, message)
    if "func " in message or "cannot use helper" in message or "helper call" in message or "sleepable" in message:
        found = _call(trace, message)
        if found is not None:
            return found
    if any(word in message for word in _OWN_CALLS):
        return _capability(trace, message)
    if "kernel function" in message or "kfunc" in message:
        return _kernel_function(trace, message)
    if "mixing of tail_calls" in message:
        return _mixing(trace)
    for words, finder in _OTHERS:
        if any(word in message for word in words):
            return finder(trace, message)
    return None


# ---------------------------------------------------------------- licence


def _licence(trace: Trace, message: str) -> Cause:
    name = parts.called(trace.last)
    struct = parts.quoted(message)
    if struct:
        what = f"reads kernel memory (`{struct}`), which only GPL-compatible programs may"
    elif "struct ops" in message:
        what = "implements kernel operations (struct_ops), which only GPL-compatible programs may"
    elif name:
        what = f"calls `{name}`, which only GPL-compatible programs may"
    else:
        what = "calls a function that only GPL-compatible programs may call"
    text = (
        'set the licence: `#[unsafe(no_mangle)] #[unsafe(link_section = "license")] pub static LICENSE: [u8; 4] = '
        '*b"GPL\\0";`'
        if parts.rust(trace)
        else 'set the licence: `char LICENSE[] SEC("license") = "GPL";`'
    )
    because = [trace.fact(trace.last, what)] if trace.last is not None else []
    return parts.cause(
        trace, "environment", "high", f"the program {what}, and its licence is not", step=trace.last,
        place=None if trace.last is not None else _program_place(trace), because=because, variables=[name],
        advice=[Advice("licence", text, function=name, licence="GPL")],
    )  # fmt: skip


def _program_place(trace: Trace) -> Place | None:
    return trace.own_place(0) if trace.program is not None else None


# ---------------------------------------------------------------- helpers


def _call(trace: Trace, message: str) -> Cause | None:
    for stem in ("cannot use helper ", "unknown func ", "invalid func "):
        if stem in message:
            return _helper(trace, message, stem)
    if "supported only for" in message or "not supported for program type" in message:
        return _helper(trace, message, "func ")
    if "not allowed in probe" in message:
        name = parts.called(trace.last)
        return parts.cause(
            trace, "environment", "medium",
            f"`{name}` may not be called from where this program is attached: it could run inside its own work",
            step=trace.last, variables=[name],
            advice=[Advice("attach-elsewhere", f"attach to another function, or do without `{name}`", function=name)],
        )  # fmt: skip
    if any(word in message for word in ("non-sleepable prog", "must be sleepable", "but the program is not")):
        return asleep(trace, message)
    return None


def _helper(trace: Trace, message: str, stem: str) -> Cause:
    from bpfsmith.facts import helpers

    rest = parts.after(message, stem)
    name, _, digits = rest.partition("#")
    number = parts.number(digits) if digits else None
    name = name.strip().split(" ")[-1]
    if number is not None and (number == CORE_POISON or str(number).startswith(KFUNC_POISON)):
        return _poisoned(trace, message, number)
    helper = helpers.by_id(number) if number is not None else helpers.by_name(name)
    if helper is None:
        return _no_such_helper(trace, name, number)
    return _refused(trace, helper, unknown_number="invalid func" in stem)


def _poisoned(trace: Trace, message: str, number: int) -> Cause:
    what, tip = "", ""
    from bpfsmith.verify.cause.panics import meant, trap

    if number != CORE_POISON and not parts.rust(trace) and meant(trace):
        return trap(trace)
    if trace.program is not None and trace.kernel is not None and not isinstance(trace.kernel, str):
        from bpfsmith.run.reject import explained

        try:
            what, tip = explained(trace.program, message, trace.last.slot if trace.last else None, trace.kernel)
        except Exception:  # the kernel may be one that cannot be asked from here
            what = ""
    if not what and number != CORE_POISON:
        what, tip = (
            "calls a kernel function that this kernel does not have",
            "ask with `bpf_ksym_exists()` before the call",
        )
    elif not what:
        what = "needs a field, type or value of the kernel that this kernel does not have (its CO-RE relocation failed)"
        tip = "ask with `bpf_core_field_exists()` (or `bpf_core_type_exists()`) before using it"
    name = what.partition("`")[2].partition("`")[0]
    return parts.cause(
        trace, "environment", "high", f"the program {what}", step=trace.last, variables=[name],
        advice=[Advice("guard-existence", tip, name=name)],
    )  # fmt: skip


def _no_such_helper(trace: Trace, name: str, number: int | None) -> Cause:
    shown = f"number {number}" if name in ("", "unknown") else f"`{name}`"
    return parts.cause(
        trace, "environment", "medium", f"no helper {shown} is known to this kernel, nor to any known one",
        step=trace.last,
        advice=[Advice("newer-kernel", "check the relocation of this call: loaders put such numbers where one failed")],
    )  # fmt: skip


def _refused(trace: Trace, helper: Helper, unknown_number: bool) -> Cause:
    name = helper.name
    kind = parts.program_type(trace)
    running = parts.series(trace)
    on = f"Linux {running}" if running else "this kernel"
    tips: list[Advice] = []
    since = helper.since
    why = ""
    word = kind.name if kind is not None else ""
    if kind is not None and not helper.allowed(word):
        allowed = _some(list(helper.program_types))
        why = f"`{name}` may not be called by `{word}` programs"
        tips.append(_instead(name, word, allowed))
    elif kind is not None and parts.older(running, helper.since_in(word) or ""):
        since = helper.since_in(word) or since
        why = f"`{name}` can be called by `{word}` programs from Linux {since} on; this is {running}"
    elif unknown_number or parts.older(running, since):
        why = f"`{name}` exists from Linux {since} on; {on} does not have it"
    elif kind is not None and not running and (helper.since_in(word) or since) != since:
        since = helper.since_in(word) or since
        why = f"`{name}` can be called by `{word}` programs from Linux {since} on"
    elif kind is not None and (limit := helper.limit(word)) is not None:
        needs = []
        if limit.only:
            needs.append(f"be attached as {_some(list(limit.only))}")
        if limit.never:
            needs.append(f"not be attached as {_some(list(limit.never))}")
        if limit.sleepable:
            needs.append("be sleepable")
        if limit.capability:
            needs.append(f"be loaded with {limit.capability}")
        why = f"to call `{name}`, a `{word}` program has to {' and '.join(needs)}"
        tips.append(Advice("attach-as", why, function=name, only=limit.only, capability=limit.capability))
    if not why:
        allowed = _some(list(helper.program_types))
        why = f"`{name}` (since Linux {since}) may not be called by a program of this type here"
        tips.append(_instead(name, word, allowed))
        if running == "" and not unknown_number:
            tips.append(Advice("capability", f"or load it with {CAPABILITIES}, when that is what is missing"))
    if not tips:
        tips.append(
            Advice(
                "newer-kernel",
                f"load it on Linux {since} or newer, or leave the call out where the kernel is older",
                function=name,
                since=since,
            )
        )
    because = [trace.fact(trace.last, f"`{name}` is called here")] if trace.last is not None else []
    return parts.cause(
        trace, "environment", "high", why, step=trace.last, because=because, variables=[name], advice=tips
    )


def _instead(name: str, word: str, allowed: str) -> Advice:
    close = _INSTEAD.get(name, "")
    text = f"use {close} instead, or " if close else ""
    return Advice("other-type", f"{text}make it a program of a type that may: {allowed}", function=name, type=word)


_INSTEAD = {
    "bpf_probe_read": "`bpf_probe_read_kernel()` or `bpf_probe_read_user()` in a tracing program, direct packet access "
    "or `bpf_skb_load_bytes()` in a network program,",
    "bpf_probe_read_str": "`bpf_probe_read_kernel_str()` or `bpf_probe_read_user_str()`",
    "bpf_trace_printk": "a ring buffer or perf events",
    "bpf_skb_load_bytes": "`bpf_xdp_load_bytes()` (Linux 5.18) or direct packet access",
    "bpf_get_current_pid_tgid": "the task of the event, sent in its record",
    "bpf_redirect_map": "`bpf_redirect()`",
}


def _some(words: list[str]) -> str:
    shown = ", ".join(f"`{one}`" for one in words[:6])
    return shown + (f" and {len(words) - 6} more" if len(words) > 6 else "") if words else "none"


def asleep(trace: Trace, message: str) -> Cause:
    """What may sleep, in a program that may not."""
    stems = ("sleepable kfunc ", "sleepable helper ", "kernel function ", "global function ")
    told = next((word for stem in stems if (word := parts.word(message, stem))), "")
    step = trace.last
    name = parts.called(step) or (parts.function(trace, step.insn.target) if step is not None else "") or told or "this"
    made = (
        "declare it sleepable (`#[fentry(sleepable)]`, `#[lsm(sleepable)]`, `#[uprobe(sleepable)]`)"
        if parts.rust(trace)
        else 'declare it sleepable (`SEC("fentry.s/..")`, `SEC("lsm.s/..")`, `SEC("uprobe.s")`, `SEC("iter.s/..")`)'
    )
    kind = parts.program_type(trace)
    may = kind is None or bool(kind.sleepable)
    word = kind.name if kind is not None else ""
    headline = f"`{name}` may sleep, and this program may not" + ("" if may else f": no `{word}` program may")
    tip = made if may else "call it from a program of a type that may sleep (fentry, lsm, uprobe, iter, syscall)"
    other = {
        "bpf_copy_from_user": "`bpf_probe_read_user()`",
        "bpf_copy_from_user_str": "`bpf_probe_read_user_str()`",
    }.get(name)
    if other:
        tip += f"; {other} reads the same without sleeping, and fails where the page is not there"
    because = [trace.fact(trace.last, f"`{name}` may sleep")] if trace.last is not None else []
    return parts.cause(
        trace, "environment", "high", headline, step=trace.last, because=because, variables=[name],
        advice=[Advice("sleepable", tip, function=name)],
    )  # fmt: skip


# ---------------------------------------------------------------- kernel functions


def _kernel_function(trace: Trace, message: str) -> Cause | None:  # noqa: PLR0911
    from bpfsmith.facts import kfuncs

    name = parts.word(message, "calling kernel function ") or parts.word(message, "kernel function ")
    name = name if "_" in name else parts.called(trace.last)
    if "is not allowed" in message:
        known = kfuncs.get(name)
        kind = parts.program_type(trace)
        types = list(known.program_types) if known is not None else []
        who = f"a `{kind.name}` program" if kind is not None else "a program of this type"
        headline = f"`{name}` may not be called by {who}"
        if known is not None and kind is not None and known.allowed(kind.name):
            first = known.program_types.get(kind.name) or known.since
            headline = (
                f"`{name}` may be called by `{kind.name}` programs on kernels from {first} on, or attached otherwise"
            )
        tip = f"call it from {_some(types)}" if types else "call it from another type of program"
        return _plain(trace, headline, "other-type", tip, name)
    if "CAP_SYS_BOOT" in message:
        return _plain(trace, f"`{name}` can bring the machine down", "capability", "load it with CAP_SYS_BOOT", name)
    if "JIT" in message or "non-JITed" in message:
        return _jit(trace, message)
    if "failed to find BTF" in message or "cannot find address" in message or "not a function" in message:
        known = kfuncs.get(name)
        since = f": it exists from Linux {known.since} on" if known is not None and known.since else ""
        tip = "declare it `__weak` and ask with `bpf_ksym_exists()` before the call"
        return _plain(trace, f"this kernel has no function `{name}`{since}", "guard-existence", tip, name)
    if "CONFIG_" in message:
        return _config(trace, message)
    if "too many different kernel function calls" in message or "too many different module" in message:
        return None
    return None


def _plain(trace: Trace, headline: str, kind: str, tip: str, name: str = "", slot: int | None = None) -> Cause:
    because = [trace.fact(trace.last, f"`{name}` is called here")] if trace.last is not None and name else []
    return parts.cause(
        trace, "environment", "high", headline, step=trace.last, because=because, variables=[name],
        place=None if trace.last is not None or slot is not None else _program_place(trace), slot=slot,
        advice=[Advice(kind, tip, function=name)],
    )  # fmt: skip


# ---------------------------------------------------------------- others


def _config(trace: Trace, message: str) -> Cause:
    option = "CONFIG_" + (parts.word(message, "CONFIG_") or "DEBUG_INFO_BTF")
    return _plain(
        trace,
        f"this kernel was built without what the program needs (`{option}`)",
        "config",
        f"use a kernel with `{option}=y` (`bpfsmith doctor` says what a kernel has)",
    )


def _jit(trace: Trace, message: str) -> Cause:
    missing = "doesn't support" in message or "does not support" in message or "not supported by" in message
    what = (
        "the JIT of this kernel or processor does not support what the program does" if missing else "it needs the JIT"
    )
    tip = (
        "use a newer kernel on this processor, or x86-64 or arm64"
        if missing
        else "switch the JIT on: `sysctl -w net.core.bpf_jit_enable=1` (a kernel with CONFIG_BPF_JIT=y)"
    )
    return _plain(trace, what, "jit", tip, parts.called(trace.last))


def _mixing(trace: Trace) -> Cause:
    running = parts.series(trace)
    return _plain(
        trace,
        f"the program calls functions and uses tail calls; Linux {running or 'before 5.10'} does not take both",
        "newer-kernel",
        "load it on Linux 5.10 or newer (x86-64; arm64 from 6.0, s390x from 6.3), or inline the functions "
        "(`#[inline(always)]`, `__always_inline`)",
        "bpf_tail_call",
    )


def _capability(trace: Trace, message: str) -> Cause:
    needed = "CAP_BPF"
    if "PERFMON" in message or "!root" in message or "leaks addr" in message or "kernel 'struct" in message:
        needed = "CAP_BPF and CAP_PERFMON"
    elif "function calls to other bpf functions" in message or "loading/calling other" in message:
        needed = "CAP_BPF (before Linux 5.8 CAP_SYS_ADMIN)"
    headline = "the program does what needs more than an unprivileged user's rights"
    because = []
    names: list[str | None] = []
    step = trace.last
    slot = _slot(message) if step is None else None
    if any(word in message for word in _OWN_CALLS):
        headline = "functions of its own and kernel functions need CAP_BPF to be loaded"
        slot = _first_call(trace)
    elif "back-edge" in message:
        headline = "loops need CAP_BPF to be loaded (and Linux 5.3)"
    elif "leaks addr" in message or "leaking pointer" in message:
        where = parts.word(message, "leaks addr into ") or (
            "its return value" if "return" in message else "where it is read"
        )
        headline = f"a kernel address would be seen outside ({_LEAKS.get(where, where)}), which needs CAP_PERFMON"
        reg = parts.register(message)
        if step is not None and reg is not None:
            name = trace.name(step, reg)
            names.append(name)
            value = step.value(reg)
            kind = f" (`{value.type}`)" if value is not None else ""
            shown = f"`{name}`" if name else reg
            because.append(trace.fact(step, f"{shown} is a pointer{kind}, and goes into {where}"))
    elif "mixed signed bounds" in message or "different maps, paths" in message or "beyond pointer bounds" in message:
        headline = "pointer arithmetic that could be misused in speculation needs CAP_PERFMON"
        step_fact = _operands(trace, message)
        if step_fact is not None:
            because.append(trace.fact(trace.last, step_fact))  # type: ignore[arg-type]
    elif "pointer comparison" in message:
        headline = "comparing pointers needs CAP_PERFMON"
    elif "!root" in message:
        headline = "what is done here with the stack or a pointer needs CAP_PERFMON"
    elif "arena" in message:
        needed, headline = "CAP_BPF and CAP_PERFMON", "an arena needs CAP_BPF and CAP_PERFMON"
    tip = (
        f"load it with {needed}: as root, or `sudo setcap cap_bpf,cap_perfmon,cap_net_admin+ep LOADER`, or with a BPF "
        "token (Linux 6.9)"
    )
    return parts.cause(
        trace, "environment", "high", headline, step=step, because=because, variables=names,
        slot=slot,
        advice=[Advice("capability", tip, needed=needed)],
    )  # fmt: skip


# What kernels say of functions that an unprivileged program may not have.
_OWN_CALLS = (
    "loading/calling other",
    "calls to other bpf functions",
    "loading or calling other",
    "requires CAP_BPF or",
)
_LEAKS = {
    "map": "a map's value", "mem": "memory", "ctx": "the context", "packet": "the packet", "flow": "flow keys",
    "helper": "a helper's argument",
}  # fmt: skip


def _first_call(trace: Trace) -> int | None:
    """The first call of one of the program's own functions, or of a kernel function."""
    calls = trace.program.calls() if trace.program is not None else ()
    return min((slot for slot, what, _, _ in calls if what in ("subprog", "kfunc")), default=None)


def _operands(trace: Trace, message: str) -> str | None:
    step, reg = trace.last, parts.register(message)
    if step is None or reg is None:
        return None
    value = step.value(reg)
    return None if value is None else f"{trace.name(step, reg) or reg} is `{value.text}` here"


def _slot(message: str) -> int | None:
    return parts.number(message, "from insn ") if "insn " in message else None


def _maps(trace: Trace, message: str) -> Cause:
    kind = parts.program_type(trace)
    word = f"`{kind.name}` programs" if kind is not None else "programs of this type"
    if "Sleepable programs can only use" in message:
        headline = "a sleepable program uses a map of a type that sleepable programs may not use on this kernel"
        tip = (
            "use an array, hash or ring buffer map (per-CPU and LRU hashes, and local storage, from 5.12 on; "
            "more from 6.1), or do not declare the program sleepable"
        )
        return _plain(trace, headline, "other-map", tip, slot=_map_use(trace))
    if "cannot update sockmap" in message:
        headline = f"{word} may not change a sockmap here"
        tip = "change it from a sock_ops, sk_msg, sk_skb, sched_cls or tracing iterator program, or from user space"
        return _plain(trace, headline, "other-type", tip)
    field = parts.word(message, "cannot use ") or "such a field"
    headline = f"{word} may not use maps with `{field}` on this kernel"
    tip = f"keep `{field}` out of the map's value, or use another type of program; newer kernels allow more"
    starts = {"bpf_spin_lock": "bpf_spin_lock", "bpf_timer": "bpf_timer_init", "bpf_wq": "bpf_wq_init"}
    calls = [at for at, insn in sorted(trace.cfg.items()) if (insn.call or "").startswith(starts.get(field, "\0"))]
    return _plain(trace, headline, "other-type", tip, field, slot=calls[0] if calls else None)


# Map types that sleepable programs of some kernels may not use.
_NOT_ASLEEP = (
    "perf_event_array", "stack_trace", "queue", "stack", "cgroup_array", "devmap", "devmap_hash", "cpumap", "xskmap",
    "sockmap", "sockhash", "lpm_trie", "bloom_filter", "prog_array", "percpu_hash", "percpu_array", "lru_hash",
    "lru_percpu_hash", "hash_of_maps", "array_of_maps", "ringbuf", "user_ringbuf",
)  # fmt: skip


def _map_use(trace: Trace) -> int | None:
    """The slot of the first use of a map that a sleepable program may not use."""
    program = trace.program
    if program is None:
        return None
    maps = program.owner.maps
    found = [
        (_NOT_ASLEEP.index(maps[index].type_name or ""), slot)
        for slot, index, _, _ in program.map_uses()
        if maps[index].type_name in _NOT_ASLEEP
    ]
    return min(found)[1] if found else None


def _packet(trace: Trace, message: str) -> Cause:
    kind = parts.program_type(trace)
    word = f"`{kind.name}` programs" if kind is not None else "programs of this type"
    if "helper access" in message:
        name = parts.called(trace.last)
        headline = f"`{name}` takes no pointer into the packet in {word}"
        return _plain(trace, headline, "copy", "copy the bytes to the stack first, and pass that", name)
    headline = f"{word} may read the packet, but not write into it"
    tip = "use a type that may write (`xdp`, `sched_cls`, `lwt_xmit`, `sk_skb`), or a helper (`bpf_skb_store_bytes()`)"
    return _plain(trace, headline, "other-type", tip)


def _device(trace: Trace, message: str) -> Cause:  # noqa: ARG001
    name = parts.called(trace.last)
    tip = "load it for the device: `prog_ifindex` and the flag BPF_F_XDP_DEV_BOUND_ONLY (Linux 6.3)"
    return _plain(trace, "metadata of XDP can be read by programs bound to one device only", "bind-device", tip, name)


def _classic(trace: Trace, message: str) -> Cause:  # noqa: ARG001
    tip = "use `bpf_skb_load_bytes()` or direct packet access"
    return _plain(trace, "programs of this type may not use the old packet loads (LD_ABS, LD_IND)", "replace", tip)


def _realtime(trace: Trace, message: str) -> Cause:
    field = message.partition(" ")[0]
    return _plain(
        trace, f"`{field}` cannot be used on a PREEMPT_RT kernel", "config", "use a kernel without PREEMPT_RT"
    )


def _css(trace: Trace, message: str) -> Cause:
    name = message.partition(" ")[0]
    tip = "use it in an LSM program, an iterator or a sleepable program"
    return _plain(trace, f"`{name}` may be used in LSM, iterator and sleepable programs only", "other-type", tip, name)


_OTHERS = (
    (("CONFIG_", "kernel is missing BTF"), _config),
    (("!root", "CAP_", "leaks addr", "leaking pointer", "back-edge from insn", "mixed signed bounds",
      "different maps, paths", "beyond pointer bounds", "unsupported alu operation", "speculative verification",
      "pointer comparison prohibited"), _capability),
    (("JIT",), _jit),
    (("PREEMPT_RT",), _realtime),
    (("progs cannot use bpf_", "Sleepable programs can only use", "cannot update sockmap"), _maps),
    (("writes to packet data", "cannot write into packet", "helper access to the packet"), _packet),
    (("device-bound",), _device),
    (("not allowed for this program type",), _classic),
    (("is only allowed in bpf_",), _css),
)  # fmt: skip
