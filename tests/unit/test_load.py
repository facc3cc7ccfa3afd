"""Planning for kernels that lack something, and what a loader does when the kernel refuses: no root, a fake door."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith import _native
from bpfsmith.facts import sections as fact_sections
from bpfsmith.facts._load import table
from bpfsmith.kernel import fake, live
from bpfsmith.model.errors import (
    EnvironmentMissing,
    InputError,
    KernelError,
    PermissionMissing,
    TargetMissing,
    Unsupported,
    VerifierRejected,
)
from bpfsmith.model.kernel import Kernel
from bpfsmith.model.object import Object
from bpfsmith.run import sections
from bpfsmith.run.load import load
from bpfsmith.run.plan import Blob, Plan, Slot
from bpfsmith.run.planned import Options
from bpfsmith.run.planner import make_plan
from bpfsmith.run.verifier_log import parse
from unit.sample_programs import HEAD, XDP, commands, kernel

pytestmark = pytest.mark.toolchain


# ------------------------------------------------------------ sections


def test_sections_are_those_of_the_facts() -> None:
    names = set()
    for part in ("libbpf", "aya"):
        for row in table("sections")[part]:
            bare = row[0].rstrip("+/")
            names |= {bare, f"{bare}/name", f"{bare}/name/more", f"{bare}x", f"?{bare}"}
    for name in sorted(names):
        wanted, found = fact_sections.match(name), sections.match(name)
        if wanted is None or found is None:
            # Aya knows no `?`, which here only means that the program waits to be asked for.
            assert wanted is None and (found is None or name.startswith("?")), name
            continue
        kind, attach, flags, target = found
        assert sections.PROGRAM_TYPES[kind] == wanted.program_type, name
        assert (sections.ATTACH_TYPES[attach] if attach >= 0 else None) == wanted.attach_type, name
        assert (target or None) == wanted.attach_to, name
        assert bool(flags & sections.SLEEPABLE) == wanted.sleepable, name
        assert bool(flags & sections.XDP_FRAGS) == wanted.xdp_frags, name
        assert bool(flags & sections.ATTACH_BTF) == ("attach_btf" in wanted.flags), name


def test_words_are_those_of_the_facts() -> None:
    for words, part in ((sections.PROGRAM_TYPES, "program_types"), (sections.ATTACH_TYPES, "attach_types")):
        for row in table(part)["rows"]:
            assert words[row[0]] == row[1]
    from bpfsmith.run.planned import MAP_TYPES

    for row in table("map_types")["rows"]:
        assert MAP_TYPES[row[0]] == row[1]


# ------------------------------------------------------------ plans


def test_a_whole_plan(build: Callable[[str], Object]) -> None:
    plan = make_plan(build(XDP), kernel())
    assert [(one.name, one.what.replace(plan.object, "FILE"), one.out) for one in plan.commands] == [
        ("BPF_BTF_LOAD", "the types of `FILE`", "btf"),
        ("BPF_MAP_CREATE", "map `table_with_a_long_name`", "map:table_with_a_long_name"),
        ("BPF_MAP_CREATE", "map `.rodata`", "map:.rodata"),
        ("BPF_MAP_UPDATE_ELEM", "the contents of map `.rodata`", ""),
        ("BPF_MAP_FREEZE", "map `.rodata`", ""),
        ("BPF_MAP_CREATE", "map `.bss`", "map:.bss"),
        ("BPF_PROG_LOAD", "program `count`", "program:count"),
        ("BPF_PROG_BIND_MAP", "map `.rodata` to program `count`", ""),
    ]
    made = commands(plan, "BPF_MAP_CREATE")["map `table_with_a_long_name`"]
    assert made["map_name"] == "table_with_a_lo"
    assert made["btf_fd"] == Slot("btf")
    program = commands(plan, "BPF_PROG_LOAD")["program `count`"]
    assert isinstance(program["insns"], Blob)
    assert {slot for _, slot in program["insns"].slots} == {"map:table_with_a_long_name", "map:.rodata", "map:.bss"}
    assert (program["expected_attach_type"], program["kern_version"]) == (37, 6 << 16 | 1 << 8)


def test_forms_of_a_plan(build: Callable[[str], Object]) -> None:
    plan = make_plan(build("load"), kernel())
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.text() == plan.text()
    assert _native.decode_plan(plan.to_bytes()) == (plan.steps(), len(plan.slots))
    assert "BPF_PROG_LOAD" in plan.text()
    assert "note: map `ring`" in plan.text()
    with pytest.raises(InputError, match="schema 9"):
        Plan.from_json(plan.to_json() | {"schema": 9})


def test_the_same_object_and_kernel_give_the_same_plan(build: Callable[[str], Object]) -> None:
    first = make_plan(build("load"), kernel())
    assert first.to_json() == make_plan(bpfsmith.read(first.object), kernel()).to_json()


# ------------------------------------------------------------ kernels that lack something


def test_no_names(build: Callable[[str], Object]) -> None:
    plan = make_plan(build(XDP), kernel("prog_name"))
    assert not any("map_name" in one.fields or "prog_name" in one.fields for one in plan.commands)


def test_no_types(build: Callable[[str], Object]) -> None:
    plan = make_plan(build(XDP), kernel("btf"))
    assert not any(field in one.fields for one in plan.commands for field in ("btf_fd", "prog_btf_fd", "line_info"))
    assert plan.notes == [("btf", "this kernel takes no types: maps and programs are loaded without")]


def test_no_function_types(build: Callable[[str], Object]) -> None:
    plan = make_plan(build(XDP), kernel("btf_func"))
    assert plan.has("btf")
    assert "func_info" not in commands(plan, "BPF_PROG_LOAD")["program `count`"]
    whole = commands(make_plan(build(XDP), kernel()), "BPF_BTF_LOAD")
    assert list(commands(plan, "BPF_BTF_LOAD").values()) != list(whole.values())


def test_no_mapping_of_arrays(build: Callable[[str], Object]) -> None:
    plan = make_plan(build(XDP), kernel("array_mmap"))
    assert commands(plan, "BPF_MAP_CREATE")["map `.bss`"]["map_flags"] == 0
    assert any("maps no arrays" in sentence for _, sentence in plan.notes)


def test_no_global_data(build: Callable[[str], Object]) -> None:
    with pytest.raises(Unsupported, match="no global data") as caught:
        make_plan(build(XDP), kernel("global_data"))
    assert (caught.value.feature, caught.value.since) == ("global_data", "5.2")
    plan = make_plan(build('__u32 unused;\nSEC("xdp") int plain(void *ctx) { return 2; }\n'), kernel("global_data"))
    assert not commands(plan, "BPF_MAP_CREATE")


def test_no_expected_attach_type(build: Callable[[str], Object]) -> None:
    source = '\nSEC("xdp") int a(void *c) { return 2; }\nSEC("cgroup/connect4") int b(void *c) { return 1; }\n'
    loads = commands(make_plan(build(source), kernel("exp_attach_type")), "BPF_PROG_LOAD")
    assert "expected_attach_type" not in loads["program `a`"]
    assert loads["program `b`"]["expected_attach_type"] == 10  # without it, it is another program


def test_memlock(build: Callable[[str], Object]) -> None:
    plan = make_plan(build(XDP), kernel("memcg_account"))
    assert plan.commands[0].name == "LIFT_MEMLOCK"
    assert plan.steps()[0][0] == 1000
    assert Plan.from_json(plan.to_json()) == plan


def test_old_probe_reads(build: Callable[[str], Object]) -> None:
    source = """
