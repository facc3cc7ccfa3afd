"""One eBPF object file: programs, maps, variables and what they need, as a lazy view on native columns."""

from __future__ import annotations

from bpfsmith.model.map import Map
from bpfsmith.model.names import NoNames
from bpfsmith.model.program import Program

__all__ = ["Extern", "Global", "Map", "Object", "Program"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith import _native
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.names import Names

# Licence texts under which the kernel lets a program call GPL-only helpers: license_is_gpl_compatible(),
# include/linux/license.h
_GPL_COMPATIBLE = frozenset(
    ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL")
)


class Global:
    """A variable in a data section; `offset` and `size` are bytes."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Global) -> None:
        self._native = native

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def section(self) -> str:
        return self._native.section

    @property
    def type(self) -> str | None:
        """C-like text (`unsigned int`, `struct config`); `None` without BTF."""
        return self._native.type

    @property
    def offset(self) -> int:
        return self._native.offset

    @property
    def size(self) -> int:
        return self._native.size

    @property
    def weak(self) -> bool:
        return self._native.weak

    def __repr__(self) -> str:
        return f"<Global {self.name} in {self.section}>"


class Extern:
    """An undefined symbol: something the kernel or the loader has to supply."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Extern) -> None:
        self._native = native

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def kind(self) -> str:
        """`kfunc`, `ksym`, `kconfig`, `func` or `unknown`."""
        return self._native.kind

    @property
    def weak(self) -> bool:
        """May stay unresolved."""
        return self._native.weak

    @property
    def typed(self) -> bool:
        """Looked up in the kernel's BTF: kernel functions, and kernel variables declared with a type."""
        return self._native.typed

    @property
    def type(self) -> str | None:
        return self._native.type

    def __repr__(self) -> str:
        return f"<Extern {self.name}: {self.kind}>"


class Object:
    """One ELF object file, read. Two reads of the same file give the same values on every machine."""

    __slots__ = ("_externs", "_globals", "_maps", "_names", "_native", "_path", "_programs")

    def __init__(self, native: _native.Object, path: str, names: Names | None = None) -> None:
        self._native = native
        self._path = path
        self._names: Names = NoNames() if names is None else names
        self._programs: tuple[Program, ...] | None = None
        self._maps: tuple[Map, ...] | None = None
        self._globals: tuple[Global, ...] | None = None
        self._externs: tuple[Extern, ...] | None = None

    @property
    def native(self) -> _native.Object:
        """The native columns behind this view."""
        return self._native

    @property
    def path(self) -> str:
        """The path it was read from, as given."""
        return self._path

    @property
    def endianness(self) -> str:
        """`little` or `big`."""
        return self._native.endianness

    @property
    def license(self) -> str | None:
        """Text of the `license` section; `None` when there is none."""
        return self._native.license

    @property
    def gpl_compatible(self) -> bool:
        """Whether the kernel allows GPL-only helpers under `license`."""
        return self._native.license in _GPL_COMPATIBLE

    @property
    def kernel_version(self) -> int | None:
        """The number in the `version` section (`LINUX_VERSION_CODE`)."""
        return self._native.kernel_version

    @property
    def btf(self) -> _native.Btf | None:
        """The object's own types."""
        return self._native.btf

    @property
    def has_btf(self) -> bool:
        return self._native.has_btf

    @property
    def has_btf_ext(self) -> bool:
        """Has `.BTF.ext`: function, line and CO-RE information."""
        return self._native.has_btf_ext

    @property
    def has_dwarf(self) -> bool:
        return self._native.has_dwarf

    @property
    def producer(self) -> str | None:
        """The compiler's text from `.comment`."""
        return self._native.producer

    @property
    def notes(self) -> list[tuple[str, str]]:
        """(kind, sentence): what was unusual but readable."""
        return self._native.notes

    @property
    def programs(self) -> tuple[Program, ...]:
        if self._programs is None:
            self._programs = tuple(Program(native, self, self._names) for native in self._native.programs)
        return self._programs

    def leave_out(self, programs: Iterable[Program]) -> None:
        """From now on `programs` does not list these: what cannot be linked must not hide what is true of the rest."""
        out = set(map(id, programs))
        self._programs = tuple(program for program in self.programs if id(program) not in out)

    def forget(self) -> None:
        """Lets go of the views made so far; they are made again when asked for. Programs refer to their object: without
        this a dropped object waits for the garbage collector."""
        self._programs = self._maps = self._globals = self._externs = None

    @property
    def maps(self) -> tuple[Map, ...]:
        if self._maps is None:
            self._maps = tuple(Map(native, self._names) for native in self._native.maps)
        return self._maps

    @property
    def globals(self) -> tuple[Global, ...]:
        if self._globals is None:
            self._globals = tuple(Global(native) for native in self._native.globals)
        return self._globals

    @property
    def externs(self) -> tuple[Extern, ...]:
        if self._externs is None:
            self._externs = tuple(Extern(native) for native in self._native.externs)
        return self._externs

    def missing_externs(self, kernel: Kernel) -> list[Extern]:
        """Kernel functions and typed kernel variables it refers to that `kernel` does not have with that type."""
        found = self._native.resolved_externs(kernel.targets)
        return [one for one, there in zip(self.externs, found, strict=True) if one.typed and not there]

    @property
    def tail_calls(self) -> list[tuple[str, str | None, int | None]]:
        """(program, program array or `None` when its origin is lost, index or `None` when computed)."""
        return self._native.tail_calls

    def functions(self) -> list[dict[str, object]]:
        """Every function symbol: `{"name","section","offset","size","weak","static","program"}`, in bytes."""
        return self._native.functions()

    def program(self, name: str) -> Program | None:
        """The program called `name`."""
        return next((program for program in self.programs if program.name == name), None)

    def map(self, name: str) -> Map | None:
        """The map called `name`."""
        return next((one for one in self.maps if one.name == name), None)

    def __repr__(self) -> str:
        return f"<Object {self._path}: {len(self.programs)} programs, {len(self.maps)} maps>"
