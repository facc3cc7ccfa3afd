"""Which class a message gets where nothing more is known, and the convention behind it.

One question decides: **what has to change so that the program loads?** The words of a message say which rule of the
verifier stopped it; the class says where the mistake is.

| class | what has to change | families |
|---|---|---|
| `uninitialised` | a register, stack bytes, a dynptr, an iterator or an interrupt flag is used before it is set | V01, V02, V31, V33, V34 |
| `panic-or-unreachable` | code that never returns: a panic path, `unreachable_unchecked`, dead code, a throw out of place | V01, V25, V28, V39 |
| `stack-limit` | bytes of stack, depth of calls, recursion | V03, V05, V25, V28 |
| `context-access` | the field: a context's, socket's or kernel struct's bytes that may not be read or written so; memory that is read-only, that takes no atomic access, or that only helpers may touch | V14, V15, V16, V17, V32 |
| `argument-type` | what is passed: kind of pointer, map, constant, flags; locks and objects that do not belong together | V20, V21, V23, V32, V33, V36, V37, V38 |
| `unreleased-reference` | pairs of acquire and release: references, locks, RCU, preemption and interrupt sections, dynptrs, iterators; missing, twice, in another order, or still held where it may not be | V29, V30, V31, V33, V34 |
| `return-range` | what is returned, its value or its type | V37, V38, V40, V41 |
| `environment` | nothing in the lines: an older kernel, a build without an option, a missing capability or licence, a helper, kernel function or feature that this type of program does not get | V16, V18, V22, V23, V26, V31, V35, V41, V42, V45, V46, V47, V60 .. V63, V69 |
| `attach-target` | what it is attached to | V44 |
| `loader-or-metadata` | the object or its loading: relocations, BTF, line information, an encoding that no kernel takes | V24, V25, V26, V32, V43, V60.. else |
| `no-progress-loop` | a loop in which nothing changes | V28 |
| `complexity` | too many instructions, states, jumps, functions or maps to follow | V23, V25, V26, V27, V35 |
| `kernel-bug` | the kernel | V48 |

Where one family has several classes: a helper is unknown, or refused for the program type, or needs the GPL: always
`environment`, the line is the call. A call that may sleep: `environment` where the program may not sleep at all,
`unreleased-reference` inside a section that is still open. Leaks of addresses (V18) and whatever is prohibited for
`!root` (V45) are `environment`: the same program loads with CAP_PERFMON. Opcodes of a newer instruction set:
`environment`; encodings of no instruction set: `loader-or-metadata`. A pointer that became a number on the way to an
argument is `pointer-to-scalar`, one that never was a pointer `argument-type`. A pointer to the stack that is returned
or stored where it outlives its frame, and a reference that is used after its release, are `stale-pointer`; so are a
clone of a dynptr whose reservation is gone and a pointer of an RCU section after its end, at the call that ended
them. A second release is `unreleased-reference` (`stale-pointer` where the register is a plain number by then, V07).
The lock of another object than the one that is used is `argument-type`, none at all `unreleased-reference`. Recursion
is `stack-limit`, whatever a kernel calls it (a back-edge before 7.2). Functions that are handed to helpers make
kernels before 5.13 speak of func_info or ldimm64: `environment`. A loop without progress inside a panic handler is
`panic-or-unreachable`, at the line that can panic. Two kinds of pointers in one instruction are `check-lost`: each
path knows the kind, the join does not.
"""  # noqa: E501 - a table

from __future__ import annotations

__all__ = ["conventional", "title"]

