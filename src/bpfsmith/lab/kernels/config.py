"""A kernel's configuration as text: the file beside it, or the copy inside an image built with IKCONFIG."""

from __future__ import annotations

__all__ = ["BPF", "embedded", "parse"]

# What decides which BPF features a kernel has, in the words of `lab list`: word -> option.
BPF: dict[str, str] = {
    "btf": "DEBUG_INFO_BTF",
    "module btf": "DEBUG_INFO_BTF_MODULES",
    "jit": "BPF_JIT",
    "lsm": "BPF_LSM",
    "kprobes": "KPROBES",
    "fprobe": "FPROBE",
    "uprobes": "UPROBES",
    "cgroup": "CGROUP_BPF",
    "xdp sockets": "XDP_SOCKETS",
    "netkit": "NETKIT",
    "netfilter": "NETFILTER_BPF_LINK",
    "sched_ext": "SCHED_CLASS_EXT",
    "direct calls": "DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "override": "BPF_KPROBE_OVERRIDE",
}


def parse(text: str) -> dict[str, str]:
    """`CONFIG_X` -> its value, quotes removed; what is not set is not in it."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("CONFIG_"):
            name, _, value = line.partition("=")
            if value[:1] == '"':
                value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
            found[name] = value
    return found


def embedded(image: bytes) -> str:
    """What CONFIG_IKCONFIG put into a vmlinux; "" when there is none."""
    start = image.find(b"IKCFG_ST")
    end = image.find(b"IKCFG_ED", start)
    if start < 0 or end < 0:
        return ""
    from bpfsmith._native import ReadError, decompress

    try:
        return decompress("gzip", image[start + 8 : end], 8 << 20).decode("utf-8", "replace")
    except ReadError:
        return ""
