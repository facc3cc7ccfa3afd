"""The door from `check` to Cargo workspaces: `bpfsmith.source.project`, when it finds eBPF crates."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.project import Project

__all__ = ["open_project"]


def open_project(folder: str) -> Project | None:
    """The project whose `Cargo.toml` is in `folder`; None when it has nothing to do with eBPF."""
    try:
        from bpfsmith.source.project import find_project
    except ImportError:
        return None
    return find_project(folder)