# Class by words of a message: the first that occurs decides.
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("kernel-bug", (
        "verifier internal error", "verifier bug", "REG INVARIANTS VIOLATION", "kernel subsystem misconfigured",
        "bpf verifier is misconfigured", "verifier is misconfigured", "internal bug", "BUG ",
    )),
    ("environment", (
        "non-GPL", "GPL compatible", "GPL-restricted", "!root", "CAP_", "leaks addr", "PREEMPT_RT", "non-JITed",
        "JIT ", "should be JITed", "CONFIG_", "cannot use helper", "unknown func", "invalid func ",
        "is not allowed in probe", "non-sleepable prog", "program must be sleepable", "calling kernel function",
        "mixing of tail_calls", "supported only for", "not supported for program type",
        "not allowed for this program type", "Sleepable programs can only use", "progs cannot use bpf_",
        "cannot update sockmap", "unknown opcode", "metadata kfuncs require device-bound",
        "css_task_iter is only allowed", "kernel is missing BTF", "is only allowed in bpf_", "mixed signed bounds",
        "from different maps, paths or scalars", "beyond pointer bounds", "unsupported alu operation",
        "pushed for speculative", "back-edge from insn", "sign extending loads from arena",
        "helper access to the packet is not allowed", "does not allow writes to packet data",
        "cannot write into packet",
    )),
    ("missing-null-check", (
        "_or_null'", "_or_null_'", "null-check it first", "Possibly NULL", "expected to be non-NULL",
    )),
    ("pointer-arithmetic", (
        "pointer arithmetic", "math between", "pointer offset", "makes ", "operator ", "subtract", "subtraction",
        "pointer += pointer", "pointer -= pointer", "pointer comparison", "dereference of modified",
        "negative offset", "variable ptr_", "variable ctx", "variable offset", "variable buffer offset",
        "invalid negative access", "invalid negative r", "misaligned ", "zero offset when passed",
    )),
    ("missing-bounds-check", (
        "min value is", "max value is", "unbounded memory access", "zero-sized read", "outside of the packet",
        "stack R", "unbounded variable-offset", "invalid access to packet", "invalid access to map value,",
        "invalid access to map key", "invalid access to memory",
    )),
    ("argument-type", (
        " expected=", "expects referenced", "len pair", "expected pointer to", "Caller passes", "not supported yet",
        "expects refcounted", "may write into memory",
    )),
    ("unreleased-reference", (
        "reference leak", "requires RCU critical section", "spin_unlock is missing", "Unreleased reference",
        "-ed region", "_lock region", "non-preemptible region", "disabled region", "without taking a lock",
        "of different lock", "Locking two", "AA deadlock", "out of order", "while holding a lock",
        "with preemption disabled", "unmatched", "nested rcu", "must be held for", "has not been acquired before",
        "cannot overwrite referenced dynptr", "expected uninitialized", "uninitialized dynptr",
        "unacquired reference", "mixed with socket references", "in rbtree cb", "use static function instead",
        "cannot tail call", "expected an RCU CS", "restore irq", "irq flag", "_enable missing", "_restore missing",
    )),
    ("uninitialised", (
        "!read_ok", " is invalid", "__bpf_trap", "read from stack", "expected an initialized",
        "Expected an initialized", "indirect read from stack",
    )),
    ("attach-target", (
        "attach_btf_id", "attach to ", "Attaching ", "is not sleepable", "is not modifiable", "can't modify return",
        "Cannot replace", "Cannot extend", "Cannot nest", "Cannot recursively", "Extension program", "Subprog ",
        "cannot attach", "can only be attached", "are attachable", "Attach to function", "struct_ops module",
        "can only be sleepable", "programs can be sleepable", "programs must provide btf_id", "disabled hook",
        "device mismatch", "The address of function",
    )),
    ("stack-limit", ("call stack of", "combined stack size", "stack size ", "allocated_stack")),
    ("stale-pointer", ("into stack frame of the caller", "return stack pointer")),
    ("complexity", (
        "too large. Processed", "jumps is too complex", "too many iterations", "iteration limit",
        "too many subprograms", "too many different", "total number of maps", "maps per program",
    )),
    ("no-progress-loop", ("infinite loop detected",)),
    ("return-range", (
        "should have been in", "is not a known value", "R0 not a scalar", "is not a scalar value",
        "doesn't return scalar", "return value not void", "functions that return 'int'",
    )),
    ("panic-or-unreachable", (
        "unreachable insn", "last insn is not an exit", "bpf_throw", "exception cb directly", "jump out of range",
    )),
    ("check-lost", ("same insn cannot be used with different pointers",)),
    ("pointer-to-scalar", (
        "corrupt spilled pointer", "size of register spill", "size of register fill", "partial copy of pointer",
        "sign-extension part of pointer", "invalid mem access 'scalar'", "invalid mem access 'inv'",
        "32-bit pointer arithmetic",
    )),
    ("loader-or-metadata", (
        "has to have BTF", "ldimm64", "ld_imm64", "LD_IMM", "func_info", "func info", "line_info", "line info",
        "core_relo", "reserved fields", "invalid BPF_", "unknown insn class", "div by zero", "invalid shift",
        "atomic operand", "atomic opcode", "fd_idx", "fd_array", "BTF", "btf_id", "not pointing to valid bpf_map",
        "middle of ldimm64", "invalid destination", "exception c", "mangled", "direct value", "value pointer",
        "not static", "main program", "may_goto off", "16-bit range", "addr_space_cast", " arena", "without BTF",
        "unrecognized bpf_ld",
    )),
    ("context-access", (
        "invalid bpf_context access", "flow keys", "sock access", "sock_common access", "buffer access", "only read ",
        "access beyond", "cannot write into", "map forbidden", "write to change key", "frame pointer is read only",
        "BPF_ATOMIC", "directly by load/store", "direct access to", "kptr access", "kptr in map", "referenced kptr",
        "beyond the end of", "no write support", "cannot access ptr member", "stores into",
    )),
    ("argument-type", (
        "expected", "Expected", "known constant", "is not a const", "constant offset", "constant address",
        "readonly map", "zero-terminated", "format string", "abusing map_ptr", "map_type", "arg#", "args", "must be",
        "Unsupported reg type", "is of type", "doesn't point to", "does not point", "map_uid", "no valid", "DYNPTR",
        "NMI unsafe", "not found at offset", "dynptr", "kptr", "only one cgroup storage", "non-zero flags",
        "struct_ops map", "isn't", "callback", "R6 !=", "pointer to arena", "invalid map_ptr", "type ID argument",
        "type size", "can only take",
    )),
)  # fmt: skip

