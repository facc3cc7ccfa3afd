"""The class a message gets by convention, where no detector says more."""

from __future__ import annotations

import pytest

from bpfsmith.verify.cause.classes import conventional
from bpfsmith.verify.cause.result import CLASSES

ROWS = [
    ("R1 !read_ok", "V01", "uninitialised"),
    ("invalid read from stack R2 off -8+4 size 8", "V02", "uninitialised"),
    ("invalid write to stack R2 off=-520 size=8", "V03", "missing-bounds-check"),
    ("combined stack size of 2 calls is 544. Too large", "V05", "stack-limit"),
    ("invalid bpf_context access off=76 size=4", "V14", "context-access"),
    ("Cannot access kernel 'struct sock' from non-GPL compatible program", "V16", "environment"),
    ("R1 leaks addr into map", "V18", "environment"),
    ("cannot return stack pointer to the caller", "V04", "stale-pointer"),
    ("R2 type=ctx expected=fp, pkt, map_value", "V20", "argument-type"),
    ("program of this type cannot use helper bpf_sk_release#86", "V22", "environment"),
    ("unknown func bpf_loop#181", "V22", "environment"),
    ("cannot pass map_type 1 into func bpf_tail_call#12", "V23", "argument-type"),
    ("tracing progs cannot use bpf_spin_lock yet", "V23", "environment"),
    ("same insn cannot be used with different pointers", "V24", "check-lost"),
    ("unreachable insn 7", "V25", "panic-or-unreachable"),
    ("unknown opcode 91", "V26", "environment"),
    ("BPF program is too large. Processed 1000001 insn", "V27", "complexity"),
    ("infinite loop detected at insn 3", "V28", "no-progress-loop"),
    ("Unreleased reference id=2 alloc_insn=10", "V29", "unreleased-reference"),
    ("bpf_spin_lock at off=16 must be held for bpf_list_head", "V30", "unreleased-reference"),
    ("helper call might sleep in a non-sleepable prog", "V31", "environment"),
    ("kernel func bpf_lookup_user_key is sleepable within rcu_read_lock region", "V31", "unreleased-reference"),
    ("expected an initialized iter_num as arg #1", "V34", "uninitialised"),
    ("Caller passes invalid args into func#1 ('foo')", "V37", "argument-type"),
    ("At callback return the register R0 has smin=2 should have been in [0, 1]", "V38", "return-range"),
    ("mixing of tail_calls and bpf-to-bpf calls is not supported", "V41", "environment"),
    ("number of funcs in func_info doesn't match number of subprogs", "V43", "loader-or-metadata"),
    ("do_exit() is not modifiable", "V44", "attach-target"),
    ("R1 tried to add from different maps, paths or scalars, pointer arithmetic with it prohibited for !root", "V45",
     "environment"),
    ("verifier bug: REG INVARIANTS VIOLATION (true_reg1)", "V48", "kernel-bug"),
    ("failed to find BTF info for global/extern symbol 'x'", "V60", "environment"),
    ("", "", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "family", "expected"), ROWS)
def test_convention(message: str, family: str, expected: str) -> None:
    assert conventional(message, family) == expected
    assert expected in CLASSES


@pytest.mark.parametrize(("message", "family", "expected"), [row for row in ROWS if row[1] != "V60"])
def test_words_alone_agree(message: str, family: str, expected: str) -> None:
    assert conventional(message) == expected


