"""What Aya's names stand for: program macros and the user-side types that load them, map types and what opens them."""

from __future__ import annotations

__all__ = ["LOADED_AS", "MAP_TYPES", "OPENS", "PROGRAM_TYPES", "SECTIONS", "generic_parts"]

# Macro of aya-ebpf -> the types of `aya::programs` that accept it.
LOADED_AS: dict[str, tuple[str, ...]] = {
    "btf_tracepoint": ("BtfTracePoint",),
    "cgroup_device": ("CgroupDevice",),
    "cgroup_skb": ("CgroupSkb",),
    "cgroup_sock": ("CgroupSock",),
    "cgroup_sock_addr": ("CgroupSockAddr",),
    "cgroup_sockopt": ("CgroupSockopt",),
    "cgroup_sysctl": ("CgroupSysctl",),
    "classifier": ("SchedClassifier",),
    "fentry": ("FEntry",),
    "fexit": ("FExit",),
    "flow_dissector": ("FlowDissector",),
    "kprobe": ("KProbe",),
    "kretprobe": ("KProbe",),
    "lsm": ("Lsm",),
    "lsm_cgroup": ("LsmCgroup",),
    "perf_event": ("PerfEvent",),
    "raw_tracepoint": ("RawTracePoint",),
    "sk_lookup": ("SkLookup",),
    "sk_msg": ("SkMsg",),
    "sk_reuseport": ("SkReuseport",),
    "sock_ops": ("SockOps",),
    "socket_filter": ("SocketFilter", "ReusePortSocketFilter"),
    "stream_parser": ("SkSkb",),
    "stream_verdict": ("SkSkb",),
    "tracepoint": ("TracePoint",),
    "uprobe": ("UProbe",),
    "uretprobe": ("UProbe",),
    "xdp": ("Xdp",),
}
# First part of a section's name -> the macro that makes it, for `#[link_section]` written by hand.
SECTIONS = {
    "classifier": "classifier", "fentry": "fentry", "fexit": "fexit", "kprobe": "kprobe", "kretprobe": "kretprobe",
    "lsm": "lsm", "perf_event": "perf_event", "raw_tp": "raw_tracepoint", "socket": "socket_filter",
    "sockops": "sock_ops", "tp": "tracepoint", "tracepoint": "tracepoint", "uprobe": "uprobe", "xdp": "xdp",
}  # fmt: skip
PROGRAM_TYPES = frozenset({one for many in LOADED_AS.values() for one in many} | {"Extension", "Iter", "LircMode2"})

# Type of `aya_ebpf::maps` and `btf_maps` -> (the kernel's map type, its generic arguments).
# `K` and `V` are key and value, `E` an event type that the map itself does not hold, `M` an inner map.
MAP_TYPES: dict[str, tuple[int, str]] = {
    "HashMap": (1, "KV"),
    "Array": (2, "V"),
    "ProgramArray": (3, ""),
    "PerfEventArray": (4, "E"),
    "PerfEventByteArray": (4, ""),
    "PerCpuHashMap": (5, "KV"),
    "PerCpuArray": (6, "V"),
    "StackTrace": (7, ""),
    "CgroupArray": (8, ""),
    "LruHashMap": (9, "KV"),
    "LruPerCpuHashMap": (10, "KV"),
    "LpmTrie": (11, "KV"),
    "ArrayOfMaps": (12, "M"),
    "HashOfMaps": (13, "KM"),
    "DevMap": (14, ""),
    "SockMap": (15, ""),
    "CpuMap": (16, ""),
    "XskMap": (17, ""),
    "SockHash": (18, "K"),
    "ReusePortSockArray": (20, ""),
    "Queue": (22, "V"),
    "Stack": (23, "V"),
    "SkStorage": (24, "V"),
    "DevMapHash": (25, ""),
    "RingBuf": (27, "E"),
    "InodeStorage": (28, "V"),
    "BloomFilter": (30, "V"),
    "CgrpStorage": (32, "V"),
}

# Type of `aya::maps` -> (the kernel-side types it opens, its generic arguments after the map data).
OPENS: dict[str, tuple[tuple[str, ...], str]] = {
    "Array": (("Array",), "V"),
    "ArrayOfMaps": (("ArrayOfMaps",), ""),
    "AsyncPerfEventArray": (("PerfEventArray", "PerfEventByteArray"), ""),
    "BloomFilter": (("BloomFilter",), "V"),
    "CgroupArray": (("CgroupArray",), ""),
    "CgrpStorage": (("CgrpStorage",), "V"),
    "CpuMap": (("CpuMap",), ""),
    "DevMap": (("DevMap",), ""),
    "DevMapHash": (("DevMapHash",), ""),
    "HashMap": (("HashMap", "LruHashMap"), "KV"),
    "HashOfMaps": (("HashOfMaps",), "K"),
    "InodeStorage": (("InodeStorage",), "V"),
    "LpmTrie": (("LpmTrie",), "KV"),
    "PerCpuArray": (("PerCpuArray",), "V"),
    "PerCpuHashMap": (("PerCpuHashMap", "LruPerCpuHashMap"), "KV"),
    "PerfEventArray": (("PerfEventArray", "PerfEventByteArray"), ""),
    "ProgramArray": (("ProgramArray",), ""),
    "Queue": (("Queue",), "V"),
    "ReusePortSockArray": (("ReusePortSockArray",), ""),
    "RingBuf": (("RingBuf",), ""),
    "SkStorage": (("SkStorage",), "V"),
    "SockHash": (("SockHash",), "K"),
    "SockMap": (("SockMap",), ""),
    "Stack": (("Stack",), "V"),
    "StackTraceMap": (("StackTrace",), ""),
    "XskMap": (("XskMap",), ""),
}


def generic_parts(letters: str, args: list[str]) -> dict[str, str]:
    """The generic arguments by letter; `_` and absent ones are left out."""
    return {letter: text for letter, text in zip(letters, args, strict=False) if text.strip() not in ("", "_")}
