"""A second `check` of what has not changed: the findings of the first one.

An entry is found by bpfsmith's own files, the arguments, the folder and the environment; it holds what was said and all
that was looked at to say it: files opened, folders listed, paths asked for, present or not. It counts only when all of
that is as it was: nothing of it has another time stamp, or what has one has the same content. While a check runs for
the first time, a recorder notes what Python opens, lists and asks for; a check that read what cannot be compared later
(`/proc`, devices, a file that was being written) is not kept.

Entries are written beside their place and renamed: a reader sees a whole one or none. What is damaged is none.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith.check.report import Report
    from bpfsmith.model.finding import Value

__all__ = ["looked", "made", "saw", "through", "values"]

_MAGIC = b"bpfsmith check 1\n"
_MAX_ENTRY = 16 << 20  # bytes
_MAX_FOLDER = 128 << 20
_MAX_CONTENT = 4 << 20  # larger files are compared by size and time
_RACE = 20_000_000  # nanoseconds; how far the clock of files may be behind
_ENVIRONMENT = ("CARGO", "RUST", "BPFSMITH", "XDG_", "AYA", "HOME", "PATH", "LIB", "GLIBC")
_OURS = ("", "check", "facts", "model", "read", "rules", "rules/moves", "source", "source/aya", "verdict", "lab")
_EVENTS = ("/sys/kernel/tracing/events/", "/sys/kernel/debug/tracing/events/")  # plain files: compared by content
# What is compared of a path.
_KIND, _STATE, _CONTENT, _NAMES, _LINK = 1, 2, 4, 8, 16

_recorder: _Recorder | None = None


def saw(path: str) -> None:
    """A file was read by other means than Python's."""
    if _recorder is not None:
        _recorder.note(path, _CONTENT)


def looked(more: dict[str, int] | None = None) -> dict[str, int]:
    """What was looked at so far; `more` is what another process has looked at for this one."""
    if _recorder is None:
        return {}
    for path, what in (more or {}).items():
        _recorder.seen[path] = _recorder.seen.get(path, 0) | what
    return _recorder.seen


def through(asked: tuple[object, ...], work: Callable[[], Report]) -> Report:
    """What `work` reports, from the cache if that is known already."""
    if "bpfsmith.check.engine" in sys.modules:
        return work()  # too late to see what is looked at
    try:
        place = _place(asked)
        found = _read(place)
    except (OSError, ValueError):
        return work()
    if found is not None:
        return found
    recorder = _Recorder()
    with recorder:
        report = work()
    with suppress(OSError, ValueError):  # a full disk, a folder of somebody else's: nothing is kept
        _write(place, recorder, report)
    return report


def _place(asked: tuple[object, ...]) -> str:
    from bpfsmith import __version__

    names = sorted(name for name in os.environ if name.startswith(_ENVIRONMENT))
    key = (
        __version__, sys.version, os.uname()[2:], _own_files(), os.getcwd(), asked,
        [(name, os.environ[name]) for name in names],
    )  # fmt: skip
    name = _digest(repr(key).encode("utf-8", "surrogateescape")).hex()
    base = os.environ.get("BPFSMITH_CACHE")
    if not base:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        base = os.path.join(home, "bpfsmith")
    return os.path.join(base, "check", name[:48])


def _digest(data: bytes) -> bytes:
    try:
        from _blake2 import blake2b  # hashlib loads OpenSSL for it
    except ImportError:
        from hashlib import blake2b
    digest: bytes = blake2b(data, digest_size=24).digest()
    return digest


def _own_files() -> list[tuple[str, int, int]]:
    """The files of this package: names, sizes, times."""
    import bpfsmith

    found = []
    top = os.path.dirname(bpfsmith.__file__)
    for folder in _OURS:
        try:
            with os.scandir(os.path.join(top, folder)) as entries:
                for one in entries:
                    if one.name.endswith((".py", ".so", ".json", ".tsv", ".txt")):
                        state = one.stat()
                        found.append((f"{folder}/{one.name}", state.st_size, state.st_mtime_ns))
        except OSError:
            continue
    return sorted(found)


