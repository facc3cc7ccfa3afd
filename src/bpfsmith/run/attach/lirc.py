"""Infrared decoders: a program at a receiver (`/dev/lirc0`), which stays until it is detached or the device is gone."""

from __future__ import annotations

import os

from bpfsmith import kernel
from bpfsmith.model.errors import InputError, KernelError, TargetMissing, Unsupported
from bpfsmith.run.link import Held, Link

from ._base import E2BIG, EEXIST, EINVAL, ENODEV, ENOENT, needs, program_id, refusal, require

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ATTACH_TYPE = 16


def attach(program: Any, device: str) -> Link:
    """See `AttachMethods.attach_lirc`."""
    from bpfsmith.kernel import journal

    require(program, ("lirc_mode2",), "attach_lirc")
    path = device if "/" in device else f"/dev/{device}"
    _check(path)
    target = f"`{path}`"
    opened = kernel.door().open_fd(path, os.O_RDONLY | os.O_NONBLOCK)
    if isinstance(opened, int):
        raise refusal("open", opened, program, target)
    fields = {"target_fd": opened, "attach_bpf_fd": program.fd, "attach_type": ATTACH_TYPE}
    answer = kernel.try_call("BPF_PROG_ATTACH", **fields)
    if answer < 0:
        opened.close()
        told: dict[int, Any] = {
            EEXIST: InputError(f"`{program.name}` is attached to {target} already", target),
            E2BIG: KernelError(f"{target} has 64 programs", "BPF_PROG_ATTACH", E2BIG, target, "detach one of them"),
            EINVAL: InputError(f"{target} is no infrared receiver that passes pulses on", target) if _known() else
            lacking("lirc_mode2", program.name),
            ENODEV: TargetMissing(f"the device behind {target} is gone", target),
        }  # fmt: skip
        raise refusal("BPF_PROG_ATTACH", answer, program, target, "CAP_NET_ADMIN", told)
    ours = program.fd.dup()
    journal.record("lirc", path, program_id(program))

    def undo() -> None:
        code = kernel.try_call("BPF_PROG_DETACH", target_fd=opened, attach_bpf_fd=ours, attach_type=ATTACH_TYPE)
        opened.close()
        ours.close()
        journal.forget("lirc", path)
        if code < 0 and -code not in {ENOENT, ENODEV}:
            raise refusal("BPF_PROG_DETACH", code, program, target, "CAP_NET_ADMIN")

    return Held(program, "lirc_mode2", target, undo, outlives=True)


def _check(path: str) -> None:
    from bpfsmith.model.near import did_you_mean

    door = kernel.door()
    if door.exists(path):
        return
    try:
        there = [f"/dev/{name}" for name in door.listdir("/dev") if name.startswith("lirc")]
    except OSError:
        there = []
    hint = did_you_mean(path, there) if there else "no infrared receiver is there; `modprobe rc-loopback` makes one"
    raise TargetMissing(f"there is no device `{path}`", path, hint)


def _known() -> bool:
    return not kernel.live().lacks("attach_type:lirc_mode2")


def lacking(family: str, name: str) -> Unsupported | None:
    """What is told where this kernel has no such programs; None where it does."""
    if _known():
        return None
    return Unsupported(f"`{name}` cannot be attached: this kernel has no such programs (CONFIG_BPF_LIRC_MODE2)",
                       family, "4.18", "pin the program, `ir-keytable` of v4l-utils attaches decoders")  # fmt: skip


def by_section(program: Any, device: str | None = None) -> Link:
    """Attaches as the section says."""
    if device is None:
        raise needs(program, "device", '"/dev/lirc0"')
    return attach(program, device)


def plan(_program: Any, device: str | None = None) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    return [{"command": "BPF_PROG_ATTACH", "attach_type": "lirc_mode2", "target_fd": device or "/dev/lircN"}]
