"""The base image of a guest: the agent as `/init`, and the kernel's modules in the order in which they are loaded.

Independent of this machine's Python, C library and tools; made in milliseconds.
"""

from __future__ import annotations

import os

from bpfsmith.model.errors import EnvironmentMissing

from .cpio import Archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["agent_path", "base", "base_key"]

FOLDERS = ("dev", "proc", "sys", "tmp", "run", "mnt", "root", "etc", "mods")


def agent_path(arch: str) -> str:
    """The guest's agent for an architecture (`x86_64`). `EnvironmentMissing` where this installation has none."""
    path = os.path.join(os.path.dirname(__file__), "_agent", arch)
    if not os.path.exists(path):
        raise EnvironmentMissing(
            f"this installation has no guest agent for {arch}", "./dev setup" if _is_checkout() else "", path
        )
    return path


def _is_checkout() -> bool:
    return os.path.exists(os.path.join(os.path.dirname(__file__), "../../../dev"))


def base(arch: str, modules: Iterable[str] = ()) -> bytes:
    """The archive. `modules`: paths of `.ko` files in the order in which they can be loaded."""
    made = Archive()
    for name in FOLDERS:
        made.folder(name, 0o1777 if name == "tmp" else 0o755)
    # What the kernel opens for its first process.
    made.device("dev/console", 5, 1)
    made.device("dev/null", 1, 3, 0o666)
    with open(agent_path(arch), "rb") as file:
        made.file("init", file.read(), 0o755)
    order = []
    for path in modules:
        name = os.path.basename(path).removesuffix(".ko")
        order.append(name)
        with open(path, "rb") as file:
            made.file(f"mods/{name}.ko", file.read())
    made.file("mods/order", "".join(f"{name}\n" for name in order).encode())
    return made.done()


def base_key(arch: str, modules: Iterable[str] = ()) -> str:
    """What the image depends on, as text: nothing but the beginning of files is read."""
    parts = []
    for path in (agent_path(arch), *modules):
        told = os.stat(path)
        parts.append(f"{os.path.basename(path)} {told.st_size} {told.st_mtime_ns}")
    return "\n".join(parts)
