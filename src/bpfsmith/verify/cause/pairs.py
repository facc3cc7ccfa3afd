"""What is acquired has to be released: references, locks, RCU, preemption and interrupt sections."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.flow import type_of
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.verify.cause.trace import Step, Trace
    from bpfsmith.verify.messages import Match

__all__ = ["find", "leaving", "releases"]

FAR = 20_000

# Acquiring function -> those that release what it gives. Endings of names count: `_acquire` -> `_release`.
_RELEASE = {
    "bpf_ringbuf_reserve": ("bpf_ringbuf_submit", "bpf_ringbuf_discard"),
    "bpf_ringbuf_reserve_dynptr": ("bpf_ringbuf_submit_dynptr", "bpf_ringbuf_discard_dynptr"),
    "bpf_sk_lookup_tcp": ("bpf_sk_release",),
    "bpf_sk_lookup_udp": ("bpf_sk_release",),
    "bpf_skc_lookup_tcp": ("bpf_sk_release",),
    "bpf_map_lookup_elem": ("bpf_sk_release",),
    "bpf_kptr_xchg": (
        "bpf_kptr_xchg", "bpf_obj_drop_impl", "bpf_task_release", "bpf_cgroup_release", "bpf_cpumask_release",
    ),
    "bpf_obj_new_impl": (
        "bpf_obj_drop_impl", "bpf_list_push_front_impl", "bpf_list_push_back_impl", "bpf_rbtree_add_impl",
    ),
    "bpf_obj_new": ("bpf_obj_drop", "bpf_obj_drop_impl", "bpf_kptr_xchg"),
    "bpf_percpu_obj_new_impl": ("bpf_percpu_obj_drop_impl", "bpf_kptr_xchg"),
    "bpf_refcount_acquire_impl": ("bpf_obj_drop_impl",),
    "bpf_list_pop_front": ("bpf_obj_drop_impl",),
    "bpf_list_pop_back": ("bpf_obj_drop_impl",),
    "bpf_rbtree_remove": ("bpf_obj_drop_impl",),
    "bpf_task_from_pid": ("bpf_task_release",),
    "bpf_task_from_vpid": ("bpf_task_release",),
    "bpf_task_get_cgroup1": ("bpf_cgroup_release",),
    "bpf_cgroup_from_id": ("bpf_cgroup_release",),
    "bpf_cgroup_ancestor": ("bpf_cgroup_release",),
    "bpf_cpumask_create": ("bpf_cpumask_release",),
    "bpf_get_task_exe_file": ("bpf_put_file",),
    "bpf_xdp_ct_lookup": ("bpf_ct_release",),
    "bpf_skb_ct_lookup": ("bpf_ct_release",),
    "bpf_xdp_ct_alloc": ("bpf_ct_insert_entry", "bpf_ct_release"),
    "bpf_skb_ct_alloc": ("bpf_ct_insert_entry", "bpf_ct_release"),
    "bpf_ct_insert_entry": ("bpf_ct_release",),
    "bpf_lookup_user_key": ("bpf_key_put",),
    "bpf_lookup_system_key": ("bpf_key_put",),
    "bpf_crypto_ctx_create": ("bpf_crypto_ctx_release",),
}  # fmt: skip

_RES_LOCK = ("bpf_res_spin_lock", "bpf_res_spin_lock_irqsave")
_RES_UNLOCK = ("bpf_res_spin_unlock", "bpf_res_spin_unlock_irqrestore")

# Words of a message -> (what opens, what closes, what a person calls it).
_SECTIONS = (
    ("spin_lock-ed", ("bpf_spin_lock",), ("bpf_spin_unlock",), "the spin lock"),
    ("bpf_spin_lock", ("bpf_spin_lock",), ("bpf_spin_unlock",), "the spin lock"),
    ("bpf_spin_unlock", ("bpf_spin_lock",), ("bpf_spin_unlock",), "the spin lock"),
    ("res_spin", _RES_LOCK, _RES_UNLOCK, "the spin lock"),
    ("rcu_read_lock", ("bpf_rcu_read_lock",), ("bpf_rcu_read_unlock",), "the RCU section"),
    ("rcu", ("bpf_rcu_read_lock",), ("bpf_rcu_read_unlock",), "the RCU section"),
    ("preempt", ("bpf_preempt_disable",), ("bpf_preempt_enable",), "the section without preemption"),
    ("irq", ("bpf_local_irq_save",), ("bpf_local_irq_restore",), "the section without interrupts"),
    ("IRQ", ("bpf_local_irq_save",), ("bpf_local_irq_restore",), "the section without interrupts"),
    ("lock", ("bpf_spin_lock", *_RES_LOCK), ("bpf_spin_unlock", *_RES_UNLOCK), "the lock"),
)  # fmt: skip


def find(trace: Trace, match: Match | None) -> Cause | None:  # noqa: PLR0911
    """`unreleased-reference`, and its neighbours."""
    message = parts.said(trace, match)
    leak = parts.told(trace, "Unreleased reference") or message
    if "Unreleased reference" in leak or ("reference leak" in message and "lock" not in message):
        return _leak(trace, leak, message)
    if "Leaking reference" in message or "mixed with socket references" in message:
        return _leak(trace, leak, message)
    if "must be referenced when passed to release" in message or "reference has not been acquired" in message:
        return _released(trace, message)
    if "expects ref" in message or "unacquired reference" in message:
        return _released(trace, message)
    if "use static function instead" in message:
        message = parts.told(trace, "global function calls") or "lock"
    elif "sleep" in message:
        return _asleep(trace, message)
    elif "same allocation" in message:
        return None
    if "requires RCU" in message:
        from bpfsmith.verify.cause import objects

        return objects.find(trace, match)
    if "not found at offset" in message or "expects arg#" in message or "expected bpf_" in message:
        return None
    if any(word in message for word in ("must be a rcu pointer", "must be referenced or trusted", "must point to")):
        return _given_away(trace, message) or expired(trace, parts.register(message))
    for word, opens, closes, what in _SECTIONS:
        if word in message:
            return _section(trace, message, opens, closes, what)
    return None


def releases(name: str) -> tuple[str, ...]:
    """Functions that release what `name` acquires."""
    known = _RELEASE.get(name)
    if known is not None:
        return known
    for start, end in (("_acquire", "_release"), ("_new", "_destroy"), ("_create", "_release"), ("_get", "_put")):
        if name.endswith(start):
            return (name[: -len(start)] + end,)
    return ()


# ---------------------------------------------------------------- references


def _acquired(trace: Trace, leak: str) -> Step | None:
    """The step that acquired what was not released: named by the log, else the last acquiring call on the path."""
    slot = parts.number(leak, "alloc_insn=")
    if slot is not None:
        for former in trace.steps.back(len(trace.steps), FAR):
            if former.slot == slot:
                return former
    for former in trace.steps.back(len(trace.steps), FAR):
        name = parts.called(former)
        if name and name != "bpf_map_lookup_elem" and releases(name):
            return former
    return None


def leaving(trace: Trace, start: Step | None, goals: Iterable[int]) -> Step | None:
    """The last branch after `start` whose other way leads to one of `goals` and that left it."""
    wanted = list(goals)
    last = trace.last
    if not wanted or last is None:
        return None
    low = start.at if start is not None else -1
    for former in trace.steps.back(len(trace.steps), FAR):
        if former.at <= low:
            return None
        if not code.conditional(former.insn):
            continue
        after = former.next
        if after is None:
            continue
        others = [slot for slot in trace.successors(former.slot) if slot != after.slot]
        if any(parts.reaches(trace, slot, wanted) for slot in others) and not parts.reaches(trace, after.slot, wanted):
            return former
    return None


def _returning(trace: Trace, branch: Step | None) -> Place | None:
    """The `return` that a branch leads to, where it stands in the branch's line or is the next statement: there the
    release is missing."""
    place = trace.own_place(branch) if branch is not None else None
    if place is None or place.text is None:
        return None
    if place.text.startswith("return") or place.text.endswith("?;") or "return" in place.text:
        return place
    found = parts.downward(trace, place, "return", "", 1)
    return found if found is not None and found.text is not None and found.text.startswith("return") else None


def _behind(trace: Trace, taken: Step | None, branch: Step | None) -> Place | None:
    """With a log alone that knows the acquiring call by a library's line only: the line behind the condition that "
    "leaves."""
    if trace.program is not None or taken is None or branch is None:
        return None
    inner = trace.place(taken.slot)
    place = trace.own_place(branch)
    if inner is None or inner.own or place is None or place.line is None or place.text is None:
        return None
    if place.text.startswith("if ") and place.text.endswith("{"):
        return Place(place.path, place.line + 1, 0, None, place.function, place.own)
    return None


