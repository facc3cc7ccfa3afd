"""`verify` on real kernels: every outcome, hostile objects, and the same verdicts whoever asks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import bpfsmith
from bpfsmith import lab
from bpfsmith.cli import main
from bpfsmith.lab import store
from bpfsmith.model.kernels import series_key
from bpfsmith.read.earliest import earliest_kernel
from bpfsmith.verdict import Request
from bpfsmith.verify.schema import schema

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures"
EXAMPLES = [*sorted((ROOT / "examples/packet-counter/prebuilt").glob("*.o")),
            *sorted((ROOT / "examples/toolbox/prebuilt").glob("*.o"))]  # fmt: skip

# What every kernel of the matrix says of `verdicts.bpf.o`: verdict or reason, and the instruction.
OUTCOMES = {
    "accepted": ("accepted", None),
    "optional": ("accepted", None),
    "unchecked": ("rejected", 7),
    "too_deep": ("rejected", None),
    "leaks": ("rejected", 9),
    "missing_field": ("rejected", 0),
    "endless": ("rejected", 0),
    "weak_function": ("rejected", 1),
    "no_target": ("no-target-given", None),
    "no_such_target": ("attach-target", None),
}


def names(prepared: list[store.Prepared]) -> list[str]:
    return [one.name for one in prepared]


def test_every_outcome_on_every_kernel(prepared: list[store.Prepared]) -> None:
    report = bpfsmith.verify(FIXTURES / "verdicts.bpf.o", kernels=names(prepared))
    assert [one.name for one in report.kernels] == names(prepared)
    wrong = []
    for row in report.programs:
        for one in row.results:
            expected, instruction = OUTCOMES[row.program]
            if (one.reason or one.verdict, one.instruction) != (expected, instruction):
                wrong.append(
                    f"{row.program} on {one.kernel}: {one.verdict} {one.reason} {one.message} {one.instruction}"
                )
    assert not wrong, "\n".join(wrong)
    for kernel in names(prepared):
        accepted = report.result("accepted", kernel)
        assert (accepted.processed, accepted.stack) == (46, [16, 0])
        assert accepted.ns
        assert report.result("unchecked", kernel).message == "R0 invalid mem access 'map_value_or_null'"
        assert report.result("unchecked", kernel).path == "./verdicts.bpf.c"
        assert "nobody_has_this" in report.result("missing_field", kernel).why
        assert "bpf_nobody_knows" in report.result("weak_function", kernel).why
    assert report.exit_code == 1
    document = json.loads(json.dumps(report.to_json()))
    assert not list(Draft202012Validator(schema()).iter_errors(document))


def test_objects_of_aya(prepared: list[store.Prepared]) -> None:
    """The examples load where their facts say, and nowhere else."""
    report = bpfsmith.verify(EXAMPLES, kernels=names(prepared), prove=True)
    series = {one.name: one.series for one in prepared}
    programs = {program.name: program for path in EXAMPLES for program in bpfsmith.read(path).programs}
    wrong = []
    for row in report.programs:
        since = earliest_kernel(programs[row.program]).version
        assert since is not None
        for one in row.results:
            expected = "accepted" if series_key(series[one.kernel]) >= series_key(since) else "rejected"
            if one.verdict != expected:
                wrong.append(f"{row.program} (from {since} on) on {one.kernel}: {one.verdict} {one.message}")
    assert not wrong, "\n".join(wrong)
    assert {row.loader for row in report.programs} == {"aya"}
    assert len(report.notes) == len(report.programs)


def test_what_is_given_decides(middle: store.Prepared) -> None:
    path = FIXTURES / "verdicts.bpf.o"
    given = bpfsmith.verify(path, kernels=middle.name, programs="no_target", attach_to={"no_target": "__sys_bind"})
    assert given.result("no_target", middle.name).verdict == "accepted"
    wrong = bpfsmith.verify(path, kernels=middle.name, programs="no_target", attach_to={"no_target": "no_such"})
    assert wrong.result("no_target", middle.name).reason == "attach-target"
    few, many = (
        bpfsmith.verify(path, kernels=middle.name, programs="accepted", globals={"ROUNDS": rounds}).result(
            "accepted", middle.name
        )
        for rounds in (1, 12)
    )
    assert (few.processed or 0) < (many.processed or 0), "a constant decides how much is followed"


def test_effort(middle: store.Prepared) -> None:
    report = bpfsmith.verify(FIXTURES / "verdicts.bpf.o", kernels=middle.name, programs="accepted", effort=True)
    effort = report.result("accepted", middle.name).effort
    assert effort is not None
    assert [name for name, _, _ in effort.functions] == ["accepted", "sum"]
    assert effort.counted >= 40
    assert any("total += bytes[at]" in line.text for line in effort.lines)


WAITING = """
typedef unsigned int u32;
static u32 (*random)(void) = (void *)7;
char LICENSE[] __attribute__((section("license"), used)) = "GPL";
#define WAIT(name, count) \\
__attribute__((section("xdp"), used)) int name(void *context) { \\
    for (u32 at = 0; at < count; at++) \\
        asm volatile goto("if %0 == 7 goto %l1" : : "r"(random()) : : out); \\
    return 2; \\
out: \\
    return 1; \\
}
WAIT(many, 2000)
WAIT(over, 8300)
"""


def test_branches_that_wait_are_counted_as_the_kernel_does(
    prepared: list[store.Prepared], tmp_path: Path, clang: Any
) -> None:
    """2,000 rounds leave 2,000 branches open; the kernel refuses the 8,193rd."""
    path = tmp_path / "wait.bpf.o"
    words = [clang.path, "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-x", "c", "-c", "-", "-o", path]
    subprocess.run(words, input=WAITING.encode(), check=True)
    report = bpfsmith.verify(path, kernels=names([prepared[0], prepared[-1]]), effort=True)
    document = json.loads(json.dumps(report.to_json()))
    assert not list(Draft202012Validator(schema()).iter_errors(document))
    for row in report.programs:
        for one in row.results:
            assert one.effort is not None
            told = {limit.name: limit for limit in one.effort.limits}
            value, bound = (2000, "exact") if row.program == "many" else (8193, "exact")
            assert (told["jumps"].value, told["jumps"].limit, told["jumps"].bound) == (value, 8192, bound), one
            assert one.effort.limits[0] is told["jumps"], "the nearest first"
            if row.program == "many":
                assert sum(line.states for line in one.effort.lines) == one.effort.states
                assert one.effort.loops[0].rounds == 1999
            assert told["frames"].limit == (16 if series_key(one.kernel) >= (7, 3) else 8)


def test_stacks_are_summed_as_the_kernel_does(prepared: list[store.Prepared]) -> None:
    """What it says itself of a program that is over the limit is what is worked out from its frames."""
    report = bpfsmith.verify(FIXTURES / "verdicts.bpf.o", kernels=names(prepared), programs="too_deep", effort=True)
    for one in report.programs[0].results:
        assert one.effort is not None
        stack = next(limit for limit in one.effort.limits if limit.name == "stack")
        frames = [size for _, _, size in one.effort.functions]
        rounding = 32 if series_key(one.kernel) < (6, 9) else 16
        assert f"is {stack.value}. Too large" in (one.message or "")
        assert stack.value == sum(-(-size // rounding) * rounding for size in frames)


def test_hostile_objects(prepared: list[store.Prepared], tmp_path: Path) -> None:
    """A million instructions, a map larger than the guest, another endianness, half a file: each costs itself only."""
    oldest = prepared[0]  # its verifier is the fastest
    cut = tmp_path / "cut.o"
    cut.write_bytes((FIXTURES / "verdicts.bpf.o").read_bytes()[:2000])
    objects = [FIXTURES / f"{name}.bpf.o" for name in ("hostile", "hungry", "inside-be", "verdicts")]
    report = bpfsmith.verify([cut, *objects], kernels=oldest.name, programs=["million", "hungry", "parse", "accepted"])
    told = {row.program: row.results[0] for row in report.programs}
    assert told["million"].verdict == "rejected"
    assert "1000001" in (told["million"].message or "")
    assert told["hungry"].verdict == "accepted", "once more in a larger guest"
    assert told["parse"].reason == "loader"
    assert told["accepted"].verdict == "accepted"
    assert [error.where for error in report.errors] == [str(cut)]


def test_a_time_limit(middle: store.Prepared) -> None:
    report = bpfsmith.verify(
        [FIXTURES / "hostile.bpf.o", FIXTURES / "verdicts.bpf.o"],
        kernels=middle.name,
        programs=["million", "optional"],
        timeout=1.0,
    )
    assert report.result("million", middle.name).reason == "timeout"
    # It is the program's time that is limited; a busy machine may be late with others too.
    assert report.result("optional", middle.name).verdict in ("accepted", "cannot")


def test_the_same_inside_a_guest(middle: store.Prepared) -> None:
    """`k.verify` is the same judge."""
    with lab.kernel(middle) as k:
        said: Any = k.verify(FIXTURES / "verdicts.bpf.o")
    found = {name: one.verdict for name, one in said.items()}
    assert found == {
        name: word if word in ("accepted", "rejected") else "cannot" for name, (word, _) in OUTCOMES.items()
    }


REPLACED = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
__attribute__((noinline)) int decide(struct xdp_md *ctx) { return ctx->data_end > ctx->data ? XDP_PASS : XDP_DROP; }
SEC("xdp") int packet(struct xdp_md *ctx) { return decide(ctx); }
SEC("freplace/decide") int instead(struct xdp_md *ctx) { return XDP_DROP; }
SEC("freplace/decide") int of_other_types(long number) { return number; }
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.mark.toolchain
def test_functions_to_replace_are_given_alike(middle: store.Prepared, clang: Any, tmp_path: Path) -> None:
    """`PROGRAM/FUNCTION` means the same to `k.verify` and to `verify`."""
    source, path = tmp_path / "r.c", tmp_path / "r.o"
    source.write_text(REPLACED)
    asm = f"/usr/include/{os.uname().machine}-linux-gnu"
    words = [clang.path, "-g", "-O2", "-target", "bpf", "-mcpu=v2", "-I", asm, "-c", source, "-o", path]
    subprocess.run(words, check=True)
    names = ["instead", "of_other_types"]
    to = dict.fromkeys(names, "packet/decide")
    report = bpfsmith.verify(path, kernels=middle.name, programs=names, attach_to=to)
    with lab.kernel(middle) as k:
        said = k.verify(path, programs=names, request=Request(attach_to=to))
        assert k.verify(path, programs="instead")["instead"].reason == "no-target-given"
    told = [(row.program, row.results[0].verdict, row.results[0].message or "") for row in report.programs]
    assert told == [(name, one.verdict, one.message) for name, one in said.items()]
    assert [verdict for _, verdict, _ in told] == ["accepted", "rejected"]


def test_the_command(prepared: list[store.Prepared], capsys: pytest.CaptureFixture[str]) -> None:
    path = str(FIXTURES / "verdicts.bpf.o")
    assert main(["verify", path, "--kernels", ",".join(names(prepared)), "--program", "unchecked"]) == 1
    out = capsys.readouterr().out
    assert f"unchecked  rejected on {', '.join(names(prepared))}" in out
    assert "--> ./verdicts.bpf.c:" in out
    assert main(["verify", path, "--kernels", "9.99"]) in (2, 3)
    assert "help:" in capsys.readouterr().err


def test_check_is_proved(middle: store.Prepared) -> None:
    report = bpfsmith.check(FIXTURES / "verdicts.bpf.o", kernels=middle.series, prove=True)
    assert "CHK006" in {one.code for one in report.findings}
    assert any(f"loads on {middle.name}" in sentence for sentence in report.loads)
    assert any(sentence.startswith("asked: ") for sentence in report.loads)
