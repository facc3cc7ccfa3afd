"""The native core's contract: what `bpfsmith._native` offers, with shapes, units and errors.

Reading is pure: bytes in, values out; no file, kernel or clock is touched here but in the last part, `sys`. Anything
malformed raises `ReadError` (a `ValueError`); nothing panics. Offsets and sizes are bytes unless a name says `bits` or `insn`.
Instruction indices count 8-byte slots from the start of the linked program (an `ld_imm64` takes two).

Long because it is one module, and a stub stands beside it whole.
"""

from collections.abc import Sequence
from typing import Any

__version__: str

class ReadError(ValueError):
    """Malformed input. `args == (message, where, hint)`: all `str`, `where` and `hint` may be empty."""

# ---------------------------------------------------------------- isa

def disassemble(
    insns: bytes,
    *,
    big_endian: bool = False,
    syntax: str = "kernel",
    base: int = 0,
    helpers: dict[int, str] | None = None,
    symbols: dict[int, str] | None = None,
) -> list[tuple[int, str]]:
    """(slot index plus `base`, text) per instruction.

    `syntax`: `kernel` (as the verifier's log prints), `spelled` (the same, but an `ld_imm64` says what it stands for:
    `map[3]`, `map[3][0]+8`, `subprog[+5]`), `llvm` (as llvm-objdump 22 prints, without `<symbol>`).
    `helpers`: full names by number, else `unknown#1`; `symbols`: text for the right side of the `ld_imm64` at a slot
    (counted without `base`). `ReadError` for an unknown syntax and for bytes that are no whole slots.
    """

def assemble(text: str, *, big_endian: bool = False) -> bytes:
    """Kernel-log or `spelled` syntax back to slots; for tests. `ReadError` names the line."""

def cfg(insns: bytes, *, big_endian: bool = False) -> dict[str, object]:
    """Control flow of one function.

    `blocks` [(start, end)] in slots, `edges` [(from block, to block, `fall|taken|goto|indirect`)], `idom` [block or
    None], `loops` [(header, [blocks])] outer ones first, `irreducible` [(from block, to block)], `unreachable` [slot],
    `endless` [first slot of a loop without exit].
    """

# ---------------------------------------------------------------- btf

class Btf:
    """One parsed BTF, base or split. Lookups are by an index built on first use; the bytes are shared, not copied."""

    @staticmethod
    def parse(data: bytes, base: Btf | None = None) -> Btf: ...
    @staticmethod
    def from_elf(data: bytes, base: Btf | None = None) -> Btf: ...
    @staticmethod
    def open(path: str, base: Btf | None = None) -> Btf:
        """Maps or reads a raw BTF file or an ELF file with `.BTF` (the only function here that opens a file; same result as `parse`)."""
    big_endian: bool
    first_id: int  # of its own types: 1, or one more than the base's last
    def __len__(self) -> int: ...
    def find(self, name: str, kind: str | None = None) -> int | None: ...
    def find_all(self, name: str, kind: str | None = None) -> list[int]: ...
    def type(self, type_id: int) -> dict[str, object]:
        """`{"id","kind","name","size"?,"type"?,"members"?:[{"name","type","bits_offset","bitfield_size"}],...}` in bpftool's words."""
    def name(self, type_id: int) -> str: ...
    def kind(self, type_id: int) -> str:
        """bpftool's word: `STRUCT`, `FUNC_PROTO`."""
    def resolve(self, type_id: int) -> int:
        """The type behind typedefs, qualifiers and tags."""
    def size_of(self, type_id: int) -> int | None: ...
    def offset_of(self, type_id: int, path: str) -> tuple[int, int, int]:
        """(bit offset, bit size, type id) of `a.b[3].c`; crosses anonymous members. `ReadError` names the missing part."""
    def c_decl(self, type_id: int) -> str: ...
    def dump_raw(self) -> str:
        """The text of `bpftool btf dump file X format raw`."""
    def to_bytes(self) -> bytes:
        """The bytes it was read from."""
    def rebuild(self) -> bytes:
        """The same types written anew."""

# ---------------------------------------------------------------- object

