"""What is wrong before anything is followed: unreachable code, encodings, relocations, types and line information."""

from __future__ import annotations

from bpfsmith.verify.cause import code, parts
from bpfsmith.verify.cause.classes import conventional
from bpfsmith.verify.cause.result import Advice, Cause, Fact, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Trace
    from bpfsmith.verify.messages import Match

__all__ = ["feature", "find"]


def find(trace: Trace, match: Match | None) -> Cause | None:  # noqa: PLR0911
    """Causes of families V24, V25, V26 and V43."""
    message = parts.said(trace, match)
    if any(word in message for word in ("unreachable insn", "last insn is not", "out of range")) and "insn" in message:
        return _flow(trace, message)
    if "same insn cannot be used" in message:
        from bpfsmith.verify.cause import arguments

        return arguments.find(trace, match)
    if any(word in message for word in _ENCODING):
        return _encoding(trace, message)
    if "func_info" in message and "missing" not in message and (newer := _newer(trace)) is not None:
        return newer
    if "Only one arena" in message:
        return _arenas(trace)
    if conventional(message, match.family if match is not None else "") != "loader-or-metadata":
        return None
    return _metadata(trace, message)


def _slot(trace: Trace, message: str) -> int | None:
    for stem in ("insn ", "insn_off:", "insn #"):
        slot = parts.number(message, stem)
        if slot is not None:
            return slot
    at = trace.log.at
    return int(at) if at is not None else None


# ---------------------------------------------------------------- flow


def _flow(trace: Trace, message: str) -> Cause:
    slot = _slot(trace, message)
    if "last insn is not" in message:
        known = sorted(trace.cfg)
        slot = known[-1] if known else slot
    place = trace.own_place(slot) if slot is not None else None
    name = parts.function(trace, slot)
    rust = parts.rust(trace)
    panic = _panic(trace, slot)
    because: list[Fact | None] = []
    if panic is not None:
        because.append(Fact(panic[0], panic[1], "this can panic, and the panic's way has no end"))
    shown = f" of `{name}`" if name else ""
    if "unreachable" in message:
        headline = f"no path leads to this code{shown}"
        because.append(Fact(slot, place, "nothing jumps or falls into this instruction"))
        tip = (
            "remove what stands behind a `return`, `loop {}` or an assembly jump; let the linker drop unused functions"
        )
    elif "last insn" in message:
        headline = f"the code{shown} runs on behind its last instruction: it ends without `return`"
        because.append(Fact(slot, place, "the last instruction is neither an exit nor a jump"))
        tip = "end every function with a `return`; a function that never returns (`-> !`) has to loop"
    else:
        target = parts.number(message, " to ")
        headline = f"a jump leads out of its function (to instruction {target})"
        because.append(Fact(slot, place, "the jump stands here"))
        tip = "look at jumps in inline assembly: they may not leave the function"
    if panic is not None and panic[1] is not None and panic[1].text:
        headline += f"; `{panic[1].text.strip()}` can panic"
    if rust or panic is not None:
        tip = (
            "avoid what can panic (`get()` instead of `[..]`, a match instead of `unwrap()`), make the panic handler "
            "`loop {}`, "
            "and build with `opt-level = 3` and `lto`, so that the rest is removed"
        )
    at = panic[1] if panic is not None and panic[1] is not None else place
    return parts.cause(
        trace, "panic-or-unreachable", "high" if at is not None else "medium", headline, place=at, slot=slot,
        because=because, variables=[name] if panic is None else [], advice=[Advice("avoid-panic", tip)],
    )  # fmt: skip


def _symbol(trace: Trace, slot: int) -> str:
    """The symbol of the function a slot lies in."""
    for name, first, slots, _ in trace.program.functions() if trace.program is not None else ():
        if first <= slot < first + slots:
            return name
    return ""


def _without_end(trace: Trace) -> list[range]:
    """Functions without an exit, which only others lead to: panics, and what leads to nothing else."""
    rows = trace.program.functions() if trace.program is not None else ()
    spans = [range(first, first + slots) for _, first, slots, _ in rows if first]
    return [
        span for span in spans if not any((insn := trace.insn(at)) is not None and code.is_exit(insn) for at in span)
    ]


