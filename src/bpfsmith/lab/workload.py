"""`bpfsmith run` inside a guest: `bpfsmith run --kernel 5.10 prog.o --workload 'ping -c3 10.42.0.2'`,
`k.run("prog.o")`.

The run is the one of this machine, made by the same code in there: its lines come as they are printed, and its exit
code is ours. The Python that does it was started and had everything imported before the guest was copied.
"""

from __future__ import annotations

import json
import os

from bpfsmith.model.errors import BpfsmithError, GuestFailed, InputError

from . import files as local
from .exec import Forwarded, _Plain, environment, follow, opened, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from bpfsmith.run.runreport import RunReport

    from .guest import Guest, Running
    from .store import Prepared

__all__ = ["get_ready", "run", "run_in_guest"]

READY = 120.0  # seconds: imports in an emulator on a busy machine
# Far above the numbers that a copy's own requests begin with.
_NUMBER = 0xF0000000
SERVANT = ("/usr/bin/python3", "-S", "-m", "bpfsmith.cli._inside")


def get_ready(guest: Guest, prepared: Prepared) -> dict[str, Any]:
    """What is done once in a guest of the tools image, before it is copied; what copies must know of it."""
    try:
        with open(os.path.join(prepared.folder, "config"), "rb") as file:
            guest.put(f"/boot/config-{prepared.release}", file.read())
    except OSError:
        pass  # not known: what asks for it says so
    guest.door.write_text("/proc/sys/kernel/hostname", f"linux-{prepared.name}")
    channel = guest.channel
    before, channel._next = channel._next, _NUMBER
    servant = guest.start(SERVANT, env=environment(), stdin=True)
    channel._next = before
    said = b""
    while not said.endswith(b"\n"):
        came = servant.output(READY)
        said += b"".join(data for _, data in came)
        if servant.done or not came:
            return {"network": said.decode("utf-8", "replace").strip()[-400:] or "no Python"}
    return {"servant": servant.number, "network": said.decode().removeprefix("ready ").strip()}


def _servant(guest: Guest) -> Running | None:
    """The waiting Python of a guest, once."""
    from .agent import Answer
    from .guest import Running

    about = getattr(guest.kernel, "about", {})
    number = (about.get("tools") or {}).get("servant")
    if number is None or guest.servant_spent or number in guest.channel._open:
        return None
    guest.servant_spent = True
    answer = guest.channel._open[number] = Answer(number, "`bpfsmith run`", True, guest.channel.window)
    return Running(guest, ["bpfsmith", "run"], answer)


