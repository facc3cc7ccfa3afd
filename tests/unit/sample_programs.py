"""What several tests of loading share: C programs, a kernel as a value, a look into plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bpfsmith.model.kernel import Kernel
from bpfsmith.run.plan import Plan

PROGS = Path(__file__).parents[1] / "kernel/progs"

HEAD = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char _license[] SEC("license") = "GPL";
"""

XDP = """
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); }
    table_with_a_long_name SEC(".maps");
const volatile __u32 LIMIT = 5;
__u32 seen;
SEC("xdp") int count(struct xdp_md *ctx) {
    __u32 key = LIMIT; seen++;
    return bpf_map_lookup_elem(&table_with_a_long_name, &key) ? XDP_DROP : XDP_PASS;
}
"""


def kernel(*lacking: str, **told: Any) -> Kernel:
    return Kernel("test", None, version="6.1.0", lacking=lacking, possible_cpus=3, **told)


def commands(plan: Plan, name: str) -> dict[str, dict[str, Any]]:
    """What -> fields of the commands of that name."""
    return {one.what: one.fields for one in plan.commands if one.name == name}
