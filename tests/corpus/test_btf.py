"""BTF: the same text as bpftool, the same bytes back, the same relocations as libbpf, and no bytes that hurt."""

from __future__ import annotations

import contextlib
import struct
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest
from build_corpus import home
from debian_archive import Missing
from hypothesis import given, settings
from hypothesis import strategies as st
from libbpf_ref import CannotBuild, build, read
from test_link import compare
from toolchain import bpftool

from bpfsmith._native import Btf, Object, ReadError

if TYPE_CHECKING:
    from toolchain import Clang

    from conftest import Corpus

VMLINUX = Path("/sys/kernel/btf/vmlinux")

SOURCE = """
struct inner { int a : 3; unsigned b : 29; long c[4]; };
union either { struct inner in; char bytes[64]; };
enum colour { RED = -1, GREEN = 5 };
enum wide { LARGE = 0x100000000ULL };
typedef const volatile union either *either_t;
struct outer { either_t e; struct { enum colour c; enum wide w; }; int (*f)(int, ...); _Bool flag; float g; double d; }
	__attribute__((btf_decl_tag("noted")));
struct outer variable;
static int inside(struct outer *o __attribute__((btf_decl_tag("arg")))) { return o->c + o->f(1); }
extern int elsewhere(const char *restrict name);
__attribute__((section("socket"))) int entry(struct outer *o) { variable = *o; return inside(o) + elsewhere("x"); }
"""


def reference(path: Path, base: Path | None = None) -> bytes | None:
    """What bpftool prints; `None` when the file has no BTF it reads."""
    try:
        tool = bpftool(home())
    except Missing as error:
        pytest.skip(str(error))
    before = ["-B", str(base)] if base else []
    done = subprocess.run(
        [tool, *before, "btf", "dump", "file", str(path), "format", "raw"], capture_output=True, check=False
    )
    return done.stdout if done.returncode == 0 else None


def agrees(path: Path) -> bool:
    """Compares text and bytes; false when there is nothing to compare."""
    wanted = reference(path)
    if wanted is None:
        with pytest.raises(ReadError):
            Btf.open(str(path))
        return False
    btf = Btf.open(str(path))
    # Names that are not UTF-8 come as U+FFFD.
    assert btf.dump_raw() == wanted.decode(errors="replace"), path
    raw = btf.to_bytes()
    assert Btf.parse(raw).to_bytes() == raw
    again = Btf.parse(btf.rebuild())
    assert again.dump_raw() == btf.dump_raw()
    assert again.big_endian == btf.big_endian
    return True


@pytest.mark.skipif(not VMLINUX.exists(), reason="the running kernel shows no BTF")
def test_running_kernel() -> None:
    assert agrees(VMLINUX)
    btf = Btf.open(str(VMLINUX))
    task = btf.find("task_struct", "STRUCT")
    assert task is not None
    offset, bits, _ = btf.offset_of(task, "pid")
    assert (offset % 8, bits) == (0, 32)
    assert btf.type(task)["kind"] == "STRUCT"


@pytest.mark.corpus
def test_corpus(corpus: Corpus) -> None:
    paths = [*corpus, corpus.btf("6.1"), corpus.btf("6.12")]
    compared = sum(map(agrees, paths))
    assert compared > len(paths) * 0.9


@pytest.mark.toolchain("clang")
@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
def test_every_clang(all_clangs: list[Clang], tmp_path: Path, target: str) -> None:
    source = tmp_path / "every.c"
    source.write_text(SOURCE)
    for clang in all_clangs:
        out = tmp_path / f"{clang.version}.o"
        flags = [f"--target={target}", "-O2", "-g", "-Wno-everything", "-c"]
        subprocess.run([clang.path, *flags, source, "-o", out], check=True)
        assert agrees(out)
        btf = Btf.open(str(out))
        assert btf.big_endian == (target == "bpfeb")
        outer = btf.find("outer", "STRUCT")
        assert outer is not None
        assert btf.offset_of(outer, "w")[:2] == (128, 64)
        text = btf.c_decl(outer)
        assert "either_t e;" in text
        assert "int (*f)(int, ...);" in text


