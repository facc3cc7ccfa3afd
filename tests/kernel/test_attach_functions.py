"""Programs at kernel functions, at LSM hooks and in other programs: each is seen to fire where the kernel has it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith import kernel
from bpfsmith.kernel import functions
from bpfsmith.model.errors import BpfsmithError, InputError, TargetMissing, Unsupported, VerifierRejected
from bpfsmith.run.link import Held, LinkFd, from_pin
from bpfsmith.run.load import load

pytestmark = [pytest.mark.root, pytest.mark.toolchain]


def bind(times: int = 3) -> None:
    for _ in range(times):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))


def may_bind() -> bool:
    try:
        bind(1)
    except PermissionError:
        return False
    return True


def reopen(device: str) -> None:
    for state in ("down", "up"):
        subprocess.run(["ip", "link", "set", device, state], check=True)


def since(series: str) -> bool:
    from bpfsmith.facts import series_key

    return series_key(kernel.live().series) >= series_key(series)


@pytest.fixture
def one(bpf_object: Callable[..., Path]) -> Iterator[Callable[..., Any]]:
    """`one("probe")`: the program of that name alone, loaded; a kernel without such programs skips the test."""
    with contextlib.ExitStack() as stack:

        def get(*names: str, path: str = "attach_functions", **options: Any) -> Any:
            try:
                bpf = stack.enter_context(load(bpf_object(path), select=list(names), **options))
            except Unsupported as error:
                pytest.skip(f"kernel: {error}")
            except VerifierRejected as error:
                if "unknown#" in str(error) or "unknown func" in str(error):
                    pytest.skip(f"kernel: no cookies: {error}")
                raise
            return bpf.programs[names[0]]

        yield get


def attached(program: Any, *where: Any, **options: Any) -> Any:
    try:
        return program.attach(*where, **options)
    except Unsupported as error:
        pytest.skip(f"kernel: {error}")


def hits(program: Any, act: Callable[[], object] = bind) -> int:
    variables, name = program.owner.globals, f"{program.name}_hits"
    before = variables[name]
    act()
    return int(variables[name] - before)


def fires(program: Any, *where: Any, each: int = 1, **options: Any) -> Any:
    """Attached it runs at each call, detached no more; answers what the link's `info()` said."""
    with attached(program, *where, **options) as link:
        assert hits(program) == 3 * each
        told = link.info()
    assert hits(program) == 0 and program.links == [] and program.owner.links == []
    return told


# ------------------------------------------------------------ kprobes


@pytest.mark.parametrize("name", ["probe", "returned", "call", "call_returned"])
def test_a_kprobe_fires_until_it_is_detached(one: Callable[..., Any], name: str) -> None:
    told = fires(one(name))
    if "event" in told:  # 6.6+
        assert told["event"] == ("kretprobe" if "returned" in name else "kprobe")
        assert told["func_name"].endswith("sys_bind") and told["offset"] == 0


def test_a_kprobe_elsewhere(one: Callable[..., Any]) -> None:
    program = one("anywhere")
    (address,) = functions.addresses("__sys_bind")
    fires(program, "__sys_bind")
    fires(program, address=address)
    fires(program, "__sys_bind+0x0")
    fires(program, "__sys_bind", ret=True)
    with pytest.raises(TargetMissing, match=r"no kernel function `__sys_binde` \(did you mean .*`__sys_bind`"):
        program.attach("__sys_binde")
    with pytest.raises(InputError, match=r"kprobe\.multi"):
        program.attach("__sys_b*")
    with pytest.raises(InputError, match="has no meaning"):
        program.attach("__sys_bind", offset=4, ret=True)
    with pytest.raises(InputError, match="says no target"):
        program.attach()


def test_an_instruction_inside_of_a_function(one: Callable[..., Any]) -> None:
    """The kernel takes the starts of instructions only: some of the first 16 offsets are, some are not."""
    program, taken = one("anywhere"), []
    for offset in range(1, 17):
        try:
            with attached(program, "__sys_bind", offset=offset):
                assert hits(program) in (0, 3)
            taken.append(offset)
        except InputError as error:
            assert "start of an instruction" in str(error) or "sets no kprobe" in str(error)
    assert 0 < len(taken) < 16


def test_a_function_that_must_not_be_probed(one: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="the kernel sets no kprobe `asm_exc_int3`"):
        attached(one("anywhere"), "asm_exc_int3")


def test_a_function_of_a_module(one: Callable[..., Any], netns: Any) -> None:
    if not kernel.door().kernel_symbols(["veth_open"], "veth").get("veth_open"):
        pytest.skip("kernel: veth is no module")
    program = one("anywhere")
    for words in ("veth:veth_open", "veth_open"):
        with attached(program, words):
            assert hits(program, lambda: reopen(netns.device)) == 1
    with pytest.raises(TargetMissing, match="`veth_openn` in module `veth`"):
        program.attach("veth:veth_openn")


