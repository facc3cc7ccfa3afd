"""Families without an attach here: routes, actions, and programs that are called and not attached."""

from __future__ import annotations

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def by_section(program: Any, *_: Any, **__: Any) -> NoReturn:
    """Attaches as the section says."""
    if program.type == "syscall":
        raise InputError(
            f"`{program.name}` is a syscall program: it is attached to nothing", program.name,
            f'run it: `programs["{program.name}"].test_run(ctx=...)`',
        )  # fmt: skip
    if program.type == "sched_act":
        raise InputError(
            f"`{program.name}` is an action of a tc filter, which is where it is attached", program.name,
            "a `tc` program filters and acts; or pin it: `tc filter add ... action bpf object-pinned PATH`",
        )  # fmt: skip
    section = {"lwt_in": "in", "lwt_out": "out", "lwt_xmit": "xmit"}.get(program.type, "")
    way = f"encap bpf {section} pinned PATH" if section else "encap seg6local action End.BPF endpoint pinned PATH NAME"
    raise InputError(
        f"`{program.name}` belongs to a route, which is where it is attached", program.name,
        f"pin it, then `ip route add PREFIX {way} dev DEVICE`",
    )  # fmt: skip


def plan(_program: Any, *_: Any, **__: Any) -> list[dict[str, Any]]:
    """Nothing."""
    return []
