"""Families without an attach here: infrared decoders, routes, and programs that are called and not attached."""

from __future__ import annotations

from bpfsmith.model.errors import InputError, TargetMissing, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def by_section(program: Any, device: str | None = None, *_: Any, **__: Any) -> NoReturn:
    """Attaches as the section says."""
    if program.type == "syscall":
        raise InputError(
            f"`{program.name}` is a syscall program: it is attached to nothing", program.name,
            f'run it: `programs["{program.name}"].test_run(ctx=...)`',
        )  # fmt: skip
    if program.type == "lirc_mode2":
        from bpfsmith.kernel import door
        from bpfsmith.model.near import did_you_mean

        if device is not None and not door().exists(device):
            there = [f"/dev/{name}" for name in door().listdir("/dev") if name.startswith("lirc")]
            hint = did_you_mean(device, there) or "no infrared receiver is there" if not there else ""
            raise TargetMissing(f"there is no device `{device}`", device, hint)
        raise Unsupported(
            f"`{program.name}` cannot be attached: this version of bpfsmith does not attach lirc_mode2 programs",
            "lirc_mode2", "4.18", "pin the program, `ir-keytable` of v4l-utils attaches decoders",
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


def plan(program: Any, *_: Any, **__: Any) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    if program.type == "lirc_mode2":
        return [{"command": "BPF_PROG_ATTACH", "attach_type": "lirc_mode2", "target_fd": "/dev/lircN"}]
    return []