def test_an_ambiguous_name_is_refused_with_its_addresses(one: Callable[..., Any]) -> None:
    program = one("anywhere")
    text = kernel.door().read_text("/proc/kallsyms")
    seen: set[str] = set()
    twice = next(
        name for line in text.splitlines() if "[" not in line and line.split()[1] in "tT"
        for name in [line.split()[2]] if name in seen or seen.add(name)  # type: ignore[func-returns-value]
    )  # fmt: skip
    with pytest.raises(InputError, match=rf"kernel functions are called `{twice}`.*`address=0x"):
        attached(program, twice)


def test_kprobes_have_cookies(one: Callable[..., Any]) -> None:
    if not since("5.15"):
        with pytest.raises(Unsupported) as caught, load_and_attach(one, "probe", cookie=7):
            pass
        assert caught.value.since == "5.15"
        return
    program = one("cookied")
    with attached(program, cookie=0x1122334455667788):
        assert hits(program) == 3
    assert program.owner.globals["cookie"] == 0x1122334455667788


def load_and_attach(one: Callable[..., Any], name: str, **options: Any) -> Any:
    program = one(name)
    if (error := lacking(program)) is not None:
        pytest.skip(f"kernel: {error}")
    return program.attach(**options)


def lacking(program: Any) -> Unsupported | None:
    from bpfsmith.run.attach import family_of

    row = family_of(program)
    told: Unsupported | None = row.load().lacking(row.name, program.name)
    return told


def test_a_kprobe_by_tracefs(one: Callable[..., Any]) -> None:
    """As on kernels whose perf knows no kprobes: an event of ours that is gone when it is detached."""
    from bpfsmith.kernel import journal

    program = one("anywhere")
    (address,) = functions.addresses("__sys_bind")
    for where, options in (("__sys_bind", {}), ("__sys_bind", {"ret": True}), (None, {"address": address})):
        with attached(program, where, via="tracefs", **options):
            assert hits(program) == 3
            text = kernel.door().read_text("/sys/kernel/tracing/kprobe_events")
            assert "bpfsmith/probe_" in text
            assert [line for line in journal._Own.lines if line.startswith("kprobe\t")]
        assert "bpfsmith/" not in kernel.door().read_text("/sys/kernel/tracing/kprobe_events")
        assert not [line for line in journal._Own.lines if line.startswith("kprobe\t")]