class Object:
    """One eBPF ELF object, parsed once. Lists are columns: a Python value is made when asked for."""

    @staticmethod
    def parse(data: bytes, name: str = "") -> Object: ...
    endianness: str  # "little" | "big"
    license: str | None
    kernel_version: int | None  # from the `version` section
    btf: Btf | None
    has_btf: bool
    has_btf_ext: bool
    has_core: bool  # CO-RE relocations anywhere: without, no program needs a kernel's BTF for them
    has_dwarf: bool
    producer: str | None  # DWARF/.comment compiler text, when there
    notes: list[tuple[str, str]]  # (kind, text): what was unusual but readable
    programs: list[Program]
    maps: list[Map]
    globals: list[Global]
    externs: list[Extern]
    tail_calls: list[tuple[str, str | None, int | None]]  # program, map (None: origin lost), index (None: computed)
    def resolved_externs(self, targets: Sequence[Btf]) -> list[bool]:
        """Per entry of `externs`: whether these types hold a kfunc or typed ksym of that name and type; False for others."""
    def kernel_btf(self, lacking: Sequence[str] = ()) -> bytes | None:
        """The object's BTF as a kernel takes it: section sizes and variable offsets filled in, externs made definitions,
        names the kernel refuses mended (Rust generics), and the kinds in `lacking` replaced by older ones with the same ids
        and sizes (`func`, `func_global`, `datasec`, `float`, `decl_tag`, `type_tag`, `enum64`; `qmark_datasec`, kernels
        below 6.11: only identifiers as section names; `long_names`, below 6.1: 127 bytes). None without BTF."""
    def functions(self) -> list[dict[str, object]]:
        """Every function symbol: `{"name","section","offset","size","weak","static","program": bool}`; section offsets in bytes."""

class Program:
    name: str
    section: str
    offset: int  # bytes in its section
    own_instructions: int  # slots before linking
    instructions: int  # slots after its subprograms are linked in
    subprograms: list[str]  # in linked order, without the program itself
    autoload: bool  # False for `?section`
    weak: bool
    core_relocations: int
    stack: int  # bytes, deepest call chain, frames unrounded
    link_error: str | None
    # Why linking failed: then the methods below raise `ReadError`, and the counts above are 0 or empty.
    def insns(self) -> bytes:
        """Linked slots, object byte order, as libbpf 1.5+ lays them out, before CO-RE; map slots hold (src=1|2, imm=map index)."""
    def relocated(self, targets: Sequence[Btf]) -> bytes:
        """`insns()` with CO-RE applied against vmlinux BTF `targets[0]` and module BTFs after it; unresolved ones poisoned."""
    def normalised(self, targets: Sequence[Btf] | None = None) -> bytes:
        """The slots the fingerprint hashes (see docs/json.md)."""
    def fingerprint(self, targets: Sequence[Btf] | None = None) -> str: ...
    def functions(self) -> list[tuple[str, int, int, int]]:
        """(name, first slot, slot count, own stack bytes) per function of the linked program; entry 0 is the program."""
    def stack_chains(self) -> list[tuple[int, int, list[str]]]:
        """(bytes rounded as the kernel does, bytes unrounded, function names) for each maximal call chain, deepest first."""
    def calls(self) -> list[tuple[int, str, int, str]]:
        """(slot, kind, number, name): kind `helper` (number = helper id, name empty: the facts know it), `kfunc`, `subprog`,
        `callback` (its address is taken), `register` (no kernel accepts it); reachable code only."""
    def helpers(self) -> list[int]:
        """Helper numbers called anywhere in the linked program, ascending."""
    def kfuncs(self) -> list[str]:
        """Names of the kfuncs called anywhere in the linked program, sorted."""
    def extern_uses(self) -> list[int]:
        """Indices into `Object.externs` its instructions refer to, ascending."""
    def refs(self) -> list[tuple[int, str, str, int]]:
        """(slot, kind, name, offset) of everything instructions refer to: `map`, `value` (with the offset in it), `extern`,
        `function`, `jump_table`."""
    def map_refs(self) -> list[int]:
        """Indices into `Object.maps` its instructions refer to anywhere (the `.kconfig` map included), ascending."""
    def map_uses(self) -> list[tuple[int, int, str, int]]:
        """(slot, index into `Object.maps`, `ref`|`value`, offset in the value)."""
    def call_args(self) -> list[tuple[int, int, list[int | str | None]]]:
        """(slot, helper id, [what is known of r1..r5 on every path]): an int when constant, else one of `map:NAME`, `ctx`,
        `ctx+8`, `value:NAME+8`, `func:NAME`, `stack:-16` (r10-16), `stack:-16=00000000` with the constant bytes known to lie
        there; None when nothing is known."""
    def exits(self) -> list[tuple[int, int | None]]:
        """(slot of a reachable exit of the entry function, R0 when constant there else None); one entry per constant reaching it.

        What a global function returns counts as unknown, as for the verifier: an `ext` program may replace it."""
    def features(self) -> list[tuple[str, int]]:
        """(instruction feature, first slot using it), e.g. `jmp32`, `atomic_fetch`, `sdiv`, `gotol`, `may_goto`, `load_acquire`, `addr_space_cast`, `bpf2bpf`, `callback`, `kfunc`, `bounded_loop`."""
    def guarded(self) -> list[int]:
        """Slots of reachable calls that only one answer of the program's existence checks leads to, ascending: behind a branch
        on `bpf_core_enum_value_exists()` and its like or on a weak kernel symbol's address. Computed at each call."""
    def unreachable(self) -> list[int]: ...
    def endless(self) -> list[int]:
        """First slot of each reachable stretch of code no exit can be reached from (`goto -1`, running off the end)."""
    def byte_copies(self) -> list[tuple[int, int]]:
        """(first slot, bytes): runs of at least 4 byte loads that assemble or copy wider data (align-1 types)."""
    def lines(self) -> list[tuple[int, int, int, int]]:
        """(slot, index into `files()`, line, column) sorted by slot, from BTF line info."""
    def files(self) -> list[str]: ...
    def line_text(self, slot: int) -> str | None:
        """The source line BTF carries for the line record covering `slot`."""
    def core(self, targets: Sequence[Btf]) -> list[dict[str, object]]:
        """Per CO-RE relocation: `{"slot","kind","type","access","resolved","orig","new","reason"}`."""
    def inline_frames(self, slot: int) -> list[tuple[str, str, int, int]]:
        """(function, file, line, column), innermost first, from DWARF; empty without it. Parsed on first use only."""

    def variables(
        self,
    ) -> list[
        tuple[
            str,
            str,
            tuple[str, int],
            bool,
            tuple[str, int, list[tuple[str, int, int]]],
            list[tuple[int, int, str, int]],
        ]
    ]:
        """Local variables and parameters, from DWARF: (function, name, (file, line) of the declaration, is a parameter, (type, bytes,
        [(field, first byte, bytes)]), [(first slot, past the last, "reg" or "frame", register or bytes above the frame's lowest)])."""
    def image(self, targets: Sequence[Btf] = ()) -> Image:
        """The program as BPF_PROG_LOAD wants it but for descriptors and addresses; CO-RE applied against `targets`."""

