"""Whatever a source file holds: every rule looks at it, none fails, and there is an answer in bounded time."""

from __future__ import annotations

import random
import re
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpfsmith.check import check

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ("packet-counter", "packet-counter-broken", "toolbox")
TOKEN = re.compile(rb"\w+|\s+|[^\w\s]")
SAMPLES = 6  # prefixes of each file in a normal run
FILES = [
    (name, str(path.relative_to(ROOT / "examples" / name)))
    for name in EXAMPLES
    for path in sorted((ROOT / "examples" / name).rglob("*.rs"))
    if "target" not in path.parts
]

HEAD = b"""#![no_std]
#![no_main]
use aya_ebpf::{helpers::*, macros::{map, xdp}, maps::{Array, HashMap, RingBuf}, programs::XdpContext};
#[map]
static M: HashMap<u32, u64> = HashMap::with_max_entries(1, 0);
#[map]
static R: RingBuf = RingBuf::with_byte_size(4096, 0);
"""
USER = b"use aya::{Ebpf, maps::HashMap, programs::{Xdp, XdpFlags}};\n"


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("robust")
    leave = shutil.ignore_patterns("target", "prebuilt", "*.py", "*.md")
    return {name: shutil.copytree(ROOT / "examples" / name, folder / name, ignore=leave) for name in EXAMPLES}


def looked_at(folder: Path) -> None:
    """All rules, those in preview too; what fails is among the errors."""
    report = check(folder, preview=True)
    assert [str(one) for one in report.errors if one.exit_code == 4] == []


def cuts(text: bytes) -> list[int]:
    return [match.end() for match in TOKEN.finditer(text)]


@pytest.mark.parametrize(("name", "file"), FILES)
def test_prefixes(copies: dict[str, Path], name: str, file: str) -> None:
    """Cut at tokens chosen by chance, the same every time."""
    path = copies[name] / file
    whole = path.read_bytes()
    chance = random.Random(f"{name}/{file}")
    try:
        for at in chance.sample(cuts(whole), SAMPLES):
            path.write_bytes(whole[:at])
            looked_at(copies[name])
    finally:
        path.write_bytes(whole)


@pytest.mark.full
@pytest.mark.parametrize(("name", "file"), FILES)
def test_every_prefix(copies: dict[str, Path], name: str, file: str) -> None:
    path = copies[name] / file
    whole = path.read_bytes()
    try:
        for at in cuts(whole):
            path.write_bytes(whole[:at])
            looked_at(copies[name])
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kernel and a user crate, to be filled."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "Cargo.toml").write_text('[workspace]\nmembers = ["kernel", "user"]\n')
    for name, needs in (("kernel", 'aya-ebpf = "0.1.1"\naya-log-ebpf = "0.1.0"'), ("user", 'aya = "0.13.1"')):
        (folder / name / "src").mkdir(parents=True)
        head = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n'
        (folder / name / "Cargo.toml").write_text(f"{head}[dependencies]\n{needs}\n")
    return folder


def filled(pair: Path, kernel: bytes, user: bytes = b"fn main() {}\n") -> None:
    (pair / "kernel/src/main.rs").write_bytes(HEAD + kernel)
    (pair / "user/src/main.rs").write_bytes(USER + user)
    looked_at(pair)


PIECES = [
    *(
        b"#[map]",
        b"#[xdp]",
        b"static A: Array<u64> = Array::with_max_entries(4, 0);",
        b"pub fn f(ctx: XdpContext) -> u32 {",
    ),
    *(
        b"let x = unsafe { M.get(&1) };",
        b"if let Some(x) = x {",
        b"else {",
        b"}",
        b"(",
        b")",
        b"match x {",
        b"Some(x) =>",
    ),
    *(
        b"M.insert(&1, x, 0)?;",
        b"M.remove(&1)?;",
        b"return 1;",
        b"let e = R.reserve::<u64>(0)",
        b".ok_or(1)?",
        b";",
        b",",
    ),
    *(b'let p: &mut Xdp = ebpf.program_mut("p").unwrap().try_into()?;', b"p.load()?;", b'p.attach("lo", 0)?;'),
    *(b"let mut ebpf = Ebpf::load(&[])?;", b'HashMap::try_from(ebpf.map_mut("M").unwrap())', b"ctx.data() + 14", b"&&"),
    *(
        b"as *const u32",
        b"*",
        b"for i in 0..9 {",
        b"loop {",
        b"break 'a",
        b"'a: {",
        b"|x|",
        b"impl T for",
        b"struct S {",
    ),
    *(
        b"#[repr(C)]",
        b"enum E { A = 1,",
        b"use a::{b,",
        b"mod m {",
        b"macro_rules! m {",
        b'info!(&ctx, "{}",',
        b"\0",
        b"\xff",
    ),
    *(b'"', b"/*", b'r#"', b"u32::from_be(x)", b"x == y", b"type T = T;", b"const C: usize = C;", b"fn f() { f() }"),
]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.lists(st.sampled_from(PIECES), max_size=40))
def test_pieces_in_any_order(pair: Path, kernel: list[bytes], user: list[bytes]) -> None:
    filled(pair, b"\n".join(kernel), b"\n".join(user))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes(pair: Path, data: bytes) -> None:
    filled(pair, data, data)


