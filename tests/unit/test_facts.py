"""The facts table: equal to its generator, true to the sources it was read from, quick to load."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bpfsmith import facts
from bpfsmith.facts import series_key

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools/facts"
KERNELS = ("5.10", "6.1", "6.12", "7.3")


@pytest.fixture(scope="module")
def kernels() -> dict[str, dict]:
    if not TOOLS.is_dir():
        pytest.skip("needs the repository's tools/facts")
    return {version: json.loads((TOOLS / f"data/kernel-{version}.json").read_text()) for version in KERNELS}


def check_since(name: str, since: str, present: list[str]) -> str:
    """Says how a claimed first kernel contradicts the kernels that were read; empty when it does not."""
    for version in KERNELS:
        claimed = series_key(version) >= series_key(since)
        if claimed != (version in present):
            return f"{name}: since {since}, but {'absent from' if claimed else 'there in'} {version}"
    return ""


# ---------------------------------------------------------------- generator


def test_generated_modules_equal_the_generator() -> None:
    if not TOOLS.is_dir():
        pytest.skip("needs the repository's tools/facts")
    done = subprocess.run(
        [sys.executable, str(TOOLS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------- claims against the kernels read


def test_types_are_there_since_when_claimed(kernels: dict[str, dict]) -> None:
    wrong = []
    tables = {
        "bpf_prog_type": facts.program_types,
        "bpf_map_type": facts.map_types,
        "bpf_attach_type": facts.attach_types,
    }
    for enum, table in tables.items():
        for row in table.all():
            names = (row.kernel_name, f"{row.kernel_name}_DEPRECATED")
            present = [v for v, k in kernels.items() if any(n in k["enums"][enum] for n in names)]
            wrong.append(check_since(row.kernel_name, row.since, present))
            for version in present:
                numbers = [kernels[version]["enums"][enum][n] for n in names if n in kernels[version]["enums"][enum]]
                assert numbers == [row.number] * len(numbers), (row, version)
    # BPF_PERF_EVENT was only used for cookies at first; the sources show the enumerators.
    assert not [text for text in wrong if text]


def test_every_type_of_the_newest_kernel_is_known(kernels: dict[str, dict]) -> None:
    newest = kernels[KERNELS[-1]]["enums"]
    for name, number in newest["bpf_prog_type"].items():
        assert number == 0 or facts.program_types.get(number) is facts.program_types.get(name), name
    for number in newest["bpf_attach_type"].values():
        assert facts.attach_types.get(number) is not None
    for name, number in newest["bpf_map_type"].items():
        assert number == 0 or facts.map_types.get(number) is not None, name


def test_helpers_are_there_since_when_claimed(kernels: dict[str, dict]) -> None:
    rows = facts.helpers.all()
    assert [row.number for row in rows] == list(range(1, 212))
    wrong = []
    for row in rows:
        short = row.name.removeprefix("bpf_")
        present = [v for v, k in kernels.items() if short in k["helpers"]]
        assert all(kernels[v]["helpers"][short] == row.number for v in present)
        wrong.append(check_since(row.name, row.since, present))
    assert not [text for text in wrong if text]


def test_permissions_agree_with_every_kernel_read(kernels: dict[str, dict]) -> None:
    """Allowed where a source allows it, and the claimed first kernel lies between absent and present; but where the
    verifiers of real kernels said otherwise (`mended.toml`, held by tests/lab/test_facts_seen.py)."""
    mended = tomllib.loads((TOOLS / "data/mended.toml").read_text())["helper"]
    taught = {(one["name"], word) for one in mended for word in one["types"]}
    for row in facts.helpers.all():
        short = row.name.removeprefix("bpf_")
        for program in facts.program_types.all():
            present = [v for v in KERNELS if short in kernels[v]["programs"].get(program.name, {})]
            since = row.since_in(program.name)
            if (row.name, program.name) in taught:
                continue
            if since is None:
                # Only what the verifier refuses later (locks and timers in tracing programs) may be missing.
                assert not present or row.name.startswith(("bpf_spin_", "bpf_timer_")), (row, program)
                continue
            if present:
                known = row.known_in(program.name)
                assert known is not None
                assert series_key(since) <= series_key(present[0]), (row, program, since)
                assert series_key(since) <= series_key(known)
                before = [v for v in KERNELS if series_key(v) < series_key(present[0])]
                assert not before or series_key(since) > series_key(before[-1]), (row, program, since)


def test_kfuncs_are_not_there_before_claimed(kernels: dict[str, dict]) -> None:
    """Sets in modules outside the folders read may hide one, so absence proves nothing."""
    wrong = []
    for row in facts.kfuncs.all():
        for version in ("6.12", "7.3"):
            if row.name in kernels[version]["kfuncs"] and series_key(row.since) > series_key(version):
                wrong.append((row.name, row.since, version))
    assert not wrong


def test_every_row_has_its_provenance() -> None:
    for table in facts.TABLES:
        for row in getattr(facts, table).all():
            assert row.source, row
            assert row.since or row.kind in ("section", "security hook", "kfunc", "context"), row
            assert re.fullmatch(r"|[0-9a-f]{12}", row.commit), row
            assert list(row.fields()), row


# ---------------------------------------------------------------- helpers


@pytest.mark.parametrize(
    ("name", "program", "attach", "sleepable", "allowed"),
    [
        ("bpf_map_lookup_elem", "xdp", None, None, True),
        ("bpf_skb_load_bytes", "xdp", None, None, False),
        ("bpf_xdp_adjust_head", "sched_cls", None, None, False),
        ("bpf_get_stackid", "xdp", None, None, False),
        ("bpf_probe_read_kernel", "xdp", None, None, True),
        ("bpf_bind", "cgroup_sock_addr", "cgroup_inet4_connect", None, True),
        ("bpf_bind", "cgroup_sock_addr", "cgroup_inet4_bind", None, False),
        ("bpf_seq_write", "tracing", "trace_iter", None, True),
        ("bpf_seq_write", "tracing", "trace_fentry", None, False),
        ("bpf_copy_from_user", "lsm", "lsm_mac", True, True),
        ("bpf_copy_from_user", "lsm", "lsm_mac", False, False),
        ("bpf_copy_from_user", "lsm", "lsm_mac", None, True),
        ("bpf_set_retval", "cgroup_sock_addr", "cgroup_udp4_recvmsg", None, False),
        ("bpf_spin_lock", "kprobe", None, None, False),
        ("bpf_skb_load_bytes", "ext", None, None, True),
    ],
)
def test_helper_allowed(name: str, program: str, attach: str | None, sleepable: bool | None, allowed: bool) -> None:
    row = facts.helpers.by_name(name)
    assert row is not None
    assert row.allowed(program, attach, sleepable) is allowed


def test_helper_details() -> None:
    loop = facts.helpers.by_name("loop")
    assert loop is facts.helpers.by_id(181)
    assert loop is not None and loop.since == "5.17" and not loop.gpl_only
    pid = facts.helpers.by_name("bpf_get_current_pid_tgid")
    assert pid is not None and pid.program_types["xdp"] == "6.10" and pid.program_types["kprobe"] == "4.2"
    trace = facts.helpers.by_name("bpf_trace_printk")
    assert trace is not None and trace.gpl_only and trace.gpl_only_in("xdp")
    moved = facts.helpers.by_name("bpf_skb_pull_data")
    assert moved is not None and moved.moves_packet
    copied = facts.helpers.by_name("bpf_copy_from_user")
    assert copied is not None and copied.sleeps
    assert facts.helpers.by_id(0) is None and facts.helpers.by_id(212) is None
    assert facts.helpers.by_name("bpf_nothing") is None


# ---------------------------------------------------------------- program types


@pytest.mark.parametrize(
    ("program", "attach", "value", "series", "rejected"),
    [
        ("sk_msg", "sk_msg_verdict", 5, "6.12", False),  # the verifier takes any value
        ("cgroup_skb", "cgroup_inet_ingress", 2, "5.10", True),
        ("cgroup_skb", "cgroup_inet_egress", 3, "5.10", False),
        ("cgroup_skb", "cgroup_inet_egress", 4, "5.10", True),
        ("cgroup_sock_addr", "cgroup_udp4_recvmsg", 0, "5.10", True),
        ("cgroup_sock_addr", "cgroup_inet4_bind", 2, "5.10", True),
        ("cgroup_sock_addr", "cgroup_inet4_bind", 2, "5.15", False),
        ("cgroup_sock_addr", "cgroup_inet4_connect", 2, "6.12", True),
        ("tracing", "trace_fentry", 1, "5.10", True),
        ("tracing", "trace_raw_tp", 1, "6.12", False),
        ("tracing", "modify_return", -1, "6.12", False),
        ("lsm", "lsm_mac", 1, "6.1", False),
        ("lsm", "lsm_mac", 1, "6.12", True),
        ("lsm", "lsm_mac", -13, "6.12", False),
        ("lsm", "lsm_cgroup", -1, "6.1", True),
        ("netfilter", "netfilter", 2, "6.4", True),
        ("sk_lookup", "sk_lookup", -1, "5.10", True),
        ("kprobe", None, 77, "6.12", False),
        ("kprobe", "trace_kprobe_session", 2, "6.12", True),
        ("xdp", "xdp", 9, "6.12", False),
    ],
)
def test_return_ranges(program: str, attach: str | None, value: int, series: str, rejected: bool) -> None:
    row = facts.program_types.get(program)
    assert row is not None
    found = row.return_range(attach)
    assert found is not None
    assert found.rejected(value, series) is rejected


def test_deny_values_are_legal_and_named() -> None:
    denying = set()
    for row in facts.program_types.all():
        assert set(row.kinds) <= {"network", "tracing", "cgroup", "security", "other"} and row.kinds
        for entry in row.returns:
            assert set(entry.attach) <= set(row.attach_types), row
            if entry.deny is not None:
                denying.add(row.name)
                assert entry.legal(entry.deny) and entry.meaning(entry.deny), row
    assert {"sk_msg", "socket_filter", "cgroup_skb", "cgroup_sock_addr", "cgroup_sockopt", "cgroup_sysctl"} <= denying
    assert "kprobe" not in denying and "sock_ops" not in denying


# ---------------------------------------------------------------- maps and flags


def test_map_types() -> None:
    ring = facts.map_types.get("ringbuf")
    assert ring is not None and (ring.key_size, ring.value_size, ring.since) == (0, 0, "5.8")
    assert facts.map_types.get(6) is facts.map_types.get("percpu_array")
    for row in facts.map_types.all():
        assert row.per_cpu == ("percpu" in row.name), row
        for flag in (*row.flags, *row.required):
            assert facts.flags.get(flag) is not None, (row, flag)
        assert set(row.required) <= set(row.flags), row
        assert all(facts.helpers.by_name(name) for name in row.helpers), row
        assert all(facts.program_types.get(name) for name in row.programs), row


def test_flags() -> None:
    found, rest = facts.flags.of("map", 0x401 | 1 << 40)
    assert [flag.name for flag in found] == ["BPF_F_NO_PREALLOC", "BPF_F_MMAPABLE"] and rest == 1 << 40


def test_features_named_by_the_native_core() -> None:
    source = Path(__file__).parents[2] / "crates/isa/src/features.rs"
    words = set(re.findall(r'Self::\w+ => "(\w+)"', source.read_text()))
    always = {"atomic_add", "ld_abs"}  # every kernel has them
    never = {"callx"}  # and this no kernel takes
    assert len(words) > 20
    assert {word for word in words if facts.insn_features.get(word) is None} == always | never


# ---------------------------------------------------------------- sections


def libbpf_source() -> Path:
    """`libbpf.c` of 1.7, fetched through cargo as any build of the crate would."""
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))

    def found() -> list[Path]:
        return sorted(home.glob("registry/src/*/libbpf-sys-1.7.0*/libbpf/src/libbpf.c"))

    if not found():
        try:
            fetch(home)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"libbpf-sys 1.7.0 cannot be fetched: {error}")
    if not found():
        pytest.skip("cargo did not unpack libbpf-sys 1.7.0")
    return found()[0]


def fetch(home: Path) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        crate = Path(folder)
        (crate / "src").mkdir()
        (crate / "src/lib.rs").write_text("")
        (crate / "Cargo.toml").write_text(
            '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n'
            '[dependencies]\nlibbpf-sys = { version = "=1.7.0", default-features = false }\n'
        )
        subprocess.run(["cargo", "fetch"], cwd=crate, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def libbpf_rows() -> list[tuple[str, str, str]]:
    text = libbpf_source().read_text()
    table = text[text.index("section_defs[] = {") :].partition("};")[0]
    return re.findall(r'SEC_DEF\("([^"]+)",\s*(\w+),\s*(\w+)', table)


def libbpf_match(rows: list[tuple[str, str, str]], name: str) -> tuple[str, str, str] | None:
    """libbpf's rule in the plainest form: the first row that fits."""
    for row in rows:
        pattern = row[0]
        if pattern.endswith("/"):
            fits = name.startswith(pattern)
        elif pattern.endswith("+"):
            fits = name.startswith(pattern[:-1]) and name[len(pattern) - 1 : len(pattern)] in ("", "/")
        else:
            fits = name == pattern
        if fits:
            return row
    return None