class Image:
    insns: bytes  # slots in the object's byte order
    maps: list[tuple[int, int]]  # (byte offset of the u32 where the map's descriptor goes, index into `Object.maps`)
    jump_tables: list[
        tuple[int, int, list[int]]
    ]  # (byte offset of the u32 where the instruction array's descriptor goes, offset in `.jumptables`, slots it leads to)
    externs: list[
        tuple[int, int]
    ]  # (slot, index into `Object.externs`): kfunc calls, typed and untyped ksyms to fill in
    func_info: bytes  # records of 8 bytes: slot, type id; empty without BTF
    line_info: bytes  # records of 16 bytes: slot, file name, line text, line << 10 | column
    poisoned: list[tuple[int, str]]  # (slot, what could not be relocated): instructions the verifier refuses if reached

class Map:
    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    map_extra: int
    numa_node: int
    pinning: int  # 0 none, 1 by name
    origin: str  # btf | legacy | data | kconfig | struct_ops
    section: str
    key_type: int  # BTF type id or 0
    value_type: int
    inner: Map | None
    values: list[tuple[int, str]]  # initial slots of a prog array or map-in-map: (index, program or map name)
    data: bytes | None  # initial bytes of a data map

class Global:
    name: str
    section: str
    type: str | None  # C-like text
    offset: int
    size: int
    weak: bool

class Extern:
    name: str
    kind: str  # kfunc | ksym | kconfig | func | unknown
    weak: bool
    typed: bool  # looked up in the kernel's BTF: kfuncs, and ksyms declared with a type
    type: str | None

def parse_many(paths: Sequence[str], threads: int = 0, analyse: bool = False) -> list[Object | ReadError]:
    """Reads and parses many files on all cores (or `threads`) with the GIL released; an entry per path, in order.

    With `analyse` every program is also linked and analysed there, so that the columns are ready. An error whose `where`
    is `internal` is a bug of ours."""

# ---------------------------------------------------------------- source

