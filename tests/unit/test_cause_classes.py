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
    ("failed to find BTF info for global/extern symbol 'x'", "V60", "loader-or-metadata"),
    ("", "", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "family", "expected"), ROWS)
def test_convention(message: str, family: str, expected: str) -> None:
    assert conventional(message, family) == expected
    assert expected in CLASSES


@pytest.mark.parametrize(("message", "family", "expected"), [row for row in ROWS if row[1] != "V60"])
def test_words_alone_agree(message: str, family: str, expected: str) -> None:
    assert conventional(message) == expected