# What is most often meant where no word of a message decides.
_FAMILIES = {
    "V01": "uninitialised", "V02": "uninitialised", "V03": "missing-bounds-check", "V04": "pointer-to-scalar",
    "V05": "stack-limit", "V06": "missing-null-check", "V07": "pointer-to-scalar", "V08": "missing-bounds-check",
    "V09": "missing-bounds-check", "V10": "missing-bounds-check", "V11": "pointer-arithmetic",
    "V12": "missing-bounds-check", "V13": "pointer-arithmetic", "V14": "context-access", "V15": "context-access",
    "V16": "context-access", "V17": "context-access", "V18": "environment", "V19": "pointer-arithmetic",
    "V20": "argument-type", "V21": "argument-type", "V22": "environment", "V23": "argument-type",
    "V24": "loader-or-metadata", "V25": "panic-or-unreachable", "V26": "loader-or-metadata", "V27": "complexity",
    "V28": "no-progress-loop", "V29": "unreleased-reference", "V30": "unreleased-reference",
    "V31": "unreleased-reference", "V32": "argument-type", "V33": "argument-type", "V34": "uninitialised",
    "V35": "environment", "V36": "argument-type", "V37": "argument-type", "V38": "argument-type",
    "V39": "loader-or-metadata", "V40": "return-range", "V41": "environment", "V42": "environment",
    "V43": "loader-or-metadata", "V44": "attach-target", "V45": "environment", "V46": "loader-or-metadata",
    "V47": "environment", "V48": "kernel-bug", "V60": "environment", "V61": "environment",
    "V62": "loader-or-metadata", "V63": "environment", "V64": "attach-target", "V65": "loader-or-metadata",
    "V66": "loader-or-metadata", "V67": "unknown", "V68": "loader-or-metadata", "V69": "environment",
}  # fmt: skip

