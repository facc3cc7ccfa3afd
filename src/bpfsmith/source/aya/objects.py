"""What the built objects say of the names that the sources define: macros may have made more than is written."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.aya import Kernel
    from bpfsmith.source.project import Project

__all__ = ["Built", "read_built"]


class Built:
    """Names in the newest builds of some kernel crates; of maps with (type, key size, value size)."""

    __slots__ = ("globals", "maps", "programs")

    def __init__(self) -> None:
        self.programs: set[str] = set()
        self.maps: dict[str, tuple[int, int, int]] = {}
        self.globals: set[str] = set()


def read_built(project: Project, kernels: list[Kernel]) -> Built | None:
    """The built objects of the kernel crates; None where one is missing, older than its sources or cannot be read."""
    from bpfsmith.read import read_many

    wanted = {name for kernel in kernels for name in kernel.crate.binaries()}
    fresh = {one.name: one.path for one in project.objects if not one.stale}
    if not wanted or not wanted <= fresh.keys():
        return None
    out = Built()
    for obj in read_many([fresh[name] for name in sorted(wanted)]):
        if isinstance(obj, Exception):
            return None
        out.programs.update(one.name for one in obj.programs)
        out.globals.update(one.name for one in obj.globals)
        for one in obj.maps:
            out.maps[one.name] = (one.type, one.key_size or 0, one.value_size or 0)
    return out
