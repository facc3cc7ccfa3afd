"""Instructions, whether read from a log or from an object: what they write, read, and where they lead."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.program import Program

__all__ = ["NOTHING", "Insn", "conditional", "decoded", "reads", "successors", "width", "writes"]

LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
MEM, MEMSX, ATOMIC = 3, 4, 6
MOV, ADD, SUB, AND, NEG, END = 0xB, 0, 1, 5, 8, 0xD
JA, CALL, EXIT = 0, 8, 9
SIZES = (4, 2, 1, 8)
FETCH, XCHG, CMPXCHG, LOAD_ACQUIRE = 0x01, 0xE1, 0xF1, 0x100
CLOBBERED = ("r0", "r1", "r2", "r3", "r4", "r5")


class Insn:
    """As the log's instructions: `slot`, `code`, `dst`, `src`, `off`, `imm`, `text`, `target` (the slot a jump leads
    to), `call` (name of a helper or kernel function, `pc+N` of a subprogram), `kind`."""

    __slots__ = ("call", "code", "dst", "imm", "kind", "off", "slot", "src", "target", "text")

    def __init__(
        self,
        slot: int,
        code: int,
        dst: int = 0,
        src: int = 0,
        off: int = 0,
        imm: int = 0,
        text: str = "",
        target: int | None = None,
        call: str | None = None,
        kind: str = "",
    ) -> None:
        self.slot = slot
        self.code = code
        self.dst = dst
        self.src = src
        self.off = off
        self.imm = imm
        self.text = text
        self.target = target
        self.call = call
        self.kind = kind

    def __repr__(self) -> str:
        return f"<Insn {self.slot}: {self.text}>"


NOTHING = Insn(-1, 0x05)


def group(insn: Insn) -> int:
    """The class of the operation code: `LD` .. `ALU64`."""
    return insn.code & 7


def operation(insn: Insn) -> int:
    """Of an ALU or jump instruction: `ADD`, `MOV`, `CALL`, .."""
    return insn.code >> 4


def by_register(insn: Insn) -> bool:
    """The second operand of an ALU instruction or jump is a register."""
    return bool(insn.code & 8)


def width(insn: Insn) -> int:
    """Bytes a load or store moves."""
    return SIZES[insn.code >> 3 & 3]


def is_load(insn: Insn) -> bool:
    """From memory into a register (`r1 = *(u32 *)(r2 +4)`)."""
    return group(insn) == LDX and insn.code >> 5 in (1, 2, 3, 4)


def is_store(insn: Insn) -> bool:
    """Of a register or a number into memory; atomics are not."""
    return group(insn) in (ST, STX) and insn.code >> 5 == MEM


def is_atomic(insn: Insn) -> bool:
    """A read-modify-write of memory, or an ordered load or store."""
    return group(insn) == STX and insn.code >> 5 == ATOMIC


def is_call(insn: Insn) -> bool:
    """A call of a helper, a kernel function or a function of the program."""
    return group(insn) in (JMP, JMP32) and operation(insn) == CALL


def is_exit(insn: Insn) -> bool:
    """The end of a function or of the program."""
    return insn.code == 0x95


def is_subprogram_call(insn: Insn) -> bool:
    """A call of another function of the same program."""
    return insn.code == 0x85 and insn.src == 1


def is_helper_call(insn: Insn) -> bool:
    """A call of a helper by its number."""
    return insn.code == 0x85 and insn.src == 0


def is_mov(insn: Insn) -> bool:
    """A plain copy of one register to another, all 64 bits."""
    return insn.code == 0xBF and insn.off == 0


def is_cast(insn: Insn) -> bool:
    """A copy between address spaces: `r1 = addr_space_cast(r2, 0, 1)`."""
    return insn.code == 0xBF and insn.off == 1


def conditional(insn: Insn) -> bool:
    """A jump with two ways."""
    return group(insn) in (JMP, JMP32) and operation(insn) not in (JA, CALL, EXIT)


def writes(insn: Insn) -> tuple[str, ...]:  # noqa: PLR0911
    """The registers that hold something else afterwards; calls make r1 to r5 unusable."""
    kind = group(insn)
    if kind in (ALU, ALU64, LDX):
        return (f"r{insn.dst}",)
    if kind == LD:
        return (f"r{insn.dst}",) if insn.code == 0x18 else CLOBBERED
    if is_call(insn):
        return CLOBBERED
    if is_atomic(insn):
        if insn.imm == CMPXCHG:
            return ("r0",)
        if insn.imm == LOAD_ACQUIRE:
            return (f"r{insn.dst}",)
        if insn.imm & FETCH:
            return (f"r{insn.src}",)
    return ()


def reads(insn: Insn) -> tuple[str, ...]:  # noqa: PLR0911
    """The registers an instruction looks at, pointers first; a call's arguments are not known here."""
    kind = group(insn)
    if kind == LDX:
        return (f"r{insn.src}",)
    if kind == ST:
        return (f"r{insn.dst}",)
    if kind == STX:
        return (f"r{insn.src}",) if is_atomic(insn) and insn.imm == LOAD_ACQUIRE else (f"r{insn.dst}", f"r{insn.src}")
    if kind in (ALU, ALU64):
        if operation(insn) == MOV:
            return (f"r{insn.src}",) if by_register(insn) else ()
        if by_register(insn) and operation(insn) != END:
            return (f"r{insn.dst}", f"r{insn.src}")
        return (f"r{insn.dst}",)
    if conditional(insn):
        return (f"r{insn.dst}", f"r{insn.src}") if by_register(insn) else (f"r{insn.dst}",)
    if is_exit(insn):
        return ("r0",)
    return ()


def successors(insn: Insn) -> list[int]:
    """Slots that may follow in the same function."""
    if is_exit(insn):
        return []
    after = insn.slot + (2 if insn.code == 0x18 else 1)
    if group(insn) in (JMP, JMP32):
        if operation(insn) == JA:
            return [] if insn.target is None else [insn.target]
        if conditional(insn):
            return [after] if insn.target is None else [after, insn.target]
    return [after]


def decoded(program: Program) -> dict[int, Insn]:
    """The instructions of a linked program, with the texts a log would print; empty when it cannot be linked."""
    from bpfsmith.model.errors import BpfsmithError

    found: dict[int, Insn] = {}
    try:
        texts = dict(program.disassemble())
        calls = {slot: name for slot, _, _, name in program.calls()}
        for one in program.instruction_view():
            insn = Insn(one.slot, one.code, one.dst, one.src, one.off, one.imm, texts.get(one.slot, ""))
            if group(insn) in (JMP, JMP32) and operation(insn) not in (CALL, EXIT):
                jump = one.imm if one.code == 0x06 else one.off
                insn.target = one.slot + 1 + jump
            elif is_subprogram_call(insn):
                insn.call = f"pc+{one.imm}"
                insn.target = one.slot + 1 + one.imm
            elif is_call(insn):
                insn.call = calls.get(one.slot)
            found[one.slot] = insn
    except (BpfsmithError, ValueError):
        return {}
    return found
