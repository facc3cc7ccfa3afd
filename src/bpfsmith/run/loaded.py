"""An object in the kernel: its programs, maps, globals and links, until it is closed."""

from __future__ import annotations

from _collections_abc import Mapping
from os import fspath

from bpfsmith.run.attach.methods import AttachMethods
from bpfsmith.run.measure import ProgramRuns
from bpfsmith.run.sections import ATTACH_TYPES, PROGRAM_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from typing import Any

    from bpfsmith._native import Btf, Fd
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.run.globals import Globals
    from bpfsmith.run.link import Link
    from bpfsmith.run.plan import Plan
    from bpfsmith.run.planned import PlannedMap, PlannedProgram
    from bpfsmith.run.planner import Planned

__all__ = ["Loaded", "LoadedProgram"]


class LoadedProgram(AttachMethods, ProgramRuns):
    """One program in the kernel. `fd`: its descriptor; `spec`: the program in the object; `type`, `attach_type`:
    libbpf's words (`attach_type` None: its section declares none); `attach_to`: the target its section or the caller
    named, else None; `links`: what it is attached to."""

    __slots__ = ("__weakref__", "_planned", "fd", "links", "name", "owner", "spec")

    def __init__(self, owner: Loaded, planned: PlannedProgram, fd: Fd) -> None:
        self.owner = owner
        self._planned = planned
        self.name: str = planned.name
        self.fd = fd
        self.spec: Program = planned.source
        self.links: list[Link] = []

    @property
    def type(self) -> str:
        number = self._planned.type
        return PROGRAM_TYPES[number] if number < len(PROGRAM_TYPES) else str(number)

    @property
    def attach_type(self) -> str | None:
        number = self._planned.attach_type
        return ATTACH_TYPES[number] if 0 <= number < len(ATTACH_TYPES) else None

    @property
    def attach_to(self) -> str | None:
        return self._planned.attach_to or None

    @property
    def section(self) -> str:
        return self.spec.section

    @property
    def btf(self) -> Btf | None:
        """The object's types."""
        types: Btf | None = self.owner.object.btf
        return types

    @property
    def sleepable(self) -> bool:
        return self._planned.sleepable

    @property
    def log(self) -> str:
        """The verifier's log; empty unless loaded with `log_level=`."""
        log: str = self.owner.log(self.name)
        return log

    def fileno(self) -> int:
        """The descriptor's number."""
        return self.fd.fileno()

    def pin(self, path: str | PathLike[str]) -> None:
        """Keeps the program loaded beyond this process, by a file of bpffs. `KernelError` when the path is taken."""
        self.owner._check_open()
        from bpfsmith.kernel import pinning

        pinning.pin(f"program `{self.name}`", fspath(path), self.fd)

    def __repr__(self) -> str:
        return f"<LoadedProgram {self.name}: {self.type}>"


class _Named(Mapping):  # type: ignore[type-arg]  # typed by what its heirs answer
    """Name -> what the object has by that name; a wrong one is refused with near matches."""

    __slots__ = ("_loaded", "_made")
    _kind = ""

    def __init__(self, loaded: Loaded, made: dict[str, Any]) -> None:
        self._loaded = loaded
        self._made = made

    def _names(self) -> Any:
        raise NotImplementedError

    def _make(self, name: str) -> Any:
        raise NotImplementedError

    def _absent(self, name: str) -> str:  # noqa: ARG002
        """Why a name of the object is not here."""
        return ""

    def __getitem__(self, name: str) -> Any:
        found = self._made.get(name)
        if found is None:
            self._loaded._check_open()
            if name not in self._names():
                from bpfsmith.run.options import unknown

                error = unknown(self._kind, name, self._names(), self._loaded.object.path)
                error.hint = self._absent(name) or error.hint
                raise error
            found = self._made[name] = self._make(name)
        return found

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self._names() else default

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return f"<{self._kind}s {', '.join(self._names())}>"