class RustFile:
    """One parsed Rust file: facts and indexes. Ids count from 0 within each list; -1 is none (for items: the file itself).

    Offsets are characters. Never fails on broken code; what could not be read is in `notes()`. Spans below are two ints.
    """

    counts: tuple[int, int, int, int, int]  # items, attributes, uses, paths, expressions

    def lines(self) -> list[int]: ...
    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1."""

    def notes(self) -> list[tuple[str, str, int, int]]: ...
    def item(self, id: int) -> tuple[Any, ...]:
        """kind, parent, span, name, name span, flags, type span, extra span, body span, expression, generics span."""

    def params(self, id: int) -> list[tuple[Any, ...]]:
        """Of an item: name, span, type span, flags, value, names of the pattern."""

    def attr(self, id: int) -> tuple[int, str, int, int, int, int, int, int, int]:
        """owner, path, span, flags (1 inner, 2 unsafe, 4 on the item), span of the arguments, span of what it is on."""

    def use_(self, id: int) -> tuple[int, str, str, int, int, int, int, int]:
        """owner, path, name here, flags (1 glob, 2 public, 4 renamed), span, span of the statement."""

    def path(self, id: int) -> tuple[int, str, int, int]:
        """owner, path, span: of a path outside of expressions and `use`."""

    def expr(self, id: int) -> tuple[str, int, int, int]:
        """kind, parent (-2 - item for an outermost one), span."""

    def fields(self, id: int) -> tuple[Any, ...]:
        """What an expression consists of, as `bpfsmith.source.rust` documents for each kind."""

    def label(self, id: int) -> str | None: ...
    def of_kind(self, kind: str) -> list[int]: ...
    def items_of_kind(self, kind: str) -> list[int]: ...
    def having(self, role_name: str, word: str) -> list[int]:
        """Ids by role (method call macro struct field path: expressions; attr, use, alias, segment, item) and word.

        Paths count with their last segment, but for `path` and `segment`: with each."""

    def has(self, word: str) -> bool:
        """Whether the word stands in the code: identifier, keyword or in a string; comments do not count."""

    def has_any(self, words: Sequence[str]) -> bool: ...
    def methods_like(self, start: str) -> list[str]:
        """Names of the methods called that start so."""

    def words(self) -> list[str]: ...
    def children(self, item: int) -> list[int]: ...
    def attrs_on(self, item: int) -> list[int]: ...
    def attrs_at(self, start: int, end: int) -> list[int]:
        """Attributes on the field, variant, parameter, arm, statement or expression with this span."""

    def globs(self, item: int) -> list[str]: ...
    def use_in(self, scope: int, name: str) -> str | None: ...
    def item_in(self, scope: int, name: str) -> int: ...
    def owner(self, id: int) -> int:
        """The item an expression is in."""

    def within(self, id: int, kinds: Sequence[str] | None = None) -> list[int]:
        """An expression and those inside it, without those of items declared in it."""

    def ancestors(self, id: int) -> list[int]:
        """The enclosing expressions, innermost first."""

    def binding(self, id: int) -> tuple[str, int, int, int, int, int] | None:
        """Where the local name comes from: let, param or pattern; scope, type span, index (of statement or parameter),
        what the pattern takes apart."""

    def bound(self, name: str, id: int) -> tuple[str, int, int, int, int, int] | None:
        """`binding` of a name as seen from an expression."""

    def mentions(self, block: int, index: int, name: str) -> list[int]:
        """Paths that use what a `let` binds, and all tokens and strings after it in its block."""

def rust_parse(text: bytes) -> RustFile: ...
def rust_parse_many(texts: Sequence[bytes], threads: int = 0) -> list[RustFile]:
    """Parses on all cores (or `threads`) with the GIL released; one entry per text, in order."""

def keep_for_ever(object: object) -> None:
    """Never frees it: for what lives until the process ends, which is soon."""

def rust_words(files: Sequence[RustFile], words: Sequence[str]) -> list[str]:
    """Those of the words that stand in one of the files."""

# ---------------------------------------------------------------- sys: the native half of the kernel door
#
# Only `bpfsmith.kernel` may use what stands below. System calls release the GIL and answer the value or `-errno`; none
# raises for what the kernel says. `Buffer` is anything with the buffer protocol; addresses are valid during the call only.

class Fd:
    """An owned file descriptor (close-on-exec): closed by `close()` or with the value. Usable wherever `fileno()` is."""

    def __init__(self, fd: int) -> None:
        """Takes ownership."""
    closed: bool
    def fileno(self) -> int:
        """`ValueError` after `close()`."""
    def close(self) -> None: ...
    def detach(self) -> int:
        """The number; the caller owns it from now on."""
    def dup(self) -> Fd: ...
    def __enter__(self) -> Fd: ...
    def __exit__(self, *exc: object) -> None: ...

def bpf(cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> int:
    """bpf(2). `buffers`: (offset in `attr`, object): its address is written there as u64. What the kernel writes into `attr`
    is in it afterwards; buffers it writes to must be writable."""

def bpf_fd(cmd: int, attr: bytearray, buffers: Sequence[tuple[int, Any]] = ()) -> Fd | int:
    """As `bpf` for commands that answer a descriptor: an `Fd`, or `-errno`."""

def perf_event_open(attr: bytes, pid: int, cpu: int, group_fd: int, flags: int) -> Fd | int: ...
def ioctl(fd: int, request: int, arg: int) -> int: ...
def ioctl_ptr(fd: int, request: int, data: bytearray) -> int: ...

class Mapping:
    """An mmap(2)ed range as a buffer (writable when `prot` has PROT_WRITE); unmapped by `close()`, which raises `BufferError`
    while views of it live, or with the value."""

    @staticmethod
    def map(fd: int, length: int, offset: int = 0, prot: int = 1, flags: int = 1, address: int = 0) -> Mapping | int:
        """`address`: a wish, 0 for anywhere; nothing in use is replaced."""
    def __len__(self) -> int: ...
    def close(self) -> None: ...

Step = tuple[int, bytes, list[tuple[int, bytes, list[tuple[int, int]]]], list[tuple[int, int]], int]
"""One command of a plan: (bpf command, attr, blobs, slots, out).