def test_every_libbpf_section_is_matched_as_libbpf_does(libbpf_rows: list[tuple[str, str, str]]) -> None:
    assert len(libbpf_rows) == 105
    for pattern, _, _ in libbpf_rows:
        bare = pattern.rstrip("+/")
        for name in (bare, f"{bare}/x", f"{bare}/x/y", f"{bare}.s", f"{bare}x", f"?{bare}", f"?{bare}/x", bare[:-1]):
            expected = libbpf_match(libbpf_rows, name.removeprefix("?"))
            found = facts.sections.match(name)
            if expected is None:
                assert found is None or "libbpf" not in found.loaders, name
                continue
            assert found is not None and "libbpf" in found.loaders, name
            assert found.pattern == expected[0]
            assert found.program_type == expected[1].lower()
            attach = facts.attach_types.get(found.attach_type) if found.attach_type else None
            assert (attach.kernel_name if attach else "0") == expected[2], name
            assert found.autoload is not name.startswith("?")
            assert found.sleepable is (".s" in expected[0].replace(".session", "") or expected[0] == "syscall")


@pytest.mark.parametrize(
    ("name", "program", "attach", "to", "loaders"),
    [
        ("kprobe/do_unlinkat", "kprobe", None, "do_unlinkat", {"libbpf", "aya"}),
        ("kprobe.multi/tcp_*", "kprobe", "trace_kprobe_multi", "tcp_*", {"libbpf"}),
        ("tracepoint/syscalls/sys_enter_openat", "tracepoint", None, "syscalls/sys_enter_openat", {"libbpf", "aya"}),
        ("cgroup_skb/ingress", "cgroup_skb", "cgroup_inet_ingress", None, {"libbpf", "aya"}),
        ("cgroup/skb", "cgroup_skb", None, None, {"libbpf", "aya"}),
        ("classifier", "sched_cls", None, None, {"libbpf", "aya"}),
        ("classifier/mine", "sched_cls", None, "mine", {"aya"}),
        ("tc", "sched_cls", None, None, {"libbpf"}),
        ("xdp.frags/devmap", "xdp", "xdp_devmap", None, {"libbpf", "aya"}),
        ("uprobe.multi.s/bin:f", "kprobe", "trace_uprobe_multi", "bin:f", {"libbpf", "aya"}),
        ("?xdp", "xdp", "xdp", None, {"libbpf"}),
        ("sk_skb/verdict", "sk_skb", "sk_skb_verdict", None, {"libbpf"}),
        ("lsm.s/file_open", "lsm", "lsm_mac", "file_open", {"libbpf", "aya"}),
        ("struct_ops.s/init", "struct_ops", None, "init", {"libbpf"}),
        ("cgroup/sendmsg6", "cgroup_sock_addr", "cgroup_udp6_sendmsg", None, {"libbpf", "aya"}),
        ("cgroup/connect_unix", "cgroup_sock_addr", "cgroup_unix_connect", None, {"libbpf"}),
    ],
)
def test_section(name: str, program: str, attach: str | None, to: str | None, loaders: set[str]) -> None:
    found = facts.sections.match(name)
    assert found is not None
    assert (found.program_type, found.attach_type, found.attach_to) == (program, attach, to)
    assert found.loaders == loaders