def test_a_kprobe_without_a_link(one: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What kernels before 5.15 do, on every kernel: the event itself holds the program."""
    from bpfsmith.run.attach import _perf

    program = one("probe")
    monkeypatch.setattr(_perf, "link_create", lambda *_, **__: -22)
    monkeypatch.setattr(type(kernel.live()), "probe", lambda *_: False)
    with attached(program) as link:
        assert isinstance(link, Held) and link.id == 0 and hits(program) == 3
        with pytest.raises(Unsupported, match="cannot be pinned"):
            link.pin("/sys/fs/bpf/no")
    assert hits(program) == 0


def test_a_missing_system_call_is_named_with_its_kin(one: Callable[..., Any]) -> None:
    with pytest.raises(TargetMissing, match=r"no system call `bindd`.*`bind`"):
        one("call").attach("bindd")


# ------------------------------------------------------------ many functions by one link


def test_many_functions(one: Callable[..., Any]) -> None:
    program = one("many")
    fires(program)
    for options in ({"symbols": ["__sys_bind"]}, {"addresses": functions.addresses("__sys_bind")}):
        fires(program, **options)

    def both() -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()

    with attached(program, symbols=["__sys_bind", "__sys_listen"]) as link:
        assert hits(program, both) == 2
        told = link.info()
        assert told["kind"] == "kprobe_multi"
        if "addrs" in told:
            assert sorted(told["addrs"]) == sorted(
                functions.addresses("__sys_bind") + functions.addresses("__sys_listen")
            )
    with attached(program, "__sys_*") as link:
        assert hits(program, both) >= 2
    assert hits(program) == 0
    fires(one("many_returned"))
    with pytest.raises(TargetMissing, match="no kernel function that can be traced matches `no_such_"):
        program.attach("no_such_*")
    with pytest.raises(TargetMissing, match=r"did you mean .*`__sys_bind`"):
        program.attach("__sys_binde")
    with pytest.raises(InputError, match="exclude each other"):
        program.attach("__sys_bind", symbols=["__sys_bind"])
    with pytest.raises(InputError, match="2 cookies for 1 functions"):
        program.attach(cookies=[1, 2])


def test_cookies_of_many_functions(one: Callable[..., Any]) -> None:
    program = one("many_cookied")
    with attached(program, symbols=["__sys_listen", "__sys_bind"], cookies=[1000, 7]):
        bind(2)
    assert program.owner.globals["cookie"] == 14


def test_many_functions_whose_addresses_are_hidden(one: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    program = one("many")
    hidden = {name: [(0, "")] for name in ("__sys_bind", "__sys_listen")}
    monkeypatch.setattr(type(kernel.door()), "kernel_symbols", lambda *_: hidden)
    fires(program, symbols=["__sys_bind", "__sys_listen"])


def test_a_session_runs_at_entry_and_return(one: Callable[..., Any]) -> None:
    fires(one("session"), each=2)


def test_a_program_for_single_probes_is_not_set_on_many(one: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="loaded for single kprobes"):
        one("anywhere").attach_kprobe_multi("__sys_*")


def test_functions_that_cannot_be_traced_are_named(one: Callable[..., Any]) -> None:
    program = one("many")
    attached(program).detach()
    with pytest.raises(InputError, match="asm_exc_int3"):
        program.attach(symbols=["__sys_bind", "asm_exc_int3"])


# ------------------------------------------------------------ trampolines


@pytest.mark.parametrize(("name", "each"), [("entry", 1), ("leave", 1), ("both", 2)])
def test_a_trampoline_fires_until_it_is_detached(one: Callable[..., Any], name: str, each: int) -> None:
    told = fires(one(name), each=each)
    assert told["kind"] == "tracing"


def test_trampolines_have_cookies(one: Callable[..., Any]) -> None:
    program = one("entry_cookied" if since("5.19") else "entry")
    attached(program).detach()
    try:
        with program.attach(cookie=99):
            assert hits(program) == 3
    except Unsupported as error:
        assert error.since == "5.19" and not since("5.19")
    else:
        assert program.owner.globals["cookie"] == 99


def test_what_a_function_returns_is_modified(one: Callable[..., Any]) -> None:
    program = one("modify")
    with attached(program):
        assert may_bind()
        program.owner.globals["denied"] = os.getpid()
        assert not may_bind()
        program.owner.globals["denied"] = 0
        assert may_bind() and hits(program) == 3
    assert hits(program) == 0


def test_a_sleepable_program_at_a_function(one: Callable[..., Any]) -> None:
    try:
        program = one("entry_sleeping", "entry")
    except VerifierRejected as error:
        assert "is not sleepable" in str(error)
        pytest.skip(f"kernel: {error}")
    run = program.owner.programs["entry"].test_run
    with attached(program):
        assert hits(program, run) == 1
    assert hits(program, run) == 0


def test_many_functions_by_their_types(one: Callable[..., Any]) -> None:
    def both() -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()

    program = one("entries")
    assert fires(program)["kind"] == "tracing_multi"
    with attached(program, symbols=["__sys_bind", "__sys_listen"]) as link:
        assert hits(program, both) == 2 and link.target == "2 functions"
    leaves = one("leaves")
    with attached(leaves, "__sys_bind"):
        assert hits(leaves) == 3
    cookied = one("entries_cookied")
    with attached(cookied, symbols=["__sys_bind"], cookies=[5]):
        bind(2)
    assert cookied.owner.globals["cookie"] == 10
    with pytest.raises(TargetMissing, match="`__sys_binde`"):
        program.attach("__sys_binde")
    with pytest.raises(InputError, match="pass `pattern=`"):
        leaves.attach()


def test_a_function_of_a_module_by_its_types(one: Callable[..., Any], netns: Any, leaves_nothing: Any) -> None:
    try:
        program = one("module_entry")
    except TargetMissing as error:
        pytest.skip(f"kernel: {error}")
    with attached(program):
        assert hits(program, lambda: reopen(netns.device)) == 1
    assert hits(program, lambda: reopen(netns.device)) == 0
    leaves_nothing.made = {(kind, number) for kind, number in leaves_nothing.made if kind != "btf"}  # the module's


def test_links_are_pinned_and_listed(one: Callable[..., Any]) -> None:
    from bpfsmith.kernel.linked import Targets

    path = f"/sys/fs/bpf/functions_{os.getpid()}"
    for name in ("entry", "probe"):
        program = one(name)
        link = attached(program)
        if isinstance(link, Held):
            link.detach()
            continue
        assert isinstance(link, LinkFd) and link.id
        words = Targets().of({**kernel_link(link), "kind": kernel_link(link)["kind"]})
        assert "__sys_bind" in words or not since("6.6")
        link.pin(path)
        link.close()
        assert hits(program) == 3, "the pin holds it"
        again = from_pin(path)
        again.detach()
        assert not kernel.door().exists(path)
        until = time.monotonic() + 30
        while hits(program) and time.monotonic() < until:  # the kernel frees what was pinned a little later
            time.sleep(0.01)
        assert hits(program) == 0


def kernel_link(link: Any) -> dict[str, Any]:
    from bpfsmith.kernel import info

    return info.link(link)


# ------------------------------------------------------------ LSM


def test_a_hook_decides(one: Callable[..., Any]) -> None:
    program = one("hook")
    with attached(program) as link:
        assert may_bind() and link.info()["kind"] == "tracing"
        program.owner.globals["denied"] = os.getpid()
        assert not may_bind() and program.owner.globals["hook_hits"] == 2
        program.owner.globals["denied"] = 0
    assert hits(program) == 0


def test_a_sleepable_hook(one: Callable[..., Any]) -> None:
    try:
        program = one("hook_sleeping")
    except VerifierRejected as error:
        assert "is not sleepable" in str(error)
        pytest.skip(f"kernel: {error}")
    with attached(program):
        assert hits(program, lambda: open("/proc/self/comm").close()) >= 1


def test_a_hook_of_a_cgroup_decides_for_its_members(one: Callable[..., Any], cgroup: Any) -> None:
    program = one("group")
    code = ["python3", "-c", "import socket; socket.socket().bind(('127.0.0.1', 0))"]
    with attached(program, str(cgroup.path)) as link:
        assert may_bind(), "this process is no member"
        with contextlib.suppress(Exception):
            cgroup.run(*code)
        assert program.owner.globals["group_hits"] == 1
        assert link.info()["kind"] == "cgroup" and link.attached
    with pytest.raises(InputError, match="pass `cgroup=`"):
        program.attach()


def test_a_hook_that_would_never_run_is_refused(one: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith.kernel import privilege

    program = one("hook")
    monkeypatch.setattr(privilege, "security_modules", lambda: ("lockdown", "capability", "yama"))
    with pytest.raises(Unsupported, match=r"would never run: `bpf` is not among .*boot with `lsm=lockdown,yama,bpf`"):
        program.attach()


# ------------------------------------------------------------ other programs


def test_a_function_of_a_program_is_replaced(bpf_object: Callable[..., Path], one: Callable[..., Any]) -> None:
    with load(bpf_object("attach_replace"), select=["packet", "second"]) as bpf:
        target, second = bpf.programs["packet"], bpf.programs["second"]
        program = one("instead", path="attach_replace", programs={"instead": {"attach_prog": target}})
        verdict = lambda one: one.test_run(bytes(64)).verdict  # noqa: E731
        assert verdict(target) == "XDP_PASS"
        with attached(program) as link:
            assert verdict(target) == "XDP_DROP" and link.info()["kind"] == "tracing"
        assert verdict(target) == "XDP_PASS"
        with program.attach_freplace(second):
            assert (verdict(second), verdict(target)) == ("XDP_DROP", "XDP_PASS")
        assert verdict(second) == "XDP_PASS"
        with program.attach_freplace(target, "decide"):
            assert verdict(target) == "XDP_DROP"
        with pytest.raises(InputError, match="was attached to its target before"):
            program.attach()
        with pytest.raises(TargetMissing, match="has no function `decid`"):
            program.attach_freplace(target, "decid")


def test_a_whole_program_is_replaced(bpf_object: Callable[..., Path], one: Callable[..., Any]) -> None:
    with load(bpf_object("attach_replace"), select=["packet"]) as bpf:
        target = bpf.programs["packet"]
        settings = {"instead": {"attach_prog": target, "attach_to": "packet"}}
        program = one("instead", path="attach_replace", programs=settings)
        with attached(program):
            assert target.test_run(bytes(64)).verdict == "XDP_DROP" and bpf.globals["packet_hits"] == 0


def test_a_function_of_other_types_is_refused(bpf_object: Callable[..., Path]) -> None:
    with load(bpf_object("attach_replace"), select=["packet"]) as bpf, pytest.raises(BpfsmithError) as caught:
        load(bpf_object("attach_replace"), select=["wrong_types"],
             programs={"wrong_types": {"attach_prog": bpf.programs["packet"]}})  # fmt: skip
    assert "wrong_types" in str(caught.value)


@pytest.mark.parametrize("name", ["watch", "watch_function"])
def test_programs_are_watched(bpf_object: Callable[..., Path], one: Callable[..., Any], name: str) -> None:
    with load(bpf_object("attach_replace"), select=["packet"]) as bpf:
        target = bpf.programs["packet"]
        program = one(name, path="attach_replace", programs={name: {"attach_prog": target}})
        with attached(program):
            assert hits(program, lambda: target.test_run(bytes(64))) == 1
        assert hits(program, lambda: target.test_run(bytes(64))) == 0