`blobs`: (offset in attr of the pointer, bytes, [(offset in the bytes, slot)]); `slots`: [(offset in attr, slot)]: the
descriptor in that slot is written there as u32; `out`: the slot the new descriptor goes to, -1: none. Numbers from 1000 on
are no bpf(2) commands: 1000 lifts RLIMIT_MEMLOCK.
"""

def replay(
    steps: Sequence[Step],
    slots: int,
    given: Sequence[tuple[int, int]] = (),
    log_level: int = 0,
    log_limit: int = 1 << 30,
) -> tuple[list[Fd | None], tuple[int, int, str] | None, list[tuple[int, str]]]:
    """Replays a plan: (descriptors by slot, failure, logs).

    Stops at the first command that fails: (its index, errno, verifier log); then every descriptor made is closed and the
    first list is empty. `given`: (slot, descriptor owned by the caller), not closed and not answered. Programs and BTF are
    loaded without a log; a rejected one again with one that grows on ENOSPC up to `log_limit`. With `log_level` > 0 each
    program's log is asked for and answered as (index of the step, text). EAGAIN and EINTR are tried again.
    """

def replay_once(
    steps: Sequence[Step],
    slots: int,
    given: Sequence[tuple[int, int]] = (),
    log_level: int = 0,
    log_limit: int = 1 << 30,
) -> tuple[tuple[int, int, str] | None, list[tuple[int, str]], list[tuple[int, bytes]]]:
    """As `replay`, and everything is closed again: (failure, logs, (step, `struct bpf_prog_info` as long as this kernel
    knows it) of every program a slot took)."""

def encode_plan(steps: Sequence[Step], slots: int) -> bytes:
    """The same as one message for a guest; `crates/sys` documents the layout."""

def decode_plan(data: bytes) -> tuple[list[Step], int]: ...
def possible_cpus() -> int:
    """CPUs a per-CPU value has room for."""

def kernel_symbols(names: Sequence[str], module: str | None = None) -> dict[str, list[tuple[int, str]]]:
    """name -> [(address, module or "")] from one pass over /proc/kallsyms; addresses are 0 where kptr_restrict hides them.
    `OSError` when it cannot be read."""

# ---------------------------------------------------------------- sys: event streams
#
# What a walk over records ends with is a number: 0 nothing more is there, 1 what was asked for is full, 2 the next record
# is still being written, 3 it is shorter than its type, 4 its selector names no type, 5 the memory is no ring. `OSError`
# with ECHILD in a forked child (it shares its parent's positions), EBADF after `close()`. All of them are safe to use from
# several threads, which then share the records.

class Ring:
    """Consumer of a BPF_MAP_TYPE_RINGBUF: takes from where the last call stopped, and gives it back to the kernel."""

    @staticmethod
    def open(fd: int, size: int) -> Ring | int:
        """`size`: the map's max_entries. `-errno` when it cannot be mapped."""
    size: int
    discarded: int  # records their producers gave up, met so far
    def waiting(self) -> int:
        """Bytes between the reader and the producers, headers included."""
    def positions(self) -> tuple[int, int, int]:
        """(consumer, producer, reader) in bytes since the map was made; the reader is ahead by what is lent."""
    def take_into(self, out: Any, size: int, most: int) -> tuple[int, int]:
        """The first `size` bytes of each record into `out`, without gaps: (records, end)."""
    def take_mixed(self, most: int) -> tuple[bytes, bytes, bytes, int]:
        """(bytes of all records, each from a multiple of 8; u32 offsets; u32 lengths; end)."""
    def take_sorted(
        self, selector: tuple[int, int], values: list[tuple[int, int]], sizes: list[int], most: int
    ) -> tuple[list[bytes], bytes, int]:
        """By the number in a field. `selector`: (offset, bytes) of the field; `values`: (number, index of its type);
        `sizes`: bytes by type. Answers (dense records by type, a type index per record in order, end)."""
    def take(self) -> bytes | int:
        """One record as it is, or the end."""
    def lend(self, most: int) -> Lease | int:
        """Records of one length where they lie, or the end."""
    def pause(self, latency: float) -> float:
        """Seconds to let records gather before the next read: 0 while they are rare, at most `latency`."""
    def close(self) -> None: ...

