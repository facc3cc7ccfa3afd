"""The host's end of a channel: requests out, answers in, time limits, several threads.

Whoever waits for an answer reads for all: one thread at a time reads the socket and hands the others theirs. What goes
wrong for good (a time limit, the end of the channel) is `failed(doing, limit)`: the machine's error, with its console.
"""

from __future__ import annotations

from errno import EPROTO
from os import strerror
from select import POLLIN, POLLOUT, poll
from threading import Condition, Lock, RLock
from time import monotonic

from bpfsmith.model.errors import BpfsmithError, GuestFailed, ToolError

from . import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

__all__ = ["Answer", "Channel"]

# Seconds an answer may take when nobody says otherwise: a program that takes the verifier a minute, ten times slower.
PATIENCE = 60.0
_PIECE = 1 << 18
_HOW = {1: "crash", 2: "memory", 3: "crash"}


class Answer:
    """A request under way."""

    __slots__ = ("body", "doing", "kind", "number", "output", "parts", "room", "wants_output")

    def __init__(self, number: int, doing: str, wants_output: bool, room: int = 0) -> None:
        self.number = number
        self.doing = doing
        self.parts: list[bytes] = []
        self.output: list[tuple[int, bytes]] = []
        self.wants_output = wants_output
        self.room = room  # bytes of input it takes now
        self.kind = -1  # of the frame that ended it
        self.body = b""


