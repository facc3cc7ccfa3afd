"""Source lines of instructions: what the object knows, else what the log prints beside them.

Rust is inlined: the line the compiler notes for an instruction is often one of `core` or `aya-ebpf`. The object's debug
information tells where it was inlined; a log alone does not, and kernels print a file's last part only. Then a line is
taken for a library's by its file (the file a program begins in is the user's) and by its words, and the user's own line
is the nearest one, before or after, that can be what called it.
"""

from __future__ import annotations

from bpfsmith.verify.cause import code
from bpfsmith.verify.cause.names import assigned, compares, words
from bpfsmith.verify.cause.result import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace

__all__ = ["beside", "called_from", "check_line", "library", "lines", "made_at", "of", "own", "use_line"]

NEAR = 400  # steps looked back for a line of the user's own
AROUND = 40  # slots looked at on both sides of an instruction

# What paths of libraries contain.
_FOREIGN = (
    "/registry/src/", "/rustc/", "/library/core/", "/rustlib/", "/.cargo/git/", "/usr/include/", "/usr/lib/",
    "bpf_helper_defs.h", "bpf_helpers.h", "bpf_tracing.h", "bpf_core_read.h", "bpf_endian.h", "vmlinux.h",
)  # fmt: skip
# Files of `core` and `aya-ebpf`, where the log has their last parts only.
_FILES = frozenset((
    "mut_ptr.rs", "const_ptr.rs", "non_null.rs", "uint_macros.rs", "int_macros.rs", "range.rs", "index.rs", "num.rs",
    "intrinsics.rs", "option.rs", "result.rs", "cmp.rs", "hint.rs", "ops.rs", "mem.rs", "ptr.rs", "slice.rs",
    "iter.rs", "function.rs", "maybe_uninit.rs", "unsafe_cell.rs", "cell.rs", "clone.rs", "convert.rs",
    "panicking.rs", "atomic.rs", "hash_map.rs", "array.rs", "per_cpu_array.rs", "ring_buf.rs", "perf_event_array.rs",
    "perf_event_byte_array.rs", "lpm_trie.rs", "prog_array.rs", "stack_trace.rs", "sock_hash.rs", "sock_map.rs",
    "dev_map.rs", "cpu_map.rs", "xsk_map.rs", "bloom_filter.rs", "sk_buff.rs", "tp_btf.rs", "fentry.rs", "fexit.rs",
    "raw_tracepoint.rs", "tracepoint.rs", "probe.rs", "retprobe.rs", "args.rs", "btf_array.rs", "traits.rs",
    "macros.rs", "bpf_helper_defs.h", "bpf_helpers.h", "bpf_tracing.h", "bpf_core_read.h", "bpf_endian.h",
))  # fmt: skip
# What lines of `aya-ebpf` look like, for kernels that print no file.
_WORDS = (
    "(*self.", "self.skb", "self.ctx", "self.regs", "self.def", "self.lookup(", "self.inner", "self.map.", "self.arg",
    "assume_init", "*s.add(i)", "*dest.add(i)", "; TASK_COMM_LEN]", "Ok(comm)", "btf_arg(", "(self", "if ret == 0",
    "Err(ret", "NonNull::", "addr_of_mut!(", "lookup(self", "(value_ptr as", "as_mut_ptr() as *mut c_void",
)  # fmt: skip
_PLAIN = ("}", "{", "});", "};", ")", ");", "})")
# Whole lines of `aya-ebpf` that a user might write as part of others.
_LINES = frozenset(
    (
        "(bpf_get_current_pid_tgid() >> 32) as u32",
        "bpf_get_current_pid_tgid() as u32",
        "bpf_get_current_uid_gid() as u32",
        "(bpf_get_current_uid_gid() >> 32) as u32",
        "unsafe { bpf_get_current_pid_tgid() >> 32 }",
    )
)
# Files of libraries whose names users give their own files too: theirs when the program begins in another one.
_SHARED = frozenset(
    (
        "lib.rs",
        "helpers.rs",
        "mod.rs",
        "xdp.rs",
        "tc.rs",
        "lsm.rs",
        "fmod_ret.rs",
        "sk_msg.rs",
        "sock_ops.rs",
        "sk_skb.rs",
        "sysctl.rs",
        "sockopt.rs",
        "sock_addr.rs",
        "device.rs",
        "perf_event.rs",
        "sk_lookup.rs",
        "flow_dissector.rs",
        "bpf.rs",
        "queue.rs",
        "stack.rs",
    )
)