class _Recorder:
    """Notes what is opened, listed and asked for while it is entered."""

    def __init__(self) -> None:
        import time

        import bpfsmith

        self.seen: dict[str, int] = {}
        self.cwd = os.getcwd()
        self.own = (os.path.dirname(bpfsmith.__file__) + os.sep, os.path.dirname(os.__file__) + os.sep)
        self.on = False
        self.started = time.time_ns()

    def note(self, path: object, what: int) -> None:
        if not self.on or isinstance(path, int):
            return
        try:
            text = os.fsdecode(path)  # type: ignore[arg-type]  # what it is not, it refuses
        except TypeError:
            return
        if not text.startswith("/"):
            text = os.path.join(self.cwd, text)
        self.seen[text] = self.seen.get(text, 0) | what

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            self.note(args[0], _CONTENT)
        elif event in ("os.listdir", "os.scandir"):
            self.note("." if args[0] is None else args[0], _NAMES)

    def __enter__(self) -> None:
        global _recorder  # noqa: PLW0603 - one process checks once
        real_stat, real_lstat, real_realpath = os.stat, os.lstat, os.path.realpath
        kinds = {name: getattr(os.path, name) for name in ("isfile", "isdir", "exists")}
        links = {name: getattr(os.path, name) for name in ("islink", "lexists")}

        def stat(path: Any, *args: Any, **options: Any) -> os.stat_result:
            self.note(path, _LINK if options.get("follow_symlinks") is False else _STATE)
            return real_stat(path, *args, **options)

        def lstat(path: Any, **options: Any) -> os.stat_result:
            self.note(path, _LINK)
            return real_lstat(path, **options)

        def quiet(real: Callable[..., Any], what: int) -> Callable[..., Any]:
            def ask(path: Any) -> Any:
                self.note(path, what)
                was, self.on = self.on, False
                try:
                    return real(path)
                finally:
                    self.on = was

            return ask

        def realpath(path: Any, **options: Any) -> Any:
            was, self.on = self.on, False
            try:
                told = real_realpath(path, **options)
            finally:
                self.on = was
            # The links on the way to it and within it.
            for whole in {os.path.abspath(path), told}:
                one = whole
                while len(one) > 1 and not self.seen.get(one, 0) & _LINK:
                    self.note(one, _LINK)
                    one = os.path.dirname(one)
            return told

        self.patched: list[tuple[Any, str, Any]] = [
            (os, "stat", real_stat), (os, "lstat", real_lstat), (os.path, "realpath", real_realpath),
            *((os.path, name, real) for name, real in {**kinds, **links}.items()),
        ]  # fmt: skip
        os.stat, os.lstat = stat, lstat
        setattr(os.path, "realpath", realpath)  # noqa: B010 - its type is an overloaded one
        for name, real in kinds.items():
            setattr(os.path, name, quiet(real, _KIND))
        for name, real in links.items():
            setattr(os.path, name, quiet(real, _LINK))
        sys.addaudithook(self._heard)
        self.on = True
        _recorder = self

    def __exit__(self, *_: object) -> None:
        global _recorder  # noqa: PLW0603
        self.on = False
        _recorder = None
        for where, name, real in self.patched:
            setattr(where, name, real)

    def looked_at(self) -> list[tuple[str, int]]:
        """Paths and what was asked of them; `ValueError` when something cannot be compared later."""
        out = []
        for spelled, what in self.seen.items():
            path = os.path.normpath(spelled)
            if path.startswith(self.own) or path.endswith((".pyc", "/__pycache__")):
                continue
            if path == "/sys/kernel/btf/vmlinux":
                continue  # of the running kernel, which is part of the key
            if path == "/proc/self/task":
                continue  # whether there are other threads changes how the work is done, not what comes out
            if path.startswith(("/proc/", "/sys/", "/dev/")) and not path.startswith(_EVENTS):
                raise ValueError(path)
            out.append((path, what))
        return out


# ---------------------------------------------------------------- what a path was like


def _signature(path: str, what: int) -> tuple[int, ...] | None:
    """Of the link itself where links count: what is no link has the same either way."""
    try:
        state = os.lstat(path) if what & _LINK else os.stat(path)
    except (OSError, ValueError):
        return None
    return state.st_mode, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev


def _like(path: str, what: int) -> object:
    """What a path was like in the respects asked for."""
    told: list[object] = []
    signature = _signature(path, what & ~_LINK)
    if what & _LINK:
        try:
            told.append(os.readlink(path))
        except OSError:
            told.append(os.path.lexists(path))
    if signature is None:
        return [*told, None]
    kind = signature[0] & 0o170000
    told.append(kind)
    if what & _STATE or (what & _CONTENT and signature[1] > _MAX_CONTENT):
        told.append(signature[:3])
    if what & _CONTENT and kind == 0o100000 and signature[1] <= _MAX_CONTENT:
        try:
            with open(path, "rb") as file:
                told.append(_digest(file.read()))
        except OSError as error:
            told.append(error.errno)
    if what & _NAMES:
        try:
            with os.scandir(path) as entries:
                told.append(sorted((one.name, one.is_dir(), one.is_file()) for one in entries))
        except OSError as error:
            told.append(error.errno)
    return told


