"""What the kernel counts and keeps of a loaded program, and test runs of it."""

from __future__ import annotations

from bpfsmith import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from bpfsmith._native import Fd
    from bpfsmith.run.testrun import TestRun

__all__ = ["ProgramRuns", "Stats", "StatsEnabled", "stats_enabled"]

EINVAL = 22
LD_IMM64, CALL = 0x18, 0x85
_STREAMS = {"stdout": 1, "stderr": 2}


class Stats:
    """Run-time statistics since the program was loaded, counted only while they are enabled (`stats_enabled`):
    `run_time_ns`, `run_cnt`; `recursion_misses` is always counted (5.12+): runs left out because the program was
    running on that CPU already."""

    __slots__ = ("recursion_misses", "run_cnt", "run_time_ns")

    def __init__(self, run_time_ns: int, run_cnt: int, recursion_misses: int) -> None:
        self.run_time_ns = run_time_ns
        self.run_cnt = run_cnt
        self.recursion_misses = recursion_misses

    @property
    def ns_per_run(self) -> float:
        """Mean nanoseconds per run; 0.0 when it never ran."""
        return self.run_time_ns / self.run_cnt if self.run_cnt else 0.0

    def __sub__(self, other: Stats) -> Stats:
        """What happened between two readings."""
        return Stats(
            self.run_time_ns - other.run_time_ns,
            self.run_cnt - other.run_cnt,
            self.recursion_misses - other.recursion_misses,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stats) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def _all(self) -> tuple[int, int, int]:
        return self.run_time_ns, self.run_cnt, self.recursion_misses

    def __repr__(self) -> str:
        return f"<Stats {self.run_cnt} runs, {self.ns_per_run:.0f} ns each, {self.recursion_misses} left out>"


class StatsEnabled:
    """Keeps the kernel's run-time statistics on for all programs of the machine until it is closed."""

    __slots__ = ("_fd",)

    def __init__(self, fd: Fd) -> None:
        self._fd = fd

    def close(self) -> None:
        """Switches them off again, unless somebody else keeps them on."""
        self._fd.close()

    def __enter__(self) -> StatsEnabled:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def stats_enabled() -> StatsEnabled:
    """Switches run-time statistics on (BPF_ENABLE_STATS): a context manager, on from the call.

        with bpfsmith.stats_enabled():
            time.sleep(1)
        print(program.stats().ns_per_run)

    They cost some 20 ns per run of every program meanwhile. Linux 5.8, CAP_SYS_ADMIN; `Unsupported` below."""
    from bpfsmith.model.errors import KernelError, Unsupported

    try:
        return StatsEnabled(kernel.call_fd("BPF_ENABLE_STATS", "run-time statistics", type=0))
    except KernelError as error:
        if error.errno != EINVAL:
            raise
        raise Unsupported(
            "this kernel cannot switch run-time statistics on for a while",
            "enable_stats",
            "5.8",
            "`sysctl kernel.bpf_stats_enabled=1` switches them on for good (5.1)",
        ) from None


