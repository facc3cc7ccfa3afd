"""A program at a perf event: by a link where the kernel has them (5.15+), by the event's descriptor where not."""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.kernel import perf
from bpfsmith.model.errors import Unsupported
from bpfsmith.run.link import Held, Link, LinkFd

from ._base import UNKNOWN, checked_cookie, link_create, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from bpfsmith._native import Fd

ATTACH_TYPE = 41


def attach_event(
    program: Any, family: str, target: str, event: Fd, cookie: int = 0, rest: list[Callable[[], None]] | None = None
) -> Link:
    """Owns `event` from here on: it is closed when the attach fails. `rest`: what to undo after detaching."""
    try:
        fd = link_create(program, ATTACH_TYPE, target_fd=event, perf_event_bpf_cookie=checked_cookie(cookie))
    except BaseException:
        event.close()
        raise
    if isinstance(fd, int):
        if fd in UNKNOWN and not kernel.live().probe("perf_link"):
            return _without_link(program, family, target, event, cookie, rest or [])
        event.close()
        raise refusal("BPF_LINK_CREATE", fd, program, target, "CAP_PERFMON")
    answer = perf.enable(event.fileno())
    # The link keeps the event: nothing else of it is needed any more.
    event.close()
    if answer < 0:
        fd.close()
        raise refusal("PERF_EVENT_IOC_ENABLE", answer, program, target, "CAP_PERFMON")
    return LinkFd(program, family, target, fd, rest=rest or ())


def all_or_none(makers: Iterable[Callable[[], Link]]) -> list[Link]:
    """The links these make; when one fails those made before it are detached."""
    links: list[Link] = []
    try:
        for make in makers:
            links.append(make())
    except BaseException:
        for link in reversed(links):
            link.detach()
        raise
    return links


def _without_link(
    program: Any, family: str, target: str, event: Fd, cookie: int, rest: list[Callable[[], None]]
) -> Link:
    if cookie:
        event.close()
        raise Unsupported("this kernel passes no cookie to programs of perf events", "perf_event_cookie", "5.15")
    answer = perf.set_program(event.fileno(), program.fd.fileno()) or perf.enable(event.fileno())
    if answer < 0:
        event.close()
        raise refusal("PERF_EVENT_IOC_SET_BPF", answer, program, target, "CAP_PERFMON")

    def undo() -> None:
        event.close()
        for one in rest:
            one()

    return Held(program, family, target, undo)
