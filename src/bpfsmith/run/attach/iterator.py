"""Iterators: a program called for each task, map, socket ... of the kernel, whose output is read like a file."""

from __future__ import annotations

import os

from bpfsmith import kernel
from bpfsmith.kernel import targets
from bpfsmith.model.errors import InputError, TargetMissing, Unsupported
from bpfsmith.run.link import LinkFd

from ._base import EINVAL, choice, link_create, refusal, require

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from bpfsmith._native import Fd

ATTACH_TYPE = 28
ORDERS = {"self_only": 1, "descendants_pre": 2, "descendants_post": 3, "ancestors_up": 4, "children": 5}
_OF_MAPS = {"bpf_map_elem", "bpf_sk_storage_map", "sockmap"}


class IterLink(LinkFd):
    """An attached iterator. Each reading runs it anew over what the kernel has then."""

    __slots__ = ()

    def open(self) -> Fd:
        """One run, as a descriptor to read from."""
        self._live()
        return kernel.call_fd("BPF_ITER_CREATE", str(self), link_fd=self._fd, flags=0)

    def chunks(self, size: int = 1 << 16) -> Iterator[bytes]:
        """What one run writes, as it comes. A program that fails ends it with its error."""
        with self.open() as run:
            while data := targets.read_from(run.fileno(), size, str(self)):
                yield data

    def read(self) -> bytes:
        """All that one run writes."""
        return b"".join(self.chunks())

    def text(self) -> str:
        """The same as text (what `BPF_SEQ_PRINTF` writes)."""
        return self.read().decode("utf-8", "replace")

    def lines(self) -> Iterator[str]:
        """The same line by line, without waiting for the end."""
        rest = b""
        for data in self.chunks():
            *whole, rest = (rest + data).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
        if rest:
            yield rest.decode("utf-8", "replace")

    def records(self, spec: Any) -> Iterator[Any]:
        """The same as records of one type (what `bpf_seq_write` writes): the name of a struct of the object, or any
        type a map takes. `BadRecord` when the end does not fit."""
        from bpfsmith.model.errors import BadRecord
        from bpfsmith.run.codec import parse_type

        program = self.program
        codec = parse_type(spec, program.btf if program is not None else None)
        rest = b""
        for data in self.chunks():
            rest += data
            whole = len(rest) - len(rest) % codec.size
            for at in range(0, whole, codec.size):
                yield codec.decode(rest[at : at + codec.size])
            rest = rest[whole:]
        if rest:
            raise BadRecord(f"{self} ended with {len(rest)} bytes; a `{codec.name}` has {codec.size}", rest)


def attach(
    program: Any,
    *,
    map: Any = None,  # noqa: A002 - the word of the domain
    pid: int = 0,
    tid: int = 0,
    cgroup: str | None = None,
    order: str = "self_only",
) -> IterLink:
    """See `AttachMethods.attach_iter`."""
    require(program, ("tracing",), "attach_iter")
    kind = (program.attach_to or "").rpartition("/")[2]
    given = [word for word, value in (("map", map), ("pid", pid), ("tid", tid), ("cgroup", cgroup)) if value]
    if len(given) > 1:
        raise InputError(f"`{given[0]}` and `{given[1]}` exclude each other", program.name)
    target = f"iterator `{kind}`"
    for number in (pid, tid):
        if number and not kernel.door().exists(f"/proc/{number}"):
            raise TargetMissing(f"there is no process or thread {number}", str(number))
    info, hold = _info(program, kind, map, pid, tid, cgroup, order)
    fields = {"iter_info": info, "iter_info_len": len(info)} if info else {}
    fd = link_create(program, ATTACH_TYPE, **fields)
    if hold is not None and cgroup is not None:
        hold.close()
    if isinstance(fd, int):
        told: dict[int, Any] = {
            EINVAL: InputError(
                f"`{program.name}` cannot be attached to {target}" + (f" with `{given[0]}`" if given else ""), target,
                "iterators of map elements need `map=`, those of cgroups `cgroup=`; a map must be of the kind the "
                "program reads, with keys and values no smaller",
            ),
            3: TargetMissing(f"there is no process or thread {pid or tid}", str(pid or tid)),
            7: Unsupported("this kernel takes no such parameters of iterators", "iter_parameters", "6.1"),
        }  # fmt: skip
        raise refusal("BPF_LINK_CREATE", fd, program, target, "CAP_PERFMON", told)
    return IterLink(program, "iter", target, fd)


def _info(
    program: Any, kind: str, of_map: Any, pid: int, tid: int, cgroup: str | None, order: str
) -> tuple[bytes, Any]:
    """`union bpf_iter_link_info`, and what must stay open until it was used."""
    # The kernel takes what is meant for another kind as its own: that of a map's descriptor is a thread's number.
    for word, given, kinds in (
        ("map", of_map is not None, _OF_MAPS),
        ("pid", pid or tid, {"task", "task_file", "task_vma"}),
        ("cgroup", cgroup is not None, {"cgroup"}),
    ):
        if given and kind not in kinds:
            raise InputError(
                f"iterator `{kind}` takes no `{word}`", program.name, f"those that do: {', '.join(sorted(kinds))}"
            )
    if of_map is not None:
        from struct import pack

        if isinstance(of_map, str):
            of_map = program.owner.maps[of_map]
        fd = getattr(of_map, "fd", of_map)
        if not hasattr(fd, "fileno"):
            raise InputError(f"a map or its name is wanted, not {type(of_map).__name__}", program.name)
        return pack("=IIQ", fd.fileno(), 0, 0), fd
    if kind in _OF_MAPS:
        raise InputError(f"`{program.name}` goes over the elements of a map", program.name, "pass `map=`")
    if kind == "cgroup" and cgroup is None:
        raise InputError(f"`{program.name}` goes over cgroups", program.name, "pass `cgroup=`, where it begins")
    if pid or tid:
        from struct import pack

        # tid first, then the process
        return pack("=IIQ", tid, pid, 0), None
    if cgroup is not None:
        from struct import pack

        folder = targets.cgroup(cgroup)
        opened = kernel.door().open_fd(folder, os.O_RDONLY | os.O_DIRECTORY)
        if isinstance(opened, int):
            raise refusal("open", opened, program, f"cgroup `{folder}`")
        return pack("=IIQ", choice("order of cgroups", order, ORDERS), opened.fileno(), 0), opened
    return b"", None


def by_section(program: Any, **options: Any) -> IterLink:
    """Attaches as the section says."""
    return attach(program, **options)


def plan(program: Any, **options: Any) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    given = {key: str(getattr(value, "name", value)) for key, value in options.items() if value}
    return [{"command": "BPF_LINK_CREATE", "attach_type": "trace_iter", "target": program.attach_to, **given}]