def _calls(trace: Trace, names: Iterable[str]) -> list[int]:
    wanted = tuple(names)
    return [
        slot
        for slot, insn in trace.cfg.items()
        if code.is_call(insn) and insn.call and insn.call.partition("#")[0] in wanted
    ]


def _leak(trace: Trace, leak: str, message: str) -> Cause:
    last = trace.last
    taken = _acquired(trace, leak)
    slot = parts.number(leak, "alloc_insn=")
    name = parts.called(taken) if taken is not None else ""
    if not name and slot is not None:
        insn = trace.insn(slot)
        name = (insn.call or "").partition("#")[0] if insn is not None else ""
    ends = releases(name)
    variable = trace.name(taken.next, "r0") if taken is not None and taken.next is not None else None
    if variable is None and taken is not None:
        place = trace.own_place(taken)
        if place is not None and place.text:
            from bpfsmith.verify.cause.names import assigned

            variable = assigned(place.text)
    branch = leaving(trace, taken, _calls(trace, ends))
    shown = f"`{variable}`" if variable else "what it gives"
    giver = f" of `{name}`" if variable else ""
    if name and not variable:
        shown = f"what `{name}` gives"
    if not name:
        shown = f"the reference taken at instruction {slot}" if slot is not None else "a reference"
        giver = ""
    closing = " or ".join(f"`{one}`" for one in ends) or "a release"
    if name == "bpf_kptr_xchg":
        ends = _of_type(taken)
        closing = " or ".join(f"`{one}`" for one in ends) or "the release function of its type"
    because: list[Fact | None] = []
    takes = (
        f"`{name}` gives {shown if variable else 'it'}, to be released"
        if name
        else "it is taken here, and has to be released"
    )
    if taken is not None:
        because.append(trace.fact(taken, takes))
    elif slot is not None:
        because.append(Fact(slot, trace.own_place(slot), takes))
    if branch is not None:
        because.append(trace.fact(branch, f"this way leaves out {closing}"))
    how = _end(message, last)
    if last is not None:
        because.append(trace.fact(last, f"{how} while {shown} is still held"))
    tip = f"call {closing} on every way out" + (" before this return" if branch is not None else "")
    if name.startswith("bpf_ringbuf_reserve") and parts.rust(trace):
        tip = "call `submit()` or `discard()` on every way out: also where `?` or an early `return` leaves"
    at = taken if taken is not None else last
    place = _returning(trace, branch) or _behind(trace, taken, branch)
    where = "on the way that a branch takes" if branch is not None else "before the program ends"
    return parts.cause(
        trace, "unreleased-reference", "high" if taken is not None else "medium",
        f"{shown}{giver} is not released {where}",
        step=at, slot=slot if at is None else None, place=place, because=because, variables=[variable, name],
        advice=[Advice("release", tip, acquire=name, release=ends, variable=variable,
                       acquired_at=taken.slot if taken is not None else slot)],
    )  # fmt: skip


