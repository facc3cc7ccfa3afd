"""Global variables of a loaded object: `bpf.globals["LIMIT"]` reads and writes them where the programs do.

Where the kernel maps arrays (5.5) a variable is read and written in place; before that its whole section goes through a
system call, and a write may undo what a program wrote to its neighbours meanwhile: then a note of the plan says so.
"""

from __future__ import annotations

from _collections_abc import MutableMapping

from bpfsmith.model.errors import InputError, ValueMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from bpfsmith.model.object import Global, Object
    from bpfsmith.run.loaded import Loaded

__all__ = ["Globals", "initial", "variables"]

F_RDONLY_PROG, F_MMAPABLE = 1 << 7, 1 << 10


class Variable:
    """One global: where it lies and how its bytes are read. `codec` comes from the object's types."""

    __slots__ = ("_codec", "_object", "name", "offset", "section", "size", "type", "type_id")

    def __init__(self, obj: Object, source: Global, type_id: int) -> None:
        self._object = obj
        self.name = source.name
        self.section = source.section
        self.offset = source.offset
        self.size = source.size
        self.type = source.type
        self.type_id = type_id
        self._codec: Any = None

    @property
    def codec(self) -> Any:
        if self._codec is None:
            from bpfsmith.run.codec import codec_for

            self._codec = codec_for(self._object.btf if self.type_id else None, self.type_id, self.size)
        return self._codec

    def encode(self, value: Any) -> bytes:
        """Its bytes; `ValueMismatch` says what was expected."""
        if isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value)
            if len(data) == self.size:
                return data
            if not self.type or "char" not in self.type:
                raise ValueMismatch(
                    f"global `{self.name}` has {self.size} bytes, not {len(data)}", where=self._object.path
                )
        if not self.type_id and value.__class__ is int and value < 0:
            # Without types nobody knows whether it has a sign: both readings of the bytes are taken.
            limit = 1 << (8 * self.size)
            value = value + limit if -value <= limit // 2 else value
        try:
            encoded: bytes = self.codec.encode(value)
        except (ValueMismatch, InputError) as error:
            raise ValueMismatch(
                f"{value!r} is no value for global `{self.name}`{self._typed()}: {error.message}",
                where=self._object.path,
                hint=error.hint,
            ) from None
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueMismatch(
                f"{value!r} is no value for global `{self.name}`{self._typed()}: {error}", where=self._object.path
            ) from None
        return encoded

    def _typed(self) -> str:
        return f" of type `{self.type}`" if self.type else f" of {self.size} bytes"


def variables(obj: Object) -> dict[str, Variable]:
    """Every global by name; of `static` ones that share a name, the later ones as `SECTION:NAME`."""
    types = _types(obj)
    found: dict[str, Variable] = {}
    for source in obj.globals:
        one = Variable(obj, source, types.get((source.section, source.offset), 0))
        key = source.name if source.name not in found else f"{source.section}:{source.name}"
        found[key] = one
    return found


def _types(obj: Object) -> dict[tuple[str, int], int]:
    """(section, offset) -> type id of the variable there."""
    native = obj.native.kernel_btf() if obj.has_btf else None
    if native is None:
        return {}
    from bpfsmith._native import Btf

    btf = Btf.parse(native)  # its sections have their offsets filled in
    found = {}
    for section in dict.fromkeys(one.section for one in obj.globals):
        number = btf.find(section, "DATASEC")
        if number is None:
            continue
        told: Any = btf.type(number)
        for entry in told.get("vars", told.get("members", ())):
            variable: Any = btf.type(entry["type_id"] if "type_id" in entry else entry["type"])
            found[section, int(entry["offset"])] = int(variable.get("type_id", variable.get("type", 0)))
    return found


