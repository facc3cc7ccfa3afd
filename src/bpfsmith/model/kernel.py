"""A description of one kernel: its name, its types, and what it can do."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bpfsmith._native import Btf


class Kernel:
    """One kernel as far as relocation and loading need it; pure data, from any machine.

    `name` is how messages call it (`host`, or the file it was read from), `btf` the BTF of its vmlinux, `modules` those
    of its modules as (name, split BTF). The rest is what a plan for that kernel asks: `version` (`6.1.130`; "" = not
    known), `lacking` the features it does not have (the words of `kernel.probe`; others count as there), `settings` its
    configuration (`CONFIG_HZ` -> `250`), `addresses` of its symbols, `module_ids` of its modules' BTF.

    >>> Kernel("old", None, version="5.10.0", lacking=("ringbuf",)).has("ringbuf")
    False
    """

    __slots__ = (
        "_addresses", "_arch", "_btf", "_cpus", "_lacking", "_module_ids", "_modules", "_name", "_page_size",
        "_settings", "_version",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        btf: Btf | None,
        modules: tuple[tuple[str, Btf], ...] = (),
        *,
        version: str = "",
        lacking: Iterable[str] = (),
        settings: Mapping[str, str] | None = None,
        addresses: Mapping[str, int] | None = None,
        module_ids: Mapping[str, int] | None = None,
        possible_cpus: int = 1,
        page_size: int = 4096,
        arch: str = "x86_64",
    ) -> None:
        self._name = name
        self._btf = btf
        self._modules = modules
        self._version = version
        self._lacking = frozenset(lacking)
        self._settings = dict(settings or {})
        self._addresses = dict(addresses or {})
        self._module_ids = dict(module_ids or {})
        self._cpus = possible_cpus
        self._page_size = page_size
        self._arch = arch

    @property
    def name(self) -> str:
        return self._name

    # ------------------------------------------------------------ types

    @property
    def btf(self) -> Btf:
        """`EnvironmentMissing` for a kernel without BTF."""
        if self._btf is None:
            from bpfsmith.model.errors import EnvironmentMissing

            raise EnvironmentMissing(f"kernel `{self.name}` has no BTF: give its types", "", where=self.name).lacking(
                "btf"
            )
        return self._btf

    @property
    def has_btf(self) -> bool:
        """Whether `btf` is there; nothing is read."""
        return self._btf is not None

    @property
    def modules(self) -> tuple[tuple[str, Btf], ...]:
        return self._modules

    @property
    def targets(self) -> list[Btf]:
        """vmlinux first, modules after it: the order in which CO-RE looks for candidates."""
        return [self.btf, *(btf for _, btf in self.modules)]

    def module_id(self, name: str) -> int | None:
        """The kernel's id of that module's BTF (ids change with every boot); None: not known."""
        return self._module_ids.get(name)

    # ------------------------------------------------------------ what it can do

    def has(self, feature: str) -> bool:
        """Whether it has a feature; a kernel made from data has what is not listed as lacking."""
        return feature not in self._lacking

    def settle(self) -> None:
        """A live kernel stops answering `has` optimistically; here everything is known already."""

    @property
    def settled(self) -> bool:
        return True

    @property
    def version(self) -> str:
        """The numbers of its release, `6.18.44`; "" when not known."""
        return self._version

    @property
    def series(self) -> str:
        """`6.18`: how the facts name kernels."""
        return ".".join(self.version.split(".")[:2])

    @property
    def version_code(self) -> int:
        """KERNEL_VERSION() of it, as old kernels want kprobe programs to declare."""
        numbers = [*(int(part) for part in self.version.split(".") if part.isdigit()), 0, 0, 0][:3]
        return (numbers[0] << 16) + (numbers[1] << 8) + min(numbers[2], 255)

    @property
    def arch(self) -> str:
        """The machine as `uname -m` says: `x86_64`, `aarch64`."""
        return self._arch

    @property
    def page_size(self) -> int:
        """Bytes."""
        return self._page_size

    @property
    def possible_cpus(self) -> int:
        """How many values a per-CPU map has room for."""
        return self._cpus

    def config(self, name: str) -> str | None:
        """`y`, `m`, a number or text (unquoted) of `CONFIG_...`; None: not set, or not known."""
        return self._settings.get(name)

    @property
    def has_config(self) -> bool:
        """Whether its configuration is known at all."""
        return bool(self._settings)

    def symbol(self, name: str) -> int | None:
        """A symbol's address; None: there is none; 0: there, but the address is hidden."""
        return self._addresses.get(name)

    def symbols(self, names: tuple[str, ...] | list[str]) -> dict[str, int | None]:
        """Many at once."""
        return {name: self.symbol(name) for name in names}

    def __repr__(self) -> str:
        return f"<Kernel {self.name}>"
