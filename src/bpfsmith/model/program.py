"""One entry program of an object, linked: what it calls, uses, returns and needs.

Columns come as lists of tuples straight from the native core; slots are 8-byte instruction slots of the linked program,
the entry function first. Every method that needs the linked program raises `ReadError` when linking it fails;
`Program.link_error` says so without raising.
"""

from __future__ import annotations

from bpfsmith.model.instruction import Instruction, SourceLine, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith import _native
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.map import Map
    from bpfsmith.model.names import Names, SectionMeaning
    from bpfsmith.model.object import Object


# Parts of symbols in both manglings: `_ZN4core9panicking9panic_fmt17h..E`, `_RNvNtC..4core9panicking9panic_fmt`.
_PANICS = (
    "9panicking", "core::panicking", "rust_begin_unwind", "13unwrap_failed", "13expect_failed", "panic_handler",
    "16slice_index_fail", "slice_start_index_", "slice_end_index_", "17len_mismatch_fail", "16slice_error_fail",
    "copy_from_slice_impl17len_mismatch", "5slice5index24slice_",
)  # fmt: skip


class Program:
    """An entry program and, linked behind it, the subprograms it reaches."""

    __slots__ = ("_calls", "_files", "_guarded", "_lines", "_meaning", "_names", "_native", "_object")

    def __init__(self, native: _native.Program, parent: Object, names: Names) -> None:
        self._native = native
        self._object = parent
        self._names = names
        self._meaning: SectionMeaning | bool | None = False  # False: not asked yet
        self._calls: list[tuple[int, str, int, str]] | None = None
        self._files: list[str] | None = None
        self._guarded: list[int] | None = None
        self._lines: list[tuple[int, int, int, int]] | None = None

    # ------------------------------------------------------------ what it is

    @property
    def native(self) -> _native.Program:
        """The native columns behind this view."""
        return self._native

    @property
    def owner(self) -> Object:
        """The object it is in."""
        return self._object

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def section(self) -> str:
        """The section's name without the `?` that switches autoload off."""
        return self._native.section

    @property
    def meaning(self) -> SectionMeaning | None:
        """The row of the section table its section name matches; `None` when no known loader knows the name."""
        if self._meaning is False:
            self._meaning = self._names.section(self._native.section)
        return self._meaning  # type: ignore[return-value]  # False was replaced above

    @property
    def type(self) -> str | None:
        """libbpf's word for the program type (`xdp`, `sched_cls`)."""
        meaning = self.meaning
        return None if meaning is None else meaning.program_type

    @property
    def attach_type(self) -> str | None:
        """libbpf's word for the attach type the section declares (`cgroup_inet_ingress`), else `None`."""
        meaning = self.meaning
        return None if meaning is None else meaning.attach_type

    @property
    def attach_to(self) -> str | None:
        """What the section name says to attach to (`tcp_v4_connect` of `kprobe/tcp_v4_connect`)."""
        meaning = self.meaning
        return None if meaning is None else meaning.attach_to

    @property
    def sleepable(self) -> bool:
        meaning = self.meaning
        return meaning is not None and meaning.sleepable

    @property
    def autoload(self) -> bool:
        """False when the section name starts with `?`."""
        return self._native.autoload

    @property
    def weak(self) -> bool:
        return self._native.weak

    @property
    def link_error(self) -> str | None:
        """Why this program cannot be linked, `None` when it can."""
        return self._native.link_error

    # ------------------------------------------------------------ size and shape

    @property
    def instructions(self) -> int:
        """8-byte slots after its subprograms are linked in."""
        return self._native.instructions

    @property
    def own_instructions(self) -> int:
        """8-byte slots of the entry function alone."""
        return self._native.own_instructions

    @property
    def subprograms(self) -> list[str]:
        """In linked order, without the program itself."""
        return self._native.subprograms

    @property
    def stack(self) -> int:
        """Bytes of the deepest call chain, frames unrounded."""
        return self._native.stack

    @property
    def core_relocations(self) -> int:
        return self._native.core_relocations

    def functions(self) -> list[tuple[str, int, int, int]]:
        """(name, first slot, slots, own stack bytes); entry 0 is the program."""
        return self._native.functions()

    def stack_chains(self) -> list[tuple[int, int, list[str]]]:
        """(bytes rounded as the kernel does, bytes unrounded, function names) per maximal call chain, deepest first."""
        return self._native.stack_chains()

    def features(self) -> list[tuple[str, int]]:
        """(instruction feature, first slot using it); the words of `bpfsmith.facts.insn_features`."""
        return self._native.features()

    # ------------------------------------------------------------ what it calls and uses

    def calls(self) -> list[tuple[int, str, int, str]]:
        """(slot, kind, number, name); kind `helper`, `kfunc`, `subprog` or `callback`; reachable code only."""
        if self._calls is None:
            helper = self._names.helper
            self._calls = [
                (slot, kind, number, helper(number) or f"unknown#{number}")
                if kind == "helper"
                else (slot, kind, number, name)
                for slot, kind, number, name in self._native.calls()
            ]
        return self._calls

    def call_args(self) -> list[tuple[int, int, list[int | str | None]]]:
        """(slot, helper number, what is known of r1..r5 on every path).

        An int is a constant; a word is `map:NAME`, `ctx`, `ctx+8`, `value:NAME+8`, `func:NAME`, `stack:-16` (r10-16)
        or `stack:-16=00000000` with the constant bytes known to lie there; `None` is not known.
        """
        return self._native.call_args()

    def guarded(self) -> list[int]:
        """Slots of calls only one answer of an existence check leads to (`bpf_core_enum_value_exists()` and its like,
        `bpf_ksym_exists()`), ascending: kernels that lack what is asked for never come there."""
        if self._guarded is None:
            maybe = self.core_relocations or any(one.weak for one in self._object.externs)
            self._guarded = self._native.guarded() if maybe else []
        return self._guarded

    @property
    def helper_numbers(self) -> list[int]:
        """Numbers of the helpers called anywhere in the linked program, ascending."""
        return self._native.helpers()

    @property
    def helpers(self) -> list[str]:
        """Full names (`bpf_map_lookup_elem`), sorted; `unknown#NUMBER` for a number no known kernel defines."""
        helper = self._names.helper
        return sorted(helper(number) or f"unknown#{number}" for number in self._native.helpers())

    @property
    def kfuncs(self) -> list[str]:
        """Names, sorted."""
        return self._native.kfuncs()

    def map_uses(self) -> list[tuple[int, int, str, int]]:
        """(slot, index into `Object.maps`, `ref` or `value`, offset in the value); reachable code only."""
        return self._native.map_uses()

    @property
    def maps(self) -> list[Map]:
        """The maps its instructions refer to, in the order of `Object.maps`."""
        maps = self._object.maps
        return [maps[index] for index in self._native.map_refs()]

    @property
    def externs(self) -> list[int]:
        """Indices into `Object.externs` of those its instructions refer to."""
        return self._native.extern_uses()

    # ------------------------------------------------------------ values and flow

    def exits(self) -> list[tuple[int, int | None]]:
        """(slot of a reachable exit of the entry function, R0 when constant there); one per constant reaching it."""
        return self._native.exits()

    def unreachable(self) -> list[int]:
        """Slots no path from the entry reaches."""
        return self._native.unreachable()

    def endless(self) -> list[int]:
        """First slot of each reachable stretch of code no exit can be reached from (`goto -1`, running off the end)."""
        return self._native.endless()

    def byte_copies(self) -> list[tuple[int, int]]:
        """(first slot, bytes): runs of at least 4 byte loads that copy or assemble wider data (align-1 types)."""
        return self._native.byte_copies()

    def fall_through_panics(self) -> list[tuple[int, str]]:
        """(slot, function or reason) of Rust panic paths that survived optimisation and are reachable.

        A call of a function of `core::panicking`, or code that never reaches an exit.
        """
        found = [(slot, name) for slot, kind, _, name in self.calls() if kind == "subprog" and is_panic(name)]
        found += [(slot, "no exit can be reached from here") for slot in self.endless()]
        return sorted(found)

    # ------------------------------------------------------------ bytes

    def insns(self, kernel: Kernel | None = None) -> bytes:
        """Linked slots in the object's byte order; with `kernel` after CO-RE against it."""
        return self._native.insns() if kernel is None else self._native.relocated(kernel.targets)

    def fingerprint(self, kernel: Kernel | None = None) -> str:
        """SHA-256 of the normalised slots (docs/json.md), lower-case hexadecimal."""
        return self._native.fingerprint(None if kernel is None else kernel.targets)

    def core(self, kernel: Kernel) -> list[dict[str, object]]:
        """Per CO-RE relocation `{"slot","kind","type","access","resolved","orig","new","reason"}`."""
        return self._native.core(kernel.targets)

    def instruction_view(self, kernel: Kernel | None = None) -> Iterator[Instruction]:
        """Makes one `Instruction` after another; nothing is kept."""
        return decode(self.insns(kernel), big_endian=self._object.endianness == "big")

    def disassemble(self, kernel: Kernel | None = None, *, syntax: str = "kernel") -> list[tuple[int, str]]:
        """(slot, text) per instruction; `syntax` is `kernel` (the verifier log's) or `llvm` (llvm-objdump's)."""
        from bpfsmith import _native

        return _native.disassemble(self.insns(kernel), big_endian=self._object.endianness == "big", syntax=syntax)

    # ------------------------------------------------------------ source

    def lines(self) -> list[tuple[int, int, int, int]]:
        """(slot, index into `files()`, line, column) sorted by slot, from BTF line information."""
        if self._lines is None:
            self._lines = self._native.lines()
        return self._lines

    def files(self) -> list[str]:
        """File names as the compiler wrote them."""
        if self._files is None:
            self._files = self._native.files()
        return self._files

    def source_line(self, slot: int) -> SourceLine | None:
        """The source position of the instruction at `slot`; `None` without line information."""
        from bisect import bisect_right

        lines = self.lines()
        at = bisect_right(lines, slot, key=lambda row: row[0]) - 1
        if at < 0:
            return None
        _, file, line, column = lines[at]
        files = self.files()
        return SourceLine(files[file] if file < len(files) else "", line, column, self._native.line_text(slot))

    def line_text(self, slot: int) -> str | None:
        """The source line the object carries for the record covering `slot`."""
        return self._native.line_text(slot)

    def inline_frames(self, slot: int) -> list[tuple[str, str, int, int]]:
        """(function, file, line, column), innermost first, from DWARF; empty without it. Parsed on first use."""
        return self._native.inline_frames(slot)

    def __repr__(self) -> str:
        return f"<Program {self.name}: {self.section}, {self.instructions} slots>"


def is_panic(symbol: str) -> bool:
    """Whether a symbol, mangled or not, is one of Rust's panic functions (`core::panicking`, the handler)."""
    return any(part in symbol for part in _PANICS)
