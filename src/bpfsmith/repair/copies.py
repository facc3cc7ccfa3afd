"""A copy of a project that may be changed and built at will, away from the user's folder.

It lies in the cache under a name made of the project's own path, so that Cargo knows it again and builds only what
changed; what was built stays there (it is much and costs long), the copy of the sources does not. A second process that
repairs the same project meanwhile gets a temporary folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import tempfile
import threading

from bpfsmith.model.errors import InputError, ToolError
from bpfsmith.repair.tools import BuildFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType, TracebackType
    from typing import Any

__all__ = ["Copy"]

_LEFT_OUT = frozenset(
    {".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", ".mypy_cache", ".idea", ".vscode"}
)
_MOST_FILES = 20_000
_MOST_BYTES = 512 << 20
_KEPT = 6  # target folders of other projects that stay in the cache


class Copy:
    """`root` is copied to `self.root`; use it in a `with` block. `extra`: files and folders outside of `root` that are
    copied to the same places relative to it (path dependencies, configuration of parent folders). `whole=False`: of
    `root` too only what is in `extra`."""

    def __init__(self, root: str, extra: Iterable[str] = (), *, whole: bool = True, cache: str | None = None) -> None:
        self.original = os.path.realpath(root)
        outside = sorted({os.path.realpath(one) for one in extra} - {self.original})
        if whole:
            outside = [one for one in outside if not (one + os.sep).startswith(self.original + os.sep)]
        self._whole = whole
        folders = [one if os.path.isdir(one) else os.path.dirname(one) for one in outside]
        self._base = os.path.commonpath([self.original, *folders])
        self._outside = outside
        self._cache = cache
        self._texts: dict[str, bytes] = {}  # files as they were copied, of those that were changed
        self._lock: Any = None
        self._handler: Any = None
        self._temporary = ""
        self.target = ""  # a folder for what is built, kept from one time to the next
        self.objects = ""  # a folder for objects of earlier builds, taken away at the end
        self.root = ""
        self._top = ""

    def __enter__(self) -> Copy:
        place = self._kept_place() or self._temporary_place()
        self._top = os.path.join(place, "copy")
        self.target = os.path.join(place, "target")
        self.objects = os.path.join(place, "objects")
        self._terminated()
        try:
            for folder in (self._top, self.objects):
                shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(self.target, exist_ok=True)
            self.root = self.inside(self.original)
            count = [0, 0]
            os.makedirs(self.root, exist_ok=True)
            for one in [*([self.original] if self._whole else []), *self._outside]:
                self._copy(one, count)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    # ------------------------------------------------------------ places

    def inside(self, path: str) -> str:
        """Where a file of the user's is in the copy."""
        return os.path.normpath(os.path.join(self._top, os.path.relpath(os.path.realpath(path), self._base)))

    def outside(self, path: str) -> str:
        """Which file of the user's a file of the copy is; as given when it is none of it."""
        real = os.path.normpath(path)
        if not (real + os.sep).startswith(self._top + os.sep):
            return path
        return os.path.normpath(os.path.join(self._base, os.path.relpath(real, self._top)))

    def _kept_place(self) -> str | None:
        """The project's place in the cache, locked; None when another process has it or there is no cache."""
        home = self._cache
        if home is None:
            base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
            home = os.path.join(base, "bpfsmith", "repair")
        key = hashlib.sha256(f"{self._base}\0{self.original}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
        place = os.path.join(home, key)
        try:
            os.makedirs(place, exist_ok=True)
            self._lock = open(os.path.join(place, "lock"), "w")  # noqa: SIM115 - held until the end
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.utime(place)
        except OSError:
            self._unlock()
            return None
        if self._cache is None:
            _forget(home, key)
        return place

    def _temporary_place(self) -> str:
        try:
            self._temporary = tempfile.mkdtemp(prefix="bpfsmith-repair-")
        except OSError as error:
            raise ToolError(f"no temporary folder can be made: {error.strerror}", where=tempfile.gettempdir()) from None
        return os.path.realpath(self._temporary)

    def _copy(self, path: str, count: list[int]) -> None:
        if not os.path.isdir(path):
            self._file(path, count)
            return
        for folder, names, files in os.walk(path):
            os.makedirs(self.inside(folder), exist_ok=True)
            names[:] = [one for one in names if not self._skip(folder, one)]
            for one in [*names]:
                whole = os.path.join(folder, one)
                if os.path.islink(whole):
                    names.remove(one)
                    self._file(whole, count)
            for one in files:
                self._file(os.path.join(folder, one), count)

    @staticmethod
    def _skip(folder: str, name: str) -> bool:
        """Version control, and what a build made."""
        if name in _LEFT_OUT:
            return True
        whole = os.path.join(folder, name)
        return os.path.isfile(os.path.join(whole, "CACHEDIR.TAG")) or (
            name == "target" and os.path.isfile(os.path.join(folder, "Cargo.toml"))
        )

    def _file(self, path: str, count: list[int]) -> None:
        parent = self.inside(os.path.dirname(path))
        there = os.path.join(parent, os.path.basename(path))
        os.makedirs(parent, exist_ok=True)
        count[0] += 1
        try:
            if os.path.islink(path):
                link = os.readlink(path)
                real = os.path.realpath(path)
                # A link within what is copied leads to the copy; another one to what it led to.
                if not os.path.isabs(link) and (real + os.sep).startswith(self._base + os.sep):
                    os.symlink(link, there)
                else:
                    os.symlink(real, there)
                return
            if not os.path.isfile(path):
                return  # a pipe, a socket
            count[1] += os.path.getsize(path)
            if count[0] > _MOST_FILES or count[1] > _MOST_BYTES:
                raise InputError(
                    f"the project has more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MiB: it is not copied",
                    where=self.original,
                    hint="name the folder of the Cargo workspace itself",
                )
            # With the time of now: what was built of an earlier change must not pass for a build of this text.
            shutil.copy(path, there)
        except OSError as error:
            raise InputError(f"cannot be copied: {error.strerror}", where=path) from None

    # ------------------------------------------------------------ texts

    def holds(self, path: str) -> bool:
        """Whether a file of the user's was copied: what lies behind a link that leads out of the project was not, and
        must not be changed."""
        there = self.inside(path)
        if not there.startswith(self._top + os.sep) or not os.path.isfile(there):
            return False
        folder = os.path.dirname(there)
        wanted = os.path.join(os.path.realpath(self._top), os.path.relpath(folder, self._top))
        return os.path.realpath(folder) == os.path.normpath(wanted)

    def data(self, path: str) -> bytes:
        """What a file (named as the user has it) holds in the copy as it is now."""
        with open(self.inside(path), "rb") as file:
            return file.read()

    def change(self, texts: Mapping[str, str]) -> None:
        """Makes the copy the user's project with these texts (by the user's paths); others are as the user has them.
        `BuildFailed` for a file that is not in the copy."""
        for path in texts:
            if not self.holds(path):
                said = "it lies behind a link that leads out of the project, and is not changed"
                raise BuildFailed(said, path, output=said)
        for path in [*self._texts]:
            if path not in texts:
                self._write(path, self._texts.pop(path))
        for path, text in texts.items():
            if path not in self._texts:
                self._texts[path] = self.data(path)
            self._write(path, text.encode("utf-8"))

    def _write(self, path: str, data: bytes) -> None:
        there = self.inside(path)
        if os.path.islink(there):
            os.unlink(there)  # a link may lead out of the copy: it is replaced, never followed
        elif os.path.exists(there) and self.data(path) == data:
            return
        with open(there, "wb") as file:
            file.write(data)

    # ------------------------------------------------------------ the end

    def _terminated(self) -> None:
        """SIGTERM ends the `with` block as Ctrl-C does, so that nothing stays."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._handler = signal.signal(signal.SIGTERM, _raise)

    def _close(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None
        for folder in (self._top, self.objects):
            shutil.rmtree(folder, ignore_errors=True)
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _raise(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _forget(home: str, own: str) -> None:
    """Takes away what was built for projects that were not repaired for long."""
    try:
        with os.scandir(home) as entries:
            places = sorted(
                (one for one in entries if one.is_dir(follow_symlinks=False) and one.name != own),
                key=lambda one: one.stat().st_mtime,
                reverse=True,
            )
        for one in places[_KEPT:]:
            with open(os.path.join(one.path, "lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(one.path, ignore_errors=True)
    except OSError:
        return