SEC("raw_tp/x") int reads(void *ctx) {
    long a; char b[8];
    bpf_probe_read_kernel(&a, 8, ctx); bpf_probe_read_user(&a, 8, ctx);
    bpf_probe_read_kernel_str(b, 8, ctx); bpf_probe_read_user_str(b, 8, ctx);
    return 0;
}
"""
    old = commands(make_plan(build(source), kernel("probe_read_kern")), "BPF_PROG_LOAD")["program `reads`"]["insns"]
    calls = [text for _, text in _native.disassemble(old, helpers={4: "old", 45: "old_str"}) if "call" in text]
    assert calls == ["(85) call old#4", "(85) call old#4", "(85) call old_str#45", "(85) call old_str#45"]


def test_no_binding(build: Callable[[str], Object]) -> None:
    assert not commands(make_plan(build(XDP), kernel("prog_bind_map")), "BPF_PROG_BIND_MAP")


@pytest.mark.parametrize(("kind", "feature"), [("DEVMAP", "devmap_prog"), ("CPUMAP", "cpumap_prog")])
def test_redirect_maps_without_programs(build: Callable[[str], Object], kind: str, feature: str) -> None:
    for size, lacking, wanted in ((8, (), 8), (8, (feature,), 4), (4, (), 4)):
        source = (
            f"\nstruct {{ __uint(type, BPF_MAP_TYPE_{kind}); __uint(max_entries, 2); __uint(key_size, 4); "
            f'__uint(value_size, {size}); }} targets SEC(".maps");\n'
        )
        plan = make_plan(build(source), kernel(*lacking))
        assert commands(plan, "BPF_MAP_CREATE")["map `targets`"]["value_size"] == wanted


def test_usdt_without_multi_links(build: Callable[[str], Object]) -> None:
    source = '\nSEC("usdt") int probe(void *c) { return 0; }\n'
    loads = commands(make_plan(build(source), kernel()), "BPF_PROG_LOAD")
    assert loads["program `probe`"]["expected_attach_type"] == 48
    loads = commands(make_plan(build(source), kernel("uprobe_multi_link")), "BPF_PROG_LOAD")
    assert "expected_attach_type" not in loads["program `probe`"]


def test_sizes_by_kernel(build: Callable[[str], Object]) -> None:
    plan = make_plan(build("load"), kernel(page_size=65536))
    made = commands(plan, "BPF_MAP_CREATE")
    assert made["map `perf`"]["max_entries"] == 3
    assert made["map `ring`"]["max_entries"] == 65536


def test_a_token(build: Callable[[str], Object]) -> None:
    options = Options()
    options.token = True
    plan = make_plan(build(XDP), kernel(), options)
    assert plan.given == ["bpffs"]
    assert plan.commands[0].name == "BPF_TOKEN_CREATE"
    for command in plan.commands:
        flags = {"BPF_MAP_CREATE": "map", "BPF_PROG_LOAD": "prog", "BPF_BTF_LOAD": "btf"}.get(command.name)
        if flags:
            assert command.fields[f"{flags}_flags"] & 1 << 16
            assert command.fields[f"{flags}_token_fd"] == Slot("token")


# ------------------------------------------------------------ what objects leave open


EXTERNS = """
enum libbpf_tristate_ { A };
extern unsigned CONFIG_HZ __attribute__((section(".kconfig")));
extern unsigned LINUX_KERNEL_VERSION __attribute__((section(".kconfig")));
extern _Bool CONFIG_MAYBE __attribute__((section(".kconfig"))) __attribute__((weak));
extern const void some_symbol __attribute__((section(".ksyms")));
__u64 out[4];
SEC("raw_tp/x") int look(void *ctx) {
    out[0] = CONFIG_HZ; out[1] = LINUX_KERNEL_VERSION; out[2] = CONFIG_MAYBE; out[3] = (__u64)&some_symbol;
    return 0;
}
"""


def test_stored_kernel_answers_externs(build: Callable[[str], Object]) -> None:
    told = kernel(settings={"CONFIG_HZ": "250", "CONFIG_MAYBE": "y"}, addresses={"some_symbol": 0x1122334455667788})
    plan = make_plan(build(EXTERNS), told)
    data = commands(plan, "BPF_MAP_UPDATE_ELEM")["the contents of map `.kconfig`"]["value"]
    assert sorted((data[:4], data[4:8], data[8:])) == sorted(
        ((250).to_bytes(4, "little"), (0x60100).to_bytes(4, "little"), b"\1")
    )
    insns = commands(plan, "BPF_PROG_LOAD")["program `look`"]["insns"].data
    assert (0x55667788).to_bytes(4, "little") in insns
    assert (0x11223344).to_bytes(4, "little") in insns


def test_what_nobody_supplies(build: Callable[[str], Object]) -> None:
    settings = {"CONFIG_HZ": "250"}
    with pytest.raises(TargetMissing, match="kernel symbol `some_symbol`"):
        make_plan(build(EXTERNS), kernel(settings=settings))
    with pytest.raises(TargetMissing, match="`CONFIG_HZ` is not set"):
        make_plan(build(EXTERNS), kernel(settings={"CONFIG_X": "y"}))
    with pytest.raises(EnvironmentMissing, match="does not tell its kernel's configuration"):
        make_plan(build(EXTERNS), kernel())


def test_sections_that_say_nothing(build: Callable[[str], Object]) -> None:
    with pytest.raises(InputError, match=r"section `xpd` .*did you mean `xdp`"):
        make_plan(build('\nSEC("xpd") int a(void *c) { return 2; }\n'), kernel())
    with pytest.raises(InputError, match="does not say what to attach to"):
        make_plan(build('\nSEC("fentry") int a(void *c) { return 0; }\n'), kernel())
    with pytest.raises(InputError, match="which was not given"):
        make_plan(build('\nSEC("freplace/x") int a(void *c) { return 0; }\n'), kernel())
    with pytest.raises(EnvironmentMissing, match="no BTF"):
        make_plan(build('\nSEC("fentry/x") int a(void *c) { return 0; }\n'), kernel())


STRUCT_OPS = """
struct driver_ops { int (*open)(void); int (*gone)(void); int number; long absent; char name[8]; };
SEC("struct_ops/open") int my_open(void) { return 0; }
SEC("struct_ops/gone") int my_gone(void) { return 0; }
SEC(".struct_ops") struct driver_ops driver = {
    .open = my_open, .gone = my_gone, .number = 7, .name = "abc" };
