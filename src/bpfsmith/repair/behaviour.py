"""Both programs, run on the same inputs by a kernel that accepts both: do they do the same?

Return value, packet and context afterwards, and the contents of all maps that programs and user space can read are
compared. What the original does not do the same way twice (clocks, random numbers) is left out, and said. Nothing is
run on the running kernel: only guests are.
"""

from __future__ import annotations

from bpfsmith.model.errors import BpfsmithError
from bpfsmith.repair import inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith.model.object import Object

__all__ = ["RUNNABLE", "Compared", "compare", "given", "refill"]

RUNNABLE = frozenset(
    {
        *("xdp", "sched_cls", "sched_act", "socket_filter", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit"),
        *("lwt_seg6local", "flow_dissector", "netfilter", "sk_lookup", "raw_tracepoint", "syscall"),
    }
)
_FILLS = 3  # rounds, each with other contents of the maps
_MOST_ENTRIES = 256  # of an array that are written
_HASHES = ("hash", "lru_hash", "percpu_hash", "lru_percpu_hash", "lpm_trie")
_ARRAYS = ("array", "percpu_array")


class Compared:
    """`agree`: True, False, or None when nothing could be compared; `runs` of each program; `why`: a sentence: what
    differs, what could not be looked at."""

    __slots__ = ("agree", "runs", "why")

    def __init__(self, agree: bool | None, runs: int, why: str) -> None:
        self.agree = agree
        self.runs = runs
        self.why = why

    def __repr__(self) -> str:
        return f"<Compared {self.agree} after {self.runs} runs: {self.why}>"


def compare(kernel: str, original: Object, changed: Object, program: str) -> Compared:
    """Runs `program` of both objects in a guest of `kernel`, which accepts both."""
    from bpfsmith import lab

    found = original.program(program)
    kind = (found.type if found is not None else None) or ""
    if kind not in RUNNABLE:
        return Compared(None, 0, f"no kernel runs `{kind}` programs by hand")
    try:
        with lab.kernel(kernel) as guest:

            def observe(obj: Object) -> Observed:
                return _observe(guest.load, obj, program, kind)

            first, again, other = observe(original), observe(original), observe(changed)
    except BpfsmithError as error:
        return Compared(None, 0, f"{kernel} could not run them: {error.message}")
    return _judged(first, again, other)


class Observed:
    """What one program did: `runs`: (return value, data, context) of each run; `maps`: after each round, name -> key ->
    value; `unseen`: names of maps that were written to and cannot be read."""

    __slots__ = ("labels", "maps", "runs", "unseen")

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.runs: list[tuple[Any, ...]] = []
        self.maps: list[dict[str, dict[bytes, bytes]]] = []
        self.unseen: set[str] = set()


def _observe(load: Callable[..., Any], obj: Object, program: str, kind: str) -> Observed:
    out = Observed()
    for fill in range(_FILLS):
        with load(obj, select=program) as loaded:
            refill(loaded, fill)
            run = loaded.programs[program]
            for label, asked in given(kind):
                try:
                    done = run.test_run(**asked)
                except BpfsmithError as error:
                    done_as: tuple[Any, ...] = ("refused", getattr(error, "errno", 0), None)
                else:
                    done_as = (done.retval, done.data_out, _plain(done.ctx_out))
                out.labels.append(label)
                out.runs.append(done_as)
            out.maps.append(_read(loaded, out.unseen))
    return out


def _plain(value: Any) -> Any:
    return tuple(sorted((name, repr(one)) for name, one in value.items())) if isinstance(value, dict) else value


def given(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """What programs of a type are run on: (what it is, the arguments of `test_run`)."""
    if kind == "sk_lookup":
        return [(f"port {one['local_port']}", {"ctx": one}) for one in inputs.sockets()]
    if kind == "raw_tracepoint":
        return [(f"arguments {one[0]}, {one[1]}, ..", {"ctx": one}) for one in inputs.words()]
    if kind == "syscall":
        rows = list(inputs.words())
        return [
            (f"context {one[0]:#x}, ..", {"ctx": b"".join(word.to_bytes(8, "little") for word in one)}) for one in rows
        ]
    return [(f"a packet of {len(one)} bytes ({one[:38].hex()}..)", {"data": one}) for one in inputs.packets()]


def refill(loaded: Any, fill: int) -> None:
    """Puts entries into the maps. Round 0 leaves them as they are loaded: lookups of keys miss; in round 3 all values
    are zero."""
    from bpfsmith import kernel

    if fill == 0:
        return
    for table in _tables(loaded):
        if table.type in _ARRAYS:
            indices = [at.to_bytes(4, "little") for at in range(min(table.max_entries, _MOST_ENTRIES))]
        else:
            indices = inputs.keys(table.key_size)[: table.max_entries]
        for at, key in enumerate(indices):
            value = inputs.values(table._copied, {1: 1, 3: 0}.get(fill, 2 + at))
            kernel.door().map_write(table.fileno(), key, value, 0)  # refused ones are missing for both


def _tables(loaded: Any) -> list[Any]:
    """Maps of the object with entries of plain bytes; data sections keep what the program starts with."""
    out = []
    for name in loaded.maps:
        if name.startswith("."):
            continue
        try:
            table = loaded.maps[name]
        except BpfsmithError:
            continue
        if table.type in (*_ARRAYS, *_HASHES):
            out.append(table)
    return out


def _read(loaded: Any, unseen: set[str]) -> dict[str, dict[bytes, bytes]]:
    from bpfsmith.run.maps import bulk

    out: dict[str, dict[bytes, bytes]] = {}
    for name in loaded.maps:
        try:
            table = loaded.maps[name]
            if table.type not in (*_ARRAYS, *_HASHES):
                if table.type not in ("prog_array", "perf_event_array"):
                    unseen.add(name)
                continue
            layout = table._layout()
            rows = bytes(bulk.dump(table, layout)[0])
        except BpfsmithError:
            unseen.add(name)
            continue
        out[name] = {
            rows[at : at + layout.key]: rows[at + layout.value_at : at + layout.value_at + layout.copied]
            for at in range(0, len(rows), layout.row)
        }
    return out


def _judged(first: Observed, again: Observed, other: Observed) -> Compared:
    steady = [number for number, one in enumerate(first.runs) if one == again.runs[number]]
    answered = [number for number in steady if first.runs[number][0] != "refused"]
    if not answered:
        return Compared(
            None, len(first.runs), "the original never does the same thing twice, or takes none of the inputs"
        )
    for number in steady:
        if first.runs[number] != other.runs[number]:
            what = ("returns", "leaves another packet", "leaves another context")
            at = next(at for at in range(3) if first.runs[number][at] != other.runs[number][at])
            said = (
                f"returns {_shown(other.runs[number][0])} instead of {_shown(first.runs[number][0])}"
                if at == 0
                else what[at]
            )
            return Compared(False, len(first.runs), f"on {first.labels[number]} the changed program {said}")
    changing = 0
    for before, twice, after in zip(first.maps, again.maps, other.maps, strict=True):
        for name, rows in before.items():
            if rows == after.get(name):
                continue
            if rows != twice.get(name):
                changing += 1
                if set(rows) == set(after.get(name, {})) or set(rows) != set(twice.get(name, {})):
                    continue
            return Compared(False, len(first.runs), f"the map `{name}` holds other entries afterwards")
    notes = []
    if len(steady) < len(first.runs) or changing:
        notes.append("what the original does not do the same way twice was left out")
    if other.unseen:
        notes.append(f"not compared: {', '.join(sorted(other.unseen))}")
    return Compared(True, len(first.runs), "; ".join(notes))


def _shown(value: Any) -> str:
    return str(value)