@pytest.mark.skipif(not (which("pahole") and which("cc")), reason="no pahole or C compiler")
def test_pahole(tmp_path: Path) -> None:
    """Types of a program for this machine, as the kernel's build makes them."""
    (tmp_path / "host.c").write_text(
        "struct host { long l; int b : 5; union { char c; short s; }; struct host *next; } h;\n"
        "int main(int argc, char **argv) { return h.b + argc; }\n"
    )
    subprocess.run(["cc", "-g", "-O0", "host.c", "-o", "host"], cwd=tmp_path, check=True)
    subprocess.run(["pahole", "--btf_encode_detached", "host.btf", "host"], cwd=tmp_path, check=True)
    assert agrees(tmp_path / "host.btf")
    btf = Btf.open(str(tmp_path / "host.btf"))
    host = btf.find("host", "STRUCT")
    assert host is not None
    assert btf.offset_of(host, "s") == (80, 16, btf.find("short int", "INT"))


# ------------------------------------------------------------ split BTF


def raw_btf(types: list[tuple[str, int, int, tuple[int, ...]]], first_string: int = 0, *, big: bool = False) -> bytes:
    """A BTF from (name, info, size or type, further words); a name starting with `@` is an offset."""
    order = ">" if big else "<"
    strings = b"" if first_string else b"\0"
    body = b""
    for name, info, word, rest in types:
        if name.startswith("@"):
            at = int(name[1:])
        elif not name:
            at = 0
        else:
            at = first_string + len(strings)
            strings += name.encode() + b"\0"
        body += struct.pack(f"{order}III{len(rest)}I", at, info, word, *rest)
    header = struct.pack(f"{order}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings))
    return header + body + strings


@pytest.mark.parametrize("big", [False, True])
def test_split(tmp_path: Path, big: bool) -> None:
    int_kind, pointer, structure = 1 << 24, 2 << 24, 4 << 24
    base_bytes = raw_btf([("int", int_kind, 4, (1 << 24 | 32,)), ("s", structure | 1, 4, (1, 1, 0))], big=big)
    strings = base_bytes.index(b"\0int\0s\0")
    first_string = len(base_bytes) - strings
    split_bytes = raw_btf([("", pointer, 2, ()), ("module_s", structure | 1, 8, (5, 3, 0))], first_string, big=big)
    (tmp_path / "base").write_bytes(base_bytes)
    (tmp_path / "split").write_bytes(split_bytes)
    base = Btf.parse(base_bytes)
    split = Btf.open(str(tmp_path / "split"), base)
    assert (len(base), len(split), split.first_id, split.find("module_s")) == (3, 5, 3, 4)
    assert (split.name(1), split.find("s"), split.size_of(4), split.size_of(3)) == ("int", 2, 8, 8)
    assert split.dump_raw().encode() == reference(tmp_path / "split", tmp_path / "base")
    assert split.to_bytes() == split_bytes
    assert split.rebuild() == split_bytes


def test_kind_of_the_future() -> None:
    with pytest.raises(ReadError) as caught:
        Btf.parse(raw_btf([("int", 1 << 24, 4, (32,)), ("", 42 << 24, 0, ())]))
    message, where, _ = caught.value.args
    assert "type 2 has kind 42" in message
    assert "offset 16" in where


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ReadError) as caught:
        Btf.open(str(tmp_path / "absent"))
    assert "absent" in caught.value.args[1]
    with pytest.raises(ReadError):
        Btf.open(str(tmp_path))
    with pytest.raises(ReadError) as caught:
        Btf.parse(raw_btf([])).find("x", "STRUCTURE")
    assert "`STRUCTURE` is no kind" in caught.value.args[0]


# ------------------------------------------------------------ relocation


