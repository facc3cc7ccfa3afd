"""Planning: `__arg_ctx` on kernels that do not know it, jump tables, objects taken as a whole."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith import verdict
from bpfsmith._native import Btf
from bpfsmith.model.object import Object
from bpfsmith.run.planner import make_plan, plan_object
from unit.sample_programs import commands, kernel

pytestmark = pytest.mark.toolchain

Build = Callable[[str], Object]

CONTEXTS = """
__attribute__((noinline)) int takes(void *ctx __attribute__((btf_decl_tag("arg:ctx"))), int more)
{
    volatile int kept = more;
    return kept + (ctx != 0);
}
SEC("xdp") int one(struct xdp_md *ctx) { return takes(ctx, 3); }
SEC("tc") int two(struct __sk_buff *ctx) { return takes(ctx, 4); }
SEC("tc") int three(struct __sk_buff *ctx) { return 0; }
SEC("lsm/file_open") int four(__u64 *ctx) { return takes(ctx, 5); }
"""
JUMPS = """
int told;
__attribute__((noinline)) static int sub(int x) { volatile int kept = x; return kept; }
SEC("socket") int one(struct __sk_buff *ctx)
{
    switch (ctx->len & 15) {
    case 0: told = 3; return 7;
    case 1: told = 17; return 99;
    case 2: told += 1; return 3;
    case 3: told ^= 2; return 1000;
    case 4: told = 9; return 45;
    case 5: told = 122; return sub(12);
    case 6: return 11;
    }
    return 0;
}
"""
EXTERNS = """
extern int bpf_is_not_there(int) __attribute__((section(".ksyms")));
SEC("xdp") int uses(struct xdp_md *ctx) { return bpf_is_not_there(1); }
SEC("xdp") int other(struct xdp_md *ctx) { return XDP_PASS; }
"""


def first_parameter(btf: Btf, records: bytes) -> list[str]:
    """What the first argument of each function of `func_info` points to."""
    found = []
    for at in range(4, len(records), 8):
        function: Any = btf.type(struct.unpack_from("<I", records, at)[0])
        proto: Any = btf.type(function["type"])
        pointer: Any = btf.type(btf.resolve(proto["params"][0]["type"]))
        found.append(f"{function['name']}: {btf.name(pointer['type']) if pointer['type'] else 'void'}")
    return found


@pytest.mark.parametrize("lacks", [("arg_ctx_tag",), ("arg_ctx_tag", "btf_decl_tag")])
def test_the_argument_gets_each_types_context(build: Build, lacks: tuple[str, ...]) -> None:
    plan = make_plan(build(CONTEXTS), kernel(*lacks), _without("four"))
    types = commands(plan, "BPF_BTF_LOAD")
    btf = Btf.parse(next(iter(types.values()))["btf"])
    told = {what: first_parameter(btf, fields["func_info"]) for what, fields in _programs(plan).items()}
    assert told == {
        "program `one`": ["one: xdp_md", "takes: xdp_md"],
        "program `two`": ["two: __sk_buff", "takes: __sk_buff"],
        "program `three`": ["three: __sk_buff"],
    }


def test_kernels_that_know_the_tag_get_the_types_as_they_are(build: Build) -> None:
    plan = make_plan(build(CONTEXTS), kernel(), _without("four"))
    btf = Btf.parse(next(iter(commands(plan, "BPF_BTF_LOAD").values()))["btf"])
    assert first_parameter(btf, _programs(plan)["program `two`"]["func_info"]) == ["two: __sk_buff", "takes: void"]


def test_types_without_a_named_context_are_left_alone(build: Build) -> None:
    from bpfsmith.run.argctx import clones

    obj = build(CONTEXTS)
    data = obj.native.kernel_btf([])
    assert obj.btf is not None
    assert data is not None
    function = obj.btf.find("takes", "FUNC")
    assert function is not None
    same, made = clones(obj.btf, data, [("four", 29, [function])], "x86_64", True)
    assert (same, made) == (data, [{}])


def test_jump_tables_are_instruction_arrays(clang: Any, tmp_path: Path) -> None:
    if clang.major < 22:
        pytest.skip("only clang 22 and later make jump tables")
    from unit.sample_programs import HEAD

    out = tmp_path / "jumps.o"
    words = [clang.path, "-g", "-O2", "-mcpu=v4", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu"]
    words += ["-mllvm", "-bpf-min-jump-table-entries=4", "-x", "c", "-c", "-", "-o", out]
    subprocess.run(words, input=HEAD + JUMPS, text=True, check=True)
    plan = make_plan(bpfsmith.read(out), kernel())
    made = commands(plan, "BPF_MAP_CREATE")["jump table 0 of program `one`"]
    assert (made["map_type"], made["value_size"], made["max_entries"]) == (34, 16, 7)
    entries = [fields for what, fields in commands(plan, "BPF_MAP_UPDATE_ELEM").items() if what.startswith("entry")]
    program = _programs(plan)["program `one`"]
    code = program["insns"].data
    targets = [struct.unpack_from("<I", one["value"])[0] for one in entries]
    gotox = next(at for at in range(len(code) // 8) if code[8 * at] == 0x0D)
    assert len(set(targets)) == 7
    assert all(gotox < target < program["insn_cnt"] for target in targets)
    assert [fields for what, fields in commands(plan, "BPF_MAP_FREEZE").items() if what.startswith("jump table")]
    assert any(re.fullmatch(r"jumps:one:0", slot) for _, slot in program["insns"].slots)


def test_what_others_need_is_asked_of_objects_taken_as_a_whole(build: Build) -> None:
    obj = build(EXTERNS)
    types = build(CONTEXTS).native.kernel_btf([])  # no function of that name
    assert types is not None
    known = _with_types(types)
    alone = verdict.Request().options(obj, obj.program("other"))
    assert plan_object(obj, known, alone).programs.keys() == {"other"}
    whole = verdict.Request(whole=True).options(obj, obj.program("other"))
    with pytest.raises(bpfsmith.TargetMissing, match="another program of the object needs kernel function"):
        plan_object(obj, known, whole)


def _with_types(data: bytes) -> Any:
    from bpfsmith.model.kernel import Kernel

    return Kernel("test", Btf.parse(data), version="6.1.0")


def _programs(plan: Any) -> dict[str, dict[str, Any]]:
    return commands(plan, "BPF_PROG_LOAD")


def _without(name: str) -> Any:
    from bpfsmith.run.planned import Options

    options = Options()
    options.autoload = {name: False}
    return options