def _panic(trace: Trace, slot: int | None) -> tuple[int, Place | None] | None:
    """A call of a panic function: the last one of the user's own at or before `slot`, else the first."""
    from bpfsmith.model.program import is_panic

    calls: list[int] = []
    if trace.program is not None:
        for at, name in trace.program.fall_through_panics():
            if is_panic(name):
                calls.append(at)
    names = {first: name for _, first, name in trace.log.functions if name}
    endless = _without_end(trace)
    for at, insn in sorted(trace.cfg.items()):
        if not code.is_subprogram_call(insn) or insn.target is None:
            continue
        if is_panic(names.get(insn.target, "")) or any(insn.target in span for span in endless):
            calls.append(at)
    calls = [at for at in calls if not is_panic(_symbol(trace, at)) and not any(at in span for span in endless)]
    own = [(at, trace.own_place(at)) for at in sorted(set(calls))]
    own = [(at, place) for at, place in own if place is not None and place.own]
    if not own:
        return None
    before = [row for row in own if slot is None or row[0] <= slot]
    return before[-1] if before else own[0]


# ---------------------------------------------------------------- encoding

_ENCODING = (
    "reserved fields", "unknown opcode", "invalid BPF_", "unknown insn class", "div by zero", "invalid shift",
    "atomic operand", "atomic opcode", "may_goto", "sign extending loads", "BPF_ATOMIC uses",
    "load-acquire", "store-release", "addr_space_cast", "LD_IMM", "invalid bpf_ld", "unrecognized bpf_ld",
)  # fmt: skip

# By operation code alone.
_CODES = {0x81: "memsx", 0x89: "memsx", 0x91: "memsx", 0x06: "gotol", 0xE5: "may_goto", 0x0D: "gotox"}


def feature(insn: code.Insn) -> str | None:  # noqa: PLR0911
    """The instruction set feature (`bpfsmith.facts.insn_features`) an instruction needs beyond the first set."""
    kind = code.group(insn)
    if kind in (code.ALU, code.ALU64):
        what = code.operation(insn)
        if what == code.MOV and insn.off in (8, 16, 32) and code.by_register(insn):
            return "movsx"
        if what in (3, 9) and insn.off == 1:
            return "sdiv"
        if kind == code.ALU64 and what == code.END:
            return "bswap"
        if insn.code == 0xBF and insn.off == 1:
            return "addr_space_cast"
    if insn.code in _CODES:
        return _CODES[insn.code]
    if code.is_atomic(insn):
        return {
            0x00: None, 0x01: "atomic_fetch", 0xE1: "atomic_xchg", 0xF1: "atomic_cmpxchg", 0x100: "load_acquire",
            0x110: "store_release",
        }.get(insn.imm, "atomic_bitwise" if insn.imm & 0xF0 in (0x40, 0x50, 0xA0) else None)  # fmt: skip
    if kind == code.JMP32:
        return "jmp32"
    if code.is_call(insn) and insn.src == 2:
        return "kfunc"
    if insn.code == 0x18 and insn.src == 4:
        return "callback"
    return None


def _encoding(trace: Trace, message: str) -> Cause | None:
    from bpfsmith.facts import insn_features

    slot = trace.log.at if trace.log.at is not None else _slot(trace, message)
    insn = trace.insn(slot) if slot is not None else None
    opcode = parts.word(message, "unknown opcode ")
    need = feature(insn) if insn is not None else None
    if need is None and opcode:
        need = _by_opcode(opcode)
        slot = _first_of(trace, opcode) if slot is None else slot
    if need is None:
        slot, need = _told_by(trace, message, slot)
    if need is None:
        need = next((name for words, name in _SAID if any(word in message for word in words)), None)
    row = insn_features.get(need) if need is not None else None
    running = parts.series(trace)
    if row is not None and not (running and not parts.older(running, row.since)) and "div by" not in message:
        on = f"; this is {running}" if running else ""
        v4 = need in ("movsx", "sdiv", "bswap", "memsx", "gotol")
        cpu = "`-mcpu=v3` (Rust: `bpf-linker --cpu v3`, `-C target-cpu=v3`)" if v4 else ""
        cpu = "`-mcpu=v2` (Rust: `-C target-cpu=v2`)" if need == "jmp32" else cpu
        tip = f"build it for an older instruction set: {cpu}, or load it on Linux {row.since} or newer" if cpu else (
            f"load it on Linux {row.since} or newer, or write it without {row.what}"
        )  # fmt: skip
        return parts.cause(
            trace, "environment", "high",
            f"the program uses {row.what} (`{need}`), which exist from Linux {row.since} on{on}", slot=slot,
            step=_step(trace, slot), because=[_fact(trace, slot, "the instruction stands here")],
            advice=[Advice("newer-kernel", tip, feature=need, since=row.since)],
        )  # fmt: skip
    return _broken(trace, message, slot)


