"""Without root: a clear error that names the capability, and everything that can work without does; with a few
capabilities, what they are for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.toolchain]

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } SEEN
    SEC(".maps");
SEC("socket") int filter(struct __sk_buff *skb) {
    __u32 key = 1; __u64 one = 1;
    bpf_map_update_elem(&SEEN, &key, &one, 0);
    return 0;
}
SEC("?xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
SEC("?tp/sched/sched_switch") int switched(void *ctx) { return 0; }
char LICENSE[] SEC("license") = "GPL";
"""
LOAD = """
import json, sys
import bpfsmith
try:
    with bpfsmith.load(sys.argv[1], select=sys.argv[2:]) as bpf:
        print(json.dumps({"loaded": sorted(bpf.programs)}))
except bpfsmith.BpfsmithError as error:
    print(json.dumps({**error.to_json(), "capability": getattr(error, "capability", None), "exit": error.exit_code}))
"""


@pytest.fixture(scope="module")
def built(bpf_object: Any) -> Path:
    return bpf_object(SOURCE)  # type: ignore[no-any-return]


def _load(unprivileged: Any, path: Path, *programs: str, capabilities: tuple[str, ...] = ()) -> dict[str, Any]:
    done = unprivileged("-c", LOAD, str(path), *programs, capabilities=capabilities)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("program", ["filter", "pass", "switched"])
def test_loading_names_what_is_missing(unprivileged: Any, built: Path, program: str) -> None:
    told = _load(unprivileged, built, program)
    assert told["kind"] == "PermissionMissing", told
    assert told["capability"] == "CAP_BPF"
    assert "CAP_BPF" in told["message"]
    assert told["hint"]
    assert told["exit"] == 3


@pytest.mark.parametrize(
    ("program", "capabilities", "lacks"),
    [
        ("filter", ("bpf",), None),
        ("pass", ("bpf",), "CAP_NET_ADMIN"),
        ("pass", ("bpf", "net_admin"), None),
        ("switched", ("bpf",), "CAP_PERFMON"),
        ("switched", ("bpf", "perfmon"), None),
    ],
)
def test_a_few_capabilities_are_enough(
    unprivileged: Any, built: Path, program: str, capabilities: tuple[str, ...], lacks: str | None
) -> None:
    told = _load(unprivileged, built, program, capabilities=capabilities)
    if lacks is None:
        assert told == {"loaded": [program]}
    else:
        assert (told["kind"], told["capability"]) == ("PermissionMissing", lacks), told


@pytest.mark.parametrize(
    ("words", "capability"),
    [
        (("run", "OBJECT", "--iface", "lo"), "CAP_BPF"),
        (("ps",), "CAP_SYS_ADMIN"),
        (("inspect", "prog:1"), "CAP_SYS_ADMIN"),
        (("inspect", "map:1"), "CAP_SYS_ADMIN"),
    ],
)
def test_commands_name_what_is_missing(unprivileged: Any, built: Path, words: tuple[str, ...], capability: str) -> None:
    done = unprivileged("-m", "bpfsmith", *(str(built) if word == "OBJECT" else word for word in words))
    assert done.returncode == 3, done.stderr
    assert capability in done.stderr
    assert "Traceback" not in done.stderr
    assert "sudo" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("check", "OBJECT"),
        ("inspect", "OBJECT"),
        ("inspect", "OBJECT", "--btf", "host", "--asm"),
        ("explain", "xdp"),
        ("run", "OBJECT", "--plan", "--iface", "lo"),
        ("doctor", "--help"),
    ],
)
def test_what_needs_no_right_works(unprivileged: Any, built: Path, words: tuple[str, ...]) -> None:
    done = unprivileged("-m", "bpfsmith", *(str(built) if word == "OBJECT" else word for word in words))
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout


NEEDED = """
import json
from bpfsmith.facts import map_types, program_types
from bpfsmith.kernel import privilege, probe
found = []
for command, field, rows, ask in (("BPF_PROG_LOAD", "prog_type", program_types, probe.program_type),
                                  ("BPF_MAP_CREATE", "map_type", map_types, probe.map_type)):
    for row in rows.all():
        missing = privilege.missing(command, {field: row.number})
        found.append((command, row.name, list(missing), ask(row.number)))
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "capabilities",
    [(), ("bpf",), ("bpf", "net_admin"), ("bpf", "perfmon"), ("bpf", "net_admin", "perfmon")],
    ids="+".join,
)
def test_what_is_said_to_be_needed_is_what_the_kernel_asks_for(
    unprivileged: Any, capabilities: tuple[str, ...]
) -> None:
    from bpfsmith.facts import map_types, program_types
    from bpfsmith.kernel import probe

    done = unprivileged("-c", NEEDED, capabilities=capabilities)
    assert done.returncode == 0, done.stderr
    asked = {"BPF_PROG_LOAD": (program_types, probe.program_type), "BPF_MAP_CREATE": (map_types, probe.map_type)}
    for command, name, missing, answer in json.loads(done.stdout):
        rows, works = asked[command]
        row = rows.get(name)
        assert row is not None
        # What root may not do here either says nothing about rights.
        if works(row.number) == 0:
            assert (answer == 0) == (not missing), (name, missing, answer)