# Type of the kernel -> what releases one of it that was taken out of a map.
_OF_TYPE = {
    "task_struct": "bpf_task_release",
    "cgroup": "bpf_cgroup_release",
    "bpf_cpumask": "bpf_cpumask_release",
    "cpumask": "bpf_cpumask_release",
    "nf_conn": "bpf_ct_release",
    "bpf_crypto_ctx": "bpf_crypto_ctx_release",
}


def _of_type(taken: Step | None) -> tuple[str, ...]:
    """What releases the object that a call gave, by its type; nothing where that is not known."""
    value = taken.next.value("r0") if taken is not None and taken.next is not None else None
    if value is None:
        return ()
    name = value.type.removesuffix("_or_null")
    for part in ("rcu_", "trusted_", "untrusted_", "percpu_", "alloc_", "ptr_", "or_null_"):
        name = name.removeprefix(part)
    known = _OF_TYPE.get(name)
    return ("bpf_kptr_xchg", known) if known is not None else ()


def _end(message: str, last: Step | None) -> str:
    if "tail_call" in message:
        return "the tail call leaves the program"
    if "bpf_throw" in message:
        return "the throw leaves the program"
    if "LD_" in message:
        return "the packet load may leave the program"
    return "the program ends" if last is None or last.frame == 0 else "the function returns"