"""
# The kernel's struct has its members elsewhere and lacks two of them.
KERNEL_TYPES = """
struct driver_ops { char name[8]; long owner; int (*other)(void); int (*open)(void); int number; };
struct bpf_struct_ops_driver_ops { long common[8]; struct driver_ops data; };
struct bpf_struct_ops_driver_ops here;
"""


def test_struct_ops_follow_the_kernels_layout(build: Callable[[str], Object]) -> None:
    btf = build(KERNEL_TYPES).btf
    assert btf is not None
    plan = make_plan(build(STRUCT_OPS), Kernel("test", btf, version="6.1.0"))
    made = commands(plan, "BPF_MAP_CREATE")["map `driver`"]
    assert made["btf_vmlinux_value_type_id"] == btf.find("bpf_struct_ops_driver_ops", "STRUCT")
    assert made["value_size"] == 64 + 8 + 8 + 8 + 8 + 8
    loads = commands(plan, "BPF_PROG_LOAD")
    assert list(loads) == ["program `my_open`"]  # the kernel has no member for the other
    assert loads["program `my_open`"]["attach_btf_id"] == btf.find("driver_ops", "STRUCT")
    assert loads["program `my_open`"]["expected_attach_type"] == 3
    assert any("no member `gone`" in sentence for _, sentence in plan.notes)
    with pytest.raises(Unsupported, match="takes no such struct"):
        make_plan(build(STRUCT_OPS), Kernel("test", build(XDP).btf, version="6.1.0"))


def test_a_member_the_kernel_lacks_must_be_zero(build: Callable[[str], Object]) -> None:
    source = STRUCT_OPS.replace(".number = 7", ".number = 7, .absent = 1")
    with pytest.raises(Unsupported, match="sets member `absent`"):
        make_plan(build(source), Kernel("test", build(KERNEL_TYPES).btf, version="6.1.0"))


# ------------------------------------------------------------ executing


def test_a_load_that_works_asks_nothing_else(build: Callable[[str], Object]) -> None:
    with fake.installed(fake.FakeDoor()) as door:
        with load(build(XDP)) as bpf:
            assert list(bpf.programs) == ["count"]
            made = [one.name for one in bpf.plan.commands]
        assert door.commands() == made
        assert not live().settled
        assert not door.open_fds()


def test_a_plan_for_what_the_kernel_has(build: Callable[[str], Object]) -> None:
    """A kernel of 4.14: the first plan fails, the truth is asked for, the second plan fits."""
    door = fake.FakeDoor(version="4.14.0", features={"prog_name": False, "array_mmap": False, "memcg_account": False})
    door.fail("BPF_MAP_CREATE", errno.EINVAL, lambda fields: "map_name" in fields)
    with fake.installed(door):
        with load(build(XDP)) as bpf:
            assert bpf.plan.commands[0].name == "LIFT_MEMLOCK"
        assert live().settled
        before = len(door.calls)
        load(build(XDP)).close()  # from now on it is known
        assert len(door.calls) - before == len(bpf.plan.commands)
        assert not door.open_fds()


def test_types_the_kernel_refuses_are_left_out(build: Callable[[str], Object]) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_BTF_LOAD", errno.EINVAL)
    with fake.installed(door), load(build(XDP)) as bpf:
        assert not bpf.plan.has("btf")
        assert bpf.btf_fd is None


def test_a_map_whose_types_are_refused(build: Callable[[str], Object]) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_MAP_CREATE", errno.ENOTSUPP if hasattr(errno, "ENOTSUPP") else 524, lambda f: "btf_key_type_id" in f)
    with fake.installed(door), load(build(XDP)) as bpf:
        assert bpf.plan.has("btf")
        assert any("it is created without" in sentence for _, sentence in bpf.notes)


def test_binding_is_no_condition(build: Callable[[str], Object]) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_PROG_BIND_MAP", errno.EINVAL)
    with fake.installed(door), load(build(XDP)) as bpf:
        assert "BPF_PROG_BIND_MAP" not in [one.name for one in bpf.plan.commands]


def test_a_refusal_without_a_way_out(build: Callable[[str], Object]) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_MAP_CREATE", errno.E2BIG)
    with fake.installed(door), pytest.raises(KernelError) as caught:
        load(build(XDP))
    assert (caught.value.command, caught.value.errno) == ("BPF_MAP_CREATE", errno.E2BIG)
    assert not door.open_fds()
    door = fake.FakeDoor(uid=1000)
    door.fail("BPF_BTF_LOAD", errno.EPERM)
    door.fail("BPF_MAP_CREATE", errno.EPERM)
    with fake.installed(door), pytest.raises(PermissionMissing):
        load(build(XDP))


def test_a_rejection(build: Callable[[str], Object]) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_PROG_LOAD", errno.EACCES)
    door.logs["count"] = (
        "0: (b7) r1 = 5\n1: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\nprocessed 2 insns\n"
    )
    with fake.installed(door), pytest.raises(VerifierRejected, match="invalid mem access") as caught:
        load(build(XDP))
    assert (caught.value.program, caught.value.reason) == ("count", "R1 invalid mem access 'scalar'")
    assert caught.value.line > 0
    assert not door.open_fds()


@pytest.mark.parametrize(
    ("log", "reason", "slot"),
    [
        ("", "", None),
        ("processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0\n", "", None),
        ("7: (95) exit\nAt program exit the register R0 has smin=2 should have been in [0, 1]\n"
         "verification time 3 usec\nstack depth 8\nprocessed 4 insns (limit 1000000)\n",
         "At program exit the register R0 has smin=2 should have been in [0, 1]", 7),
        ("unreachable insn 4\nprocessed 0 insns\n", "unreachable insn 4", 4),
        ("0: (bf) r6 = r1\n; int x = *p; @ a.c:3\n1: (85) call unknown#195896080\ninvalid func unknown#195896080\n",
         "invalid func unknown#195896080", 1),
        ("3: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\n\nVerification failed: Type: wrong\n\nReason:\n"
         "  R1 is no pointer\n\nAt:\n  f @ a.c:3\n\nprocessed 4 insns (limit 1000000)\n",
         "R1 invalid mem access 'scalar'", 3),
        ("Verification failed: Type: wrong\n\nReason:\n  R1 is no pointer\n", "R1 is no pointer", None),
    ],
)  # fmt: skip
def test_reasons(log: str, reason: str, slot: int | None) -> None:
    told = parse(log)
    assert (told.message, told.instruction) == (reason, slot)


def test_pins_of_somebody_faster(build: Callable[[str], Object]) -> None:
    source = XDP.replace("__uint(max_entries, 8);", "__uint(max_entries, 8); __uint(pinning, 1);")
    door = fake.FakeDoor(files={"/sys/fs/bpf/x": ""})
    asked: list[str] = []

    def get(fields: dict[str, Any]) -> int | None:
        asked.append("get")
        return -errno.ENOENT if len(asked) == 1 else None

    def describe(fields: dict[str, Any]) -> int:
        words = (1, 9, 4, 8, 8, 0)
        fields["info"][:24] = b"".join(word.to_bytes(4, "little") for word in words)
        return 0

    door.answer("BPF_OBJ_GET", get)
    door.answer("BPF_OBJ_GET_INFO_BY_FD", describe)
    door.fail("BPF_OBJ_PIN", errno.EEXIST)
    with fake.installed(door):
        with load(build(source)) as bpf:
            assert bpf.plan.given == ["map:table_with_a_long_name"]
        assert asked == ["get", "get"]
        assert not door.open_fds()


def test_log_levels(build: Callable[[str], Object]) -> None:
    door = fake.FakeDoor()
    door.logs["count"] = "processed 9 insns\n"
    with fake.installed(door), load(build(XDP), log_level=1) as bpf:
        assert bpf.log("count") == "processed 9 insns\n"


# ------------------------------------------------------------ kernel modules


def split_types(base: bytes, name: str) -> bytes:
    """The types of a module on top of those of a kernel: `void NAME(void)` and a variable of type int, `NAME_here`."""
    word = lambda *numbers: b"".join(number.to_bytes(4, "little") for number in numbers)  # noqa: E731
    told = int.from_bytes(base[20:24], "little")  # bytes of the base's strings
    strings = b"\0" + name.encode() + b"\0" + f"{name}_here".encode() + b"\0"
    first = len(_native.Btf.parse(base))  # `void` is counted
    types = word(0, 13 << 24, 0)  # FUNC_PROTO
    types += word(told + 1, 12 << 24, first)  # FUNC
    types += word(0, 1 << 24, 4, 1 << 24 | 32)  # INT
    types += word(told + 2 + len(name), 14 << 24, first + 2, 1)  # VAR
    return b"\x9f\xeb\x01\x00" + word(24, 0, len(types), len(types), len(strings)) + types + strings


MODULE = """
extern void of_a_module(void) __attribute__((section(".ksyms")));
extern const int of_a_module_here __attribute__((section(".ksyms")));
SEC("tc") int calls(struct __sk_buff *skb) { of_a_module(); of_a_module(); return 0; }
SEC("tc") int reads(struct __sk_buff *skb) { return (long)&of_a_module_here; }
SEC("fentry/of_a_module") int enters(void *ctx) { return 0; }
SEC("fexit/driver:of_a_module") int leaves(void *ctx) { return 0; }
"""


def test_functions_and_variables_of_modules(build: Callable[[str], Object]) -> None:
    btf = build(XDP).btf
    assert btf is not None
    base = btf.to_bytes()
    whole = _native.Btf.parse(base)
    module = _native.Btf.parse(split_types(base, "of_a_module"), whole)
    told = Kernel("test", whole, (("other", _native.Btf.parse(split_types(base, "x"), whole)), ("driver", module)),
                  version="6.1.0", module_ids={"driver": 77})  # fmt: skip
    plan = make_plan(build(MODULE), told)
    opened = commands(plan, "BPF_BTF_GET_FD_BY_ID")
    assert opened == {"the types of module `driver`": {"btf_id": 77}}
    loads = commands(plan, "BPF_PROG_LOAD")
    calls = loads["program `calls`"]
    assert calls["fd_array"] == Blob(bytes(8), ((4, "types:driver"),))
    call = calls["insns"][:8]
    assert (call[0], call[1] >> 4) == (0x85, 2)
    assert int.from_bytes(call[2:4], "little") == 1  # second of the array: the first stands for the kernel itself
    assert int.from_bytes(call[4:], "little") == module.find("of_a_module", "FUNC")
    reads = loads["program `reads`"]["insns"]
    assert isinstance(reads, Blob)
    assert [name for _, name in reads.slots] == ["types:driver"]
    for name in ("enters", "leaves"):
        assert loads[f"program `{name}`"]["attach_btf_id"] == module.find("of_a_module", "FUNC")
        assert loads[f"program `{name}`"]["attach_btf_obj_fd"] == Slot("types:driver")


def test_a_module_that_is_not_there(build: Callable[[str], Object]) -> None:
    with pytest.raises(TargetMissing, match=r"kernel function `of_a_module`"):
        make_plan(build(MODULE), Kernel("test", build(XDP).btf, version="6.1.0"))
    source = '\nSEC("fentry/driver:of_a_module") int a(void *c) { return 0; }\n'
    with pytest.raises(TargetMissing, match=r"modprobe driver"):
        make_plan(build(source), Kernel("test", build(XDP).btf, version="6.1.0"))


def test_an_object_of_the_other_byte_order(clang: Any, tmp_path: Path) -> None:
    out = tmp_path / "big.o"
    source = HEAD + 'SEC("xdp") int a(void *c) { return 2; }\n'
    words = [clang.path, "-g", "-O2", "-target", "bpfeb", "-I/usr/include/x86_64-linux-gnu"]
    subprocess.run([*words, "-x", "c", "-c", "-", "-o", out], input=source, text=True, check=True)
    with fake.installed(fake.FakeDoor()) as door, pytest.raises(InputError, match="big-endian"):
        load(out)
    assert not door.calls


def test_globals_of_a_map_that_exists(build: Callable[[str], Object]) -> None:
    options = Options()
    options.given[".bss"] = 3
    options.data[".bss"] = bytes(4)
    with pytest.raises(InputError, match="exists already"):
        make_plan(build(XDP), kernel(), options)