class ProgramRuns:
    """Mixin of `LoadedProgram`: test runs, statistics, dumps."""

    __slots__ = ()

    if TYPE_CHECKING:
        name: str
        fd: Fd
        owner: Any

        @property
        def type(self) -> str: ...

    # ------------------------------------------------------------ test runs

    def test_run(
        self,
        data: bytes | bytearray | memoryview | None = None,
        ctx: bytes | Mapping[str, int | Sequence[int]] | Sequence[int] | None = None,
        repeat: int = 1,
        live_frames: bool = False,
        cpu: int | None = None,
        batch_size: int = 0,
    ) -> TestRun:
        """Runs the program in the kernel on data of the caller's (BPF_PROG_TEST_RUN), attached or not.

        data: the packet with its Ethernet header, for packet types; 64 zero bytes when not given.
        ctx: the context before the run: bytes of the UAPI's structure (`xdp_md`, `__sk_buff`, `bpf_sk_lookup`,
            `bpf_flow_keys`), or its fields by name, the rest 0 (`{"mark": 7, "cb": [1, 2]}`; `{}` to have it back
            afterwards); of a raw tracepoint its arguments as numbers or bytes; of a `syscall` program its own
            structure as bytes.
        repeat: runs, timed together (packet types and sk_lookup).
        live_frames: send XDP's frames on as the program decides, instead of only running it (5.18): `repeat` frames in
            batches of `batch_size` (64 when 0, at most 256); they leave through the interface `ingress_ifindex` of the
            context, and the result has no packet.
        cpu: the CPU to run a raw tracepoint's program on.

        CAP_BPF, CAP_NET_ADMIN for network types, CAP_PERFMON for tracing ones. `Unsupported` for types that only their
        event can run, `ValueMismatch` for data or a context that does not fit."""
        from bpfsmith.run.testrun import run

        self._check_usable()
        return run(self, data, ctx, repeat, live_frames, cpu, batch_size)

    # ------------------------------------------------------------ what the kernel tells

    def stats(self) -> Stats:
        """Run-time statistics as of now; see `stats_enabled`. Linux 5.1, `recursion_misses` 5.12."""
        told = self._told()
        return Stats(told.get("run_time_ns", 0), told.get("run_cnt", 0), told.get("recursion_misses", 0))

    def info(self) -> dict[str, Any]:
        """The kernel's `struct bpf_prog_info` under its own names: numbers, `tag` in hexadecimal, `type` as libbpf's
        word, `map_ids`, and `maps` (id -> name of each); `load_time` in nanoseconds since boot, `verified_insns`
        (5.16), `jited_ksyms` and `jited_func_lens` per function. A field this kernel does not know is absent."""
        from bpfsmith.kernel import info

        told = self._told("map_ids", "jited_ksyms", "jited_func_lens")
        told["type"] = self.type
        told["maps"] = {}
        for number in told["map_ids"]:
            try:
                with info.open_id("map", number) as fd:
                    told["maps"][number] = info.map_(fd)["name"]
            except Exception:
                told["maps"][number] = ""  # without CAP_SYS_ADMIN, ids cannot be followed
        return told

    @property
    def id(self) -> int:
        """The kernel's number of this program."""
        return int(self._told()["id"])

    @property
    def tag(self) -> str:
        """SHA of its instructions, 16 hexadecimal digits: equal for equal code."""
        return str(self._told()["tag"])

    def xlated(self) -> bytes:
        """The instructions after verification and rewriting, 8 bytes each; maps are their ids.

        CAP_SYS_ADMIN, or CAP_BPF where `kernel.kptr_restrict` allows; `PermissionMissing` where they are hidden."""
        return self._dump("xlated_prog_insns", "xlated_prog_len")

    def xlated_text(self) -> str:
        """The same as text, one instruction per line: maps by id and name, called kernel functions by name where
        /proc/kallsyms tells (`  12: (85) call __htab_map_lookup_elem#...`)."""
        from sys import byteorder

        from bpfsmith import _native

        code = self.xlated()
        wide = [at for at in range(0, len(code), 8) if code[at] == LD_IMM64 and code[at + 1] >> 4 in (1, 2)]
        maps = self.info()["maps"] if wide else {}
        places = {}
        for at in wide:
            number = int.from_bytes(code[at + 4 : at + 8], byteorder)
            offset = int.from_bytes(code[at + 12 : at + 16], byteorder)
            inside = f"[0]+{offset}" if code[at + 1] >> 4 == 2 else ""
            places[at // 8] = f"map[id:{number}]{inside}" + (f" {maps[number]}" if maps.get(number) else "")
        calls = {
            int.from_bytes(code[at + 4 : at + 8], byteorder, signed=True)
            for at in range(0, len(code), 8)
            if code[at] == CALL and code[at + 1] >> 4 == 0
        }
        rows = _native.disassemble(
            code, big_endian=byteorder == "big", symbols=places, helpers=_functions(calls) if calls else None
        )
        return "".join(f"{slot:4}: {text}\n" for slot, text in rows)

    def jited(self) -> bytes:
        """The machine code of all its functions, one after another (`info["jited_func_lens"]` has their sizes).
        `PermissionMissing` where the kernel hides it, `Unsupported` when the program is interpreted."""
        from bpfsmith.model.errors import Unsupported

        if not self._told()["jited_prog_len"]:
            raise Unsupported(
                f"program `{self.name}` has no machine code: the kernel interprets it",
                "jit",
                instead="`sysctl net.core.bpf_jit_enable=1` before loading",
            )
        return self._dump("jited_prog_insns", "jited_prog_len")

    def streams(self) -> dict[str, str]:
        """What the program wrote to its streams since the last time: `stdout` (`bpf_stream_printk`) and `stderr` (what
        the kernel says of it, such as arena faults). Linux 6.17; `Unsupported` below."""
        return {name: self._stream(number).decode("utf-8", "replace") for name, number in _STREAMS.items()}

    def _stream(self, number: int) -> bytes:
        from bpfsmith.model.errors import KernelError, Unsupported

        self._check_usable()
        out = bytearray()
        while True:
            part = bytearray(1 << 16)
            try:
                size = kernel.call(
                    "BPF_PROG_STREAM_READ_BY_FD",
                    f"program `{self.name}`",
                    stream_buf=part,
                    stream_buf_len=len(part),
                    stream_id=number,
                    prog_fd=self.fd,
                )
            except KernelError as error:
                if error.errno != EINVAL:
                    raise
                raise Unsupported(
                    "this kernel has no streams of programs",
                    "streams",
                    "6.17",
                    "print with `bpf_printk` into the trace, or send records through a ring buffer",
                ) from None
            out += part[:size]
            if size < len(part):
                return bytes(out)

    def _told(self, *arrays: str) -> dict[str, Any]:
        from bpfsmith.kernel import info

        self._check_usable()
        return info.program(self.fd, *arrays)

    def _dump(self, array: str, length: str) -> bytes:
        from bpfsmith.model.errors import PermissionMissing

        told = self._told(array)
        data = bytes(told.get(array, b""))
        if not data and told.get(length):
            raise PermissionMissing(
                f"the kernel hides the code of program `{self.name}`",
                "sudo",
                f"program `{self.name}`",
                "CAP_SYS_ADMIN",
            )
        return data

    def _check_usable(self) -> None:
        if self.fd.closed:
            from bpfsmith.model.errors import Closed

            raise Closed(f"program `{self.name}` was closed", f"program `{self.name}`")


def _functions(distances: set[int]) -> dict[int, str]:
    """Names of the kernel functions so far from `__bpf_call_base`, which is how a verified program calls them."""
    base = kernel.live().symbol("__bpf_call_base")
    if not base:
        return {}
    text = b"\n" + kernel.door().read_bytes("/proc/kallsyms")
    found = {}
    for distance in distances:
        at = text.find(b"\n%016x " % (base + distance))
        if at >= 0:
            # address, kind, name, and the module of one that has one
            found[distance] = text[at + 1 : text.find(b"\n", at + 1)].split()[2].decode("utf-8", "replace")
    return found