# Messages of one family that are of several classes.
WITHIN = [
    ("Writes through BTF pointers are not allowed", "V16", "context-access"),
    ("R1 is ptr_task_struct invalid negative access: off=-8", "V16", "pointer-arithmetic"),
    ("trace type programs can only use preallocated hash map", "V23", "environment"),
    ("only one cgroup storage of each type is allowed", "V23", "argument-type"),
    ("The total number of maps per program has reached the limit of 64", "V23", "complexity"),
    ("fd 7 is not pointing to valid bpf_map", "V23", "loader-or-metadata"),
    ("kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.", "V24", "environment"),
    ("extern (ksym) 'x' is not found in kallsyms", "V24", "environment"),
    ("loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN", "V25", "environment"),
    ("recursive call from f() to f()", "V25", "stack-limit"),
    ("jump into the middle of ldimm64 insn 4", "V25", "loader-or-metadata"),
    ("insn 9 cannot be patched due to 16-bit range", "V26", "complexity"),
    ("BPF_ATOMIC stores into R1 ctx is not allowed", "V26", "context-access"),
    ("func bpf_sk_release#86 reference has not been acquired before", "V29", "argument-type"),
    ("held lock and object are not in the same allocation", "V30", "argument-type"),
    ("bpf_spin_unlock of different lock", "V30", "unreleased-reference"),
    ("kernel function bpf_task_acquire is sleepable but the program is not", "V31", "environment"),
    ("sleepable helper bpf_copy_from_user#148 in rcu_read_lock region", "V31", "unreleased-reference"),
    ("sleepable helper bpf_copy_from_user#148 in non-sleepable prog", "V31", "environment"),
    ("kptr access size must be BPF_DW", "V32", "context-access"),
    ("uptr access cannot have variable offset", "V32", "context-access"),
    ("map 'm' has to have BTF in order to use bpf_timer", "V32", "loader-or-metadata"),
    ("map 'm' has no valid bpf_timer", "V32", "argument-type"),
    ("Dynptr has to be an uninitialized dynptr", "V33", "unreleased-reference"),
    ("Expected an initialized dynptr as arg #0", "V33", "uninitialised"),
    ("arg#0 expected pointer to an iterator on stack", "V34", "argument-type"),
    ("calling kernel function bpf_task_acquire is not allowed", "V35", "environment"),
    ("kernel btf_id 7 is not a function", "V35", "loader-or-metadata"),
    ("arg#0 is scalar expected ptr_sock or socket", "V36", "argument-type"),
    ("arg#0 is ptr_or_null_ expected ptr_ or socket", "V36", "missing-null-check"),
    ("arg#1 has invalid combination of tags", "V37", "argument-type"),
    ("Global functions need valid BTF", "V37", "loader-or-metadata"),
    ("callbacks are not allowed in non-JITed programs", "V38", "environment"),
    ("fentry programs cannot attach to exception callback", "V39", "attach-target"),
    ("R0 leaks addr as return value", "V40", "environment"),
    ("expected prog array map for tail call", "V41", "argument-type"),
    ("at the time of BPF_LD_ABS|IND R6 != pointer to skb", "V42", "argument-type"),
    ("LSM programs must have a GPL compatible license", "V44", "environment"),
    ("R1 is not a pointer to arena or scalar", "V46", "argument-type"),
    ("JIT is required to use arena", "V46", "environment"),
    ("Private stack not supported by jit", "V47", "environment"),
]


@pytest.mark.parametrize(("message", "family", "expected"), WITHIN)
def test_words_decide_within_a_family(message: str, family: str, expected: str) -> None:
    assert conventional(message, family) == expected


@pytest.mark.parametrize(("message", "family", "expected"), WITHIN)
def test_a_message_alone_is_enough(message: str, family: str, expected: str) -> None:
    """With one instruction and no more than the message, what a detector says is of that class too."""
    from bpfsmith import _native
    from bpfsmith.verify.cause import Trace, explain_cause
    from bpfsmith.verify.messages import classify

    log = _native.VerifierLog(
        f"0: R1=ctx() R10=fp0\n0: (85) call bpf_none#1\n{message}\nprocessed 1 insns (limit 1000000) "
        "max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n"
    )
    found = classify(log)
    assert found is not None and found.family == family
    at_context = ("Expected an initialized dynptr", "uninitialized dynptr")  # told apart by what is passed: the context
    if not any(word in message for word in at_context):
        assert explain_cause(Trace(log), found, strict=True).cls == expected


def test_a_map_that_the_caller_may_not_create() -> None:
    from bpfsmith import _native
    from bpfsmith.verify.cause import Trace, explain_cause
    from bpfsmith.verify.messages import classify

    for said, cls in (
        ("ebpf_create_map() failed: Operation not permitted", "environment"),
        ("ebpf_create_map() failed: Invalid argument", "loader-or-metadata"),
    ):
        log = _native.VerifierLog(said + "\n")
        assert explain_cause(Trace(log), classify(log), strict=True).cls == cls