@pytest.mark.corpus
def test_relocates_as_libbpf(corpus: Corpus) -> None:
    """The kernel's own CO-RE tests against each of the types they are meant for, and some they are not."""
    try:
        build()
    except CannotBuild as error:
        pytest.skip(str(error))
    built = corpus.objects("selftests", target="bpfel", cpu="v3")
    programs = [path for path in built if path.name.startswith("test_core_reloc_")]
    targets = [path for path in built if path.name.startswith("btf__core_reloc_")]
    counts: Counter[str] = Counter()
    wrong = []
    for target in targets:
        kernel = Btf.open(str(target))
        beside = [path for path in programs if path.parent == target.parent]
        for path, ref in read(beside, target).items():
            wrong += [f"{path.name} on {target.name}: {text}" for text in compare(path, ref, kernel, counts)]
            if ref.stage == "prepare" and not refused(path, kernel):
                wrong.append(f"{path.name} on {target.name}: libbpf says {ref.why!r}, here all is well")
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    assert not wrong, "\n".join(wrong[:20])
    assert counts["programs"]


def refused(path: Path, kernel: Btf) -> bool:
    """Whether any program of the object cannot be relocated."""
    for program in Object.parse(path.read_bytes()).programs:
        try:
            program.relocated([kernel])
        except ReadError:
            return True
    return False


# ------------------------------------------------------------ any bytes


@cache
def seed() -> bytes:
    """All that is likely to be read wrong, in few bytes."""
    return raw_btf(
        [
            ("int", 1 << 24, 4, (1 << 24 | 32,)),
            ("", 2 << 24, 4, ()),
            ("", 3 << 24, 0, (1, 1, 7)),
            ("s", 1 << 31 | 4 << 24 | 3, 40, (1, 1, 3 << 24, 0, 5, 64, 5, 3, 96)),
            ("", 5 << 24 | 1, 8, (1, 2, 0)),
            ("e", 6 << 24 | 2, 4, (1, 1, 2, 2)),
            ("t", 8 << 24, 4, ()),
            ("", 10 << 24, 7, ()),
            ("f", 12 << 24 | 1, 10, ()),
            ("", 13 << 24 | 2, 1, (1, 2, 0, 0)),
            ("v", 14 << 24, 8, (1,)),
            (".data", 15 << 24 | 1, 8, (11, 0, 8)),
            ("tag", 17 << 24, 4, (1,)),
            ("tag", 18 << 24, 4, ()),
            ("e64", 1 << 31 | 19 << 24 | 1, 8, (1, 2, 3)),
        ]
    )


def use(btf: Btf) -> None:
    """Asks everything; only `ReadError` may come out."""
    for ask in (btf.dump_raw, btf.rebuild):
        with contextlib.suppress(ReadError):
            ask()
    for type_id in range(min(len(btf), 40)):
        for question in (btf.type, btf.name, btf.kind, btf.resolve, btf.size_of, btf.c_decl):
            with contextlib.suppress(ReadError):
                question(type_id)
        for path in ("", "int[1].s", "[2]"):
            with contextlib.suppress(ReadError):
                btf.offset_of(type_id, path)
        btf.find_all(btf.name(type_id))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8), st.integers(0, 10_000))
def test_changed_bytes_are_read_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed())
    for at, byte in changes:
        data[at % len(data)] = byte
    if cut < len(data):
        del data[cut:]
    try:
        btf = Btf.parse(bytes(data))
    except ReadError as error:
        assert error.args[0]
        return
    assert btf.to_bytes() == data
    use(btf)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=60))
def test_any_words_as_types(words: list[int]) -> None:
    body = struct.pack(f"<{len(words)}I", *words)
    data = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), 5) + body + b"\0abc\0"
    with contextlib.suppress(ReadError):
        use(Btf.parse(data))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for prefix in (b"", b"\x9f\xeb\x01\x00", b"\x7fELF\x02\x01\x01"):
        for reader in (Btf.parse, Btf.from_elf):
            with contextlib.suppress(ReadError):
                use(reader(prefix + data))