# ---------------------------------------------------------------- entries


def _read(place: str) -> Report | None:
    import marshal

    try:
        with open(place, "rb") as file:
            data = file.read(_MAX_ENTRY + 1)
    except OSError:
        return None
    start = len(_MAGIC) + 24
    if not data.startswith(_MAGIC) or _digest(data[start:]) != data[len(_MAGIC) : start]:
        return None
    seen, value = marshal.loads(data[start:])
    for path, what, signature, like in seen:
        now = _signature(path, what)
        # A link says nothing of what it leads to.
        if (now != signature or (now and now[0] & 0o170000 == 0o120000)) and _like(path, what) != like:
            return None
    with suppress(OSError):
        os.utime(place)  # it was of use: others go first
    return _report(value)


def _write(place: str, recorder: _Recorder, report: Report) -> None:
    import marshal

    value = _flat(report)
    if value is None:
        return
    seen = []
    for path, what in recorder.looked_at():
        state = _signature(path, 0)
        if state is not None and state[3] >= recorder.started - _RACE and what & ~_LINK & ~_KIND:
            return  # changed meanwhile, or so shortly before that its time could not tell
        seen.append((path, what, _signature(path, what), _like(path, what)))
    body = marshal.dumps((seen, value))
    if len(body) > _MAX_ENTRY:
        return
    folder = os.path.dirname(place)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    temporary = f"{place}.{os.getpid()}"
    try:
        with open(temporary, "xb") as file:
            file.write(_MAGIC + _digest(body) + body)
        os.replace(temporary, place)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _bound(folder)


def _bound(folder: str) -> None:
    """Removes the entries that were not of use for the longest time until the rest is small enough."""
    with os.scandir(folder) as entries:
        states = [(one.stat().st_mtime_ns, one.stat().st_size, one.path) for one in entries if one.is_file()]
    total = sum(size for _, size, _ in states)
    for _, size, path in sorted(states):
        if total <= _MAX_FOLDER:
            break
        try:
            os.unlink(path)
        except OSError:
            continue
        total -= size


def _flat(report: Report) -> tuple[Any, ...] | None:
    """The report as plain values; None when it is none to keep."""
    from bpfsmith.model.errors import InputError

    if report.mended is not None or any(type(one) is not InputError for one in report.errors):
        return None
    errors = [(one.message, one.where, one.hint) for one in report.errors]
    roots = report.sources.roots if report.sources is not None else ()
    findings = values(tuple(report.findings))
    return findings, report.files, report.suppressed, report.notes, report.loads, errors, report.fail_on, roots


def values(value: Any) -> Any:
    """Our values as lists that begin with the name of their kind, tuples as they are."""
    from bpfsmith.model.finding import Value

    if isinstance(value, Value):
        return [type(value).__name__, *map(values, value._content())]
    return tuple(map(values, value)) if isinstance(value, tuple) else value


def made(value: Any) -> Any:
    """The value that `values` took apart."""
    from bpfsmith.model.finding import Edit, Evidence, Finding, Fix, Label, Span

    kinds: dict[str, type[Value]] = {one.__name__: one for one in (Edit, Evidence, Finding, Fix, Label, Span)}

    def make(value: Any) -> Any:
        if isinstance(value, list):
            kind = kinds[value[0]]
            one = kind.__new__(kind)
            one._set(*[make(part) if isinstance(part, list | tuple) else part for part in value[1:]])
            return one
        return tuple([make(part) for part in value]) if isinstance(value, tuple) else value

    return make(value)


def _report(value: tuple[Any, ...]) -> Report:
    from bpfsmith.check.report import Report
    from bpfsmith.model.errors import InputError
    from bpfsmith.rules._sources import Sources

    findings, files, suppressed, notes, loads, errors, fail_on, roots = value
    return Report(
        list(made(findings)),
        files=files,
        suppressed=suppressed,
        notes=notes,
        loads=loads,
        errors=[InputError(*one) for one in errors],
        fail_on=fail_on,
        sources=Sources(roots),
    )