@pytest.mark.parametrize("name", ["", "?", "xdp/", "xdp/eth0", "license", ".text", "kprobes", "/", "??xdp", "tc/x"])
def test_unknown_sections(name: str) -> None:
    assert facts.sections.match(name) is None


# ---------------------------------------------------------------- words, speed


def test_lookup_and_near() -> None:
    assert [kind for kind, _ in facts.lookup("xdp")] == ["program type", "attach type", "section"]
    assert [kind for kind, _ in facts.lookup("BPF_MAP_TYPE_RINGBUF")] == ["map type"]
    assert [row.name for _, row in facts.lookup("bpf_map_lookup_elem")] == ["bpf_map_lookup_elem"]
    assert [row.name for _, row in facts.lookup("loop")] == ["bpf_loop"]
    assert facts.lookup("no such thing") == []
    assert "bpf_map_lookup_elem" in facts.near("bpf_map_lookup_elm")
    assert "ringbuf" in facts.near("ringbuff")


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    code = (
        "import sys, bpfsmith; assert not [m for m in sys.modules if m.startswith('bpfsmith.facts')], sys.modules\n"
        "import bpfsmith.facts as f; assert not [m for m in sys.modules if m.startswith('bpfsmith.facts.')]\n"
        "f.helpers.by_id(1); print(sorted(m for m in sys.modules if m.startswith('bpfsmith.facts.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = ["bpfsmith.facts._load", "bpfsmith.facts._row", "bpfsmith.facts.helpers"]
    assert done.stdout.strip() == str(expected)
