"""One kernel to work with from Python: a guest, and this thread inside it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike
    from types import TracebackType
    from typing import Any

    from bpfsmith.model.object import Object
    from bpfsmith.run.loaded import Loaded
    from bpfsmith.run.runreport import RunReport
    from bpfsmith.verdict import Judged, Request

    from .described import LabKernel
    from .door import GuestDoor
    from .guest import Completed, Guest
    from .store import Prepared

__all__ = ["Session"]


class Session:
    """What `lab.kernel("6.1")` gives. Inside its `with` block this thread talks to the guest: `bpfsmith.load`, maps,
    links and `k.verify` are the guest's. Blocks nest; the innermost counts, and `k.here()` goes back to an outer one.

    `guest`, `kernel` (its description) and `door` are there while the block runs."""

    __slots__ = ("_at", "_options", "_which", "guest")

    def __init__(self, which: str | Prepared, options: dict[str, Any]) -> None:
        self._which = which
        self._options = options
        self._at: Any = None
        self.guest: Guest

    def __enter__(self) -> Session:
        from .start import start

        self.guest = start(self._which, **self._options)
        self._at = self.here()
        self._at.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._at.__exit__(kind, error, trace)
        self.guest.close()

    def here(self) -> Any:
        """A block in which this thread talks to this guest."""
        from bpfsmith import kernel

        return kernel.through(self.guest.door, self.kernel)

    @property
    def name(self) -> str:
        return self.guest.name

    @property
    def kernel(self) -> LabKernel:
        """Its description: types, features, configuration, symbols."""
        return self.guest.kernel  # type: ignore[return-value]

    @property
    def door(self) -> GuestDoor:
        """Its bpf(2), perf and kernel files."""
        return self.guest.door

    # ------------------------------------------------------------ work

    def load(self, source: str | PathLike[str] | Object, **options: Any) -> Loaded:
        """As `bpfsmith.load`, into the guest. Use what it answers inside the block."""
        from bpfsmith.run.load import load

        with self.here():
            return load(source, **options)

    def verify(
        self, source: str | PathLike[str] | Object, *, programs: str | Sequence[str] = (),
        request: Request | None = None, loader: str | None = None,
    ) -> dict[str, Judged]:  # fmt: skip
        """The verdict on each program of an object, judged alone and by the rules of `bpfsmith verify`: name ->
        accepted, rejected or cannot, with message, source line and what it cost. `programs`: only these (names or
        patterns); `loader`: `aya` or `libbpf`, whose rules hold (default: by the object)."""
        from bpfsmith.model.errors import InputError, UnknownName
        from bpfsmith.model.object import Object
        from bpfsmith.read import read
        from bpfsmith.verdict import Request, loaders
        from bpfsmith.verdict.items import Given, chosen, verdict_of

        if loader is not None and loader not in loaders.LOADERS:
            raise InputError(f"unknown loader `{loader}`", hint=f"known are {' and '.join(loaders.LOADERS)}")
        obj = source if isinstance(source, Object) else read(source)
        words = [programs] if isinstance(programs, str) else list(programs)
        missing = [word for word in words if not chosen(obj, word)]
        if missing:
            raise UnknownName(f"no program `{missing[0]}` in `{obj.path}`", hint=f"it has {_listed(obj)}")
        base = request or Request()
        given = Given(base.attach_to, base.globals, base.map_sizes, loader, base.log_level, base)
        given.check([obj])
        items = given.items([(obj, program) for program in chosen(obj, words or None)], [])
        with self.here():
            return {item.program.name: verdict_of(item) for item in items}

    def exec(self, argv: Iterable[str], **options: Any) -> Completed:
        """Runs a command in it; the image `tools` has a shell, Python and bpftool. See `Guest.exec`."""
        return self.guest.exec(argv, **options)

    def run(
        self, source: str | PathLike[str] | Object, *, report: Callable[[str], None] = lambda _: None, **options: Any
    ) -> RunReport:
        """`bpfsmith.run` inside the guest: the same options as far as a command line can say them, the same report.
        Values of `globals` and `entries` are those JSON has (no bytes), `duration` counts in whole milliseconds,
        `on_event` gets each record as JSON has it; `kconfig`, `sink`, `log_level` and `stats=False` are refused. The
        guest of the image `tools` that is needed is this one where it is of that image, else one of its own.

        `InputError`, `EnvironmentMissing`, `KernelError` as the run in there ended."""
        from os import fspath

        from bpfsmith.model.object import Object

        from .start import start
        from .workload import run

        path = source.path if isinstance(source, Object) else fspath(source)
        if self._options.get("image") == "tools":
            return run(self.guest, path, options, report)
        with start(self._which, **{**self._options, "image": "tools", "memory": None}) as guest:
            return run(guest, path, options, report)

    def put(self, path: str | PathLike[str], data: bytes, mode: int = 0o644) -> None:
        """Writes a file in it."""
        self.guest.put(path, data, mode)

    def get(self, path: str | PathLike[str]) -> bytes:
        """Reads a file of it."""
        return self.guest.get(path)

    def __repr__(self) -> str:
        return f"<Session {self._which}>"


def _listed(obj: Object) -> str:
    return ", ".join(f"`{program.name}`" for program in obj.programs) or "none"