# Families that have several classes: words that say another than the family's own, the first that occurs.
_WITHIN: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "V04": (
        ("stale-pointer", ("into stack frame of the caller", "return stack pointer")),
        ("environment", ("leaking pointer",)),
    ),
    "V08": (
        ("environment", ("does not allow writes", "cannot write into packet", "helper access to the packet")),
        ("pointer-arithmetic", ("pointer arithmetic",)),
    ),
    "V15": (("pointer-arithmetic", ("variable buffer offset", "variable offset")),),
    "V16": (
        ("environment", ("non-GPL", "CAP_", "CONFIG_")),
        ("pointer-arithmetic", ("negative access", "variable offset")),
    ),
    "V17": (("argument-type", ("may write into memory",)),),
    "V20": (
        ("missing-null-check", ("_or_null", "NULL")),
        ("loader-or-metadata", ("unable to resolve",)),
    ),
    "V22": (("argument-type", ("non-zero flags",)),),
    "V23": (
        ("environment", (
            "progs cannot use", "Sleepable programs can only", "can only use preallocated", "cannot update sockmap",
        )),
        ("loader-or-metadata", ("not pointing to valid", "fd_array", "insn array", "excl_prog_hash")),
        ("complexity", ("total number of",)),
        ("attach-target", ("device mismatch",)),
    ),
    "V24": (
        ("check-lost", ("same insn cannot be used",)),
        ("environment", (
            "kernel is missing BTF", "extern ", "address for kernel symbol", "unrecognized bpf_ld_imm64",
            "isn't KIND_VAR",
        )),
    ),
    "V25": (
        ("environment", ("CAP_BPF", "root only")),
        ("complexity", ("too many subprograms",)),
        ("stack-limit", ("recursive call",)),
        ("missing-bounds-check", ("outside of jump table", "is too big")),
        ("loader-or-metadata", (
            "invalid destination", "middle of ldimm64", "jump table", "insn_array", "PTR_TO_INSN",
        )),
    ),
    "V26": (
        ("context-access", ("stores into", "loads from")),
        ("environment", ("unknown opcode", "only supported on 64-bit", "may_goto")),
        ("complexity", ("16-bit range",)),
    ),
    "V28": (("environment", ("back-edge",)),),
    "V29": (
        ("argument-type", ("must be referenced", "been acquired before", "unacquired reference", "expects ref")),
        ("kernel-bug", ("verifier internal error",)),
    ),
    "V30": (
        ("argument-type", (
            "not found at offset", "expected", "expects arg#", "non-owning", "can only take", "same allocation",
            "not a pointer to map_value", "No graph node",
        )),
    ),
    "V31": (
        ("environment", (
            "non-sleepable", "must be sleepable", "but the program is not", "PREEMPT_RT",
        )),
    ),
    "V32": (
        ("context-access", (
            "directly by load/store", "access misaligned", "access size must", "accessed indirectly",
            "access cannot have variable", "kptr in map can only", "store to referenced", "store to uptr",
            "imm must be 0",
        )),
        ("loader-or-metadata", ("has to have BTF", "repeating kptr")),
        ("environment", ("PREEMPT_RT",)),
    ),
    "V33": (
        ("uninitialised", ("xpected an initialized",)),
        ("unreleased-reference", ("overwrite referenced dynptr", "uninitialized dynptr")),
        ("context-access", ("mem access",)),
    ),
    "V34": (
        ("unreleased-reference", ("expected uninitialized", "RCU CS")),
        ("argument-type", ("on stack", "valid iter pointer")),
        ("environment", ("is only allowed in",)),
    ),
    "V35": (
        ("loader-or-metadata", (
            "fd_idx", "fd_array", "BTF fd", "not a module BTF", "btf_id", "offset disallowed", "is too long",
            "KF_IMPLICIT_ARGS",
        )),
        ("complexity", ("too many different",)),
    ),
    "V36": (
        ("missing-bounds-check", ("len pair",)),
        ("missing-null-check", ("_or_null", "NULL")),
        ("uninitialised", ("must be valid and initialized",)),
        ("environment", ("rcu tag support",)),
        ("loader-or-metadata", ("requires prog BTF",)),
    ),
    "V37": (
        ("return-range", ("subprogram exit", "return scalar", "return value not void")),
        ("unreleased-reference", ("use static function instead", "while holding a lock")),
        ("environment", ("JIT ",)),
        ("loader-or-metadata", ("valid BTF", "Invalid BTF", "unreliable BTF", "r11")),
    ),
    "V38": (
        ("return-range", ("callback return", "async callback", "R0 not a scalar")),
        ("environment", ("non-JITed", "BPF_LD_")),
    ),
    "V39": (
        ("panic-or-unreachable", ("bpf_throw", "directly")),
        ("attach-target", ("cannot attach to",)),
    ),
    "V40": (("environment", ("leaks addr",)),),
    "V41": (
        ("return-range", ("return 'int'",)),
        ("argument-type", ("prog array map",)),
        ("loader-or-metadata", ("without BTF",)),
        ("unreleased-reference", ("__ref argument",)),
    ),
    "V42": (
        ("return-range", ("return 'int'",)),
        ("argument-type", ("R6 !=",)),
        ("loader-or-metadata", ("without BTF",)),
    ),
    "V44": (("environment", ("GPL", "JIT")),),
    "V46": (
        ("environment", ("JIT ", "CAP_", "Only one arena", "not supported yet")),
        ("check-lost", ("same insn cannot be used",)),
        ("attach-target", ("Cannot attach to",)),
        ("argument-type", ("is not a pointer to arena", "stack argument", "any other tags")),
    ),
    "V47": (("kernel-bug", ("not eliminated",)),),
    "V62": (("environment", ("not permitted", "EPERM", "ermission denied")),),
}  # fmt: skip

