"""The tables of `failures`: how commands read in a sentence, and what a number means for each."""

from __future__ import annotations

EPERM, ENOENT, ESRCH, E2BIG, EBADF, ENOMEM, EACCES, EFAULT = 1, 2, 3, 7, 9, 12, 13, 14
EBUSY, EEXIST, ENODEV, ENOTDIR, EINVAL, ENFILE, EMFILE, ENOSPC = 16, 17, 19, 20, 22, 23, 24, 28
EROFS, ERANGE, ENOSYS, EOPNOTSUPP, ESTALE, ENOLINK, ENOTSUPP = 30, 34, 38, 95, 116, 67, 524

# What was asked of the kernel, as a sentence goes on after "cannot".
DOING = {
    "BPF_MAP_CREATE": "create {}",
    "BPF_MAP_LOOKUP_ELEM": "read from {}",
    "BPF_MAP_UPDATE_ELEM": "write to {}",
    "BPF_MAP_DELETE_ELEM": "delete from {}",
    "BPF_MAP_GET_NEXT_KEY": "list the keys of {}",
    "BPF_MAP_LOOKUP_AND_DELETE_ELEM": "take from {}",
    "BPF_MAP_FREEZE": "freeze {}",
    "BPF_MAP_LOOKUP_BATCH": "read from {} in batches",
    "BPF_MAP_LOOKUP_AND_DELETE_BATCH": "take from {} in batches",
    "BPF_MAP_UPDATE_BATCH": "write to {} in batches",
    "BPF_MAP_DELETE_BATCH": "delete from {} in batches",
    "BPF_PROG_LOAD": "load {}",
    "BPF_BTF_LOAD": "load {}",
    "BPF_OBJ_PIN": "pin {}",
    "BPF_OBJ_GET": "open what is pinned: {}",
    "BPF_PROG_ATTACH": "attach {}",
    "BPF_PROG_DETACH": "detach {}",
    "BPF_LINK_CREATE": "attach {}",
    "BPF_LINK_UPDATE": "replace the program of {}",
    "BPF_LINK_DETACH": "detach {}",
    "BPF_RAW_TRACEPOINT_OPEN": "attach {}",
    "BPF_PROG_TEST_RUN": "test-run {}",
    "BPF_PROG_RUN": "test-run {}",
    "BPF_PROG_QUERY": "ask what is attached to {}",
    "BPF_PROG_BIND_MAP": "bind a map to {}",
    "BPF_PROG_STREAM_READ_BY_FD": "read the streams of {}",
    "BPF_OBJ_GET_INFO_BY_FD": "describe {}",
    "BPF_ITER_CREATE": "start {}",
    "BPF_ENABLE_STATS": "switch run-time statistics on for {}",
    "BPF_TOKEN_CREATE": "create a BPF token from {}",
    "perf_event_open": "open a perf event for {}",
    "ioctl": "attach {} to its perf event",
    "mmap": "map {} into memory",
    "netlink": "change {}",
}
for _kind in ("PROG", "MAP", "LINK", "BTF"):
    DOING[f"BPF_{_kind}_GET_NEXT_ID"] = "read {}"
    DOING[f"BPF_{_kind}_GET_FD_BY_ID"] = "open {}"
THING = {"MAP": "the map", "PROG": "the program", "LINK": "the link", "BTF": "the types", "OBJ": "the object"}
ELEMENTS = frozenset({"BPF_MAP_LOOKUP_ELEM", "BPF_MAP_UPDATE_ELEM", "BPF_MAP_DELETE_ELEM", "BPF_MAP_GET_NEXT_KEY",
                       "BPF_MAP_LOOKUP_AND_DELETE_ELEM", "BPF_MAP_LOOKUP_BATCH", "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
                       "BPF_MAP_UPDATE_BATCH", "BPF_MAP_DELETE_BATCH"})  # fmt: skip
ATTACHING = frozenset({"BPF_LINK_CREATE", "BPF_PROG_ATTACH", "BPF_RAW_TRACEPOINT_OPEN", "netlink"})

