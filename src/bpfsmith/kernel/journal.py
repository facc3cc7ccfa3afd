"""What this process left in the kernel that a `kill -9` would not undo: netlink XDP, clsact filters, pins.

    entry = journal.record("pin", "/sys/fs/bpf/flows")     # before or right after it is made
    entry.done()                                           # or journal.forget("pin", "/sys/fs/bpf/flows")

Each process writes one file, `PID-STARTTIME.journal`, into `/run/bpfsmith` (root) or `$XDG_RUNTIME_DIR/bpfsmith`; both
are gone after a reboot, as what they tell of is. A line is `+KIND TAB WHERE TAB PROGRAM TAB NAMESPACE` when made,
`-...` when undone. A process that ends in order keeps its pins on purpose and takes them off its list; what else is
listed then, or after a kill, is what `bpfsmith doctor` shows and `doctor --clean` removes. A journal that cannot be
written is no error.
"""

from __future__ import annotations

import os

__all__ = ["Entry", "Left", "forget", "left_behind", "record"]

SYSTEM = "/run/bpfsmith"
SUFFIX = ".journal"


class Entry:
    """One recorded thing; `done()` when it is gone."""

    __slots__ = ("kind", "where")

    def __init__(self, kind: str, where: str) -> None:
        self.kind = kind
        self.where = where

    def done(self) -> None:
        forget(self.kind, self.where)

    def __repr__(self) -> str:
        return f"<Entry {self.kind} {self.where}>"


class Left:
    """Something a process that is no more left behind. `kind`, `where` as recorded; `pid` of its maker; `program`:
    its id in the kernel (0 = not told); `netns`: inode of the network namespace it was made in; `namespace_here`:
    whether that is ours; `file`: the journal that tells it."""

    __slots__ = ("file", "kind", "line", "netns", "pid", "program", "where")

    def __init__(self, kind: str, where: str, program: int, netns: int, pid: int, file: str, line: str) -> None:
        self.kind = kind
        self.where = where
        self.program = program
        self.netns = netns
        self.pid = pid
        self.file = file
        self.line = line

    @property
    def namespace_here(self) -> bool:
        return self.netns == _namespace()

    def done(self) -> None:
        """Takes it off the list; the file goes with the last entry."""
        _strike(self.file, self.line)

    def __repr__(self) -> str:
        return f"<Left {self.kind} {self.where} of process {self.pid}>"


class _Own:
    """This process's journal."""

    pid = 0
    path = ""
    lines: list[str] = []  # noqa: RUF012 - replaced, never shared


def record(kind: str, where: str, program: int = 0) -> Entry:
    """Notes that something of that kind exists from now on. `where` says how to find it again (`doctor` knows
    each kind), `program` the id of the program attached there, so that nobody else's is removed."""
    from bpfsmith import kernel

    if not kernel.door().local:
        return Entry(kind, where)  # a guest ends with all that is in it
    own = _Own
    if own.pid != os.getpid():
        _begin()
    line = f"{kind}\t{_escape(where)}\t{program}\t{_namespace()}"
    if line not in own.lines:
        own.lines.append(line)
        _append(own.path, f"+{line}\n")
    return Entry(kind, where)


def forget(kind: str, where: str) -> None:
    """It is gone; nothing happens when it was never recorded."""
    from bpfsmith import kernel

    own = _Own
    if own.pid != os.getpid() or not kernel.door().local:
        return
    start = f"{kind}\t{_escape(where)}\t"
    for line in [line for line in own.lines if line.startswith(start)]:
        own.lines.remove(line)
        _append(own.path, f"-{line}\n")
    if not own.lines:
        _unlink(own.path)


def left_behind(folders: tuple[str, ...] = ()) -> list[Left]:
    """What processes that are no more left, by the journals this user may read."""
    found = []
    for folder in folders or _folders():
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            pid, _, started = name.removesuffix(SUFFIX).partition("-")
            if not name.endswith(SUFFIX) or not pid.isdigit() or started == _started(int(pid)):
                continue
            path = f"{folder}/{name}"
            found += [Left(*_parts(line), int(pid), path, line) for line in _standing(path)]
    return found


# ------------------------------------------------------------ files


def _begin() -> None:
    own = _Own
    if own.pid == 0:
        import atexit

        atexit.register(_end)
    # After a fork the child writes a journal of its own: what the parent made is the parent's.
    own.pid = os.getpid()
    own.lines = []
    folder = _folders()[0]
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError:
        folder = ""
    own.path = f"{folder}/{own.pid}-{_started(own.pid)}{SUFFIX}" if folder else ""


def _end() -> None:
    """In order: pins stay on purpose."""
    own = _Own
    if own.pid != os.getpid():
        return
    for line in [line for line in own.lines if line.startswith("pin\t")]:
        own.lines.remove(line)
        _append(own.path, f"-{line}\n")
    if not own.lines:
        _unlink(own.path)


def _folders() -> list[str]:
    """Where journals are: the first is where this process writes its own."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    own = f"{runtime}/bpfsmith"
    if os.geteuid():
        return [own, SYSTEM]
    others = [f"/run/user/{name}/bpfsmith" for name in _names("/run/user")]
    return [SYSTEM, *dict.fromkeys([own, *others])]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _append(path: str, text: str) -> None:
    if not path:
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.write(fd, text.encode("utf-8", "surrogateescape"))
    except OSError:
        pass
    finally:
        os.close(fd)


def _unlink(path: str) -> None:
    try:  # contextlib costs more than this
        os.unlink(path)
    except OSError:
        return


def _standing(path: str) -> list[str]:
    """Lines made and not undone."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            rows = file.read().splitlines()
    except OSError:
        return []
    standing: dict[str, None] = {}
    for row in rows:
        # A line cut by the kill has no namespace: what it names is not known.
        if row.count("\t") != 3 or row[-1] == "\t":
            continue
        if row[0] == "+":
            standing[row[1:]] = None
        else:
            standing.pop(row[1:], None)
    return list(standing)


def _strike(path: str, line: str) -> None:
    _append(path, f"-{line}\n")
    if not _standing(path):
        _unlink(path)


def _parts(line: str) -> tuple[str, str, int, int]:
    kind, where, program, netns = line.split("\t")
    return kind, _unescape(where), int(program) if program.isdigit() else 0, int(netns) if netns.isdigit() else 0


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\t", "%09").replace("\n", "%0A").replace("\r", "%0D")


def _unescape(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%09", "\t").replace("%25", "%")


def _started(pid: int) -> str:
    """When the process started (clock ticks since boot), which tells it from a later one with its number; "" = gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return ""
    # The name of the command may hold spaces and parentheses; it ends at the last one.
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _namespace() -> int:
    try:
        return os.stat("/proc/thread-self/ns/net").st_ino
    except OSError:
        return 0