def library(path: str | None) -> bool:
    """Whether a whole path is of a library and not the user's own."""
    return path is not None and any(part in path for part in _FOREIGN)


def _alone(trace: Trace, path: str | None, text: str) -> bool:
    """The same of a line that only the log tells of."""
    if not text or text.startswith("fun(") or text in _LINES or library(path):
        return True
    if path is None:
        return any(word in text for word in _WORDS)
    base = path.rpartition("/")[2]
    if base in _FILES:
        return True
    return base in _SHARED and base.endswith(".rs") and base not in _main(trace)


def _main(trace: Trace) -> tuple[str, ...]:
    """The user's own files among those whose names libraries use too: where attributes and functions of programs are,
    or, when no other file occurs, all."""
    found: tuple[str, ...] | None = trace.kept.get("files")
    if found is None:
        told = [trace.log.source(slot) for slot in trace.log.insns]
        names = {(row[0] or "").rpartition("/")[2]: row for row in told if row is not None}
        own = {name for name in names if name not in _FILES and name not in _SHARED}
        begins = {
            (row[0] or "").rpartition("/")[2]
            for row in told
            if row is not None and (row[2].lstrip().startswith(("#[", "pub fn ")) or "ctx: " in row[2])
        }
        found = tuple(begins | (set() if own or begins else set(names)))
        trace.kept["files"] = found
    return found


def of(trace: Trace, slot: int) -> Place | None:
    """The innermost source line of an instruction; None when neither log nor object has one."""
    program = trace.program
    if program is not None:
        source = program.source_line(slot)
        if source is not None:
            return Place(source.path, source.line, source.column, _strip(source.text), own=not library(source.path))
    told = trace.log.source(slot)
    if told is None:
        return None
    path, line, text = told
    text = text.strip()
    return Place(path, line, 0, text, own=not _alone(trace, path, text))


def own(trace: Trace, step: Step | int) -> Place | None:
    """As `Trace.own_place`."""
    slot = step if isinstance(step, int) else step.slot
    here = trace.place(slot)
    insn = trace.insn(slot)
    if trace.program is not None and (insn is None or not (code.conditional(insn) or code.is_call(insn))):
        outer = _around(trace, slot)
        if outer is not None:
            return outer
    if here is not None and here.own and not _weak(here):
        return _in_assembly(trace, slot, here) if "asm!" in (here.text or "") else here
    if trace.program is not None and here is not None:
        from bpfsmith.verify.places import own as inlined
        from bpfsmith.verify.places import text

        path, line = inlined(trace.program, slot, here.path or "", here.line or 0)
        if not library(path) and not _weak(here):
            return Place(path, line, 0, text(trace.program, slot, path, line) or None)
    near = _nearest(trace, step, slot)
    if near is None:
        if here is not None and here.own:  # a line that says nothing
            return Place(here.path, here.line, here.column, here.text, here.function, exact=False)
        return here
    return Place(near.path, near.line, near.column, near.text, near.function, exact=False)


def _around(trace: Trace, slot: int) -> Place | None:
    """The call of an inlined generic function of one line (`fn read<T>(at: usize) -> T { .. }`) that an instruction is
    of: what such a function is given is right or wrong where it is called. None for all others."""
    from bpfsmith.verify.places import text

    program = trace.program
    assert program is not None
    frames = _frames(trace, slot)
    if len(frames) < 2 or not frames[0][0].endswith(">"):
        return None
    seen: dict[tuple[str, str], set[int]] | None = trace.kept.get("inlined")
    if seen is None:
        seen = {}
        for at in trace.cfg:
            for function, path, line, _ in _frames(trace, at):
                seen.setdefault((path, function.partition("<")[0]), set()).add(line)
        trace.kept["inlined"] = seen
    if len(seen.get((frames[0][1], frames[0][0].partition("<")[0]), ())) != 1:
        return None
    function, path, line, column = frames[1]
    return Place(path, line, column, text(program, slot, path, line) or None, function)


def _frames(trace: Trace, slot: int) -> list[tuple[str, str, int, int]]:
    """Functions of the user's own that an instruction was inlined through, the innermost first."""
    if trace.program is None:
        return []
    return [row for row in trace.program.inline_frames(slot) if row[2] and not library(row[1])]