# (command, errno) -> (what it means, next step). `{}` is what it was about.
MEANING: dict[tuple[str, int], tuple[str, str]] = {
    ("BPF_MAP_LOOKUP_ELEM", ENOENT): ("it has no such key", ""),
    ("BPF_MAP_DELETE_ELEM", ENOENT): ("it has no such key", ""),
    ("BPF_MAP_LOOKUP_AND_DELETE_ELEM", ENOENT): ("it has no such key, or is empty", ""),
    ("BPF_MAP_UPDATE_ELEM", ENOENT): ("it has no such key, and the update may not make one (BPF_EXIST)", ""),
    ("BPF_MAP_UPDATE_ELEM", EEXIST): ("the key is there already, and the update may only make one (BPF_NOEXIST)", ""),
    ("BPF_MAP_UPDATE_ELEM", EBUSY): ("the bucket is being changed by a program on this CPU", "try again"),
    ("BPF_MAP_UPDATE_ELEM", ENOMEM): (
        "the kernel has no memory for another entry",
        "a smaller map, or one that allocates ahead (without BPF_F_NO_PREALLOC)",
    ),
    ("BPF_MAP_UPDATE_ELEM", EINVAL): ("the kernel refuses this key, value or flag for this type of map", ""),
    ("BPF_MAP_UPDATE_ELEM", EBADF): ("the value is no descriptor of what this map holds", ""),
    ("BPF_MAP_UPDATE_ELEM", EOPNOTSUPP): ("this type of map, or this socket, takes no such entry", ""),
    ("BPF_MAP_FREEZE", EBUSY): ("it is mapped writable, or a program is writing to it", "close such mappings first"),
    ("BPF_PROG_LOAD", E2BIG): (
        "it is larger than this kernel takes (one million instructions; 4096 without CAP_BPF and before 5.2)",
        "split it by tail calls",
    ),
    ("BPF_PROG_LOAD", ENOMEM): ("the kernel has no memory for it or for its machine code (net.core.bpf_jit_limit)", ""),
    ("BPF_PROG_LOAD", ENOTSUPP): (
        "the JIT compiler cannot translate it, or is switched off where programs must be compiled",
        "sysctl net.core.bpf_jit_enable=1",
    ),
    ("BPF_PROG_LOAD", ENOENT): ("what it is to be loaded for does not exist in the kernel's types", ""),
    ("BPF_BTF_LOAD", E2BIG): ("types of more than 16 MiB", "strip what the program does not use"),
    ("BPF_BTF_LOAD", EINVAL): ("the kernel finds them malformed, or holds a kind it does not know", ""),
    ("BPF_OBJ_PIN", EEXIST): ("something is there already", "remove it, or name another path"),
    ("BPF_OBJ_PIN", ENOENT): ("its folder does not exist", "make it inside a mounted bpffs: `mkdir /sys/fs/bpf/NAME`"),
    ("BPF_OBJ_PIN", ENOTDIR): ("a part of the path is no folder", ""),
    ("BPF_OBJ_GET", ENOENT): ("nothing is pinned there", "`bpfsmith ps` lists pins"),
    ("BPF_OBJ_GET", EINVAL): ("the file is no pin, or not of this kind", "`bpfsmith ps` lists pins"),
    ("BPF_OBJ_GET", EACCES): ("the pin's file permissions forbid it", "`ls -l` shows them; its owner may `chmod` it"),
    ("BPF_LINK_CREATE", EBUSY): ("another link holds that place", "`bpfsmith ps` names it; detach it first"),
    ("BPF_LINK_CREATE", EEXIST): (
        "a program is attached there already",
        "`bpfsmith ps` names it; detach it first or replace it",
    ),
    ("BPF_LINK_CREATE", ENODEV): (
        "the interface does not exist (any more) in this network namespace",
        "`ip link` lists them",
    ),
    ("BPF_LINK_CREATE", EOPNOTSUPP): (
        "the driver or this kernel's configuration does not do it",
        "for XDP: mode=`skb` works with every driver",
    ),
    ("BPF_LINK_CREATE", ESRCH): ("the kernel finds no such function or process", ""),
    ("BPF_LINK_CREATE", ENOENT): ("what it is to be attached to does not exist", ""),
    ("BPF_LINK_CREATE", E2BIG): ("no more programs fit there (64 per cgroup and attach type)", "detach others"),
    ("BPF_LINK_CREATE", ERANGE): ("the program it should stand before or behind is not attached there", ""),
    ("BPF_LINK_CREATE", ESTALE): ("the list of programs changed since the revision that was expected", "read it again"),
    ("BPF_LINK_CREATE", EINVAL): (
        "the program's type or attach type does not fit the target, or an option is unknown to this kernel",
        "",
    ),
    ("BPF_LINK_CREATE", EBADF): ("the target's descriptor is not of the right kind", ""),
    ("BPF_LINK_UPDATE", EPERM): ("the program attached is not the one that was expected", ""),
    ("BPF_LINK_UPDATE", EINVAL): (
        "the new program is not of the type the link holds",
        "load it with the same type and attach type",
    ),
    ("BPF_LINK_UPDATE", ENOLINK): ("it was detached: its target is gone", "attach the program anew"),
    ("BPF_LINK_UPDATE", EOPNOTSUPP): (
        "links of this family cannot be updated",
        "attach the new program, then detach the old",
    ),
    ("BPF_LINK_DETACH", EOPNOTSUPP): ("links of this family cannot be detached, only closed", ""),
    ("BPF_PROG_ATTACH", EEXIST): ("a program is attached there already", "`bpfsmith ps` names it"),
    ("BPF_PROG_ATTACH", EBUSY): ("another program holds that place", "`bpfsmith ps` names it"),
    ("BPF_PROG_ATTACH", E2BIG): ("no more programs fit there (64 per cgroup and attach type)", "detach others"),
    ("BPF_PROG_ATTACH", EINVAL): (
        "the program's type or attach type does not fit the target, or it is attached there already",
        "",
    ),
    ("BPF_PROG_ATTACH", ENODEV): (
        "the interface does not exist (any more) in this network namespace",
        "`ip link` lists them",
    ),
    ("BPF_PROG_ATTACH", ERANGE): ("the program it should stand before or behind is not attached there", ""),
    ("BPF_PROG_ATTACH", ESTALE): ("the list of programs changed since the revision that was expected", "read it again"),
    ("BPF_PROG_DETACH", ENOENT): ("it is not attached there (any more)", ""),
    ("BPF_PROG_DETACH", EINVAL): ("it is not attached there, or something else is", ""),
    ("BPF_RAW_TRACEPOINT_OPEN", ENOENT): (
        "the kernel has no such tracepoint",
        "`ls /sys/kernel/tracing/events` lists them",
    ),
    ("BPF_RAW_TRACEPOINT_OPEN", EINVAL): (
        "the program's type does not fit, or it reads beyond the tracepoint's arguments",
        "",
    ),
    ("BPF_RAW_TRACEPOINT_OPEN", EBUSY): ("the function is traced by something that shares with nobody", ""),
    ("BPF_PROG_TEST_RUN", EINVAL): (
        "data, context or options do not fit the program's type (packets start with 14 bytes of Ethernet)",
        "",
    ),
    ("BPF_PROG_TEST_RUN", ENOSPC): ("the room for what it gives back is too small", "pass a larger `data_size_out`"),
    ("BPF_PROG_TEST_RUN", E2BIG): ("the context is larger than this kernel knows, and not zero behind", ""),
    ("BPF_PROG_TEST_RUN", ENOMEM): ("the packet is too large for this kernel", ""),
    ("BPF_PROG_STREAM_READ_BY_FD", ENOENT): ("it has no such stream", "1 is its output, 2 are its errors"),
    ("BPF_TOKEN_CREATE", ENOENT): (
        "that bpffs delegates nothing",
        "mount it with delegate_cmds=, delegate_maps=, delegate_progs= and delegate_attachs=",
    ),
    ("BPF_TOKEN_CREATE", EOPNOTSUPP): ("tokens are made inside a user namespace, from a bpffs mounted for it", ""),
    ("BPF_TOKEN_CREATE", EINVAL): ("the descriptor is not the root of a bpffs", "open the folder it is mounted at"),
    ("BPF_ITER_CREATE", EINVAL): ("the link is not one of an iterator", ""),
    ("perf_event_open", ENOENT): (
        "this machine has no such event (virtual machines often have no hardware counters)",
        "software events work everywhere",
    ),
    ("perf_event_open", EOPNOTSUPP): ("the processor does not count it", "software events work everywhere"),
    ("perf_event_open", EINVAL): (
        "the kernel refuses this event: unknown to it, or a frequency or period out of range",
        "`sysctl kernel.perf_event_max_sample_rate` shows the highest frequency",
    ),
    ("perf_event_open", ESRCH): ("there is no such process", ""),
    ("perf_event_open", ENODEV): ("the processor is offline, or cannot count it", ""),
    ("perf_event_open", EBUSY): ("another user has the counters for itself", ""),
    ("ioctl", EEXIST): ("a program is attached to that event already", ""),
    ("ioctl", EINVAL): ("the program's type does not fit the event", ""),
    ("ioctl", E2BIG): ("no more programs fit on that tracepoint (64)", ""),
    ("mmap", EINVAL): ("it cannot be mapped so: not made for it (BPF_F_MMAPABLE), or another length", ""),
    ("mmap", EPERM): ("the kernel lets nobody map it so: it is frozen or read-only", ""),
    ("netlink", EBUSY): ("another program holds that place", "`ip link show` names it"),
    ("netlink", EEXIST): (
        "something is there already, or another program than the expected one",
        "`ip link show` names it",
    ),
    ("netlink", EOPNOTSUPP): ("the driver does not do it", "mode=`skb` works with every driver"),
    ("netlink", ENODEV): ("the interface does not exist (any more) in this network namespace", "`ip link` lists them"),
    ("netlink", ENOENT): ("there is no such qdisc or filter", ""),
}

# The same for every command.
ANYWHERE: dict[int, tuple[str, str]] = {
    EMFILE: ("this process has too many open files", "`ulimit -n 65536` lets it have more"),
    ENFILE: ("the machine has too many open files", "`sysctl fs.file-max` shows the limit"),
    ENOMEM: ("the kernel has no memory for it, or the cgroup's limit is reached", ""),
    ENOSPC: ("there is no room for it", ""),
    EROFS: ("the file system is read-only", ""),
}