_SAID = (
    (("load-acquire", "store-release"), "load_acquire"), (("may_goto",), "may_goto"), (("sign extending",), "memsx"),
)  # fmt: skip

# What compilers make of newer instruction sets that older kernels call a misuse of fields.
_STEMS = (
    ("BPF_STX uses reserved", ("atomic_fetch", "atomic_xchg", "atomic_cmpxchg", "atomic_bitwise")),
    ("BPF_MOV uses reserved", ("movsx",)),
    ("BPF_LDX uses reserved", ("memsx",)),
    ("BPF_ALU uses reserved", ("sdiv",)),
    ("BPF_JA uses reserved", ("gotol",)),
    ("BPF_CALL uses reserved", ("kfunc",)),
    ("unrecognized bpf_ld_imm64", ("callback", "ksym")),
)


def _told_by(trace: Trace, message: str, slot: int | None) -> tuple[int | None, str | None]:
    """(slot, feature) where the log shows no instruction, or not all of it: the first one of the object that fits."""
    for stem, needs in _STEMS:
        if stem not in message:
            continue
        if trace.program is None:
            return slot, needs[0]
        for need, at in sorted(trace.program.features(), key=lambda row: row[1]):
            if need in needs:
                return (at if slot is None or need != "sdiv" else slot), need
    return slot, None


def _step(trace: Trace, slot: int | None):  # type: ignore[no-untyped-def]
    last = trace.last
    return last if last is not None and last.slot == slot else None


def _fact(trace: Trace, slot: int | None, text: str) -> Fact:
    return Fact(slot, trace.own_place(slot) if slot is not None else None, text)


def _by_opcode(opcode: str) -> str | None:
    try:
        number = int(opcode, 16)
    except ValueError:
        return None
    return feature(code.Insn(0, number)) or {0xC3: "atomic_fetch", 0xDB: "atomic_fetch"}.get(number)


def _first_of(trace: Trace, opcode: str) -> int | None:
    """The first instruction with an operation code, of a log that shows none."""
    try:
        number = int(opcode, 16)
    except ValueError:
        return None
    return next((at for at, insn in sorted(trace.cfg.items()) if insn.code == number), None)


def _broken(trace: Trace, message: str, slot: int | None) -> Cause:
    insn = trace.insn(slot) if slot is not None else None
    text = f" (`{insn.text}`)" if insn is not None and insn.text else ""
    if "div by zero" in message:
        headline, tip = f"a division by the constant zero{text}", "divide by a number that is checked not to be zero"
    elif "invalid shift" in message:
        headline, tip = f"a shift by more bits than the number has{text}", "shift by less than 32 or 64 bits"
    elif "addr_space_cast" in message:
        headline = "the program uses memory of an arena, and refers to no arena map"
        tip = "declare the arena as a map of the object and use it in the program"
    elif "ld" in message.lower() and "imm" in message.lower():
        headline = f"a 64-bit constant that stands for a map, a variable or a function was not filled in{text}"
        tip = "load the object with a loader that applies its relocations (libbpf, aya), and build it with types (BTF)"
    else:
        headline = f"the instruction is encoded as no kernel takes it{text}: {message.strip()}"
        tip = "build the object again with one compiler and linker; look at inline assembly and at tools that change it"
    return parts.cause(
        trace, "loader-or-metadata", "high", headline, slot=slot, step=_step(trace, slot),
        because=[_fact(trace, slot, message.strip())], advice=[Advice("rebuild", tip)],
    )  # fmt: skip


# ---------------------------------------------------------------- relocations, types, line information


def _metadata(trace: Trace, message: str) -> Cause:
    slot = trace.log.at if len(trace.log.insns) or "insn" in message else None
    headline, tip = "", ""
    for words, what, how in _METADATA:
        if any(word in message for word in words):
            headline, tip = what, how
            break
    if not headline:
        headline = f"the kernel cannot read part of the object: {message.strip()}"
        tip = "build it again with one compiler and linker, and load it with a current loader"
    if "%s" in headline:
        headline = headline.replace("%s", parts.quoted(message) or "it")
    return parts.cause(
        trace, "loader-or-metadata", "high" if headline else "medium", headline, slot=slot, step=_step(trace, slot),
        because=[_fact(trace, slot, message.strip())] if slot is not None else [], advice=[Advice("rebuild", tip)],
    )  # fmt: skip


