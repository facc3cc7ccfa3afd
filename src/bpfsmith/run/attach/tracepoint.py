"""Tracepoints: through perf by category and name, raw by the kernel's name, and typed ones chosen when loading."""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.kernel import perf, targets
from bpfsmith.model.errors import InputError, TargetMissing, Unsupported
from bpfsmith.run.link import Link, LinkFd

from ._base import EINVAL, ENOENT, checked_cookie, needs, refusal, require
from ._perf import attach_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RAW = ("raw_tracepoint", "raw_tracepoint_writable")


def attach_tracepoint(program: Any, category: str | None = None, name: str | None = None, *, cookie: int = 0) -> Link:
    """See `AttachMethods.attach_tracepoint`."""
    require(program, ("tracepoint",), "attach_tracepoint")
    category, name = _names(program, category, name)
    number = targets.tracepoint(category, name)
    target = f"tracepoint `{category}/{name}`"
    # A program at a tracepoint runs on every CPU and for every process, whatever the event was opened for.
    event = perf.open_event(perf.TRACEPOINT, number, period=1, cpu=0)
    if isinstance(event, int):
        raise perf.refusal(event, target)
    return attach_event(program, "tracepoint", target, event, cookie)


def _names(program: Any, category: str | None, name: str | None) -> tuple[str, str]:
    if category is None and name is None:
        whole = program.attach_to or ""
    elif name is None:
        whole = category or ""
    else:
        whole = f"{category or (program.attach_to or '').partition('/')[0]}/{name}"
    category, _, name = whole.replace(":", "/").partition("/")
    if not category or not name:
        raise InputError(
            f"`{program.name}` (section `{program.section}`) names no tracepoint", program.name,
            'a tracepoint has a category and a name: `attach_tracepoint("sched", "sched_switch")`',
        )  # fmt: skip
    return category, name


def attach_raw(program: Any, name: str | None = None, *, cookie: int = 0) -> Link:
    """See `AttachMethods.attach_raw_tracepoint`."""
    require(program, RAW, "attach_raw_tracepoint")
    name = name or program.attach_to
    if not name:
        raise needs(program, "name", '"sched_switch"')
    told = {ENOENT: TargetMissing(f"there is no raw tracepoint `{name}` in this kernel", name)}
    return _open(program, "raw_tracepoint", f"raw tracepoint `{name}`", name, cookie, told)


def attach_tp_btf(program: Any, *, cookie: int = 0) -> Link:
    """See `AttachMethods.attach_tp_btf`."""
    require(program, ("tracing",), "attach_tp_btf")
    return _open(program, "tp_btf", f"tracepoint `{program.attach_to}`", None, cookie, {})


def _open(program: Any, family: str, target: str, name: str | None, cookie: int, told: dict[int, Any]) -> Link:
    from bpfsmith.kernel.attrs import encode

    # Before 6.10 the kernel takes no cookie and refuses an attr that is not zero there.
    fields: dict[str, Any] = {"cookie": checked_cookie(cookie)} if cookie else {}
    fd = kernel.door().bpf_fd(*encode("BPF_RAW_TRACEPOINT_OPEN", name=name, prog_fd=program.fd, **fields))
    if isinstance(fd, int):
        if -fd == ENOENT and name:
            hint = targets.raw_tracepoint_hint(name)
            raise TargetMissing(told[ENOENT].message, name, hint)
        if -fd in {EINVAL, 7} and cookie:
            raise Unsupported("this kernel passes no cookie to raw tracepoints", "raw_tracepoint_cookie", "6.10")
        if -fd == EINVAL and program.type == "raw_tracepoint_writable":
            told[EINVAL] = InputError(
                f"`{program.name}` writes more than {target} lets it", target, "only some tracepoints are writable"
            )
        raise refusal("BPF_RAW_TRACEPOINT_OPEN", fd, program, target, "CAP_PERFMON", told)
    return LinkFd(program, family, target, fd)


def by_section(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    if program.type == "tracepoint":
        return attach_tracepoint(program, *where, **options)
    if program.type in RAW:
        return attach_raw(program, *where, **options)
    return attach_tp_btf(program, **options)


def plan(program: Any, *where: Any, cookie: int = 0, **_: Any) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    if program.type == "tracepoint":
        category, name = _names(program, *(*where, None, None)[:2])
        return [
            {"command": "perf_event_open", "type": "tracepoint", "config": f"{category}/{name}/id"},
            {"command": "BPF_LINK_CREATE", "attach_type": "perf_event", "cookie": cookie or None},
        ]
    raw = (where[0] if where else program.attach_to) if program.type in RAW else None
    return [{"command": "BPF_RAW_TRACEPOINT_OPEN", "name": raw, "cookie": cookie or None}]
