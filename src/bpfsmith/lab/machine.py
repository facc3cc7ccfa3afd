"""One running machine: a QEMU process below a keeper, its channel, its console, its end.

    machine = Machine.boot(spec)            # a cold boot
    machine = Machine.clone(template)       # a copy of a template that runs already
    machine.channel                         # the socket to the agent inside

Nothing here waits for the guest: who talks through the channel knows how long that may take. No file is made and no
process outlives us: QEMU runs below a keeper that ends it when we are gone, whatever ended us.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from threading import Lock

from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, GuestFailed

from . import qemu as q
from .console import Console, excerpt, recognised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from .snapshot import Template

__all__ = ["SHARED", "Machine", "Spec", "keeper"]

# As QMP speaks; written before QEMU reads them, so that a clone costs no round trip.
_HELLO = b'{"execute":"qmp_capabilities"}\n'
SHARED = (
    b'{"execute":"migrate-set-capabilities",'
    b'"arguments":{"capabilities":[{"capability":"x-ignore-shared","state":true}]}}\n'
)
# How QEMU says that this machine has not the memory for a guest.
NO_MEMORY = ("annot allocate memory", "annot set up guest memory", "phys-bits too low")
_INCOMING = b'{"execute":"migrate-incoming","arguments":{"uri":"fd:%d"}}\n'


class Spec:
    """What a machine is made of: the QEMU and how it runs code, `kernel` (path of its ELF file or Image), `image`
    (makes the bytes of its initrd; called only for a boot) and `image_key` (what these bytes depend on), memory in MiB.

    `name` is for messages: `6.12`; `label` says which image it is: `base`."""

    __slots__ = ("accel", "append", "cpus", "image", "image_key", "kernel", "label", "memory", "name", "qemu")

    def __init__(
        self, name: str, qemu: q.Qemu, accel: str, kernel: str, image: Callable[[], bytes], image_key: str,
        *, label: str = "base", memory: int = 0, cpus: int = 1, append: str = "",
    ) -> None:  # fmt: skip
        self.name = name
        self.qemu = qemu
        self.accel = accel
        self.kernel = kernel
        self.image = image
        self.image_key = image_key
        self.label = label
        self.memory = memory or qemu.arch.memory
        self.cpus = cpus
        self.append = q.append(qemu.arch, append)

    def line(self, *, shared: bool = False, incoming: bool = False, mapped: bool = True) -> list[str]:
        return q.line(
            self.qemu, self.accel, self.memory, shared=shared, incoming=incoming,
            kernel="" if incoming else self.kernel, append=self.append, cpus=self.cpus,
            mapped=mapped,
        )  # fmt: skip

    def key(self) -> str:
        """24 hex digits that change with anything a snapshot of this machine depends on."""
        from hashlib import blake2b

        status = os.stat(self.kernel)
        parts = [
            self.qemu.stamp, self.qemu.told, *self.line(incoming=True), self.append,
            f"{status.st_size} {status.st_mtime_ns}", self.image_key,
        ]  # fmt: skip
        return blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()

    def made_by(self) -> str:
        """What makes all templates of an image stale when it changes: QEMU, the agent and the image's other parts."""
        return f"{self.qemu.stamp}\n{self.qemu.told}\n{self.append}\n{self.image_key}"

    def at(self, memory: int) -> Spec:
        """The same machine with more memory (MiB)."""
        other = Spec(
            self.name, self.qemu, self.accel, self.kernel, self.image, self.image_key, label=self.label, memory=memory,
            cpus=self.cpus,
        )  # fmt: skip
        other.append = self.append
        return other