def _newer(trace: Trace) -> Cause | None:
    """Kernels before 5.13 count functions that are only pointed to otherwise."""
    features = trace.program.features() if trace.program is not None else ()
    slot = next((at for need, at in features if need == "callback"), None)
    if slot is None:
        return None
    return parts.cause(
        trace, "environment", "medium", "the program hands a function to a helper, which exists from Linux 5.13 on",
        slot=slot, because=[_fact(trace, slot, "the address of a function is taken here")],
        advice=[Advice("newer-kernel", "load it on Linux 5.13 or newer, or do without the callback",
                       feature="callback", since="5.13")],
    )  # fmt: skip


def _arenas(trace: Trace) -> Cause:
    """The use of a second arena."""
    uses: list[tuple[int, int]] = []
    if trace.program is not None:
        maps = trace.program.owner.maps
        for slot, index, _, _ in sorted(trace.program.map_uses()):
            if maps[index].type_name == "arena" and index not in [one for _, one in uses]:
                uses.append((slot, index))
    second = uses[1][0] if len(uses) > 1 else None
    because = [_fact(trace, at, f"arena `{trace.program.owner.maps[index].name}` is used") for at, index in uses
               if trace.program is not None]  # fmt: skip
    return parts.cause(
        trace, "environment", "high", "the program uses two arenas, and the kernel gives a program one", slot=second,
        because=because, advice=[Advice("one-arena", "put what they hold into one arena")],
    )  # fmt: skip


_BTF = "build with types: Rust `-C debuginfo=2 -C link-arg=--btf`, C `-g`"
_METADATA = (
    (("missing btf func_info", "missing bpf_line_info"), "functions are used as callbacks, and the object does not "
                                                         "describe "
     "them (no BTF func_info)", f"{_BTF}; a loader that leaves types out cannot load it"),
    (("callback function not static",), "the callback is a global function, and the kernel takes static ones only",
     "declare it `static` (Rust: not `#[no_mangle]`, not `pub extern`)"),
    (("number of funcs in func_info", "func_info BTF section doesn't match", "same or smaller insn "
                                                                             "offset", "nonzero insn_off",
      "invalid type id", "invalid func info"),
     "the functions that the object describes (BTF func_info) are not the ones it has",
     "link with a bpf-linker or LLVM of the compiler's version, do not strip or change the object afterwards, and "
     "load it "
     "with a current loader"),
    (("line_info", "line info"), "the object's line information does not fit its instructions",
     "link with a bpf-linker or LLVM of the compiler's version, or load it without line information (`strip -g` of a "
     "copy)"),
    (("core_relo",), "the object's CO-RE relocations do not fit its instructions", "build it again; load it with a "
                                                                                   "current loader"),
    (("not pointing to valid bpf_map",), "the program refers to a map that is not open when it is loaded",
     "let one loader create the maps and load the program; keep its descriptors open until then"),
    (("fd_idx without fd_array", "fd_array"), "the program refers to maps by an index, and the loader passed no list "
                                              "of them",
     "load it with a current loader"),
    (("direct value",), "the program takes the address of a value in a map of a type that has no such address",
     "use an array map (or a `static`, which becomes one), or look the value up"),
    (("value pointer",), "the program takes an address outside of the map's value", "look at the offset of the global "
     "variable: the map in use is smaller than the one it was built for (a pinned or reused map?)"),
    (("ldimm64", "ld_imm64", "LD_IMM"), "a constant that stands for a kernel variable, a map or a function could not "
                                        "be filled in",
     "the kernel has no such symbol, or no types for it: declare it `__weak` and check it for null"),
    (("invalid destination", "middle of ldimm64", "jump into"), "a call or jump leads to no instruction",
     "the object was changed after it was linked, or a relocation of a call was not applied: build it again"),
    (("BTF", "btf"), "the types in the object (BTF) are not what the kernel reads",
     f"{_BTF}, with versions of compiler and linker that belong together; load it with a current loader"),
)  # fmt: skip
