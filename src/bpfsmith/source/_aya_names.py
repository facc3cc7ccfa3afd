"""What a glob import of Aya's modules brings in, old and new releases together: one module a paragraph."""

from __future__ import annotations

__all__ = ["AYA_NAMES"]

_TABLE = """
aya: Bpf BpfError BpfLoader Btf BtfError BtfFeatures Ebpf EbpfError EbpfLoader Endianness GlobalData Pod
    VerifierLogLevel features include_bytes_aligned maps pin programs sys util
aya::programs: BtfTracePoint CgroupAttachMode CgroupDevice CgroupSkb CgroupSkbAttachType CgroupSock
    CgroupSockAddr CgroupSockopt CgroupSysctl Extension FEntry FExit FlowDissector Iter KProbe LircMode2 Lsm
    LsmAttachType PerfEvent PerfEventConfig PerfEventScope PerfTypeId ProbeKind Program ProgramError ProgramFd
    RawTracePoint SamplePolicy SchedClassifier SkLookup SkMsg SkReuseport SkSkb SkSkbKind SockOps SocketFilter
    SoftwareEvent TcAttach TcAttachType TracePoint UProbe UProbeScope Xdp XdpError XdpFlags XdpMode links
    loaded_programs tc uprobe xdp
aya::programs::tc: NlOptions SchedClassifier SchedClassifierLink TcAttach TcAttachOptions TcAttachType TcError
    TcHandle qdisc_add_clsact qdisc_detach_program
aya::programs::xdp: Xdp XdpError XdpFlags XdpLink XdpLinkId XdpMode
aya::maps: Array AsyncPerfEventArray BloomFilter CpuMap DevMap DevMapHash HashMap IterableMap LpmTrie Map
    MapData MapError MapFd MapInfo PerCpuArray PerCpuHashMap PerCpuValues PerfEventArray PerfEventArrayBuffer
    ProgramArray Queue RingBuf SockHash SockMap Stack StackTraceMap XskMap perf
aya::maps::perf: AsyncPerfEventArray AsyncPerfEventArrayBuffer Events PerfBufferError PerfEventArray
    PerfEventArrayBuffer
aya::util: KernelVersion kernel_symbols nr_cpus online_cpus syscall_prefix
aya_log: BpfLogger EbpfLogger Logger
aya_log_ebpf: debug error info log trace warn
aya_ebpf: BpfContext EbpfContext Global bindings btf_maps cty helpers macros maps programs
aya_ebpf::maps: Array ArrayOfMaps BloomFilter CpuMap DevMap DevMapHash HashMap HashOfMaps LpmTrie LruHashMap
    LruPerCpuHashMap PerCpuArray PerCpuHashMap PerfEventArray PerfEventByteArray ProgramArray Queue RingBuf
    SockHash SockMap Stack StackTrace XskMap
aya_ebpf::btf_maps: Array ArrayOfMaps BloomFilter CgrpStorage CpuMap DevMap DevMapHash HashMap HashOfMaps
    InodeStorage LpmTrie LruHashMap LruPerCpuHashMap PerCpuArray PerCpuHashMap PerfEventArray
    PerfEventByteArray ProgramArray Queue RingBuf SkStorage SockHash SockMap Stack StackTrace TaskStorage
    XskMap
aya_ebpf::programs: BtfTracePointContext DeviceContext FEntryContext FExitContext FlowDissectorContext
    LsmContext PerfEventContext ProbeContext RawTracePointContext RetProbeContext SkBuffContext
    SkLookupContext SkMsgContext SockAddrContext SockContext SockOpsContext SockoptContext SysctlContext
    TcContext TracePointContext XdpContext
aya_ebpf::macros: btf_map btf_tracepoint cgroup_device cgroup_skb cgroup_sock cgroup_sock_addr cgroup_sockopt
    cgroup_sysctl classifier fentry fexit flow_dissector kprobe kretprobe lsm lsm_cgroup map perf_event
    raw_tracepoint sk_lookup sk_msg sk_reuseport sock_ops socket_filter stream_parser stream_verdict
    tracepoint uprobe uretprobe xdp
"""

AYA_NAMES: dict[str, frozenset[str]] = {}
for _line in _TABLE.replace("\n    ", " ").split("\n"):
    _module, _, _names = _line.partition(": ")
    if _names:
        AYA_NAMES[_module] = frozenset(_names.split())
        if _module.startswith("aya_ebpf"):  # its name until 2024
            AYA_NAMES[_module.replace("aya_ebpf", "aya_bpf")] = AYA_NAMES[_module]