def beside(trace: Trace, step: Step, other: Step) -> Place | None:
    """The line of a step in the function that another one is of as well: of a call made in an inlined function, the
    line that calls that function, where the other step is outside of it."""
    from bpfsmith.verify.places import text

    mine, its = _frames(trace, step.slot), _frames(trace, other.slot)
    if step.frame == other.frame and trace.program is not None:
        for at, (function, path, line, column) in enumerate(mine):
            calls = [(row[0], row[1]) for row in mine[at + 1 :]]
            for near in range(len(its)):
                same = (function, path) == its[near][:2] and calls == [(row[0], row[1]) for row in its[near + 1 :]]
                if same and at:
                    return Place(path, line, column, text(trace.program, step.slot, path, line) or None, function)
                if same:
                    return own(trace, step)
    return own(trace, step)


def _in_assembly(trace: Trace, slot: int, here: Place) -> Place:
    """The line of an assembly block that has the instruction: compilers note where the block begins."""
    insn = trace.insn(slot)
    known = lines(trace, here.path) if trace.program is not None and here.path is not None else {}
    if insn is None or here.line is None or here.path is None:
        return here
    wanted = "".join((insn.text.partition(") ")[2] if insn.text.startswith("(") else insn.text).split())
    found: list[int] = []
    for line in range(here.line + 1, here.line + 40):
        text = known.get(line, "")
        if text.startswith('"') and "".join(text[1:].partition('"')[0].split()) == wanted:
            found.append(line)
        elif text.startswith((");", "}")):
            break
    return Place(here.path, found[0], 0, known[found[0]], here.function) if len(found) == 1 else here


def lines(trace: Trace, path: str) -> dict[int, str]:
    """The lines of a file that are known: of the log, of the object, and all when the file is on this machine and is
    the one that was compiled."""
    kept: dict[str, dict[int, str]] = trace.kept.setdefault("lines", {})
    if path in kept:
        return kept[path]
    found: dict[int, str] = {}
    for slot in trace.cfg:
        place = trace.place(slot)
        if place is not None and place.path == path and place.line and place.text:
            found[place.line] = place.text
    if trace.program is not None:
        from bpfsmith.rules._sources import Sources

        known = Sources()
        file = known.find(path, trace.program.owner.path)
        if file is not None and all((known.line(file, line) or "").strip() == text for line, text in found.items()):
            line, limit = 1, 100_000
            while line < limit and (text := known.line(file, line)) is not None:
                found[line] = text.strip()
                line += 1
    kept[path] = found
    return found


def made_at(trace: Trace, step: Step, variable: str | None) -> Place | None:
    """The line of a step, or, where it does not, the nearest one before that assigns `variable`."""
    here = own(trace, step)
    if variable is None or here is None or here.path is None or here.line is None:
        return here
    known = lines(trace, here.path)
    for line in range(here.line, max(0, here.line - 60), -1):
        text = known.get(line)
        if text and assigned(text) == variable:
            return Place(here.path, line, 0, text, here.function)
    return here


def use_line(trace: Trace, here: Place | None, variable: str | None) -> Place | None:
    """The line a variable is added or indexed in, where the instruction's own line does not name it: compilers put
    additions together."""
    if variable is None or here is None or here.path is None or here.line is None or variable in words(here.text or ""):
        return here
    known = lines(trace, here.path)
    for line in range(here.line + 1, here.line + 30):
        text = known.get(line, "")
        if variable not in words(text) or assigned(text) == variable or compares(text, variable):
            continue
        if any(sign in text for sign in ("+", "[", ".add(", ".offset(")):
            return Place(here.path, line, 0, text, here.function)
    return here


def called_from(trace: Trace, step: Step) -> Place | None:
    """The line of the user's own that called the inlined function an instruction is of; None when it is not inlined."""
    if trace.program is None:
        return None
    from bpfsmith.verify.places import text

    frames = [row for row in trace.program.inline_frames(step.slot) if not library(row[1]) and row[2]]
    if len(frames) < 2:
        return None
    function, path, line, column = frames[1]
    return Place(path, line, column, text(trace.program, step.slot, path, line) or None, function)