def _released(trace: Trace, message: str) -> Cause | None:
    step = trace.last
    if step is None:
        return None
    name = parts.called(step)
    reg = parts.register(message) or "r1"
    former = _former_release(trace, step, name, reg)
    if former is not None:
        return _again(trace, step, former, reg)
    value = step.value(reg)
    kind = f" (it is `{value.text}`)" if value is not None else ""
    return parts.cause(
        trace, "argument-type", "high",
        f"`{name or 'the release'}` takes only what an acquiring call gave, and this was not acquired{kind}",
        step=step, because=[*_whence(trace, step, reg), trace.fact(step, f"{reg} holds no reference to release")],
        variables=[trace.name(step, reg), name],
        advice=[Advice("acquire-first", "release only what this program acquired (and null-checked) "
                                        "itself", release=name)],
    )  # fmt: skip


def _again(trace: Trace, step: Step, former: Step, reg: str) -> Cause:
    """A second release."""
    name, first = parts.called(step), parts.called(former)
    keeps = "push" in first or "add" in first or "xchg" in first
    return parts.cause(
        trace, "unreleased-reference", "high", f"`{name}` is called with what `{first}` "
                                               f"{'has taken' if keeps else 'released'} before", step=step,
        because=[
            trace.fact(former, f"`{first}` {'takes it over, also where it fails' if keeps else 'releases it here'}"),
            trace.fact(step, f"`{name}` is called with the same again"),
        ],
        variables=[trace.name(step, reg), name],
        advice=[Advice("release-once", "release it once on every way", release=name)],
    )  # fmt: skip


def _whence(trace: Trace, step: Step, reg: str) -> list[Fact]:
    found: list[Fact] = []
    for link in reversed(trace.origin(step, reg)):
        if link.how in ("call", "load", "ctx", "const"):
            what = {
                "call": f"it comes from `{parts.called(link.step) or 'a call'}`",
                "load": "it is read from memory",
                "ctx": "it is the context",
                "const": "it is a constant",
            }[link.how]
            if link.how == "load" and type_of(trace, link.step, f"r{link.step.insn.src}") == "ctx":
                what = "it is read from the context"
            found.append(trace.fact(link.step, what))
    return found


def _former_release(trace: Trace, step: Step, name: str, reg: str) -> Step | None:
    """A former call on the path that released the same value."""
    ends = {one for known in _RELEASE.values() for one in known} | {name}
    wanted = _begun(trace, step, reg)
    for former in trace.steps.back(step.at, 2000):
        if former.at <= wanted[0]:
            return None
        if parts.called(former) in ends and any(_begun(trace, former, one) == wanted for one in ("r1", "r2")):
            return former
    return None


def _begun(trace: Trace, step: Step, reg: str) -> tuple[int, str]:
    """Where the value began that a register holds, or whose part it points to."""
    from bpfsmith.verify.cause.flow import root

    found = root(trace, step, reg)
    for link in trace.origin(step, reg):
        if link.how == "add" and link.source is not None:
            found = root(trace, link.step, link.source)
    return found


def _given_away(trace: Trace, message: str) -> Cause | None:
    """Something to release that a list, a tree, a map or a former release has already."""
    step = trace.last
    name = parts.called(step)
    ends = {one for known in _RELEASE.values() for one in known}
    if step is None or (name not in ends and not name.endswith(("_release", "_drop", "_drop_impl", "_put"))):
        return None
    reg = parts.register(message) or "r1"
    former = _former_release(trace, step, name, reg)
    return None if former is None else _again(trace, step, former, reg)


