"""The runtime's own tests and the examples, run inside guests of the default kernels: what is tested on this machine's
kernel must hold from 5.10 to the newest, or say by name what the older kernel does not have."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

import guest_suite
from bpfsmith.lab import store
from bpfsmith.lab.kernels.matrix import DEFAULT

FULL = os.environ.get("BPFSMITH_FULL") == "1"
# Tests that take many seconds in an emulator; all of them run with `--full`.
SLOW = (
    "test_killed", "test_200_", "test_examples.py", "again_and_again", "killed", "light", "test_guide.py",
    "test_permissions", "test_doctor.py", "test_events_several", "100_000", "million",
)  # fmt: skip
# Tests that hold on newer kernels only, where neither a probe nor the product's own word tells: (kernels, part of the
# test's name, why). A test that begins to hold is no failure.
OTHERWISE = (
    (("5.10",), "test_contexts_by_field_and_as_bytes", "XDP test runs take no context before Linux 5.15"),
    (("5.10",), "test_runs.py::test_flow_dissector", "its test run answers whether it was BPF_OK"),
    (("5.10",), "test_wrong_arguments[call", "no `syscall` programs"),
    (("5.10",), "test_info_and_dumps_are_bpftools", "`verified_insns` is told since Linux 5.16"),
    (("5.10", "6.1"), "test_two_capabilities_are_enough", "without CAP_PERFMON its verifier keeps fewer pointers"),
)
# What a guest's Python does not have, what needs a compiler or a program of this machine: said here, so that nothing
# else hides.
ELSEWHERE = (
    "no libbpf reference", "the compiler is on another machine", "runs only with", "could not import", "no `",
    "kernel: ", "no bpftool", "no corpus", "BPF in Rust", "no bpf-linker", "no rustc", "no cargo",
)  # fmt: skip

pytestmark = [pytest.mark.lab, pytest.mark.toolchain]


@pytest.fixture(scope="session")
def payload(request: pytest.FixtureRequest) -> guest_suite.Files:
    """What goes into each guest besides the tools image."""
    return guest_suite.payload(request.config)


@pytest.fixture(scope="session")
def builder(clang: Any, prepared: list[store.Prepared]) -> guest_suite.Builder:
    return guest_suite.Builder(clang, guest_suite.vmlinux_h(prepared))


@pytest.mark.parametrize("kernel", DEFAULT)
def test_the_runtimes_tests(
    kernel: str, payload: guest_suite.Files, builder: guest_suite.Builder, prepared: list[store.Prepared]
) -> None:
    if kernel not in {one.name for one in prepared}:
        pytest.skip(f"kernel `{kernel}` is not prepared: `bpfsmith lab get {kernel}` gets it")
    done = guest_suite.run(
        kernel, ["tests/kernel"], payload, builder, sample=0 if FULL else 1, slow=SLOW, timeout=3000 if FULL else 400
    )
    known = [part for kernels, part, _ in OTHERWISE if kernel in kernels]
    wrong = [one for one in done.of("failed") if not any(part in one.test for part in known)]
    failed = [f"{one.test}\n{one.reason}" for one in wrong]
    assert not failed, f"{len(failed)} of {len(done.results)} in a guest of {kernel}:\n" + "\n\n".join(failed)
    assert done.status == 0 or (done.status == 1 and done.of("failed")), done.text[-4000:]
    passed, skipped = len(done.of("passed")), done.of("skipped")
    assert passed > len(skipped) or FULL, Counter(one.reason for one in skipped)
    odd = [one for one in skipped if not one.reason.removeprefix("Skipped: ").startswith(ELSEWHERE)]
    assert not odd, odd
