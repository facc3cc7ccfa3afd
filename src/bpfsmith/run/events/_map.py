"""The base of the classes here."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Fd

__all__ = ["Map"]


class Map:
    """A map by its descriptor."""

    def __init__(self, fd: Fd, spec: Any, owner: Any = None) -> None:
        self.fd = fd
        self.spec = spec
        self.owner = owner
        self.name: str = spec.name

    def close(self) -> None:
        self.fd.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
