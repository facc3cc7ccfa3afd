"""Disassembly equals llvm-objdump's on every instruction, every jump goes where objdump says, and text reads back.

Compared with the newest llvm-objdump found; LLVM 22 is what the texts follow. The verifier-log syntax is compared with
the running kernel's log.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objdump import Elf, listing, read_elf
from toolchain import Clang, llvm_tool

from bpfsmith import _native

if TYPE_CHECKING:
    from conftest import Corpus

SOURCES = Path(__file__).with_name("isa_src")
TARGETS = ("bpfel", "bpfeb")
CPUS = ("v1", "v2", "v3", "v4")
# What each CPU level must have brought into the listings, or the sources test nothing.
BRINGS = {
    "v1": ("call ", "ll", "exit", "lock *(u64 *)", "= be16 ", "skb["),
    "v2": (" s< ", " < "),
    "v3": ("if w", "atomic_fetch_", "cmpxchg", "xchg"),
    "v4": ("= *(s8 *)", "(s16)", "s/=", "s%=", "bswap", "gotol"),
}


def flags_for(tool: Path) -> list[str]:
    """Before LLVM 20 the default CPU names `rN` where newer ones name `wN`."""
    said = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"LLVM version (\d+)", said)
    return [] if match and int(match[1]) >= 20 else ["--mcpu=v3"]


def jump_targets(elf: Elf, code: bytes) -> dict[int, int]:
    """Slot -> target slot of every taken jump, read off the control flow of the whole section."""
    flow = _native.cfg(code, big_endian=elf.big_endian)
    blocks, edges = flow["blocks"], flow["edges"]
    assert isinstance(blocks, list)
    assert isinstance(edges, list)
    starts = [slot for slot, _ in _native.disassemble(code, big_endian=elf.big_endian)]
    last = dict[int, int]()
    block = 0
    for slot in starts:
        while slot >= blocks[block][1]:
            block += 1
        last[block] = slot
    return {last[source]: blocks[target][0] for source, target, kind in edges if kind in ("taken", "goto")}


def compare(tool: Path, paths: Iterable[Path], counts: Counter[str]) -> list[str]:
    """What differs between objdump and us; counts what was compared."""
    wrong: list[str] = []
    for path, sections in listing(tool, paths, *flags_for(tool)):
        elf = read_elf(path)
        for section, code in elf.code:
            theirs = sections.get(section, {})
            mine = _native.disassemble(code, big_endian=elf.big_endian, syntax="llvm")
            if len(mine) != len(theirs):
                wrong.append(f"{path}: {section}: {len(theirs)} instructions, here {len(mine)}")
                continue
            targets = jump_targets(elf, code)
            for slot, text in mine:
                line = theirs.get(slot)
                if line is None or line.text != text:
                    wrong.append(f"{path}: {section}+{slot}: `{line and line.text}`, here `{text}`")
                elif line.symbol and not text.startswith("call"):
                    counts["jumps"] += 1
                    if targets.get(slot) not in elf.target(section, line.symbol):
                        wrong.append(f"{path}: {section}+{slot}: goes to {line.symbol}, here to {targets.get(slot)}")
            counts["instructions"] += len(mine)
            if any(line.text.startswith("callx") for line in theirs.values()):
                continue  # No kernel takes it, so its log has no word for it.
            spelled = _native.disassemble(code, big_endian=elf.big_endian, syntax="spelled")
            back = _native.assemble("\n".join(text for _, text in spelled), big_endian=elf.big_endian)
            counts["slots read back"] += len(code) // 8
            if back != code:
                at = next((i for i in range(0, len(code), 8) if back[i : i + 8] != code[i : i + 8]), len(code))
                one, other = code[at : at + 8].hex(), back[at : at + 8].hex()
                wrong.append(f"{path}: {section}+{at // 8}: {one} reads back as {other}")
    return wrong


@pytest.fixture(scope="module")
def objdump() -> Path:
    tool = llvm_tool("llvm-objdump")
    if tool is None:
        pytest.skip("no llvm-objdump: `apt-get install llvm` gets it")
    return tool


@pytest.mark.corpus
def test_corpus_as_objdump(corpus: Corpus, objdump: Path) -> None:
    paths = list(corpus)
    counts: Counter[str] = Counter(objects=len(paths))
    wrong = compare(objdump, paths, counts)
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert not wrong, "\n".join(wrong[:20])
    # On average an object has 345 instructions and 45 jumps; far fewer mean that nothing was looked at.
    assert counts["instructions"] > 100 * len(paths), counts
    assert counts["jumps"] > 10 * len(paths), counts


@pytest.mark.toolchain("clang")
def test_own_sources_as_objdump(all_clangs: list[Clang], objdump: Path, tmp_path: Path) -> None:
    built: dict[str, list[Path]] = {cpu: [] for cpu in CPUS}
    for clang in all_clangs:
        for cpu in CPUS:
            if cpu == "v4" and clang.major < 18:
                continue
            for target in TARGETS:
                for source in sorted(SOURCES.glob("*.c")):
                    out = tmp_path / f"{source.stem}-{clang.major}-{target}-{cpu}.o"
                    command: list[str | Path] = [
                        clang.path,
                        f"--target={target}",
                        f"-mcpu={cpu}",
                        "-O2",
                        "-g",
                        "-c",
                        source,
                        "-o",
                        out,
                    ]
                    subprocess.run(command, check=True)
                    built[cpu].append(out)
    counts: Counter[str] = Counter()
    for cpu, paths in built.items():
        assert paths or cpu == "v4", f"nothing was built for {cpu}"
        wrong = compare(objdump, paths, counts)
        assert not wrong, "\n".join(wrong[:20])
        seen = "\n".join(
            line.text for _, sections in listing(objdump, paths, *flags_for(objdump))
            for lines in sections.values() for line in lines.values()
        )  # fmt: skip
        missing = [word for word in BRINGS[cpu] if paths and word not in seen]
        assert not missing, f"{cpu}: the sources no longer bring {missing}"
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert counts["instructions"] > 1000, counts


@pytest.mark.toolchain("clang")
def test_any_slot_as_objdump(all_clangs: list[Clang], objdump: Path, tmp_path: Path) -> None:
    """Slots no compiler makes, legal and not: all opcodes with telling fields."""
    if all_clangs[-1].major < 22:
        pytest.skip("kernel: texts of illegal slots follow LLVM 22")
    slots = bytearray()
    for code in range(256):
        for regs in (0x21, 0x02, 0xA0, 0xB1, 0x1B, 0xC1, 0x1C):
            for off in (0, 1, 8, 16, 32, -1, -32768):
                for imm in (0, 1, 16, 64, 0x41, 0x100, 0x110, 0xE1, 0xF1, -5, -(1 << 31)):
                    if code != 0x18:
                        slots += bytes((code, regs)) + off.to_bytes(2, "little", signed=True)
                        slots += imm.to_bytes(4, "little", signed=True)
    raw, out = tmp_path / "slots.bin", tmp_path / "slots.o"
    raw.write_bytes(slots)
    source = tmp_path / "slots.s"
    source.write_text(f'.text\n.incbin "{raw}"\n')
    subprocess.run([all_clangs[-1].path, "--target=bpfel", "-c", source, "-o", out], check=True)
    theirs = [line.text for _, sections in listing(objdump, [out]) for line in sections[".text"].values()]
    mine = [text for _, text in _native.disassemble(bytes(slots), syntax="llvm")]
    assert len(mine) == len(slots) // 8
    different = [(a, b) for a, b in zip(theirs, mine, strict=True) if a != b]
    assert not different, different[:20]
    assert len(set(mine)) > 2000


# ------------------------------------------------------------ the verifier's log

# Every form of text that a socket filter may hold, as the running kernel's verifier accepts it.
LOGGED = """
r6 = r1
r0 = 7
w0 += 1
r0 -= 2
r0 *= 3
r0 /= 5
r0 |= 8
r0 &= 255
r0 <<= 3
r0 >>= 2
r0 ^= 1
r0 %= 200
w0 s>>= 1
r0 = -r0
w0 = -w0
r0 = be16 r0
r0 = le32 r0
r1 = 0x1122334455667788
r2 = r1
w2 = w1
r2 += r1
w2 ^= w1
*(u64 *)(r10 -8) = r1
*(u32 *)(r10 -12) = 5
*(u16 *)(r10 -14) = r1
*(u8 *)(r10 -15) = -1
r3 = *(u64 *)(r10 -8)
r3 = *(u8 *)(r10 -15)
r3 = *(u32 *)(r6 +0)
lock *(u64 *)(r10 -8) += r1
lock *(u32 *)(r10 -12) |= r1
r1 = atomic64_fetch_add((u64 *)(r10 -8), r1)
r1 = atomic_fetch_and((u32 *)(r10 -12), r1)
r1 = atomic64_xchg((u64 *)(r10 -8), r1)
r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r1)
if r3 == 0x5 goto pc+0
if r3 != r1 goto pc+0
if w3 s< 0xffffffff goto pc+0
if r3 & 0x4 goto pc+0
if w3 <= w1 goto pc+0
r0 = *(u8 *)skb[23]
r7 = 2
r0 = *(u16 *)skb[r7 + 4]
call bpf_get_prandom_u32#7
call pc+3
goto pc+0
r0 = 0
exit
r0 = 1
exit
"""
NEWER = """
r0 = 7
r1 = 3
r0 s/= r1
w0 s%= 3
r0 = (s8)r0
w0 = (s16)w0
r0 = (s32)r0
r0 = bswap32 r0
*(u64 *)(r10 -8) = r1
r3 = *(s8 *)(r10 -8)
r3 = *(s32 *)(r10 -8)
gotol pc+0
may_goto pc+0
r0 = 0
exit
"""
NEWEST = """
r1 = 3
*(u64 *)(r10 -8) = r1
r2 = r10
r0 = load_acquire((u64 *)(r2 -8))
r0 = load_acquire((u8 *)(r2 -8))
store_release((u64 *)(r10 -8), r1)
store_release((u16 *)(r10 -8), r1)
r0 = 0
exit
"""


def verifier_log(slots: bytes) -> tuple[int, str]:
    """(errno, log) of loading the slots as a socket filter at log level 2."""
    number = {"x86_64": 321, "aarch64": 280, "riscv64": 280}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    log = ctypes.create_string_buffer(1 << 20)
    code = ctypes.create_string_buffer(slots, len(slots))
    licence = ctypes.create_string_buffer(b"GPL")
    attr = (ctypes.c_uint64 * 16)()
    attr[0] = 1 | (len(slots) // 8) << 32  # BPF_PROG_TYPE_SOCKET_FILTER, number of slots
    attr[1], attr[2] = ctypes.addressof(code), ctypes.addressof(licence)
    attr[3] = 2 | ctypes.sizeof(log) << 32
    attr[4] = ctypes.addressof(log)
    fd = libc.syscall(number, 5, ctypes.byref(attr), ctypes.sizeof(attr))
    error = 0 if fd >= 0 else ctypes.get_errno()
    if fd >= 0:
        os.close(fd)
    return error, log.value.decode()


@pytest.mark.root
@pytest.mark.parametrize(("source", "since"), [(LOGGED, (5, 12)), (NEWER, (6, 9)), (NEWEST, (6, 15))])
def test_kernel_syntax_as_the_verifier(source: str, since: tuple[int, int]) -> None:
    release = os.uname().release.split(".")
    if (int(release[0]), int(release[1])) < since:
        pytest.skip(f"kernel: {os.uname().release} is older than the instructions")
    slots = _native.assemble(source)
    mine = dict(_native.disassemble(slots, helpers={7: "bpf_get_prandom_u32"}))
    assert [text.split(") ", 1)[1] for text in mine.values()] == source.split("\n")[1:-1]
    error, log = verifier_log(slots)
    assert not error, log[-2000:]
    theirs: dict[int, str] = {}
    for line in log.splitlines():
        # 5: (07) r2 += -8                      ; R2_w=fp-8
        if match := re.match(r"(?:from \d+ to )?(\d+): .*?(\([0-9a-f]{2}\) [^;]*)", line):
            theirs[int(match[1])] = match[2].rstrip()
    assert len(theirs) > len(mine) * 0.9, log
    assert theirs == {slot: mine[slot] for slot in theirs}


# ------------------------------------------------------------ any bytes


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes(data: bytes, big_endian: bool) -> None:
    if len(data) % 8:
        with pytest.raises(_native.ReadError):
            _native.disassemble(data, big_endian=big_endian)
        data = data[: len(data) // 8 * 8]
    for syntax in ("kernel", "spelled", "llvm"):
        lines = _native.disassemble(data, big_endian=big_endian, syntax=syntax)
        assert all(text for _, text in lines)
        assert [slot for slot, _ in lines] == sorted({slot for slot, _ in lines})
    flow = _native.cfg(data, big_endian=big_endian)
    blocks = flow["blocks"]
    assert isinstance(blocks, list)
    assert [slot for start, end in blocks for slot in range(start, end)] == list(range(len(data) // 8))


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text(text: str) -> None:
    try:
        slots = _native.assemble(text)
    except _native.ReadError as error:
        message, where, _ = error.args
        assert message.endswith("is not an instruction")
        assert where.startswith("line ")
    else:
        assert len(slots) % 8 == 0


def test_unknown_syntax_says_what_there_is() -> None:
    with pytest.raises(_native.ReadError) as caught:
        _native.disassemble(b"", syntax="intel")
    assert caught.value.args == ("unknown disassembly syntax `intel`", "", "use `kernel`, `spelled` or `llvm`")