class Lease:
    """Lent records as a read-only buffer from the first record's first byte; `stride` bytes from one to the next. They go
    back to the kernel with the value or by `release()` (`BufferError` while views live), after all older ones."""

    count: int
    stride: int
    length: int
    def release(self) -> None: ...

class PerfRing:
    """Consumer of one perf event's buffer: as `Ring`, with PERF_RECORD_LOST counted and records that wrap joined."""

    @staticmethod
    def open(fd: int, size: int) -> PerfRing | int:
        """`size`: bytes of records, a power of two of pages."""
    size: int
    lost: int  # as far as was read
    def waiting(self) -> int: ...
    def take_into(self, out: Any, size: int, most: int) -> tuple[int, int]: ...
    def take_mixed(self, most: int) -> tuple[bytes, bytes, bytes, int]: ...
    def take_sorted(
        self, selector: tuple[int, int], values: list[tuple[int, int]], sizes: list[int], most: int
    ) -> tuple[list[bytes], bytes, int]: ...
    def take(self) -> bytes | int: ...
    def close(self) -> None: ...

class UserRing:
    """Producer of a BPF_MAP_TYPE_USER_RINGBUF."""

    @staticmethod
    def open(fd: int, size: int) -> UserRing | int: ...
    size: int
    def waiting(self) -> int: ...
    def send(self, data: Any, size: int) -> int:
        """Submits the records of `size` bytes in `data`: how many, or -E2BIG (the ring can never hold one), -ENOSPC."""
    def reserve(self, size: int) -> Slot | int: ...
    def close(self) -> None: ...

class Slot:
    """A reserved record as a writable buffer until `submit()` or `discard()` (`BufferError` while views live); dropped, it
    is discarded."""

    done: bool
    def submit(self) -> None: ...
    def discard(self) -> None: ...

class Poller:
    """Waits for several descriptors; another thread ends the wait. Python's signal handlers run meanwhile."""

    @staticmethod
    def open() -> Poller | int: ...
    def add(self, fd: int, key: int, room: bool = False) -> int:
        """0 or `-errno`. `room`: until it can be written to."""
    def remove(self, fd: int) -> int: ...
    def wait(self, timeout: float | None = None) -> list[int] | None:
        """Keys of what is ready, none after `timeout` seconds; None once `wake()` was called."""
    def sleep(self, time: float) -> bool:
        """Sleeps whatever is ready; True once `wake()` was called."""
    def wake(self) -> None:
        """Ends every wait, now and from now on."""
    def fileno(self) -> int:
        """Readable while something is ready."""

class Rows:
    """Rows a dump read: a writable buffer that numpy takes without a copy."""

    def __len__(self) -> int: ...

Sizes = tuple[int, int, int, int]
"""(bytes of a key, bytes the kernel copies per value, bytes of a row, where the value starts in it); rows of key size: keys only."""

Items = tuple[Any, int, int, int]
"""(buffer, offset of the first item, bytes of an item, bytes from one to the next)."""

def map_read(fd: int, key: bytes, size: int, flags: int) -> bytes | int:
    """One element by BPF_MAP_LOOKUP_ELEM: its `size` bytes, or `-errno`."""

def map_write(fd: int, key: bytes, value: bytes, flags: int) -> int:
    """Stores one element by BPF_MAP_UPDATE_ELEM: 0 or `-errno`."""

def map_dump(
    fd: int, sizes: Sizes, command: int = 24, flags: int = 0, chunk: int = 0, most: int = 0, unique: bool = False
) -> tuple[Rows, int, int, int]:
    """Every element by BPF_MAP_LOOKUP_BATCH (24) or BPF_MAP_LOOKUP_AND_DELETE_BATCH (25): (rows, errno, system calls,
    rows left out because their key was met before). errno 0: complete; else the rows read before it.

    `chunk`: elements asked for at once (0: what fits a cache; doubled on ENOSPC); `most`, `unique`: for maps that go on
    by key and so start over when entries go meanwhile: end after so many rows, leave out keys met before."""

def map_dump_each(fd: int, sizes: Sizes, flags: int = 0, most: int = 0) -> tuple[Rows, int, int, int]:
    """The same by BPF_MAP_GET_NEXT_KEY and BPF_MAP_LOOKUP_ELEM, for maps without batches; `most`: entries it has room for."""

def map_update(
    fd: int, keys: Items, values: Items, count: int, flags: int = 0, batch: bool = True
) -> tuple[int, int, int, int]:
    """Stores `count` elements in order, by BPF_MAP_UPDATE_BATCH or one by one: (stored, 0, errno, system calls)."""

