"""What a link is attached to, in words."""

from __future__ import annotations

from sys import byteorder

from . import netns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Targets"]

_FAMILIES = {2: "ipv4", 7: "bridge", 10: "ipv6", 3: "arp", 1: "inet", 5: "netdev"}
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_EVENT_TYPES = ("hardware", "software", "tracepoint", "cache", "raw", "breakpoint")


class Targets:
    """Names of interfaces, cgroups and functions behind numbers; each table is read once, when first needed."""

    __slots__ = ("_cgroups", "_spaces", "_types")

    def __init__(self) -> None:
        self._cgroups: dict[int, str] | None = None
        self._spaces: list[tuple[str, str]] | None = None
        self._types: Any = None

    def of(self, told: dict[str, Any]) -> str:
        """`veth0 ingress`, `sched/sched_switch`, `/usr/bin/bash+0x2f10` ...; "" when the link tells nothing."""
        kind = told["kind"]
        finder = getattr(self, f"_{kind}", None)
        return finder(told) if finder else ""

    # ---- by kind of link

    def _xdp(self, told: dict[str, Any]) -> str:
        return self._device(told)

    def _tcx(self, told: dict[str, Any]) -> str:
        return f"{self._device(told)} {'ingress' if told['attach_type'] == 46 else 'egress'}"

    def _netkit(self, told: dict[str, Any]) -> str:
        return f"{self._device(told)} {'primary' if told['attach_type'] == 54 else 'peer'}"

    def _cgroup(self, told: dict[str, Any]) -> str:
        return self.cgroup(told["cgroup_id"])

    def _netns(self, told: dict[str, Any]) -> str:
        return f"net:[{told['netns_ino']}]" if told["netns_ino"] else "a network namespace that is gone"

    def _raw_tracepoint(self, told: dict[str, Any]) -> str:
        return str(told.get("tp_name", ""))

    def _iter(self, told: dict[str, Any]) -> str:
        of = f" of map {told['map_id']}" if told.get("map_id") else ""
        return f"{told.get('target_name', '')}{of}"

    def _struct_ops(self, told: dict[str, Any]) -> str:
        return f"map {told['map_id']}"

    def _sockmap(self, told: dict[str, Any]) -> str:
        return f"map {told['map_id']}"

    def _netfilter(self, told: dict[str, Any]) -> str:
        family = _FAMILIES.get(told["pf"], str(told["pf"]))
        hook = _HOOKS[told["hooknum"]] if told["hooknum"] < len(_HOOKS) else str(told["hooknum"])
        return f"{family} {hook}, priority {told['priority']}"

    def _tracing_multi(self, told: dict[str, Any]) -> str:
        return f"{told['count']} functions" if told.get("count") else ""

    def _kprobe_multi(self, told: dict[str, Any]) -> str:
        return f"{len(told.get('addrs', ()))} functions"

    def _uprobe_multi(self, told: dict[str, Any]) -> str:
        count = len(told.get("offsets", ()))
        whose = f" of process {told['pid']}" if told.get("pid") else ""
        return f"{told.get('path', '')}, {count} place{'s' * (count != 1)}{whose}"

    def _perf_event(self, told: dict[str, Any]) -> str:
        event = told.get("event", "")
        if event in ("uprobe", "uretprobe"):
            return f"{event} {told.get('file_name', '')}+{told['offset']:#x}"
        if event in ("kprobe", "kretprobe"):
            offset = f"+{told['offset']:#x}" if told["offset"] else ""
            return f"{event} {told.get('func_name') or hex(told['addr'])}{offset}"
        if event == "tracepoint":
            return f"tracepoint {told.get('tp_name', '')}"
        if event == "event":
            kind = told["config_type"]
            word = _EVENT_TYPES[kind] if kind < len(_EVENT_TYPES) else f"type {kind}"
            return f"{word} event {told['config']}"
        return ""

    def _tracing(self, told: dict[str, Any]) -> str:
        if told.get("attach_type") == 0:
            return f"program {told.get('target_obj_id', 0)}"
        whose = told.get("target_obj_id")
        types = self._kernel_types()
        if whose not in types:
            return f"program {whose}" if whose else ""
        module, btf = types[whose]
        try:
            name = btf.name(told["target_btf_id"]).removeprefix("btf_trace_")
        except (AttributeError, ValueError, IndexError):
            return module
        return f"{module}:{name}" if module else name

    def _kernel_types(self) -> dict[int, tuple[str, Any]]:
        """Id -> (module or "", types) of the kernel and its modules."""
        if self._types is None:
            from bpfsmith.kernel import live
            from bpfsmith.kernel.info import kernel_btf_ids
            from bpfsmith.model.errors import EnvironmentMissing

            try:
                known: dict[str, Any] = {"vmlinux": live().btf, **dict(live().modules)}
            except EnvironmentMissing:
                known = {}
            self._types = {number: ("" if name == "vmlinux" else name, known.get(name))
                           for name, number in kernel_btf_ids().items()}  # fmt: skip
        return self._types  # type: ignore[no-any-return]

    # ---- tables

    def _device(self, told: dict[str, Any]) -> str:
        number = told["ifindex"]
        if not number:
            return "an interface that is gone"
        # The number counts in the link's own network namespace, which the kernel does not tell: others have devices of
        # that number too, but not with this program.
        name = _name_with(told)
        if name:
            return name
        if self._spaces is None:
            self._spaces = netns.others()
        for path, words in self._spaces:
            try:
                name = netns.within(path, lambda: _name_with(told))
            except OSError:  # it takes CAP_SYS_ADMIN to enter one
                continue
            if name:
                return f"{name} in {words}"
        return f"interface {number} of another network namespace"

    def cgroup(self, number: int) -> str:
        """Path of the cgroup with that id, `cgroup N` when none of this mount has it."""
        if self._cgroups is None:
            from bpfsmith.kernel.info import mounts

            self._cgroups = {}
            for root in mounts("cgroup2")[:1]:
                self._walk(root)
        return self._cgroups.get(number, f"cgroup {number}" if number else "a cgroup that is gone")

    def _walk(self, folder: str) -> None:
        from bpfsmith.kernel import door

        found = self._cgroups
        assert found is not None
        try:
            found[door().stat(folder).st_ino] = folder
            names = door().listdir(folder)
        except OSError:
            return
        for name in names:
            # Every file of a cgroup has a dot in its name; folders rarely do.
            path = f"{folder}/{name}"
            if door().isdir(path):
                self._walk(path)


def _name_with(told: dict[str, Any]) -> str:
    """Name of the interface of the calling thread's network namespace with the link's number and program, else ""."""
    from bpfsmith import kernel

    name = dict(kernel.door().interfaces()).get(told["ifindex"])
    if name is None:
        return ""
    return name if told["prog_id"] in _programs_at(told) else ""


def _programs_at(told: dict[str, Any]) -> set[int]:
    """Ids of the programs attached to our interface of that number, in the link's way."""
    from bpfsmith.model.errors import BpfsmithError

    from . import door, netlink
    from .attrs import encode, output

    if told["kind"] == "xdp":
        try:
            return set(netlink.xdp_state(told["ifindex"])[1].values())
        except BpfsmithError:
            return set()
    room = bytearray(4 * 64)
    number, attr, buffers = encode("BPF_PROG_QUERY", target_ifindex=told["ifindex"], attach_type=told["attach_type"],
                                   prog_ids=room, count=64)  # fmt: skip
    if door().bpf(number, attr, buffers) < 0:
        return set()
    count = min(output("BPF_PROG_QUERY", attr, "count"), 64)
    return {int.from_bytes(room[4 * at : 4 * at + 4], byteorder) for at in range(count)}