class Channel:
    """`sock` becomes the channel's own. `name`: how messages call the guest."""

    __slots__ = (
        "_dead", "_frames", "_lock", "_next", "_open", "_reading", "_sending", "console", "failed", "generation",
        "limit", "name", "sock", "window",
    )  # fmt: skip

    def __init__(
        self, sock: socket, name: str, failed: Callable[[str, float | None], BpfsmithError],
        console: Callable[[], str] = str,
    ) -> None:  # fmt: skip
        sock.setblocking(False)
        self.sock = sock
        self.name = name
        self.failed = failed
        self.console = console
        self.limit = 1 << 30  # bytes of a request; `hello` says how many really
        self.window = 1 << 30  # bytes of input a command may be given ahead; `hello` says that too
        self.generation = 0
        # Re-entrant: the garbage collector may close a descriptor while its thread is in here.
        self._lock = Condition(RLock())
        self._sending = Lock()
        self._reading = False
        self._frames = wire.Frames()
        self._open: dict[int, Answer] = {}
        self._next = 1
        self._dead: BpfsmithError | None = None

    # ------------------------------------------------------------ requests

    def hello(self, limit: float) -> dict[str, str]:
        """Waits until the guest is up (seconds); what it tells about itself."""
        told = wire.hello(self.ask(wire.HELLO, b"", "starting", limit))
        try:
            self.limit, self.generation = int(told["limit"]), int(told["generation"])
            self.window = int(told.get("window", self.window))
        except (KeyError, ValueError):
            raise ToolError(f"the guest's greeting is wrong: {told}") from None
        return told

    def ask(self, kind: int, body: bytes | bytearray, doing: str, limit: float = PATIENCE) -> bytes:
        """A request and its answer. `doing` completes "while ..." in messages; `limit` in seconds.

        Raises `OSError` as the guest's kernel refused it, `GuestFailed`."""
        return self.finish(self.begin(kind, body, doing, limit), limit)

    def begin(
        self, kind: int, body: bytes | bytearray, doing: str, limit: float = PATIENCE, output: bool = False
    ) -> Answer:
        if len(body) > self.limit:
            raise self._too_large(len(body), doing)
        with self._lock:
            if self._dead is not None:
                raise self._dead
            number = self._next
            self._next = number % 0xFFFF_FFFF + 1
            answer = self._open[number] = Answer(number, doing, output, self.window)
        try:
            self._send(wire.frame(kind, number, body), doing, limit)
        except BaseException:
            self._open.pop(number, None)
            raise
        return answer

    def tell(self, kind: int, body: bytes | bytearray, doing: str, limit: float = PATIENCE) -> None:
        """A request that is not answered."""
        if self._dead is None:
            self._send(wire.frame(kind, 0, body), doing, limit)

    def finish(self, answer: Answer, limit: float = PATIENCE) -> bytes:
        """Waits for the end of an answer."""
        try:
            self.wait(answer, limit)
            if answer.kind < 0:
                raise self._die(self.failed(answer.doing, limit))
        finally:
            self._open.pop(answer.number, None)
        return self._settle(answer)

    def wait(self, answer: Answer, limit: float, output: bool = False, room: bool = False) -> bool:
        """Waits for its end (or its next output, or room for input); False: the time is over."""
        until = monotonic() + limit
        while True:
            with self._lock:
                while answer.kind < 0 and not (output and answer.output) and not (room and answer.room > 0):
                    if self._dead is not None:
                        raise self._dead
                    left = until - monotonic()
                    if left <= 0:
                        return False
                    if not self._reading:
                        break
                    self._lock.wait(left)
                else:
                    return True
                self._reading = True
            self._read(left, answer.doing)

    def output(self, answer: Answer) -> list[tuple[int, bytes]]:
        """What it wrote since the last call: (1 or 2, bytes)."""
        with self._lock:
            found, answer.output = answer.output, []
        return found

    def take_room(self, answer: Answer, wanted: int) -> int:
        """How many of so many bytes of input may be sent now; they count as sent."""
        with self._lock:
            taken = max(0, min(wanted, answer.room))
            answer.room -= taken
        return taken

    def forget(self, answer: Answer) -> None:
        """Nobody waits for it any more."""
        self._open.pop(answer.number, None)

    def close(self) -> None:
        if self._dead is None:
            self._dead = GuestFailed(f"the guest of kernel `{self.name}` was closed", "lost", "", self.name)
        self.sock.close()

    @property
    def closed(self) -> bool:
        return self._dead is not None

    # ------------------------------------------------------------ what came

    def _settle(self, answer: Answer) -> bytes:
        kind, body = answer.kind, answer.body
        if kind == wire.DONE:
            return b"".join((*answer.parts, body)) if answer.parts else body
        if kind == wire.ERROR:
            number = int.from_bytes(body[:4], "little", signed=True)
            told = body[4:].decode("utf-8", "replace")
            if told:
                raise ToolError(f"the guest refused {answer.doing}: {told}")
            raise OSError(number, strerror(number))
        if kind == wire.UNREADABLE:
            raise ToolError(
                f"the guest could not read a request while {answer.doing}: {body.decode('utf-8', 'replace')}"
            )
        if kind == wire.TOO_LARGE:
            self.limit = min(self.limit, int.from_bytes(body, "little"))
            raise self._too_large(0, answer.doing)
        if kind == wire.ENDED:
            how, code, _, text = wire.ended(body)
            told = {1: f": signal {code}", 3: f": exit status {code}"}.get(how, "")
            raise GuestFailed(f"{text} while {answer.doing}{told}", _HOW.get(how, "crash"), self.console(), self.name)
        raise ToolError(f"the guest sent an answer of kind {kind} while {answer.doing}")

    def _too_large(self, size: int, doing: str) -> GuestFailed:
        told = f"{size / 1e6:.0f} MB are" if size else "the request is"
        return GuestFailed(
            f"the guest of kernel `{self.name}` has no memory for {doing}: {told} more than the "
            f"{self.limit / 1e6:.0f} MB it can take at once", "memory", "", self.name,
            hint="give it more memory",
        )  # fmt: skip

    def _die(self, error: BpfsmithError) -> BpfsmithError:
        with self._lock:
            if self._dead is None:
                self._dead = error
            self._lock.notify_all()
        return self._dead

    def _dispatch(self, frames: list[tuple[int, int, bytes]]) -> None:
        """Called with the lock."""
        for kind, number, body in frames:
            if kind == wire.ENDED:
                self.generation = wire.ended(body)[2]
                for answer in self._open.values():
                    answer.kind, answer.body = kind, body
                continue
            told = self._open.get(number)
            if told is None:
                if kind == wire.UNREADABLE and number == 0:
                    raise ToolError(f"the guest could not read a frame: {body.decode('utf-8', 'replace')}")
                continue  # nobody waits for it any more
            if kind == wire.PART:
                told.parts.append(body)
            elif kind == wire.OUTPUT:
                if body[:1] == b"\x03":  # what it took of its input
                    told.room += int.from_bytes(body[1:5], "little")
                elif told.wants_output and body:
                    told.output.append((body[0], body[1:]))
            else:
                told.kind, told.body = kind, body

    # ------------------------------------------------------------ the socket

    def _read(self, left: float, doing: str) -> None:
        """One read for all; called by the one that set `_reading`."""
        frames: list[tuple[int, int, bytes]] = []
        try:
            frames = self._receive(left, doing)
        finally:
            with self._lock:
                self._reading = False
                try:
                    self._dispatch(frames)
                except ToolError as error:
                    self._die(error)
                self._lock.notify_all()

    def _receive(self, left: float, doing: str) -> list[tuple[int, int, bytes]]:
        ready = poll()
        try:
            ready.register(self.sock, POLLIN)
            if not ready.poll(max(1, int(left * 1000))):
                return []
            data = self.sock.recv(_PIECE)
        except BlockingIOError:
            return []
        except (OSError, ValueError):
            data = b""
        if not data:
            raise self._die(self._dead or self.failed(doing, None))
        try:
            return self._frames.feed(data)
        except ToolError as error:
            raise self._die(error) from None

    def _send(self, data: bytes, doing: str, limit: float) -> None:
        until = monotonic() + limit
        with self._sending:
            view = memoryview(data)
            try:
                while view:
                    try:
                        view = view[self.sock.send(view) :]
                    except BlockingIOError:
                        self._unblock(until, doing, limit)
                    except (OSError, ValueError):
                        raise self._die(self._dead or self.failed(doing, None)) from None
            except BpfsmithError:
                raise
            except BaseException:
                # Half a frame is out: nothing can follow it.
                self._die(GuestFailed(f"a request to kernel `{self.name}` was interrupted", "lost", "", self.name))
                raise

    def _unblock(self, until: float, doing: str, limit: float) -> None:
        """The guest takes nothing now: perhaps it waits until we take what it says."""
        left = until - monotonic()
        if left <= 0:
            raise self._die(self.failed(doing, limit))
        with self._lock:
            mine = not self._reading
            if mine:
                self._reading = True
        if not mine:
            self._poll(POLLOUT, left)
            return
        frames: list[tuple[int, int, bytes]] = []
        try:
            if self._poll(POLLIN | POLLOUT, left) & POLLIN:
                frames = self._receive(left, doing)
        finally:
            with self._lock:
                self._reading = False
                self._dispatch(frames)
                self._lock.notify_all()

    def _poll(self, events: int, left: float) -> int:
        ready = poll()
        try:
            ready.register(self.sock, events)
        except ValueError:
            raise OSError(EPROTO, strerror(EPROTO)) from None
        found = ready.poll(max(1, int(left * 1000)))
        return found[0][1] if found else 0