def initial(obj: Object, values: Mapping[str, Any]) -> dict[str, bytes]:
    """Whole initial contents of the data maps those variables lie in."""
    known = variables(obj)
    out: dict[str, bytearray] = {}
    for name, value in values.items():
        one = known.get(name)
        if one is None:
            from bpfsmith.run.options import unknown

            raise unknown("global", name, known, obj.path)
        data = out.get(one.section)
        if data is None:
            source = obj.map(one.section)
            if source is None:
                raise InputError(f"global `{name}` is in section `{one.section}`, which is no map", where=obj.path)
            data = out[one.section] = bytearray(source.data or b"")
            data.extend(bytes(source.value_size - len(data)))
        data[one.offset : one.offset + one.size] = one.encode(value)
    return {section: bytes(data) for section, data in out.items()}


class Globals(MutableMapping):  # type: ignore[type-arg]  # typed below; the base is only there for its methods
    """Name -> value, live. Iterates over names; `in` and `get` work as in a dict."""

    __slots__ = ("_known", "_loaded", "_views")

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._known: dict[str, Variable] | None = None
        self._views: dict[str, tuple[Any, Any]] = {}

    def _variables(self) -> dict[str, Variable]:
        if self._known is None:
            planned = self._loaded._planned.maps
            self._known = {name: one for name, one in variables(self._loaded.object).items() if one.section in planned}
        return self._known

    def _find(self, name: str) -> Variable:
        self._loaded._check_open()
        one = self._variables().get(name)
        if one is None:
            from bpfsmith.run.options import unknown

            raise unknown("global", name, self._variables(), self._loaded.object.path)
        return one

    def __getitem__(self, name: str) -> Any:
        one = self._find(name)
        view = self._view(one.section)
        if view is None:
            data: Any = self._lookup(one.section)
        else:
            data = view
        return one.codec.decode(bytes(data[one.offset : one.offset + one.size]))

    def __setitem__(self, name: str, value: Any) -> None:
        one = self._find(name)
        planned = self._loaded._planned.maps[one.section]
        if planned.flags & F_RDONLY_PROG:
            raise InputError(
                f"global `{name}` is constant: `{one.section}` is frozen once the object is loaded",
                where=self._loaded.object.path,
                hint=f"set it before: `load(..., globals={{'{name}': ...}})`; or make it no constant",
            )
        data = one.encode(value)
        view = self._view(one.section)
        if view is not None:
            view[one.offset : one.offset + one.size] = data
            return
        whole = self._lookup(one.section)
        whole[one.offset : one.offset + one.size] = data
        from bpfsmith import kernel

        kernel.call(
            "BPF_MAP_UPDATE_ELEM", f"map `{one.section}`", map_fd=self._loaded._fd_of(one.section), key=bytes(4),
            value=whole, flags=0,
        )  # fmt: skip

    def __delitem__(self, name: str) -> None:
        raise InputError(f"global `{name}` cannot be removed", where=self._loaded.object.path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables())

    def __len__(self) -> int:
        return len(self._variables())

    def __contains__(self, name: object) -> bool:
        return name in self._variables()

    def _view(self, section: str) -> Any:
        """The section's memory, mapped once; None where it cannot be mapped."""
        known = self._views.get(section)
        if known is None:
            planned = self._loaded._planned.maps[section]
            mapping: Any = None
            if planned.flags & F_MMAPABLE:
                from bpfsmith import kernel

                page = kernel.live().page_size
                length = (planned.value_size + page - 1) // page * page
                prot = 1 if planned.flags & F_RDONLY_PROG else 3  # PROT_READ, PROT_READ | PROT_WRITE
                mapping = kernel.door().mmap(self._loaded._fd_of(section).fileno(), length, 0, prot, 1)
                if isinstance(mapping, int):
                    mapping = None
            known = self._views[section] = (mapping, None if mapping is None else memoryview(mapping))
        return known[1]

    def _lookup(self, section: str) -> bytearray:
        from bpfsmith import kernel

        out = bytearray(self._loaded._planned.maps[section].value_size)
        kernel.call(
            "BPF_MAP_LOOKUP_ELEM", f"map `{section}`", map_fd=self._loaded._fd_of(section), key=bytes(4), value=out
        )
        return out

    def _close(self) -> None:
        for mapping, view in self._views.values():
            if view is not None:
                view.release()
                mapping.close()
        self._views.clear()

    def __repr__(self) -> str:
        return f"<Globals {', '.join(self._variables())}>"