def map_delete(fd: int, keys: Items, count: int, batch: bool = True) -> tuple[int, int, int, int]:
    """Deletes `count` keys: (deleted, not there, errno, system calls)."""

# ---------------------------------------------------------------- unpack

def compression(data: bytes) -> str | None:
    """What the first bytes are the start of: `gzip`, `xz`, `lzma`, `bzip2`, `lz4` or `zstd`; `zlib` cannot be told."""

def decompress(kind: str, data: bytes, limit: int) -> bytes:
    """What a stream unpacks to; bytes after its end are ignored. `kind`: a word of `compression`, or `zlib`.
    `ReadError`: another kind, cut off, corrupt, more than `limit` bytes, or a dictionary of more than 256 MiB."""

class Unpacker:
    """Part of a file, unpacked while it is read: packages are larger than what one wants to hold in memory."""

    def __init__(self, kind: str, path: str, offset: int = 0, length: int | None = None) -> None:
        """`kind` as for `decompress`, or `` for bytes as they are. `OSError` when it cannot be opened."""
    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all of the rest for -1. `ReadError`: cut off or corrupt."""

# ---------------------------------------------------------------- a verifier's log
#
# Never fails: what a log does not say is None, 0, "" or empty. Line numbers count from 0 in the text as it was cleaned
# (`line`); steps count from 0 in the order of the log; slots are instructions of the program as it was loaded. What
# takes time (states, values) is worked out when asked for.

class VerifierLog:
    """One verifier's log, as printed by any kernel from 4.19 on and shown by any loader, terminal or issue."""

    def __init__(self, data: bytes | str) -> None:
        """One paste; more than 64 MiB belong into `reader()`."""
    @staticmethod
    def reader(keep: int = 33554432) -> LogReader:
        """For logs that come in pieces: of more than `keep` bytes only what is still on the path is kept (`cut` has `middle`)."""
    loads: list[VerifierLog]
    """Each load's own log, in order, when several are in one paste; else `[self]`."""
    program: str | None  # its name, where the loader's words or the log tell it
    loader: (
        str | None
    )  # "aya", "libbpf", "bpftool", "cilium", "bcc", or "kernel" (the verifier's words alone); None: no log at all
    errno: int | None  # positive, as told by the loader's words
    verdict: str  # "rejected", "accepted", "unknown"
    message: str
    """The kernel's final message, "" when there is none."""
    message_line: int | None
    at: int | None
    """The slot the message is about: named by the message itself, else the last instruction followed."""
    told: list[tuple[int, str]]
    """(line, text) of what is said beside instructions, states, sources, walks and counts; the message is of them."""
    unknown: list[tuple[int, str]]
    """(line, text) of lines of no known kind, those around the log left out; at most 10,000."""
    beside: list[tuple[int, str]]
    """(line, text) of what is not the verifier's: the loader's words, a shell's, an issue's; at most 10,000."""
    cut: set[str]
    """What is missing: "head", "tail", "middle"."""
    level: int  # 0 (statistics at most), 1, 2: as the log looks
    first_line: int  # of this load, in the whole paste
    lines: int
    text: str
    """The log, cleaned: without prefixes, colours, quotes and a loader's frame, its broken lines joined."""
    counts: dict[str, int]
    """`processed`, `limit`, `max_states_per_insn`, `total_states`, `peak_states`, `mark_read`, `usec`: what was told."""
    stack: list[int] | None  # bytes, by subprogram
    subprograms: list[dict[str, Any]]
    """`{"number","name","kind","slot","insns_self","insns_total","stack"}`: of 7.3's lines and `func#0 @0`; None where not told."""
    functions: list[tuple[int, int, str | None]]
    """(number, first slot, name) of the functions that are told of, by number."""
    report: LogReport | None  # since 7.3
    insns: list[int]
    """Slots that were seen, ascending."""
    def insn(self, slot: int) -> LogInsn | None: ...
    def source(self, slot: int) -> tuple[str | None, int | None, str] | None:
        """(file, line, text) of the source line an instruction is of: `; text @ file.c:12`, older ones without file."""
    def visits(self, slot: int) -> int:
        """How often it was followed."""
    def line(self, number: int) -> str: ...
    def kind(self, number: int) -> str:
        """Of a line: "insn", "state", "source", "from", "safe", "walk", "frame", "func", "live", "count", "report", "told", "beside",
        "unknown", "empty"."""
    def print(self) -> str:
        """The log again, written from what was read of it; equal to `text`."""
    steps: int
    """How many instructions were followed; a step's number is below."""
    path: list[int]
    """The steps from the entry to where the log ends, in order: branches that were finished before are left out. After
    `cut` "head" it begins where what is known begins."""
    def path_to(self, step: int) -> list[int]:
        """The same to any step."""
    def step(self, number: int) -> LogStep:
        """`IndexError` for a number that is none."""
    def steps_of(self, slot: int) -> list[int]:
        """All steps at a slot, on the path or not."""
    def state(self, step: int) -> LogState:
        """What is known before a step, gathered along the path to it."""
    def after(self, step: int) -> LogState:
        """What is known after it, on the way that was followed first; of the last step: what was printed behind it."""
    def events(self, step: int) -> list[tuple[int, str, str]]:
        """(line, kind, text) of what stands between a step and the next: "walk", "from", "safe", "frame", "func", "told", .."""