_TITLES = {
    "uninitialised": "used before it is set",
    "unreleased-reference": "acquired and not released",
    "stack-limit": "too much stack",
    "context-access": "a field that may not be used so",
    "argument-type": "an argument of another kind than asked for",
    "return-range": "a return value that the kernel does not take here",
    "panic-or-unreachable": "code that never returns",
    "no-progress-loop": "a loop without progress",
    "complexity": "too much to follow",
    "environment": "this kernel, this program type or this process does not offer it",
    "attach-target": "the attach target does not take it",
    "loader-or-metadata": "the object is not what the kernel reads",
    "kernel-bug": "the kernel contradicts itself",
    "missing-null-check": "may be null",
    "missing-bounds-check": "not bounded",
    "pointer-to-scalar": "a pointer that became a number",
    "pointer-arithmetic": "arithmetic that this pointer does not take",
    "check-lost": "known on each path, lost where they meet",
}

# What the kernel says of itself, whatever it was looking at.
_ITSELF = ("verifier internal error", "verifier bug", "REG INVARIANTS VIOLATION")


def conventional(message: str, family: str = "") -> str:
    """The class of a message by convention alone; `unknown` where neither its words nor its family say one."""
    fixed = _FAMILIES.get(family)
    if fixed is None:
        if "from stack" in message and "+" in message:
            return "uninitialised"  # the ones of bounds say `off=`
        return next((name for name, words in _WORDS if any(word in message for word in words)), "unknown")
    if any(word in message for word in _ITSELF) and "DYNPTR cannot be released" not in message:
        return "kernel-bug"
    rows = _WITHIN.get(family, ())
    return next((name for name, words in rows if any(word in message for word in words)), fixed)


def title(name: str) -> str:
    """A class in a few words, as a sentence's end."""
    return _TITLES.get(name, name.replace("-", " "))