def run_in_guest(
    kernel: str, words: Sequence[str], files: Sequence[str], *, folder: bool = False, memory: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> int:  # fmt: skip
    """`bpfsmith run WORDS` in a guest of `kernel` that has `files` (and with `folder` those of the current folder)
    where they are here; its exit code. SIGINT, SIGTERM and SIGHUP end the run as they do here."""
    with opened(kernel, memory=memory, report=report) as guest:
        return _run(guest, words, files, folder, _Plain(1).write, _Plain(2).write, report)


def _run(
    guest: Guest, words: Sequence[str], files: Sequence[str], folder: bool, out: Callable[[bytes], object],
    err: Callable[[bytes], object], report: Callable[[str], None],
) -> int:  # fmt: skip
    put = [(path, "") for path in files if _is_ours(path)]
    where, note = settle(guest, put, folder=folder)
    if note:
        report(note)
    if where == local.HOME and any(not os.path.isabs(path) for path in files):
        # A folder that a guest has of its own: the files stand in it all the same.
        where = os.getcwd()
        guest.door.makedirs(where)
    running = _servant(guest)
    if running is None:
        running = guest.start(["/usr/bin/bpfsmith", "run", *words], env=environment(), cwd=where)
    else:
        told = json.dumps({"argv": ["run", *words], "cwd": where, "env": environment()}).encode()
        running.feed(len(told).to_bytes(4, "little") + told)
    with Forwarded() as signals:
        return follow(running, out, err, signals)


def _is_ours(path: str) -> bool:
    """Whether the guest shall get it: what is not there is named by the run itself, which looks for it in there."""
    return os.path.isfile(path) and not os.path.abspath(path).startswith(("/proc/", "/sys/", "/dev/"))


# ------------------------------------------------------------ for Python


def run(guest: Guest, path: str, options: dict[str, Any], report: Callable[[str], None]) -> RunReport:
    """As `bpfsmith.run(path, **options)`, in a guest: a `RunReport` of what its JSON lines say. `on_event` gets each
    record as JSON has it."""
    from bpfsmith.run.runreport import RunReport

    on_event = options.pop("on_event", None)
    words, files = _words(path, options)
    rest, lines, said = b"", [], b""

    def out(data: bytes) -> None:
        nonlocal rest
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            told = json.loads(line)
            if told["kind"] == "event" and on_event is not None:
                on_event(told["map"], told["data"])
            elif told["kind"] == "summary":
                lines.append(told)

    def err(data: bytes) -> None:
        nonlocal said
        said += data

    code = _run(guest, words, [path, *files], False, out, err, report)
    if not lines:
        raise _error(code, said.decode("utf-8", "replace"), guest.name)
    return RunReport.from_json(lines[-1])


def _error(code: int, text: str, name: str) -> BpfsmithError:
    """What the run in there complained about, as an error of the kind its exit code stands for."""
    from bpfsmith.model.errors import EnvironmentMissing, KernelError

    first, _, rest = text.partition("error: ")[2].partition("\n")
    hint = rest.partition("help: ")[2].strip()
    message = first or text.strip() or f"the run ended with {code}"
    if code == 2:
        return InputError(message, name, hint)
    if code == 3:
        return EnvironmentMissing(message, "", name)
    if code == 1:
        return KernelError(message, where=name, hint=hint)
    return GuestFailed(message, "lost", text, name)


# What `bpfsmith.run` takes and a command line cannot say.
_NOT_HERE = {
    "sink": "`on_event` gets each record",
    "kconfig": "the guest's kernel has its own configuration",
    "log_level": "the log of a rejected program is in the error",
}
_SINGLE = ("iface", "direction", "pid", "cgroup", "func", "btf", "pin_path", "interval", "maps", "workload")


def _json(option: str, value: Any) -> str:
    """A value of a global variable or an entry, as a command line says it."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        raise InputError(
            f"`{option}`: {value!r} has no JSON form, which a run in a guest needs",
            hint="numbers, text, lists of them and dicts of field names have",
        ) from None


def _key(map_name: str, key: Any) -> str:
    """A key between brackets; a text with quotes, that it stays one. What ends a key stands only in texts, escaped."""
    return _json(f"entries[{map_name!r}]", key).replace("=", "\\u003d")


def _milliseconds(value: float) -> str:
    from math import ceil, isfinite

    if not isfinite(value) or value <= 0:
        raise InputError(f"`duration`: {value!r} is no time", hint="seconds, above 0")
    return f"{max(1, ceil(value * 1000 - 1e-6))}ms"


def _words(path: str, options: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The command line of a run with these options, and the files it names."""
    words = [path, "--format", "json"]
    files = []
    for name, value in options.items():
        if value is None:
            continue
        option = f"--{name.replace('_', '-')}"
        if name in ("programs", "watch") or (name == "iface" and not isinstance(value, str)):
            each = [value] if isinstance(value, str | int) else list(value)
            words += [f"--{'program' if name == 'programs' else name}={one}" for one in each]
        elif name == "duration":
            words.append(f"--for={value if isinstance(value, str) else _milliseconds(value)}")
        elif name == "globals":
            words += [f"--set={key}={_json(f'globals[{key!r}]', one)}" for key, one in value.items()]
        elif name == "map_sizes":
            words += [f"--map-size={key}={one}" for key, one in value.items()]
        elif name in ("attach", "records"):
            words += [f"--{name.removesuffix('s')}={key}={one}" for key, one in value.items()]
        elif name == "entries":
            words += [
                f"--put={of}[{_key(of, key)}]={_json(f'entries[{of!r}]', one)}"
                for of, rows in value.items()
                for key, one in rows.items()
            ]
        elif name in _SINGLE:
            words.append(f"{option}={os.fspath(value) if hasattr(value, '__fspath__') else value}")
            if name == "btf":
                files.append(str(value))
        else:
            raise InputError(f"`{name}` is no option of a run in a guest", hint=_NOT_HERE.get(name, ""))
    return words, files
