"""The `attach*` methods of a loaded program; each is thin and imports its family on first use."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bpfsmith.run.link import Held, Link, LinkGroup

    from .iterator import IterLink

__all__ = ["AttachMethods"]


class AttachMethods:
    """Mixin of `LoadedProgram`. Every method checks the target before the kernel is asked (`TargetMissing` with near
    matches), answers a link that `Loaded` keeps until it is closed, and leaves nothing attached when it fails."""

    __slots__ = ()

    def attach(self, *where: Any, **options: Any) -> Link:
        """Attaches as the section says: `tracepoint/sched/sched_switch` needs nothing more, `xdp` an interface
        (`attach("eth0")`). Arguments are those of the family's own method below."""
        from . import attach

        return attach(self, *where, **options)

    def attach_plan(self, *where: Any, **options: Any) -> dict[str, Any]:
        """What `attach` would ask of the kernel, without asking it."""
        from . import plan

        return plan(self, *where, **options)

    # ------------------------------------------------------------ network

    def attach_xdp(
        self, iface: str | int, mode: str | None = None, *, replace: Any = None, via: str | None = None
    ) -> Link:
        """To an interface (name or index), before the network stack.

        `mode`: None (native where the driver can, else skb), `native` (or `driver`), `skb`, `hardware`.
        `replace`: the program (loaded or id) or link it must replace, True for whatever is there; replacing a program
        that another process holds by a link answers that link. `via`: `link` (5.9+), `netlink` (4.8+; stays until
        detached), None for the first that this kernel has. An interface that is taken is a `KernelError` that says by
        whom. CAP_NET_ADMIN."""
        from .xdp import attach

        return attach(self, iface, mode, replace=replace, via=via)

    def attach_tc(
        self,
        iface: str | int,
        direction: str | None = None,
        *,
        before: Any = None,
        after: Any = None,
        first: bool = False,
        last: bool = False,
        replace: Any = None,
        via: str | None = None,
        handle: int = 0,
        priority: int = 0,
    ) -> Link:
        """To the traffic of an interface, `ingress` or `egress`.

        Order among programs of TCX: `before` or `after` a link or program (loaded, or by id), `first`, `last` (the
        default). `replace`: the link or program it must replace. `via`: `tcx` (6.6+), `clsact` (4.5+; a filter with
        `handle` and `priority`, lower first, both chosen by the kernel when 0), None for TCX where the kernel has it.
        The return value counts directly (direct action). CAP_NET_ADMIN."""
        from .tc import attach

        return attach(
            self, iface, direction, before=before, after=after, first=first, last=last, replace=replace, via=via,
            handle=handle, priority=priority,
        )  # fmt: skip

    def attach_netkit(
        self,
        iface: str | int,
        side: str | None = None,
        *,
        before: Any = None,
        after: Any = None,
        first: bool = False,
        last: bool = False,
        replace: Any = None,
    ) -> Link:
        """To a netkit device, given by its primary end: `side` `primary` or `peer` (default: the section's word) says
        whose outgoing packets are seen. Order and `replace` as `attach_tc`. Linux 6.7+; CAP_NET_ADMIN."""
        from .tc import attach_netkit

        return attach_netkit(
            self, iface, side, before=before, after=after, first=first, last=last, replace=replace
        )  # fmt: skip

    def attach_netns(self, netns: str | int | None = None) -> Link:
        """`sk_lookup` and `flow_dissector` programs: to a network namespace (path such as `/run/netns/NAME`, its bare
        name, a process id, or None for the caller's). Linux 5.9 / 5.7; CAP_NET_ADMIN in it."""
        from .netns import attach

        return attach(self, netns)

    def attach_sk_lookup(self, netns: str | int | None = None) -> Link:
        """As `attach_netns`."""
        return self.attach_netns(netns)

    def attach_flow_dissector(self, netns: str | int | None = None) -> Link:
        """As `attach_netns`."""
        return self.attach_netns(netns)

    def attach_netfilter(
        self, family: str = "ipv4", hook: str = "local_in", priority: int = 0, *, defragment: bool = False
    ) -> Link:
        """To a netfilter hook of the caller's network namespace: `family` `ipv4` or `ipv6`; `hook` `prerouting`,
        `local_in`, `forward`, `local_out`, `postrouting`; lower priorities run first. Linux 6.4+; CAP_NET_ADMIN."""
        from .netfilter import attach

        return attach(self, family, hook, priority, defragment=defragment)

    def attach_socket(self, socket: Any) -> Held:
        """`socket_filter`: to a socket (or its descriptor); what it returns is how many bytes of a packet are kept."""
        from .socket import attach_filter

        return attach_filter(self, socket)

    def attach_reuseport(self, socket: Any) -> Held:
        """`sk_reuseport` (or a socket filter that selects): to the group a socket with SO_REUSEPORT belongs to."""
        from .socket import attach_reuseport

        return attach_reuseport(self, socket)

    def attach_sockmap(self, sockets: Any, *, via: str | None = None) -> Link:
        """`sk_msg` and `sk_skb`: to a sockmap or sockhash of the same object (by name or `Map`); it sees the traffic of
        the sockets in it. A link where the kernel has them (6.13+), else it is attached until detached or the map is
        gone."""
        from .sockmap import attach

        return attach(self, sockets, via=via)

    def attach_sk_msg(self, sockets: Any, *, via: str | None = None) -> Link:
        """As `attach_sockmap`."""
        return self.attach_sockmap(sockets, via=via)

    def attach_sk_skb(self, sockets: Any, *, via: str | None = None) -> Link:
        """As `attach_sockmap`."""
        return self.attach_sockmap(sockets, via=via)

    def attach_cgroup(
        self,
        path: str,
        *,
        attach_type: str | None = None,
        mode: str = "link",
        replace: Any = None,
        before: Any = None,
        after: Any = None,
        first: bool = False,
        last: bool = False,
    ) -> Link:
        """To a cgroup2 folder (`/sys/fs/cgroup/...`): every process in it and below.

        `attach_type`: libbpf's word, when the section says none. `mode`: `link` (5.7+: beside others; falls back to
        `multi`), `multi`, `override` (a child's program replaces it), `exclusive` (children may have none); the last
        three are no links and stay until detached or the cgroup is gone. `replace`: the program this takes the place of
        (`multi`, 5.6+). Order (6.17+): `before`, `after`, `first`, `last`. CAP_NET_ADMIN."""
        from .cgroup import attach

        return attach(
            self,
            path,
            attach_type=attach_type,
            mode=mode,
            replace=replace,
            before=before,
            after=after,
            first=first,
            last=last,
        )

    def attach_sock_ops(self, path: str, **options: Any) -> Link:
        """As `attach_cgroup`."""
        return self.attach_cgroup(path, **options)

    # ------------------------------------------------------------ tracing

    def attach_tracepoint(self, category: str | None = None, name: str | None = None, *, cookie: int = 0) -> Link:
        """To a tracepoint of tracefs (`sched`, `sched_switch`; both from the section by default). `cookie` (5.15+):
        what `bpf_get_attach_cookie()` answers. CAP_PERFMON, tracefs mounted."""
        from .tracepoint import attach_tracepoint

        return attach_tracepoint(self, category, name, cookie=cookie)

    def attach_raw_tracepoint(self, name: str | None = None, *, cookie: int = 0) -> Link:
        """To a raw tracepoint by its kernel name (`sched_switch`). `cookie`: 6.10+. Linux 4.17+; CAP_PERFMON."""
        from .tracepoint import attach_raw

        return attach_raw(self, name, cookie=cookie)

    def attach_tp_btf(self, *, cookie: int = 0) -> Link:
        """To the typed tracepoint it was loaded for. Linux 5.5+; CAP_PERFMON."""
        from .tracepoint import attach_tp_btf

        return attach_tp_btf(self, cookie=cookie)

    def attach_uprobe(
        self,
        binary: str | None = None,
        symbol: str | None = None,
        *,
        offset: int = 0,
        pid: int = -1,
        ret: bool | None = None,
        cookie: int = 0,
        semaphore: int = 0,
        all_matches: bool = False,
    ) -> Link:
        """To a function of an executable or library.

        `binary`: a path, or a name looked up in the library cache and PATH; `symbol`: a function of it (`name@VERSION`
        picks a version, `crate::module::function` is a path of Rust or C++), `offset` bytes into it, or from the file's
        start without `symbol`; `ret`: when it returns (default: the section's word); `pid`: only in that process (-1:
        all, 0: this one); `cookie`: 5.15+; `all_matches`: every function of that name or pattern (`tcp_*`). Linux
        4.17+; CAP_PERFMON (CAP_SYS_ADMIN before 5.8)."""
        from .uprobe import attach

        return attach(
            self,
            binary,
            symbol,
            offset=offset,
            pid=pid,
            ret=ret,
            cookie=cookie,
            semaphore=semaphore,
            all_matches=all_matches,
        )

    def attach_uprobe_multi(
        self,
        binary: str | None = None,
        pattern: str | None = None,
        *,
        symbols: Sequence[str] = (),
        offsets: Sequence[int] = (),
        cookies: Sequence[int] = (),
        pid: int = 0,
        ret: bool | None = None,
        session: bool = False,
    ) -> Link:
        """To many functions of one file by one link: those a pattern matches (`malloc*`), those named, or file offsets.
        `session` (6.13+): at entry and return. Linux 6.6+; CAP_PERFMON."""
        from .uprobe import attach_multi

        return attach_multi(
            self, binary, pattern, symbols=symbols, offsets=offsets, cookies=cookies, pid=pid, ret=ret, session=session
        )

    def attach_usdt(
        self,
        binary: str | None = None,
        provider: str | None = None,
        name: str | None = None,
        *,
        pid: int = -1,
        cookie: int = 0,
    ) -> Link:
        """To every place of a user-space static probe (`libc.so.6`, `libc`, `setjmp`), its semaphore raised. The
        program was built with libbpf's `usdt.bpf.h`. Linux 4.20+; CAP_PERFMON."""
        from .usdt import attach

        return attach(self, binary, provider, name, pid=pid, cookie=cookie)

    def attach_perf_event(
        self,
        event: str = "cpu-clock",
        *,
        period: int | None = None,
        frequency: int | None = None,
        pid: int = -1,
        cpu: int | Sequence[int] | None = None,
        cgroup: str | None = None,
        inherit: bool = False,
        cookie: int = 0,
        config: tuple[int, int] | None = None,
    ) -> LinkGroup:
        """To a perf event: `cpu-clock`, `task-clock`, `page-faults`, `context-switches` ... (software), `cycles`,
        `instructions` ... (hardware), or `config=(type, config)`.

        Every `period` events, or `frequency` times a second (default 99 Hz for clocks, every event else). `pid`: one
        process (-1: all); `cpu`: one or several (default: every online one, or any for a process); `cgroup`: a cgroup2
        folder. Linux 4.9+; CAP_PERFMON."""
        from .perf_event import attach

        return attach(
            self, event, period=period, frequency=frequency, pid=pid, cpu=cpu, cgroup=cgroup, inherit=inherit,
            cookie=cookie,
            config=config,
        )  # fmt: skip

    def attach_iter(
        self,
        *,
        map: Any = None,  # noqa: A002
        pid: int = 0,
        tid: int = 0,
        cgroup: str | None = None,
        order: str = "self_only",
    ) -> IterLink:
        """An iterator: `link.text()`, `link.records(type)` and `link.read()` run it once each.

        `map`: of which map the elements (`bpf_map_elem`, `bpf_sk_storage_map`); `pid`, `tid`: of which tasks (6.1+);
        `cgroup`: of which cgroup, in `order` `self_only`, `descendants_pre`, `descendants_post`, `ancestors_up` (6.1+).
        Linux 5.8+."""
        from .iterator import attach

        return attach(self, map=map, pid=pid, tid=tid, cgroup=cgroup, order=order)

    # ------------------------------------------------------------ by their map, or by nothing

    def attach_struct_ops(self, map: Any = None) -> Link:  # noqa: A002
        """Registers the struct_ops map this program is a callback of. Linux 5.6+ (a link: 6.4+)."""
        from .struct_ops import attach

        return attach(self, map)

    # ------------------------------------------------------------ functions of the kernel

    def attach_kprobe(
        self,
        function: str | None = None,
        *,
        offset: int = 0,
        address: int = 0,
        ret: bool | None = None,
        cookie: int = 0,
        via: str | None = None,
    ) -> Link:
        """To a kernel function (`do_unlinkat`, `nf_tables:nft_do_chain` of a module), `offset` bytes into it, or to an
        `address` (for one of several functions of a name).

        `ret`: when it returns (default: the section's word); `cookie`: 5.15+. `via`: `perf` (4.17+), `tracefs` (an
        event that stays until detached), None for the first this kernel has. A link from 5.15 on. CAP_PERFMON."""
        from .kprobe import attach

        return attach(self, function, offset=offset, address=address, ret=ret, cookie=cookie, via=via)

    def attach_kprobe_multi(
        self,
        pattern: str | None = None,
        *,
        symbols: Sequence[str] = (),
        addresses: Sequence[int] = (),
        cookies: Sequence[int] = (),
        ret: bool | None = None,
        session: bool = False,
    ) -> Link:
        """To many kernel functions by one link: those a pattern matches that can be traced (`tcp_v4_*`,
        `nf_tables:nft_*`), those named, or addresses; `cookies`: one each, in their order (a pattern's: by address).

        `ret`: at their return (default: the section's word); sessions (6.10+) run at both. The program is loaded for
        it (section `kprobe.multi`). Linux 5.18+ with CONFIG_FPROBE; CAP_PERFMON."""
        from .kprobe_multi import attach

        return attach(
            self, pattern, symbols=symbols, addresses=addresses, cookies=cookies, ret=ret, session=session
        )  # fmt: skip

    def attach_ksyscall(
        self, name: str | None = None, *, ret: bool | None = None, cookie: int = 0, via: str | None = None
    ) -> Link:
        """To a system call by its name (`unlinkat`), whatever this architecture calls its function; `ret`, `cookie` and
        `via` as `attach_kprobe`. Linux 4.17+; CAP_PERFMON."""
        from .kprobe import attach_syscall

        return attach_syscall(self, name, ret=ret, cookie=cookie, via=via)

    def attach_trace(self, *, cookie: int = 0) -> Link:
        """`fentry`, `fexit`, `fmod_ret` and `fsession` (7.0+): to the function of the kernel, a module or a program it
        was loaded for. `cookie`: 5.19+. Linux 5.5+ (`fmod_ret` 5.7+); CAP_PERFMON."""
        from .trace import attach

        return attach(self, cookie=cookie)

    def attach_trace_multi(
        self, pattern: str | None = None, *, symbols: Sequence[str] = (), cookies: Sequence[int] = ()
    ) -> Link:
        """`fentry.multi`, `fexit.multi` and `fsession.multi`: to many kernel functions by one link, those a pattern
        matches that can be traced or those named; `cookies`: one each, by ascending type id. Linux 7.2+;
        CAP_PERFMON."""
        from .trace import attach_multi

        return attach_multi(self, pattern, symbols=symbols, cookies=cookies)

    def attach_lsm(self, cgroup: str | None = None, *, cookie: int = 0) -> Link:
        """To the LSM hook it was loaded for, for everyone, or (`lsm_cgroup`, 6.0+) for the processes of a cgroup2
        folder. `bpf` must be among the security modules in force. `cookie`: 5.19+. Linux 5.7+; CAP_PERFMON."""
        from .lsm import attach

        return attach(self, cgroup, cookie=cookie)

    def attach_freplace(self, target: Any = None, function: str | None = None, *, cookie: int = 0) -> Link:
        """In the place of a global function of a loaded program. Without `target` of the one it was loaded for (5.6+),
        which works once; else of `target`, a program of the same type whose `function` (default: the section's) has
        the same types (5.10+). The target keeps its own attachments. `cookie`: 5.19+."""
        from .trace import attach_freplace

        return attach_freplace(self, target, function, cookie=cookie)

    # ------------------------------------------------------------ devices

    def attach_lirc(self, device: str) -> Link:
        """To an infrared receiver (`/dev/lirc0`); it stays until detached or the device is gone. Linux 4.18+;
        CAP_NET_ADMIN."""
        from .lirc import attach

        return attach(self, device)