class Programs(_Named):
    """The loaded programs by name, in the object's order."""

    __slots__ = ()
    _kind = "program"

    def _names(self) -> dict[str, PlannedProgram]:
        return self._loaded._planned.programs

    def _make(self, name: str) -> LoadedProgram:
        planned = self._loaded._planned.programs[name]
        fd = self._loaded._fds[planned.slot]
        return LoadedProgram(self._loaded, planned, fd)

    def _absent(self, name: str) -> str:
        if self._loaded.object.program(name) is None:
            return ""
        return f"the object has it, but it was not loaded: pass `autoload=['{name}']` or name it in `select=`"


class Maps(_Named):
    """The maps by name, in the object's order; each is opened when it is first asked for."""

    __slots__ = ()
    _kind = "map"

    def _names(self) -> dict[str, PlannedMap]:
        return self._loaded._planned.maps

    def _make(self, name: str) -> Any:
        return self._loaded._open_map(name)


class Loaded:
    """What `bpfsmith.load` answers; a context manager.

    `programs`, `maps`: by name; `globals`: live values by name; `links`: everything attached through it, detached when
    it is closed; `plan`: the commands that loaded it; `notes`: what was done otherwise than the object says.
    Closing also unloads what nothing else holds (no link of another process, no pin)."""

    __slots__ = (
        "_closed", "_fds", "_given", "_globals", "_kernel", "_logs", "_maps", "_own", "_planned", "_programs", "links",
        "object",
    )  # fmt: skip

    def __init__(
        self,
        obj: Object,
        kernel: Kernel,
        planned: Planned,
        fds: list[Fd | None],
        given: dict[str, Any],
        logs: dict[str, str],
        own: bool = False,
    ) -> None:
        self.object = obj
        self._kernel = kernel
        self._planned = planned
        self._given = given
        self._logs = logs
        self._globals: Globals | None = None
        self._closed = False
        self._fds: dict[str, Fd] = {}
        for slot, fd in zip(planned.plan.slots, fds, strict=True):
            if fd is None:
                continue
            # The kernel holds what maps and programs need of the rest: templates of inner maps, types of modules, a
            # token.
            if slot.startswith(("map:", "program:", "btf")) and not slot.endswith(".inner"):
                self._fds[slot] = fd
            else:
                fd.close()
        # `programs` and `maps` are made when asked for: kept here they would be a cycle, and what is behind it is
        # large.
        self._programs: dict[str, Any] = {}
        self._maps: dict[str, Any] = {}
        self._own = own
        self.links: list[Link] = []

    # ------------------------------------------------------------ what there is

    @property
    def programs(self) -> Programs:
        """The loaded programs by name."""
        return Programs(self, self._programs)

    @property
    def maps(self) -> Maps:
        """The maps by name."""
        return Maps(self, self._maps)

    @property
    def globals(self) -> Globals:
        """Variables of `.data`, `.rodata`, `.bss` by name: reads and writes the memory the programs use."""
        if self._globals is None:
            from bpfsmith.run.globals import Globals

            self._globals = Globals(self)
        return self._globals

    @property
    def plan(self) -> Plan:
        return self._planned.plan

    @property
    def notes(self) -> list[tuple[str, str]]:
        """(what, sentence)."""
        return self._planned.plan.notes

    @property
    def kernel(self) -> Kernel:
        """The kernel it was planned for."""
        return self._kernel

    @property
    def btf_fd(self) -> Fd | None:
        """Its types in the kernel; None when they were not loaded."""
        return self._fds.get("btf")

    @property
    def closed(self) -> bool:
        return self._closed

    def log(self, program: str) -> str:
        """The verifier's log of a program, "" unless loaded with `log_level=`."""
        if program not in self.programs:
            self.programs[program]  # raises
        return self._logs.get(f"program `{program}`", "")

    def struct_ops_value(self, name: str) -> bytes:
        """The value to store in struct_ops map `name` (key 0) to register it: laid out as this kernel's type, with the
        descriptors of its programs filled in."""
        from sys import byteorder

        planned = self._planned.maps[name] if name in self._planned.maps else self.maps[name]
        data = bytearray(planned.data or b"")
        for at, program in planned.funcs:
            loaded = self._fds.get(f"program:{program}")
            if loaded is not None:
                data[at : at + 8] = loaded.fileno().to_bytes(8, byteorder)
        return bytes(data)

    # ------------------------------------------------------------ doing

    def attach(self, **targets: Any) -> list[Link]:
        """Attaches every program as its section says. `targets`: program -> what to attach it to, when its section does
        not say: `attach(count="eth0")`, several words as a tuple (`("eth0", "ingress")`), options as a dict; programs
        that say nothing and are given nothing raise.

        All or none: when one cannot be attached, those attached before it are detached again."""
        self._check_open()
        for name in targets:
            self.programs[name]
        made: list[Link] = []
        try:
            for name in self.programs:
                given = targets.get(name)
                program = self.programs[name]
                if isinstance(given, dict):
                    made.append(program.attach(**given))
                elif isinstance(given, tuple):
                    made.append(program.attach(*given))
                elif given is not None:
                    made.append(program.attach(given))
                else:
                    made.append(program.attach())
        except BaseException:
            for link in reversed(made):
                link.detach()
            raise
        return made

    def close(self) -> None:
        """Detaches every link made through it but the pinned ones, then lets go of programs and maps. May be called
        twice."""
        if self._closed:
            return
        self._closed = True
        problem: BaseException | None = None
        for link in reversed(list(self.links)):
            try:
                link.close()
            except Exception as error:
                problem = problem or error
        self.links.clear()
        if self._globals is not None:
            self._globals._close()
        given = list(map(id, self._given.values()))
        for one in self._maps.values():
            close = getattr(one, "close", None)
            if close is not None and id(one) not in given:
                close()
        for fd in self._fds.values():
            fd.close()
        # What refers to each other waits for the collector otherwise; an object can be megabytes.
        self._globals = None
        self._programs.clear()
        self._maps.clear()
        if self._own:
            self.object.forget()
        if problem is not None:
            raise problem

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self.programs)} programs, {len(self.maps)} maps"
        return f"<Loaded {self.object.path}: {state}>"

    # ------------------------------------------------------------ for its parts

    def _check_open(self) -> None:
        if self._closed:
            from bpfsmith.model.errors import Closed

            raise Closed(f"`{self.object.path}` was closed", where=self.object.path)

    def _fd_of(self, name: str) -> Any:
        """Something with `fileno()` for a map of the object."""
        given = self._given.get(name)
        if given is None:
            return self._fds[self._planned.maps[name].slot]
        return given

    def _open_map(self, name: str) -> Any:
        from bpfsmith.run.maps import MapSpec, open_map

        given = self._given.get(name)
        if given is not None and hasattr(given, "spec"):
            return given  # a Map: the same one
        planned = self._planned.maps[name]
        btf = self.object.btf
        if planned.source.native.origin in ("data", "kconfig"):
            # Compilers leave sizes and offsets of sections to the loader.
            from bpfsmith._native import Btf

            filled = self.object.native.kernel_btf()
            btf = None if filled is None else Btf.parse(filled)
        return open_map(self._fd_of(name), _spec(MapSpec, planned, btf), self)


def _spec(make: Any, planned: PlannedMap, btf: Btf | None) -> Any:
    native = planned.source.native
    return make(
        name=planned.name,
        type=planned.type_name,
        key_size=planned.key_size,
        value_size=planned.value_size,
        max_entries=planned.max_entries,
        flags=planned.flags,
        map_extra=planned.map_extra,
        btf=btf,
        key_type=native.key_type,
        value_type=native.value_type,
        inner=None if planned.inner is None else _spec(make, planned.inner, btf),
        origin=native.origin,
    )
