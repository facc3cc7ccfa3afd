"""One map of an object, as the object declares it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith import _native
    from bpfsmith.model.names import Names


class Map:
    """One map declaration: BTF `.maps`, legacy `maps`, a data section, `.kconfig` externs or a struct_ops value."""

    __slots__ = ("_names", "_native")

    def __init__(self, native: _native.Map, names: Names) -> None:
        self._native = native
        self._names = names

    @property
    def native(self) -> _native.Map:
        """The native columns behind this view."""
        return self._native

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def type(self) -> int:
        """The kernel's number; `type_name` is its word."""
        return self._native.type

    @property
    def type_name(self) -> str | None:
        """libbpf's word (`percpu_array`), `None` for a number no known kernel defines."""
        return self._names.map_type(self._native.type)

    @property
    def key_size(self) -> int:
        """Bytes, as in the object."""
        return self._native.key_size

    @property
    def value_size(self) -> int:
        """Bytes, as in the object."""
        return self._native.value_size

    @property
    def max_entries(self) -> int:
        return self._native.max_entries

    @property
    def flags(self) -> int:
        return self._native.flags

    @property
    def map_extra(self) -> int:
        return self._native.map_extra

    @property
    def numa_node(self) -> int:
        return self._native.numa_node

    @property
    def pinning(self) -> str:
        """`none` or `by_name`."""
        return "by_name" if self._native.pinning == 1 else "none"

    @property
    def origin(self) -> str:
        """`btf`, `legacy`, `data`, `kconfig` or `struct_ops`."""
        return self._native.origin

    @property
    def section(self) -> str:
        return self._native.section

    @property
    def key_type(self) -> int:
        """BTF type id of the key, 0 when there is none."""
        return self._native.key_type

    @property
    def value_type(self) -> int:
        """BTF type id of the value, 0 when there is none."""
        return self._native.value_type

    @property
    def inner(self) -> Map | None:
        """The template of a map-in-map."""
        inner = self._native.inner
        return None if inner is None else Map(inner, self._names)

    @property
    def values(self) -> list[tuple[int, str]]:
        """Initial slots of a program array or map-in-map: (index, name of the program or map)."""
        return self._native.values

    @property
    def data(self) -> bytes | None:
        """Initial bytes of a data map."""
        return self._native.data

    def __repr__(self) -> str:
        return f"<Map {self.name}: {self.type_name or self.type}>"