def check_line(trace: Trace, step: Step, variable: str | None, use: Place | None) -> Place | None:
    """The line of a comparison: its instruction's, or, where that does not compare `variable`, the nearest line before
    the use that does: compilers put comparisons together and leave their lines out."""
    here = own(trace, step)
    if variable is None or use is None or use.path is None or use.line is None:
        return here
    if here is not None and here.text and compares(here.text, variable):
        return here
    if here is not None and here.path != use.path:
        return here
    known = lines(trace, use.path)
    for line in range(use.line - 1, max(0, use.line - 60), -1):
        text = known.get(line)
        if text and compares(text, variable):
            return Place(use.path, line, 0, text, use.function)
    return here


def _nearest(trace: Trace, step: Step | int, slot: int) -> Place | None:
    """The line before on the path, unless the one after names what the instruction calls."""
    before = None
    if not isinstance(step, int):
        for former in trace.steps.back(step.at, NEAR):
            if former.frame < step.frame:
                # Nothing of the user's own in this function: a library's, called from here.
                outer = own(trace, former)
                return outer if outer is not None and outer.own else None
            if former.frame == step.frame:
                found = trace.place(former.slot)
                if found is not None and found.own and not _weak(found):
                    before = found
                    break
    else:
        before = next((one for at in range(slot - 1, max(-1, slot - AROUND), -1) if (one := _named(trace, at))), None)
    insn = trace.insn(slot)
    call = insn.call if insn is not None else None
    if call is None and before is not None:
        return before
    after = next((one for at in range(slot + 1, slot + AROUND) if (one := _named(trace, at))), None)
    if before is None or (after is not None and call is not None and _calls(after, call) > _calls(before, call)):
        return after
    if call is not None and trace.program is None and not _calls(before, call):
        return _behind(trace, before) or before
    return before


def _behind(trace: Trace, before: Place) -> Place | None:
    """The line behind one that cannot call what is called next: a statement without a call in it, one whose call is
    known to be of something else, or a condition that opens a block. Its text is told where the log has it."""
    text = before.text or ""
    if before.line is None or before.path is None or not before.path.endswith(".rs"):
        return None
    opens = text.endswith("{") and text.startswith(("if ", "} else", "for ", "while ", "loop", "unsafe {"))
    plain = text.endswith(";") and "(" not in text
    other = text.endswith(";") and any(word in text for words in _METHODS.values() for word in words)
    if not (opens and "(" not in text.replace("(self", "")) and not plain and not other:
        return None
    known = lines(trace, before.path).get(before.line + 1)
    if known is not None and (known in _PLAIN or (known.startswith(("let ", "//")) and "(" not in known)):
        return None
    return Place(before.path, before.line + 1, 0, known, before.function, exact=False)


def _named(trace: Trace, slot: int) -> Place | None:
    found = trace.place(slot) if trace.insn(slot) is not None else None
    return found if found is not None and found.own and not _weak(found) else None


def _weak(place: Place) -> bool:
    """A line that says nothing: brackets, an attribute whose macro made the instruction."""
    text = place.text or ""
    return text in _PLAIN or text.startswith("#[")


# What Rust code writes for a helper.
_METHODS = {
    "bpf_map_lookup_elem": (".get(", ".get_ptr", "lookup", "get_ptr_mut("),
    "bpf_map_update_elem": (".insert(", ".set(", "update"),
    "bpf_map_delete_elem": (".remove(", "delete"),
    "bpf_ringbuf_reserve": (".reserve",),
    "bpf_ringbuf_submit": (".submit(",),
    "bpf_ringbuf_output": (".output(",),
    "bpf_perf_event_output": (".output(",),
    "bpf_get_current_pid_tgid": (".pid()", ".tgid()"),
    "bpf_get_current_uid_gid": (".uid()", ".gid()"),
    "bpf_probe_read_kernel": ("read_kernel", ".arg(", "read_at"),
    "bpf_probe_read": ("probe_read", "read_at"),
    "bpf_skb_load_bytes": (".load", "load_bytes"),
    "bpf_skb_store_bytes": (".store", "store_bytes"),
    "bpf_skb_pull_data": ("pull_data",),
    "bpf_xdp_adjust_head": ("adjust_head",),
}


def _calls(place: Place, call: str) -> int:
    """How well a line fits a call."""
    text = place.text or ""
    if call in text:
        return 2
    words = _METHODS.get(call, (call.removeprefix("bpf_"),))
    return 1 if any(word in text for word in words) else 0


def _strip(text: str | None) -> str | None:
    return None if text is None else text.strip()
