"""`bpfsmith.load`: an object into the kernel.

The plan is made for a kernel that has everything, and replayed. Only when a command fails is the kernel asked what it
really can do; a plan that differs then is replayed anew. So a load that works costs no probing at all.
"""

from __future__ import annotations

import os
from os import fspath
from sys import byteorder

from bpfsmith import kernel as door_of
from bpfsmith.run.loaded import Loaded
from bpfsmith.run.planned import Options
from bpfsmith.run.planner import Planned, plan_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from typing import Any

    from bpfsmith._native import Fd
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object
    from bpfsmith.run.plan import Plan

__all__ = ["load", "plan", "planned"]

SMALL = 1 << 20
S_IFMT, S_IFREG = 0o170000, 0o100000

# Arenas this process has placed so far: each gets addresses of its own.
_arenas = [0]


def load(
    path: str | PathLike[str] | bytes | Object,
    *,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the domain
    map_sizes: Mapping[str, int] | None = None,
    select: str | Iterable[str] | None = None,
    autoload: Mapping[str, bool] | Iterable[str] | None = None,
    programs: Mapping[str, Mapping[str, Any]] | None = None,
    maps: Mapping[str, Any] | None = None,
    pin_path: str | PathLike[str] | None = None,
    pins: Mapping[str, str | PathLike[str]] | None = None,
    kconfig: Mapping[str, Any] | None = None,
    btf: str | PathLike[str] | Kernel | None = None,
    kernel: Kernel | None = None,
    log_level: int = 0,
    token: str | PathLike[str] | None = None,
    attach: bool = False,
) -> Loaded:
    """Loads an object: creates its maps, sets its globals, relocates and loads its programs.

        with bpfsmith.load("prog.o", globals={"LIMIT": 10}, map_sizes={"FLOWS": 1 << 20}) as bpf:
            bpf.programs["count"].attach_xdp("eth0")

    path: an ELF object: a file, its bytes, or what `bpfsmith.read` answered.
    globals: values of variables in `.data`, `.rodata` and `.bss` before anything runs, by name; ints, floats, bools,
        text, sequences and mappings as their type wants, or their bytes. `.rodata` is read-only afterwards.
    map_sizes: `max_entries` by map (bytes for ring buffers); `OUTER.inner` for the template of a map of maps.
    select: names (`fnmatch` patterns) of the programs to load, and no others; their maps are all created.
    autoload: names of programs to load beside those (`?section` programs), or name -> whether.
    programs: name -> settings: `type`, `attach_type` (libbpf's words), `attach_to` (target of programs that are bound
        when loaded), `attach_prog` (a loaded program to extend or trace), `flags` (int, or words: `sleepable`,
        `xdp_frags`, `dev_bound`, `any_alignment`, `strict_alignment`, `test_state_freq`), `ifindex` (device to be bound
        to, a name or number).
    maps: name -> a `Map`, descriptor or number to use instead of creating one; refused when it differs.
    pin_path: folder of bpffs for maps pinned by name (default /sys/fs/bpf); what is pinned there is used when it is the
        same kind of map, else `PinMismatch`. pins: name -> path for maps to pin that do not say so themselves.
    kconfig: values for `.kconfig` externs, before those of the kernel's configuration.
    btf: types to relocate against instead of the running kernel's: a file (raw BTF, or ELF with `.BTF`) or a `Kernel`.
    kernel: what to plan for, instead of `bpfsmith.kernel.live()`.
    log_level: 1 or 2 (more), 4 (statistics): keep the verifier's log of every program, `Loaded.log(name)`.
    token: path of a bpffs with delegation; the kernel then takes a BPF token (6.9+) in place of capabilities.
        Without it `LIBBPF_BPF_TOKEN_PATH` of the environment names one, as for libbpf; `token=""` takes none.
    attach: attach every program whose section says where to.

    Raises `VerifierRejected` with the verifier's reason and the source line, `UnknownName`, `ValueMismatch`,
    `TargetMissing`, `PermissionMissing` (CAP_BPF, with CAP_PERFMON or CAP_NET_ADMIN for the types that want them;
    CAP_SYS_ADMIN before 5.8), `Unsupported`, `KernelError`. Nothing stays loaded, pinned or attached after an error.
    """
    obj = _read(path)
    if kernel is not None or log_level or token is not None:
        from bpfsmith.run.options import shapes

        shapes(kernel=kernel, log_level=log_level, token=token)
    token = _token(token)
    options = _options(
        obj, globals, map_sizes, select, autoload, programs, maps, pins, pin_path, kconfig, btf, token=bool(token)
    )
    if obj.endianness != byteorder:
        from bpfsmith.model.errors import InputError

        raise InputError(
            f"`{obj.path}` is {obj.endianness}-endian, and this machine is {byteorder}-endian",
            where=obj.path,
            hint=f"build it for `{'bpfel' if byteorder == 'little' else 'bpfeb'}-unknown-none`, or read it only",
        )
    if not 0 <= log_level < 8:
        from bpfsmith.model.errors import InputError

        raise InputError(f"`log_level={log_level}`", hint="1, 2 (more), 4 (statistics), or a sum of them")
    own = obj is not path
    try:
        loaded = _execute(obj, kernel if kernel is not None else door_of.live(), options, log_level, token, own)
    except BaseException:
        if own:
            obj.forget()
        if options.pins:
            from bpfsmith.run.pins import tidy

            tidy(options)
        raise
    if attach:
        try:
            loaded.attach()
        except BaseException:
            loaded.close()
            raise
    return loaded