LET = b"let x%d = unsafe { M.get(&%d) }.ok_or(1i64)?; M.insert(&%d, x%d, 0)?;\n"
OPENED = b'let p%d: &mut Xdp = ebpf.program_mut("p%d").unwrap().try_into()?; p%d.load()?; p%d.attach("lo", f)?;\n'
STRANGE: dict[str, tuple[bytes, bytes]] = {
    "no text": (b"\xff\xfe\x00" * 3000, bytes(range(256)) * 20),
    "nothing but zeros": (b"\0" * 100_000, b"\0" * 100_000),
    "deep brackets": (b"fn f() { " + b"(" * 100_000, b"fn main() { " + b"{" * 100_000),
    "deep calls": (b"fn f() { x" + b".a()" * 50_000 + b" }", b"fn main() { x" + b"?" * 100_000 + b" }"),
    "one long function": (
        b"fn f() -> Result<u32, i64> {" + b"".join(LET % ((n,) * 4) for n in range(3000)) + b"Ok(0) }",
        b"fn main() {" + b"".join(OPENED % ((n,) * 4) for n in range(3000)) + b"}",
    ),
    "the same over and over": (
        b"fn f() -> u32 {" + b"let mut e = R.reserve::<u64>(0).ok_or(1)?; e.write(1); e.submit(0);\n" * 3000 + b"}",
        b"fn main() {" + b'let p: &mut Xdp = ebpf.program_mut("p")?.try_into()?; p.load()?;\n' * 3000 + b"}",
    ),
    "a table made by a macro": (
        b"m! { " + b"a.b(c)?, M.get(&1); " * 20_000 + b"}",
        b"m! { " + b"[1, 2]; " * 50_000 + b"}",
    ),
    "many constants": (b"".join(b"pub const C%d: u32 = %d;\n" % (n, n) for n in range(5000)), b"fn main() {}"),
    "types of types": (b"".join(b"type T%d = T%d;\n" % (n, n + 1) for n in range(3000)), b"fn main() {}"),
    "modules that use each other": (
        b"".join(b"mod m%d { pub use super::m%d::*; }\n" % (n, (n + 1) % 500) for n in range(500)),
        b"fn main() {}",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_files(pair: Path, name: str) -> None:
    started = time.perf_counter()
    filled(pair, *STRANGE[name])
    assert time.perf_counter() - started < 120  # seconds: not a bar, it must not hang (a few on a quiet machine)


@pytest.mark.parametrize("functions", [11_200, pytest.param(112_000, marks=pytest.mark.full)], ids=["1MB", "10MB"])
def test_large_file(pair: Path, functions: int) -> None:
    """Plain functions without end."""
    kernel = b"fn f%d(ctx: &XdpContext) -> Option<u64> { let x = unsafe { M.get(&%d) }?; Some(*x + %d) }\n"
    user = b"fn g%d(a: &[u8]) -> usize { let x = a.get(%d).unwrap_or(&0); usize::from(*x) + %d }\n"
    many = b"".join(kernel % (n, n, n) for n in range(functions))
    assert len(many) > functions * 90
    started = time.perf_counter()
    filled(pair, many, b"".join(user % (n, n, n) for n in range(functions // 11)) + b"fn main() {}\n")
    assert time.perf_counter() - started < 600  # seconds: see above (about 30)
