"""Templates: a guest that has booted, saved, so that others go on from there in a tenth of a second.

    template = Template.find(spec, base)                  # None: there is none that can be trusted
    template = Template.make(spec, base, warm)            # boots one and saves it; `base` may refuse to keep it
    machine = Machine.clone(template)

A template is a folder `base/LABEL-MEMORY-KEY/` of three files: `ram` (the guest's memory, mapped by each clone),
`state` (the devices) and `about.json` (written last: what the other two are, and what was learnt about the kernel).
Its key changes with everything it depends on. Memory and state are saved into memory first: what has no name is not
left behind, and a full disk costs the next process a boot and this one nothing. Where a QEMU cannot leave the memory
out of the state (`x-ignore-shared`), the state holds both and there is no `ram`.
"""

from __future__ import annotations

import os
from contextlib import suppress

from bpfsmith.model.errors import BpfsmithError

from .machine import SHARED, Machine, Spec
from .qemu import boot_id, unlink, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Warm = Callable[[Machine], tuple[dict[str, Any], dict[str, bytes]]]

__all__ = ["Template", "Untrusted"]

FORMAT = 1
CHUNK = 1 << 20
PAGE = 4096
LIMIT = 60.0  # seconds QEMU may take to save
UNUSED = 86400.0  # seconds after which a template of another size or installation goes
OTHERS = 2  # templates of other installations that are kept
PATIENCE = 300.0  # seconds for another process that makes the same one


class Untrusted(BpfsmithError):
    """A template that is damaged or cannot be saved; caught here and by `lab.open`, which boots instead."""


