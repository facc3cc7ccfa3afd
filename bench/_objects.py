"""The objects that are measured: generated ones in the user's cache, and a choice of the tests' corpus."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from _measure import CACHE, CannotMeasure, note

KERNEL = Path("/sys/kernel/btf/vmlinux")
CORPUS = CACHE.parent / "corpus"
PROGRAMS, MAPS = 200, 100
FIELDS = (
    *("pid", "tgid", "prio", "static_prio", "flags", "start_time", "utime", "stime", "nvcsw", "nivcsw", "min_flt"),
    *("maj_flt", "exit_code", "exit_signal", "policy", "personality", "start_boottime", "self_exec_id"),
    *("parent_exec_id", "ptrace"),
)

# Of several kinds, so that most rules have something to look at.
SMALL = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, __u32); __type(value, __u64); }
    counts_%d SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } events_%d SEC(".maps");
static __noinline int count(__u32 key)
{
    __u64 one = 1, *value = bpf_map_lookup_elem(&counts_%d, &key);
    if (value) __sync_fetch_and_add(value, 1);
    else bpf_map_update_elem(&counts_%d, &key, &one, BPF_ANY);
    return 0;
}
SEC("xdp") int filter_%d(struct xdp_md *ctx)
{
    unsigned char *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    if (at + 34 > end) return XDP_PASS;
    count(at[23]);
    return at[23] == %d ? XDP_DROP : XDP_PASS;
}
SEC("tracepoint/sched/sched_switch") int trace_%d(void *ctx)
{
    __u64 *event = bpf_ringbuf_reserve(&events_%d, 16, 0);
    if (!event) return 0;
    event[0] = bpf_ktime_get_ns();
    event[1] = bpf_get_current_pid_tgid();
    bpf_ringbuf_submit(event, 0);
    return 0;
}
SEC("cgroup_skb/egress") int account_%d(struct __sk_buff *skb) { count(skb->len); return 1; }
"""


def newest_clang() -> str:
    """The name of the newest clang that is found."""
    names = [path.name for path in Path("/usr/bin").glob("clang-[0-9]*") if re.fullmatch(r"clang-\d+", path.name)]
    names.sort(key=lambda name: int(name.split("-")[1]))
    name = names[-1] if names else "clang"
    if not shutil.which(name):
        raise CannotMeasure("no clang here, so no object can be made")
    return name


def _compile(text: str, name: str, *, header: bytes = b"") -> Path:
    """The object of this C text, from the cache when it was made before."""
    clang = newest_clang()
    key = hashlib.sha256(text.encode() + header + clang.encode()).hexdigest()[:12]
    folder = CACHE / "objects" / key
    made = folder / f"{name}.o"
    if made.exists():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.c").write_text(text)
    if header:
        (folder / "vmlinux.h").write_bytes(header)
    arch = next(Path("/usr/include").glob("*-linux-gnu/asm"), Path("/usr/include/asm")).parent
    command = [clang, "--target=bpf", "-O2", "-g", "-mcpu=v3", "-w", f"-I{folder}", f"-I{arch}", "-c", f"{name}.c"]
    done = subprocess.run([*command, "-o", "new.o"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMeasure(f"{clang} did not make `{name}`: {done.stderr.strip()[:160]}")
    return (folder / "new.o").rename(made)


def _vmlinux_h() -> bytes:
    """The running kernel's own types as C."""
    tool = shutil.which("bpftool") or shutil.which("/usr/sbin/bpftool")
    if tool is None or not KERNEL.exists():
        raise CannotMeasure("objects with CO-RE need `bpftool` and a kernel that shows its BTF")
    return subprocess.run([tool, "btf", "dump", "file", KERNEL, "format", "c"], capture_output=True, check=True).stdout


def compiled(name: str) -> Path:
    """The object of `peers/NAME.bpf.c`."""
    text = (Path(__file__).resolve().parent / "peers" / f"{name}.bpf.c").read_text()
    return _compile(text, name, header=_vmlinux_h() if "vmlinux.h" in text else b"")


def big() -> Path:
    """200 programs, 100 maps and 4,000 CO-RE relocations against the running kernel's own types: about 2 MB."""
    header = _vmlinux_h()
    lines = [
        '#include "vmlinux.h"',
        "#include <bpf/bpf_helpers.h>",
        "#include <bpf/bpf_core_read.h>",
        'char LICENSE[] SEC("license") = "GPL";',
    ]
    for index in range(MAPS):
        kind = "HASH" if index % 2 else "ARRAY"
        lines.append(
            f"struct {{ __uint(type, BPF_MAP_TYPE_{kind}); __uint(max_entries, 64); __type(key, __u32); "
            f'__type(value, __u64); }} m{index} SEC(".maps");'
        )
    reads = " ".join(f"sum += BPF_CORE_READ(task, {field});" for field in FIELDS)
    for index in range(PROGRAMS):
        lines.append(
            f'SEC("raw_tp/sched_switch") int p{index}(void *ctx) {{ struct task_struct *task = (void *)'
            f"bpf_get_current_task(); __u64 sum = {index}; {reads} __u32 key = 1; __u64 *value = "
            f"bpf_map_lookup_elem(&m{index % MAPS}, &key); if (value) *value += sum; return 0; }}"
        )
    return _compile("\n".join(lines) + "\n", "big", header=header)


def small(index: int = 0) -> Path:
    """An object of three programs and two maps."""
    return _compile(SMALL % ((index,) * 9), f"small{index}")


def many(count: int) -> tuple[list[Path], str]:
    """So many objects, and in words what they are: the tests' corpus, or generated ones where there is none."""
    found = sorted(
        path for path in CORPUS.glob("v*/obj/**/*.o") if not path.name.startswith("btf__")
    )  # those hold types only
    if len(found) >= count:
        step = len(found) / count
        chosen = [found[int(index * step)] for index in range(count)]
        return chosen, f"{count} of the {len(found)} objects with programs of the tests' corpus, evenly spread"
    if found:
        words = f"the {len(found)} objects of the tests' corpus sample, repeated to {count}"
        note("`tests/corpus/build_corpus.py --full` makes the whole corpus, of which 500 would be different objects")
    else:
        found = [small(index) for index in range(20)]
        words = f"20 generated objects of three programs, repeated to {count}"
    folder = CACHE / "repeated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = []
    for index in range(count):
        made.append(folder / f"{index}.o")
        shutil.copyfile(found[index % len(found)], made[-1])
    return made, words