def expired(trace: Trace, reg: str | None) -> Cause | None:
    """A pointer that an RCU section vouched for, used after its end."""
    step = trace.last
    if step is None or reg is None:
        return None
    from bpfsmith.verify.cause.flow import location

    chain = trace.origin(step, reg)
    for former in trace.steps.back(step.at, 2000):
        if parts.called(former) != "bpf_rcu_read_unlock" or former.frame != step.frame:
            continue
        value = former.value(location(chain, former.at, step, reg)[1])
        if value is None or not value.text.startswith(("rcu_ptr", "percpu_rcu_ptr")):
            return None
        name = parts.called(step)
        place = trace.own_place(former)
        if place is not None and "bpf_rcu_read_unlock" not in (place.text or ""):  # compilers make one call of two
            place = parts.upward(trace, trace.own_place(step), ("bpf_rcu_read_unlock",), 40) or place
        variable = trace.name(step, reg)
        shown = f"`{variable}`" if variable else "the pointer"
        return parts.cause(
            trace, "stale-pointer", "high",
            f"{shown} is good inside the RCU section only, and `{name}` gets it after its end", step=former,
            place=place,
            because=[*_whence(trace, step, reg), trace.fact(former, "the section ends here, and the pointer with it"),
                     trace.fact(step, f"`{name}` is called with it")],
            variables=[variable, name],
            advice=[Advice("reorder", f"call `{name}` before `bpf_rcu_read_unlock()`", function=name)],
        )  # fmt: skip
    return None


# ---------------------------------------------------------------- sections


def _section(  # noqa: PLR0911
    trace: Trace, message: str, opens: tuple[str, ...], closes: tuple[str, ...], what: str
) -> Cause | None:
    step = trace.last
    if step is None:
        return _called_alone(trace, message, opens, closes, what)
    opened = _open(trace, opens, closes)
    name = parts.called(step)
    paired = opened is not None and len(closes) == len(opens)
    fitting = (closes[opens.index(parts.called(opened))],) if paired else closes
    closing = " or ".join(f"`{one}`" for one in fitting)
    if name in closes and opened is None:
        never = "expected an initialized" in message and not any(
            parts.called(former) in closes for former in trace.steps.back(step.at, FAR)
        )
        return parts.cause(
            trace, "uninitialised" if never else "unreleased-reference", "high",
            f"`{name}` ends {what}, and none is {_state(what)} on this path", step=step,
            because=[trace.fact(step, f"`{name}` is called, and nothing opened it on the way here")], variables=[name],
            advice=[Advice("pair", f"call {' or '.join(f'`{one}`' for one in opens)} on every way that leads here",
                           acquire=opens[0], release=closes[0])],
        )  # fmt: skip
    if "must be held for" in message:
        return _must_hold(trace, step, opened, opens[0])
    if name in closes and ("different" in message or "order" in message):
        return _other(trace, step, opened, name, message)
    because: list[Fact | None] = []
    if opened is not None:
        because.append(trace.fact(opened, f"`{parts.called(opened)}` {_takes(what)} {what}"))
    if name in opens:
        again = "a second one is opened inside it" if opened is not None else "it may not be opened here"
        because.append(trace.fact(step, again))
        return parts.cause(
            trace, "unreleased-reference", "high", f"{what} is still {_state(what)}, and `{name}` opens another "
                                                   f"inside it",
            step=step, because=because, variables=[name],
            advice=[Advice("pair", f"call {closing} before", acquire=opens[0], release=closes[0])],
        )  # fmt: skip
    if code.is_exit(step.insn) or name == "bpf_tail_call" or "LD_" in message or name == "bpf_throw":
        branch = leaving(trace, opened, _calls(trace, closes))
        if branch is not None:
            because.append(trace.fact(branch, f"this way leaves out {closing}"))
        how = _end(message, step) if not name else f"`{name}` leaves the program"
        because.append(trace.fact(step, f"{how} while {what} is {_state(what)}"))
        return parts.cause(
            trace, "unreleased-reference", "high", f"{what} is not {_gives(what)} on this way out",
            step=opened if opened is not None else step, place=_returning(trace, branch), because=because,
            variables=[parts.called(opened)],
            advice=[Advice("release", f"call {closing} on every way out", acquire=opens[0], release=fitting)],
        )  # fmt: skip
    shown = f"`{name}`" if name else "a function" if code.is_call(step.insn) else "this"
    because.append(trace.fact(step, f"{shown} is used inside"))
    sleeps = " (it may sleep)" if "sleep" in message else ""
    return parts.cause(
        trace, "unreleased-reference", "high", f"{shown} may not be called{sleeps} while {what} is "
                                               f"{_state(what)}", step=step,
        because=because, variables=[name],
        advice=[Advice("move-out", f"call it before {what} is {_taken(what)}, or after {closing}", function=name,
                       acquire=opens[0], release=closes[0])],
    )  # fmt: skip