def plan(path: str | PathLike[str] | bytes | Object, *, kernel: Kernel | None = None, **options: Any) -> Plan:
    """What `load` with the same arguments would ask of the kernel, without asking; pins are taken as not there yet.

    `commands`, `text()`, `to_json()`, `to_bytes()`. Needs no privilege. Errors are those `load` finds by itself."""
    return planned(path, kernel=kernel, **options).plan


def planned(path: str | PathLike[str] | bytes | Object, *, kernel: Kernel | None = None, **options: Any) -> Planned:
    """As `plan`, with what the slots of the plan stand for."""
    obj = _read(path)
    names = ("globals", "map_sizes", "select", "autoload", "programs", "maps", "pins", "pin_path", "kconfig", "btf")
    wrong = options.keys() - {*names, "log_level", "token", "attach"}
    if wrong:
        raise TypeError(f"plan() got an unexpected keyword argument '{min(wrong)}'")
    told: list[Any] = [options.get(name) for name in names]
    from bpfsmith.run.options import shapes

    shapes(kernel=kernel, token=options.get("token"))
    decided = _options(obj, *told, token=bool(_token(options.get("token"))))
    return plan_object(obj, kernel if kernel is not None else door_of.live(), decided)


def _read(path: Any) -> Object:
    from bpfsmith.model.object import Object

    if isinstance(path, Object):
        return path
    from bpfsmith.read import read, read_bytes

    if isinstance(path, bytes | bytearray | memoryview):
        return read_bytes(bytes(path))
    # Most objects are small files: for those the reader of many files on all cores costs more than the reading. A
    # named pipe is not waited for: what is no small file is left to that reader, which says what is wrong with it.
    if not isinstance(path, str) and not hasattr(path, "__fspath__"):
        from bpfsmith.model.errors import InputError

        raise InputError(f"`{path!r:.60}` is no object", hint="give a path, bytes, or what `bpfsmith.read` answered")
    spelled = fspath(path)
    try:
        fd = os.open(spelled, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return read(spelled)
    try:
        told = os.fstat(fd)
        small = told.st_mode & S_IFMT == S_IFREG and 0 < told.st_size < SMALL
        data = os.read(fd, told.st_size) if small else b""
    except OSError:
        data = b""
    finally:
        os.close(fd)
    return read_bytes(data, spelled) if data and len(data) == told.st_size else read(spelled)


def _token(told: Any) -> str | None:
    """The bpffs to make a token from: the one told, or the one libbpf would take; "" stands for none."""
    return fspath(told if told is not None else os.environ.get("LIBBPF_BPF_TOKEN_PATH", "")) or None


def _options(
    obj: Object,
    values: Mapping[str, Any] | None,
    map_sizes: Mapping[str, int] | None,
    select: str | Iterable[str] | None,
    autoload: Mapping[str, bool] | Iterable[str] | None,
    programs: Mapping[str, Mapping[str, Any]] | None,
    maps: Mapping[str, Any] | None,
    pins: Mapping[str, str | PathLike[str]] | None,
    pin_path: str | PathLike[str] | None,
    kconfig: Mapping[str, Any] | None,
    btf: Any,
    *,
    token: bool,
) -> Options:
    options = Options()
    options.token = token
    options.arena += _arenas[0] << 32
    _arenas[0] += sum(one.type == 33 for one in obj.native.maps)
    # What is not used is not imported: a plain load takes none of these.
    others = (map_sizes, select, autoload, programs, maps, pins, pin_path, kconfig, btf)
    if (values is not None and values.__class__ is not dict) or any(one is not None for one in others):
        from bpfsmith.run.options import shapes

        shapes(
            globals=values, map_sizes=map_sizes, select=select, autoload=autoload, programs=programs, maps=maps,
            pins=pins, pin_path=pin_path, kconfig=kconfig, btf=btf,
        )  # fmt: skip
    if values:
        from bpfsmith.run.globals import initial

        options.data = initial(obj, values)
    if map_sizes or select is not None or autoload or programs or maps or kconfig or btf is not None:
        from bpfsmith.run.options import fill

        fill(options, obj, map_sizes, select, autoload, programs, maps, kconfig, btf)
    if pins or any(one.pinning for one in obj.native.maps):
        from bpfsmith.run.pins import wanted

        options.pins = wanted(obj, pin_path, pins)
    return options


def _execute(obj: Object, kernel: Kernel, options: Options, log_level: int, token: str | None, own: bool) -> Loaded:
    from bpfsmith.run.attempt import attempt

    door = door_of.door()
    fixed: dict[str, Any] = {}
    if token is not None:
        from bpfsmith.run.pins import open_bpffs

        fixed["bpffs"] = open_bpffs(token)
    fds: list[Fd | None] = []
    told: dict[str, str] = {}

    def replay(planned: Planned, given: list[tuple[int, int]]) -> tuple[int, int, str] | None:
        plan = planned.plan
        fds[:], failure, logs = door.replay(plan.steps(), len(plan.slots), given, log_level)
        told.update((plan.commands[at].what, log) for at, log in logs)
        return failure

    planned, failure, pinned = attempt(obj, kernel, options, replay, fixed)
    if failure is not None:
        from bpfsmith.run.reject import meaning

        raise meaning(obj, kernel, planned, failure)
    for fd in fixed.values():
        fd.close()
    for name, fd in pinned.items():
        fds[planned.plan.slot(planned.maps[name].slot)] = fd
        del options.given[name]
    return Loaded(obj, kernel, planned, fds, dict(options.given), told, own)
