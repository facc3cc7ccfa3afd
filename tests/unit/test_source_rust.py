"""Rust files as facts: robust on any text, spans that Python can slice, names and types resolved."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfsmith._native import RustFile, rust_parse, rust_parse_many
from bpfsmith.source.names import resolve, resolve_attr
from bpfsmith.source.rust import SourceFile
from bpfsmith.source.types import mentions, parse_type, type_of

SAMPLE = """\
#![no_std]
use aya::{maps::{HashMap as Flows, MapData}, programs::{self, *}, Ebpf};
use aya_ebpf::macros::{map, xdp as entry};
mod inner { pub use super::Ebpf as Loader; pub struct Bpf; pub mod deep { pub use super::Bpf; } }
use inner::deep::Bpf;

/// Größe: before the map.
#[map(name = "Ä")]
static FLOWS: Flows<u32, [u64; 2]> = Flows::with_max_entries(1024, 0);

#[entry]
pub fn count(ctx: XdpContext, (a, _): (u32, u32)) -> u32 {
    let é = ctx.load(&a).unwrap_or(0); // 日本語
    let mut flows: Flows<MapData, u32, u64> = Flows::try_from(x)?;
    match é { 0 => return 1, n @ 1..=2 if n > 1 => vec![a; 3].len() as u32, _ => panic!("{é}") }
}
"""


def parse(text: str | bytes) -> SourceFile:
    return SourceFile("a.rs", text.encode() if isinstance(text, str) else text)


def test_spans_are_characters() -> None:
    file = parse(SAMPLE)
    call = next(one for one in file.of_kind("method") if one.name == "unwrap_or")
    assert call.text == "ctx.load(&a).unwrap_or(0)"
    line = SAMPLE.split("\n")[call.span.line - 1]
    assert line[call.span.column - 1 : call.span.end_column - 1] == call.text
    assert file.items[0].kind == "mod"
    flows = next(item for item in file.items if item.name == "FLOWS")
    assert flows.type == "Flows<u32, [u64; 2]>"
    assert flows.attrs[0].args == '(name = "Ä")'


def test_names() -> None:
    file = parse(SAMPLE)
    assert resolve(file, "Flows") == "aya::maps::HashMap"
    assert resolve(file, "programs::xdp::Xdp") == "aya::programs::Xdp"
    assert resolve(file, "Xdp") == "aya::programs::Xdp"  # by the glob
    assert resolve(file, "NotAya") is None
    assert resolve(file, "Bpf") == "crate::inner::Bpf"  # the local one, through a re-export
    assert resolve(file, "inner::Loader") == "aya::Ebpf"
    assert resolve(file, "crate::inner::Loader::load") == "aya::Ebpf::load"
    assert resolve(file, "core::mem::swap") == "core::mem::swap"
    assert resolve(file, "unknown_crate::Thing") is None
    count = next(item for item in file.items if item.name == "count")
    assert resolve_attr(file, "entry", count) == "aya_ebpf::macros::xdp"
    inner = file.items[0]
    assert resolve(file, "Flows", inner) is None  # names of outer modules are not visible
    assert resolve(file, "super::Flows", inner) == "aya::maps::HashMap"


def test_two_globs_that_disagree_say_nothing() -> None:
    file = parse("use aya::maps::*;\nuse aya_ebpf::maps::*;\nfn f(_: HashMap) {}")
    assert resolve(file, "HashMap") is None
    assert resolve(file, "MapData") == "aya::maps::MapData"


def test_cycles_end() -> None:
    file = parse("use self::b as a; use self::a as b; mod m { pub use super::n::*; } mod n { pub use super::m::*; }")
    assert resolve(file, "a") is None
    assert resolve(file, "m::x") in (None, "crate::m::x")


@pytest.mark.parametrize("count", [2, 3, 4, 12])
def test_globs_do_not_ask_each_other_for_ever(count: int) -> None:
    """Each step would ask every glob for the head of every other; counted instead of timed."""
    known = ["macros", "programs", "bindings", "maps", "helpers"]
    outer = "".join(f"use aya_ebpf::{name}::*;\n" for name in (known * 3)[:count])
    webs = "".join(
        f"mod m{at} {{ use super::*; {''.join(f'use crate::m{other}::*; ' for other in range(count))} }}\n"
        for at in range(count)
    )
    found = parse(outer + webs + "use m0::*;\nfn f() { XdpContext; nothing; }\n")
    calls = 0

    def counted(frame: object, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        assert resolve(found, "nothing") is None
        context = resolve(found, "XdpContext")
    finally:
        sys.setprofile(before)
    assert context == "aya_ebpf::programs::XdpContext"
    assert calls < 40_000


def test_types() -> None:
    file = parse(
        "use aya::{Ebpf, EbpfLoader, maps::{HashMap, MapData}, programs::{Xdp, KProbe}};\n"
        "type Flows = HashMap<MapData, u32, u64>;\n"
        "struct App { flows: Flows }\n"
        "impl App { fn f(&mut self) { self.flows.insert(1, 2, 0); } }\n"
        "fn f(xdp: &mut Xdp, o: Option<KProbe>) {\n"
        "  let ebpf = EbpfLoader::new().btf(x).load(data).context(1)?;\n"
        "  let p: &mut Xdp = ebpf.program_mut(1).unwrap().try_into()?;\n"
        "  let q = ebpf.program_mut(1).unwrap();\n"
        "  if let Some(p) = o { p.a(); }\n"
        "  xdp.b(); p.c(); q.d(); (&mut ebpf).e(); o.f();\n"
        "  let p = 1; p.g();\n"
        "}\n"
    )
    types = {one.name: type_of(one.receiver) for one in file.of_kind("method")}
    named = {name: found.path if found else None for name, found in types.items()}
    assert named["insert"] == "aya::maps::HashMap"
    assert named["a"] is None  # bound by a pattern
    assert named["b"] == named["c"] == "aya::programs::Xdp"
    assert named["d"] is None
    assert named["e"] == "aya::Ebpf"
    assert named["f"] == "aya::programs::KProbe"
    assert named["g"] is None  # shadowed


def test_parse_type() -> None:
    assert parse_type("&'a mut HashMap<_, u32, [u8; 4]>") == ("HashMap", ("_", "u32", "[u8; 4]"), True)
    assert parse_type("a::B<Fn(u8) -> u8, { 3 * 4 }>") == ("a::B", ("Fn(u8) -> u8", "{ 3 * 4 }"), False)
    assert parse_type("(u8, u8)") is None
    assert parse_type("") is None


def test_mentions_know_shadowing_and_strings() -> None:
    file = parse('fn f() { let a = g(); h(&a); println!("{a}"); { let a = 1; i(a); } j!(=> a); }')
    let = next(iter(file.of_kind("block"))).lets[0]
    assert [one.parent.text for one in mentions(let) if one.kind == "path" and one.parent] == ["&a"]
    assert len(list(mentions(let))) == 3


def test_integers_and_strings() -> None:
    file = parse('fn f() { g(0x1f_u8, 1_000i64, -7, 0b11, 077, 1.5, "a", r#"b"#, "a\\n", c"x") }')
    call = next(iter(file.of_kind("call")))
    assert [one.integer for one in call.args][:6] == [31, 1000, -7, 3, 77, None]
    assert [one.string for one in call.args][6:] == ["a", "b", None, None]


def test_cfg_gates() -> None:
    file = parse(
        "#[cfg(test)] mod t { fn a() {} }\n#[cfg(not(test))] fn b() {}\n#[test] fn c() {}\n"
        'fn d() { #[cfg(feature = "x")] let _ = 1; let _ = 2; }'
    )
    by_name = {item.name: item for item in file.items}
    assert file.in_test(by_name["a"])
    assert not file.in_test(by_name["b"])
    assert file.in_test(by_name["c"])
    one, two = file.of_kind("lit")
    assert file.gates(one.item, one.start) == ['(feature = "x")']
    assert file.gates(two.item, two.start) == []


def test_every_prefix() -> None:
    for at in range(len(SAMPLE)):
        file = parse(SAMPLE[:at])
        for expr in (file.exprs[one] for one in range(len(file.exprs))):
            assert 0 <= expr.start <= expr.end <= at
            assert expr.parent_id < expr.id


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    file = parse(data)
    assert all(note.kind != "unread" for note in file.notes)
    assert all(0 <= one.start <= one.end <= len(file.text) for one in file.exprs)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"fn f() { ", b"\xff", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"a.b(1)?", b";", b"\n", b"}", b"\xc3\xa9"]
        )
    )
)
def test_offsets_agree_with_python_on_broken_utf8(parts: list[bytes]) -> None:
    data = b"".join([*parts, b"\nfn last_one() {}"])
    file = parse(data)
    for item in file.items:
        if item.name == "last_one":
            assert file.text[item.name_start : item.name_end] == "last_one"
            return


def test_byte_order_mark() -> None:
    file = parse(b"\xef\xbb\xbffn f() {}\n")
    assert (file.items[0].name_span.line, file.items[0].name_span.column) == (1, 4)


@pytest.mark.parametrize(
    "deep",
    ["(" * 100_000, "!" * 100_000 + "x", "x" + ".a()" * 50_000, "1" + "+1" * 100_000, "{" * 100_000, "a!(" * 50_000],
    ids=lambda text: text[:4],
)
def test_deep_nesting_is_cut(deep: str) -> None:
    file = parse(f"fn before() {{}}\nfn f() {{ {deep} }}\n")
    assert file.items[0].name == "before"
    assert any(note.kind == "nesting" for note in file.notes)


def test_large_file() -> None:
    text = ("pub fn f(a: &Map) -> u32 {\n    let x = a.get(&1).unwrap_or(0) + 1;\n    x\n}\n" * 140_000).encode()
    assert len(text) > 10_000_000
    started = time.perf_counter()
    assert rust_parse(text).counts[0] == 140_000
    assert time.perf_counter() - started < 60  # seconds: not a bar, it must not hang (about 4 on a quiet machine)


def test_batch_is_the_same_as_one_by_one() -> None:
    texts = [SAMPLE.encode(), b"", b"fn f() {"] * 5

    def told(file: RustFile) -> list[object]:
        return [(file.expr(at), file.fields(at)) for at in range(file.counts[4])]

    alone = [told(rust_parse(one)) for one in texts]
    assert list(map(told, rust_parse_many(texts))) == alone
    assert list(map(told, rust_parse_many(texts, 3))) == alone
    assert rust_parse_many([]) == []