class Machine:
    """A running QEMU. `channel`: the socket to the agent; `pid`: the keeper's; `qmp`: QEMU's own socket, or None;
    `cold`: it was booted, not copied."""

    __slots__ = (
        "_console", "_ending", "_leash", "_messages", "_owner", "_status", "channel", "cold", "pid", "qmp", "spec",
    )  # fmt: skip

    def __init__(
        self, spec: Spec, line: list[str], given: dict[int, int], qmp: socket | None, far: socket | None
    ) -> None:
        """Starts it. `given`: number inside -> our descriptor, which stays ours; `far`: QEMU's end of `qmp`."""
        self.spec = spec
        self.cold = q.INITRD in given
        self.qmp = qmp
        self._status: int | None = None
        self._ending = Lock()
        self._console = Console()
        self._messages = Console()
        self.channel, guest = _pair()
        # What the keeper watches is a socket: it is ended by `shutdown` although a fork of ours may hold a copy of it.
        self._leash, watched = _pair()
        self._owner = os.getpid()
        try:
            wanted = {
                0: watched.fileno(),
                1: self._console.fd,
                2: self._messages.fd,
                q.CHANNEL: guest.fileno(),
                **given,
            }
            if far is not None:
                wanted[q.QMP] = far.fileno()
            self.pid = _spawn([*keeper(), *line], wanted)
        except OSError as error:
            self.pid = 0
            self._status = -1
            self._close()
            raise EnvironmentMissing(
                f"a machine could not be started: {error.strerror}", "", error.filename or line[0]
            ) from None
        finally:
            guest.close()
            watched.close()
            if far is not None:
                far.close()

    @classmethod
    def boot(cls, spec: Spec, *, ram: int = -1) -> Machine:
        """A machine that boots its kernel now; with `ram` (a descriptor of a file) it can be made a template of."""
        initrd = _in_memory("bpfsmith-initrd", spec.image())
        try:
            given = {q.INITRD: initrd}
            if ram < 0:
                return cls(spec, spec.line(), given, None, None)
            near, far = _pair()
            os.truncate(ram, spec.memory << 20)
            return cls(spec, spec.line(shared=True), {**given, q.RAM: ram}, near, far)
        finally:
            os.close(initrd)

    @classmethod
    def clone(cls, template: Template) -> Machine:
        """A machine that goes on where the template's was saved, on memory of its own (copied as it is written)."""
        near, far = _pair()
        given = {q.STATE: template.state}
        if template.ram >= 0:
            given[q.RAM] = template.ram
        near.sendall(_HELLO + (SHARED if template.ram >= 0 else b"") + _INCOMING % q.STATE)
        os.lseek(template.state, 0, os.SEEK_SET)
        line = template.spec.line(incoming=True, mapped=template.ram >= 0)
        return cls(template.spec, line, given, near, far)

    # ------------------------------------------------------------ what it does

    @property
    def alive(self) -> bool:
        if self._status is None and self.pid:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, -1  # reaped by somebody else's `wait()`, or we are a fork
            if pid:
                self._status = status
        return self._status is None

    def console(self, lines: int = 40) -> str:
        """The last lines its kernel printed."""
        return self._console.tail(lines)

    def messages(self) -> str:
        """What QEMU itself complained about."""
        return self._messages.tail(10)

    def verdict(self) -> str | None:
        """`crash`, `lockup` or `memory` when the console shows one; None when it shows nothing of the kind."""
        found = recognised(self._console.text())
        return found[0] if found else None

    def failure(self, doing: str, limit: float | None = None) -> BpfsmithError:
        """The error for a machine that did not answer while `doing` something, from what its console and QEMU said:
        after the time limit `limit` (seconds), or because the channel ended. It is killed."""
        self._settle(limit is None)
        name = self.spec.name
        text = self._console.text()
        said = recognised(text)
        console = excerpt(text, said[1]) if said else self.console()
        messages, ended = self.messages(), not self.alive
        self.kill()
        if said:
            word = {"crash": "crashed", "lockup": "locked up", "memory": "ran out of memory"}[said[0]]
            what = "crash" if said[0] == "lockup" else said[0]
            return GuestFailed(f"the guest of kernel `{name}` {word} while {doing}: {said[1]}", what, console, name)
        if any(text in messages for text in NO_MEMORY):
            return EnvironmentMissing(f"no memory for a guest of {self.spec.memory} MiB: {_last(messages)}", "", name)
        never_up = self.cold and doing == "starting"
        if ended:
            told = f"the machine of kernel `{name}` ended while {doing}" + (f": {_last(messages)}" if messages else "")
            return GuestFailed(told, "boot" if never_up else "lost", console or messages, name)
        if limit is None:
            return GuestFailed(f"the guest of kernel `{name}` hung up while {doing}", "lost", console, name)
        told = f"the guest of kernel `{name}` did not answer for {limit:g} s while {doing}"
        return GuestFailed(told, "boot" if never_up else "hang", console, name)

    def _settle(self, ending: bool) -> None:
        """A guest that ends says why on its console; its last bytes come with its end: that is waited for shortly."""
        if ending and self.alive:
            _wait(self.pid, 1.0)

    def kill(self) -> None:
        """Ends it now, and waits until its processes are gone. Once is enough; more do nothing."""
        if self._owner != os.getpid():
            self._close()  # a fork of the process it belongs to
            return
        with self._ending:  # whoever waits for its guest ends it too
            if self._leash.fileno() >= 0:
                with suppress(OSError):  # of a keeper that is gone already
                    self._leash.shutdown(2)
            if self.alive and not _wait(self.pid, 5.0):
                os.kill(self.pid, 9)  # not reaped yet, so the number is still its own
                _wait(self.pid, 5.0)
            _ = self.alive  # reaps
            self._close()

    def _close(self) -> None:
        self._leash.close()
        self.channel.close()
        if self.qmp is not None:
            self.qmp.close()
        # What they said is still asked for after the end.
        self._console.keep()
        self._messages.keep()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def __del__(self) -> None:
        # At the end of Python nothing can be imported any more; the keeper ends QEMU without us.
        if getattr(self, "pid", 0) and not sys.is_finalizing() and self._leash.fileno() >= 0:
            self.kill()

    def __repr__(self) -> str:
        return f"<Machine {self.spec.name} {'running' if self.alive else 'ended'}>"


