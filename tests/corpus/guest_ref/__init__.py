"""What libbpf 1.7 makes of programs inside guests of the lab: the reference of `test_selftests.py`.

Each program is loaded alone, as veristat does, by a static program that is put into the guest beside the objects. What
it says is kept in the user's cache, a table per kernel and version of the program, so that a second comparison only
loads what it has never seen.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import libbpf_ref
from build_corpus import home

from bpfsmith import lab
from bpfsmith.lab import store
from bpfsmith.lab.guest import Guest
from bpfsmith.model.errors import BpfsmithError

SOURCE = Path(__file__).with_name("judge.c")
WRAPPED = ("syscall", "btf__load_vmlinux_btf", "btf__free", "btf_get_from_fd")
LIMIT = 120  # seconds per program
AT_ONCE = 48  # objects that are in a guest together
ENOMEM = 12
MORE = 1024  # MiB, for what a guest of the usual size has no memory for
NAMES = {"n": "\n", "t": "\t", "\\": "\\"}


class Said(NamedTuple):
    """What came of one program; the words of `judge.c`. `micros` is libbpf's own time in the guest."""

    stage: str
    errno: int
    result: int
    micros: int
    warning: str
    log: str


Asked = tuple[Path, int]


def build() -> Path:
    """The program, built on first use. Raises `CannotBuild`: it needs libelf and zlib as static libraries."""
    return libbpf_ref.compiled(SOURCE, "guest_judge", wrapped=WRAPPED, static=True)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def verdicts(kernel: str, asked: Iterable[Asked], tell: Callable[[str], None] = lambda _: None) -> dict[Asked, Said]:
    """(object, number of the program) -> what libbpf makes of it on that kernel of the lab."""
    prepared = store.find(kernel)
    table = _Table(prepared)
    wanted = {one: (digest(one[0]), one[1]) for one in asked}
    missing = sorted({key: one for one, key in wanted.items() if key not in table.known}.values())
    for memory in (None, MORE):
        todo: dict[Path, list[int]] = {}
        for path, number in missing:
            todo.setdefault(path, []).append(number)
        paths = sorted(todo)
        parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
        missing = []
        for position, part in enumerate(parts):
            tell(f"{kernel}: {position * AT_ONCE} of {len(paths)} objects by libbpf")
            rows = _part(prepared, {path: todo[path] for path in part}, memory)
            missing += [one for one, said in rows.items() if said.result == ENOMEM and memory is None]
            table.keep({wanted[one]: said for one, said in rows.items() if one not in missing})
    return {one: table.known[key] for one, key in wanted.items() if key in table.known}


def _part(prepared: store.Prepared, objects: dict[Path, list[int]], memory: int | None) -> dict[Asked, Said]:
    """Some objects in a guest; when it dies of one, the rest in another."""
    left = [(path, number) for path, numbers in objects.items() for number in numbers]
    found: dict[Asked, Said] = {}
    while left:
        came: list[Asked] = []
        try:
            with lab.open(prepared, memory=memory) as guest:
                for one, said in _ask(guest, prepared, left):
                    found[one] = said
                    came.append(one)
        except BpfsmithError as error:
            dead = next(one for one in left if one not in came)
            found[dead] = Said("crashed", 0, 0, 0, str(error), "")
            came.append(dead)
        rest = [one for one in left if one not in came]
        if len(rest) == len(left):
            break
        left = rest
    return found


def _ask(guest: Guest, prepared: store.Prepared, asked: list[Asked]) -> Iterator[tuple[Asked, Said]]:
    settings = Path(prepared.folder, "config").read_bytes()
    names = {path: f"/reference/{at}.o" for at, path in enumerate(dict.fromkeys(path for path, _ in asked))}
    paths = {name: path for path, name in names.items()}
    guest.put_many(
        {
            "/reference/judge": (0o755, build().read_bytes()),
            f"/boot/config-{prepared.release}": (0o644, settings),
            **{name: (0o644, path.read_bytes()) for path, name in names.items()},
        }
    )
    told = "".join(f"{names[path]}\t{number}\n" for path, number in asked)
    rest = b""
    running = guest.start(["/reference/judge", "-t", str(LIMIT)], stdin=True)
    running.feed(told.encode())
    running.feed(b"")
    while True:
        done = running.done
        pieces = running.output(0 if done else LIMIT + 60.0)
        *lines, rest = (rest + b"".join(data for stream, data in pieces if stream == 1)).split(b"\n")
        for line in lines:
            name, number, _, stage, *numbers, warning, log = line.decode(errors="replace").split("\t")
            at = paths[name], int(number)
            errno, result, micros = map(int, numbers)
            yield at, Said(stage, errno, result, micros, _plain(warning).strip(), _plain(log))
        if done:
            return


def _plain(text: str) -> str:
    return re.sub(r"\\([nt\\])", lambda found: NAMES[found[1]], text)


class _Table:
    """Rows of one kernel that are kept."""

    def __init__(self, prepared: store.Prepared) -> None:
        version = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:8]
        self.path = home() / "verdicts" / f"lab-{prepared.release}-{version}.tsv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.known: dict[tuple[str, int], Said] = {}
        for line in self.path.read_text().split("\n") if self.path.exists() else []:
            if line.count("\t") == 7:
                key, number, stage, *numbers, warning, log = line.split("\t")
                errno, result, micros = map(int, numbers)
                self.known[key, int(number)] = Said(stage, errno, result, micros, _plain(warning), _plain(log))

    def keep(self, rows: dict[tuple[str, int], Said]) -> None:
        self.known.update(rows)
        with self.path.open("a") as file:
            for (key, number), said in rows.items():
                fields = [key, number, said.stage, said.errno, said.result, said.micros]
                print(*fields, _escaped(said.warning), _escaped(said.log), sep="\t", file=file)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "")