def _asleep(trace: Trace, message: str) -> Cause | None:
    """What may sleep: inside a section that is open, else in a program that may not sleep at all."""
    rows = _SECTIONS if trace.last is not None else ()
    for word, opens, closes, what in rows:
        if word != "lock" and _open(trace, opens, closes) is not None:
            return _section(trace, message, opens, closes, what)
    if "non-sleepable" not in message:
        told = next((row for row in _SECTIONS if row[0] in message), None)
        return None if told is None else _section(trace, message, *told[1:])
    from bpfsmith.verify.cause import available

    return available.asleep(trace, message)


def _called_alone(
    trace: Trace, message: str, opens: tuple[str, ...], closes: tuple[str, ...], what: str
) -> Cause | None:
    """A log without a path: the only call that the message can be about."""
    names = [name for name in (*closes, *opens) if name in message] or [*opens]
    slot = next((at for at in (parts.call_of(trace, name) for name in names) if at is not None), None)
    if slot is None and not any(name in message for name in names):
        return None
    wrong = f"`{names[0]}` is called for another lock than the one that is held" if "different" in message else ""
    return parts.cause(
        trace, "unreleased-reference", "medium", wrong or f"{what} is not taken and released in pairs", slot=slot,
        variables=names[:1],
        advice=[Advice("pair", "take and release the same one, on every way, the last one first", acquire=opens[0],
                       release=closes[0])],
    )  # fmt: skip


def _state(what: str) -> str:
    return "held" if "lock" in what else "open"


def _takes(what: str) -> str:
    return "takes" if "lock" in what else "opens"


def _gives(what: str) -> str:
    return "released" if "lock" in what else "closed"


def _taken(what: str) -> str:
    return "taken" if "lock" in what else "opened"


def _open(trace: Trace, opens: tuple[str, ...], closes: tuple[str, ...]) -> Step | None:
    """The call on the path that opened a section that is still open before the last step."""
    last = trace.last
    closed = 0
    for former in trace.steps.back(last.at if last is not None else 0, FAR):
        name = parts.called(former)
        if name in closes:
            closed += 1
        elif name in opens:
            if closed == 0:
                return former
            closed -= 1
    return None


def _must_hold(trace: Trace, step: Step, opened: Step | None, lock: str) -> Cause:
    name = parts.called(step)
    if opened is not None:
        return parts.cause(
            trace, "argument-type", "high", f"`{name}` needs the lock that stands beside the list or tree, and another "
                                            f"one is held",
            step=step, because=[trace.fact(opened, f"`{parts.called(opened)}` takes a lock of another object"),
                                trace.fact(step, f"`{name}` is called for what that lock does not guard")],
            variables=[name],
            advice=[Advice("hold", f"call `{lock}` on the lock in the same object", acquire=lock)],
        )  # fmt: skip
    return parts.cause(
        trace, "unreleased-reference", "high", f"`{name}` needs the lock that stands beside the list or tree to be "
                                               f"held",
        step=step, because=[trace.fact(step, f"`{name}` is called without that lock")], variables=[name],
        advice=[Advice("hold", f"call `{lock}` on the lock in the same object before, and unlock after", acquire=lock)],
    )  # fmt: skip


def _other(trace: Trace, step: Step, opened: Step | None, name: str, message: str) -> Cause:
    order = "order" in message
    headline = (
        f"`{name}` closes what was not opened last"
        if order
        else f"`{name}` unlocks another lock than the one that is held"
    )
    because = [trace.fact(opened, f"`{parts.called(opened)}` is called")] if opened is not None else []
    because.append(trace.fact(step, f"`{name}` is called for another"))
    return parts.cause(
        trace, "unreleased-reference", "high", headline, step=step, because=because, variables=[name],
        advice=[Advice("pair", "unlock the same lock that was taken, through the same pointer, the last one first")],
    )  # fmt: skip