class Template:
    """An opened template. `state` and `ram` are descriptors (`ram` -1: its state holds the memory); `about` what was
    learnt when it was made; `folder` "" when it lives in this process only, `unkept` then says why. A context
    manager."""

    __slots__ = ("_large", "_sums", "about", "folder", "ram", "spec", "state", "unkept")

    def __init__(
        self, spec: Spec, folder: str, state: int, ram: int, about: dict[str, Any], sums: dict[str, int],
        large: dict[str, bytes] | None = None,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.folder = folder
        self.state = state
        self.ram = ram
        self.about = about
        self.unkept = ""
        self._sums = sums
        self._large = large or {}

    # ------------------------------------------------------------ finding one

    @classmethod
    def find(cls, spec: Spec, base: str) -> Template | None:
        """The kept template of exactly this machine; None when there is none, or it is not what was written."""
        try:
            found = cls._open(spec, _folder(spec, base))
        except (OSError, ValueError, Untrusted):
            return None
        with suppress(OSError):
            os.utime(os.path.join(found.folder, "about.json"))  # its last use: see `_forget_others`
        return found

    @classmethod
    def _open(cls, spec: Spec, folder: str) -> Template:
        import json

        with open(os.path.join(folder, "about.json"), "rb") as file:
            text = file.read()
        told = json.loads(text)
        if not isinstance(told, dict) or told.get("format") != FORMAT or told.get("key") != spec.key():
            raise Untrusted("of another machine", folder)
        fds = {"state": -1, "ram": -1}
        try:
            files = told["files"]
            for name in files:
                how = os.O_RDWR if name == "ram" else os.O_RDONLY  # QEMU opens a private mapping for writing too
                fds[name] = os.open(os.path.join(folder, name), how | os.O_CLOEXEC)
            # What is as it was written, by size, times and inode, and was written since this machine started, is
            # trusted; a copy, or one that a power cut may have hit, is read once.
            if told.get("boot") != boot_id() or any(_stamp(fds[name]) != row["stamp"] for name, row in files.items()):
                for name, row in files.items():
                    _check(name, fds[name], row)
                told["boot"] = boot_id()
                for name, row in files.items():
                    row["stamp"] = _stamp(fds[name])
                _rewrite(folder, text, json.dumps(told).encode())
            return cls(spec, folder, fds["state"], fds["ram"], told["about"], told["large"])
        except BaseException as error:
            for fd in fds.values():
                if fd >= 0:
                    os.close(fd)
            if isinstance(error, (KeyError, TypeError, AttributeError)):
                raise Untrusted("`about.json` is damaged", folder) from None
            raise

    # ------------------------------------------------------------ making one

    @classmethod
    def make(cls, spec: Spec, base: str, warm: Warm, *, anew: bool = False, keep: bool = True) -> Template:
        """Boots the machine, lets `warm` wait for it and learn about it (what is small is kept as `about`, what is
        large for `extra`), and saves it. Another process that makes the same one is waited for and its template taken;
        with `anew` what is kept goes. `keep` False: it lives in this process only.

        `Untrusted` when this QEMU cannot save; what `warm` raises."""
        if not keep:
            return cls._made(spec, "", warm)
        folder = _folder(spec, base)
        lock = _locked(folder)
        try:
            if anew:
                _clear(folder)
            elif lock >= 0:
                found = cls.find(spec, base)
                if found is not None:
                    return found
            return cls._made(spec, folder if lock >= 0 else "", warm)
        finally:
            if lock >= 0:
                os.close(lock)

    @classmethod
    def _made(cls, spec: Spec, folder: str, warm: Warm) -> Template:
        ram = os.memfd_create("bpfsmith-ram", os.MFD_CLOEXEC)
        state = -1
        try:
            state = os.memfd_create("bpfsmith-state", os.MFD_CLOEXEC)
            with Machine.boot(spec, ram=ram) as machine:
                about, large = warm(machine)
                shared = _save(machine, state)
            if not shared:
                os.close(ram)
                ram = -1
            made = cls(spec, "", state, ram, about, {}, large)
        except BaseException:
            for fd in (ram, state):
                if fd >= 0:
                    os.close(fd)
            raise
        if folder:
            try:
                made._keep(folder)
            except (OSError, ValueError) as error:
                _clear(folder)  # a full disk, mostly: this process goes on with what it has in memory
                made.unkept = (getattr(error, "strerror", "") or str(error)).lower()
            else:
                _forget_others(folder, spec)
        return made

    def _keep(self, folder: str) -> None:
        """Writes it down; files first, `about.json` last."""
        import json
        from zlib import crc32

        _clear(folder)
        files = {}
        for name, fd in (("state", self.state), ("ram", self.ram)):
            if fd < 0:
                continue
            copy, crc = _copied(fd, os.path.join(folder, name))
            files[name] = {"size": os.fstat(copy).st_size, "crc": crc, "stamp": _stamp(copy)}
            # From here on clones map the file: its pages are shared with every other process.
            os.dup2(copy, fd, inheritable=False)
            os.close(copy)
        for name, data in self._large.items():
            write_file(os.path.join(folder, name), data)
            self._sums[name] = crc32(data)
        told = {
            "format": FORMAT, "key": self.spec.key(), "boot": boot_id(), "files": files, "about": self.about,
            "large": self._sums, "made_by": self.spec.made_by(),
        }  # fmt: skip
        write_file(os.path.join(folder, "about.json"), json.dumps(told).encode())
        self.folder = folder

    # ------------------------------------------------------------ keeping one

    def extra(self, name: str) -> bytes | None:
        """One of the larger things learnt in its boot; None when there is no such, or not any more."""
        data = self._large.get(name)
        if data is None and self.folder and name in self._sums:
            from zlib import crc32

            try:
                with open(os.path.join(self.folder, name), "rb") as file:
                    data = file.read()
            except OSError:
                return None
            if crc32(data) != self._sums[name]:
                return None
        return data

    def close(self) -> None:
        for fd in (self.state, self.ram):
            if fd >= 0:
                os.close(fd)
        self.state = self.ram = -1

    def __enter__(self) -> Template:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Template {self.spec.name} {self.folder or 'in memory'}>"


# ------------------------------------------------------------ QEMU's side


def _save(machine: Machine, state: int) -> bool:
    """Saves a running machine's devices into a file, and says whether its memory was left out of it.

    The machine is not stopped before: QEMU stops it at the end of saving, and a clone then starts by itself."""
    from socket import send_fds

    if machine.qmp is None:
        raise Untrusted("no monitor")
    machine.qmp.settimeout(LIMIT)
    talk = _Monitor(machine)
    talk.ask(b'{"execute":"qmp_capabilities"}')
    shared = talk.ask(
        SHARED.rstrip(),
        may_fail=True,
    )
    talk.ask(b'{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":100000000000}}', may_fail=True)
    send_fds(machine.qmp, [b'{"execute":"getfd","arguments":{"fdname":"state"}}\n'], [state])
    talk.answer()
    talk.ask(b'{"execute":"migrate","arguments":{"uri":"fd:state"}}')
    from time import monotonic, sleep

    end = monotonic() + LIMIT
    while True:
        status = talk.ask(b'{"execute":"query-migrate"}').get("status")
        if status == "completed":
            return shared is not None
        if status in ("failed", "cancelled") or monotonic() > end:
            raise Untrusted(f"QEMU could not save the machine: {status}")
        sleep(0.002)


class _Monitor:
    """QMP as far as saving needs it: one question, one answer, events skipped."""

    __slots__ = ("_rest", "_socket")

    def __init__(self, machine: Machine) -> None:
        assert machine.qmp is not None
        self._socket = machine.qmp
        self._rest = b""

    def ask(self, question: bytes, *, may_fail: bool = False) -> Any:
        self._socket.sendall(question + b"\n")
        return self.answer(may_fail=may_fail)

    def answer(self, *, may_fail: bool = False) -> Any:
        import json

        while True:
            line, found, rest = self._rest.partition(b"\n")
            if not found:
                more = self._socket.recv(65536)
                if not more:
                    raise Untrusted("QEMU ended while it was saved")
                self._rest += more
                continue
            self._rest = rest
            told = json.loads(line)
            if "return" in told:
                return told["return"]
            if "error" in told:
                if may_fail:
                    return None
                raise Untrusted(f"QEMU could not save the machine: {told['error'].get('desc', '')}")


# ------------------------------------------------------------ files


def _folder(spec: Spec, base: str) -> str:
    return os.path.join(base, f"{spec.label}-{spec.memory}-{spec.key()}")


def _locked(folder: str) -> int:
    """The folder, made and held against other processes: its descriptor (closing lets go); -1: nothing can be kept."""
    while True:
        try:
            os.makedirs(folder, exist_ok=True)
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return -1
        try:
            _lock(fd)
            # Whoever held it may have removed the folder: a lock on that one is worth nothing.
            if os.path.samestat(os.fstat(fd), os.stat(folder)):
                return fd
        except FileNotFoundError:
            pass
        except OSError:
            os.close(fd)
            return -1
        os.close(fd)


def _lock(fd: int) -> None:
    """`OSError` when whoever holds it does not let go in the time a boot may take: better a template nobody keeps."""
    from fcntl import LOCK_EX, LOCK_NB, flock
    from time import monotonic, sleep

    end = monotonic() + PATIENCE
    while True:
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            if monotonic() > end:
                raise
            sleep(0.02)
        else:
            return


def _clear(folder: str) -> None:
    """Empties a template's folder; `about.json` first, so that no reader trusts the rest."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in sorted(names):
        unlink(os.path.join(folder, name))


def _rewrite(folder: str, before: bytes, after: bytes) -> None:
    """Writes `about.json` anew, if it is still what was read and nobody makes the template anew meanwhile: who reads it
    next looks at the files once more, that is all."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    path = os.path.join(folder, "about.json")
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flock(fd, LOCK_EX | LOCK_NB)
        with open(path, "rb") as file:
            same = file.read() == before
        if same:
            write_file(path, after)
    except OSError:
        pass
    finally:
        os.close(fd)


def _forget_others(folder: str, spec: Spec) -> None:
    """Removes templates of the same kernel and image that nobody used for a day, and of those that another agent or
    QEMU made all but the two used last: two installations that take turns keep theirs. Those somebody makes now are
    left alone, and clones that run keep what they have mapped."""
    from time import time

    base, own = os.path.split(folder)
    now, others = time(), []
    for name in os.listdir(base):
        if name == own or name.split("-")[0] != spec.label:
            continue
        path = os.path.join(base, name)
        made_by, used = _origin(path)
        if now - used > UNUSED:
            _forget(path)
        elif made_by != spec.made_by():
            others.append((used, path))
    for _, path in sorted(others, reverse=True)[OTHERS:]:
        _forget(path)


def _origin(path: str) -> tuple[str, float]:
    """(what made a template, when it was used last); ("", 0) of one that is damaged, half made or of another format."""
    import json

    try:
        with open(os.path.join(path, "about.json"), "rb") as file:
            return str(json.loads(file.read())["made_by"]), os.fstat(file.fileno()).st_mtime
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0.0


def _forget(path: str) -> None:
    from fcntl import LOCK_EX, LOCK_NB, flock

    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        flock(fd, LOCK_EX | LOCK_NB)
        _clear(path)
        os.rmdir(path)
    except OSError:
        pass
    finally:
        os.close(fd)


def _check(name: str, fd: int, row: dict[str, Any]) -> None:
    if os.fstat(fd).st_size != row["size"] or _checksum(fd) != row["crc"]:
        raise Untrusted(f"`{name}` is damaged")


def _stamp(fd: int) -> list[int]:
    status = os.fstat(fd)
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _parts(fd: int) -> Any:
    """(offset, bytes) of everything but holes."""
    size = os.fstat(fd).st_size
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        while at < end:
            data = os.pread(fd, min(CHUNK, end - at), at)
            if not data:
                return
            yield at, data
            at += len(data)


_EMPTY = bytes(PAGE)


def _checksum(fd: int) -> int:
    """Of its pages that are not zero and of where they lie: the same for a copy with other holes."""
    from zlib import crc32

    crc = 0
    for at, data in _parts(fd):
        crc = _crc_pages(crc32, crc, at, data)
    return crc


def _crc_pages(crc32: Callable[[bytes, int], int], crc: int, at: int, data: bytes) -> int:
    for start, piece in _runs(data):
        crc = crc32(piece, crc32((at + start).to_bytes(8, "little"), crc))
    return crc


def _runs(data: bytes) -> Any:
    """(offset, bytes) of each page that is not zero."""
    for start in range(0, len(data), PAGE):
        piece = data[start : start + PAGE]
        if piece != _EMPTY[: len(piece)]:
            yield start, piece


def _copied(source: int, path: str) -> tuple[int, int]:
    """(descriptor, checksum) of a copy with holes for zeros. It gets its name when it is complete, where the file
    system can do that."""
    try:
        copy = os.open(os.path.dirname(path), os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        named = False
    except OSError:
        copy = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        named = True
    try:
        crc = _copy_sparse(source, copy)
        if not named:
            # With a folder's descriptor it is linkat(2), which follows the link; Python's plain one does not.
            os.link(f"/proc/self/fd/{copy}", path, src_dir_fd=copy, follow_symlinks=True)
    except BaseException:
        os.close(copy)
        raise
    return copy, crc


def _copy_sparse(source: int, target: int) -> int:
    """Copies the pages that are not zero; answers their checksum."""
    from zlib import crc32

    crc = 0
    os.ftruncate(target, os.fstat(source).st_size)
    for at, data in _parts(source):
        for start, piece in _runs(data):
            crc = crc32(piece, crc32((at + start).to_bytes(8, "little"), crc))
            if os.pwrite(target, piece, at + start) != len(piece):
                raise OSError(28, "no space left on device")
    return crc