class LogReader:
    def feed(self, data: bytes) -> None: ...
    def finish(self) -> VerifierLog: ...

class LogReport:
    """7.3's report. `at`: as printed; `slot`: of the instruction it names."""

    category: str
    reason: str
    at: str
    slot: int | None
    path: list[tuple[int | None, str]]
    """The causal path: (slot, text) per entry, as far as a slot is named."""
    suggestion: str

class LogInsn:
    """An instruction, read back from its text."""

    slot: int
    text: str  # behind the number: `(bf) r6 = r1`
    code: int
    dst: int
    src: int
    off: int
    imm: int
    """Also the 64 bits of an `ld_imm64`."""
    target: int | None  # of jumps, subprogram calls and function addresses: a slot
    call: str | None  # "bpf_map_lookup_elem", a kfunc's name, "pc+4"
    call_kind: str | None  # "helper", "kfunc", "subprogram"
    kind: str
    """"alu", "mov", "load", "store", "atomic", "imm64", "jump", "branch", "call", "exit", "other"."""
    width: int  # bytes of memory access, 4 or 8 of arithmetic and comparison; 0 else
    op: str  # `+=`, `=`, `==`, `s<`, ..; "" where there is none
    uses_imm: bool  # the second operand is a constant
    next: int  # the slot behind it
    exact: bool
    """Whether all of it could be read, and the opcode byte agrees with the text."""
    reads: list[int]  # registers
    writes: list[int]

class LogStep:
    id: int
    slot: int
    line_no: int
    frame: int  # 0 is the program's
    parent: int | None  # the step before it on its path
    caller: int | None  # the step of the call that entered its frame
    kind: str  # as LogInsn.kind
    how: str
    """How it was come to: "next", "jump", "switch" (`from A to B`), "call", "return", "callback", "start"."""
    from_slot: int | None  # of a switch: A
    source: tuple[str | None, int | None, str] | None

class LogState:
    frames: list[LogFrame]
    refs: list[int]  # ids of references held, where they are printed
    locks: list[str]
    """Other things that are held, as printed: "cb", "rcu", "preempt", .."""

class LogFrame:
    number: int
    regs: dict[str, LogValue]
    """"r0" .. "r10"; what is not known is not in it."""
    stack: dict[int, LogSlot]
    """By offset below the frame pointer: -8, -16, .."""

class LogSlot:
    text: str  # as printed
    bytes: str
    """8 letters, highest address first: m misc, 0 zero, r spilled register, d dynptr, i iterator, f irq flag, ? not written."""
    value: LogValue | None  # of a spilled register
    kind: str  # "spill", "bytes", "dynptr", "iter", "irq"

class LogValue:
    """A register's value. `line_no`: where it was printed last; None when it was worked out from the instruction."""

    text: str
    type: str
    """The kernel's word without `_or_null`; "scalar" also for the older `inv`; "" for a number alone is "scalar"."""
    flags: list[str]  # "trusted", "rcu", "untrusted", "rdonly", "percpu", "user", "alloc": what stood before the type
    maybe_null: bool
    known: int | None  # its only value (signed)
    smin: int | None
    smax: int | None
    umin: int | None
    umax: int | None
    s32min: int | None
    s32max: int | None
    u32min: int | None
    u32max: int | None
    """Where a bound is not printed it is what the type or `var_off` leaves: None for pointers without a variable part."""
    var_off: tuple[int, int] | None  # value, mask
    id: int | None
    ref: int | None  # ref_obj_id
    off: int  # constant part of a pointer
    range: int | None  # `r=`: bytes of the packet that were shown to be there
    map: tuple[str | None, int | None, int | None] | None  # name (6.12+), key size, value size
    mem_size: int | None
    precise: bool
    marks: str
    """Liveness as printed: "w", "r", "rw", .."""
    frame: int | None  # of a frame pointer of another frame
    attrs: list[tuple[str, str]]  # every part as printed, in order
    line_no: int | None
