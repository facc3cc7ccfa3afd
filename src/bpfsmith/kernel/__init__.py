"""Floor 2: the only door to bpf(2), perf events, netlink, bpffs, cgroups, tracefs and the kernel's files."""
