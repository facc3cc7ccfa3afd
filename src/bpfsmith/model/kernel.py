"""A description of one kernel: its name and its types."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import Btf


class Kernel:
    """One kernel as far as relocation needs it; pure data, from any machine.

    `name` is how messages call it (`host`, or the file it was read from), `btf` the BTF of its vmlinux, `modules` those
    of its modules as (name, split BTF).
    """

    __slots__ = ("_btf", "_modules", "_name")

    def __init__(self, name: str, btf: Btf, modules: tuple[tuple[str, Btf], ...] = ()) -> None:
        self._name = name
        self._btf = btf
        self._modules = modules

    @property
    def name(self) -> str:
        return self._name

    @property
    def btf(self) -> Btf:
        return self._btf

    @property
    def modules(self) -> tuple[tuple[str, Btf], ...]:
        return self._modules

    @property
    def targets(self) -> list[Btf]:
        """vmlinux first, modules after it: the order in which CO-RE looks for candidates."""
        return [self._btf, *(btf for _, btf in self._modules)]

    def __repr__(self) -> str:
        return f"<Kernel {self._name}>"