def keeper() -> list[str]:
    """What a QEMU is started below: the agent where it runs on this machine, else Python."""
    path = os.path.join(os.path.dirname(__file__), "_agent", q.host_arch())
    if os.access(path, os.X_OK):
        return [path, "keep", "--"]
    return [sys.executable, "-SE", os.path.join(os.path.dirname(__file__), "_keep.py"), "--"]


# ------------------------------------------------------------ inside


def _pair() -> tuple[socket, socket]:
    from socket import socketpair

    return socketpair()


def _in_memory(name: str, data: bytes) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return fd


def _spawn(command: list[str], wanted: dict[int, int]) -> int:
    """Starts a process that has exactly these descriptors, in a process group of its own: Ctrl-C is for us."""
    from signal import SIGINT, SIGPIPE, SIGTERM

    above = max(wanted) + 1
    copies: list[int] = []
    actions: list[tuple[int, int, int]] = []
    try:
        for number, fd in wanted.items():
            # Copied above all numbers wanted, so that none overwrites another.
            copies.append(_copy(fd, above))
            actions.append((os.POSIX_SPAWN_DUP2, copies[-1], number))
        return os.posix_spawn(
            command[0], command, os.environ, file_actions=actions, setpgroup=0, setsigmask=(),
            setsigdef=(SIGINT, SIGPIPE, SIGTERM),
        )  # fmt: skip
    finally:
        for fd in copies:
            os.close(fd)


def _copy(fd: int, above: int) -> int:
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    return fcntl(fd, F_DUPFD_CLOEXEC, above)


def _wait(pid: int, limit: float) -> bool:
    """Whether a child ended within the limit (seconds); it is not reaped."""
    from select import POLLIN, poll

    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        ready = poll()
        ready.register(fd, POLLIN)
        return bool(ready.poll(int(limit * 1000)))
    finally:
        os.close(fd)


def _last(messages: str) -> str:
    line = messages.rsplit("\n", 1)[-1]
    return line.partition(": ")[2] or line
