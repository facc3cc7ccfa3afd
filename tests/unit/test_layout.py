"""Layouts of types as written: against rustc for many random ones, and the special cases by hand."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from bpfsmith.source.layout import Layout, constant, layout
from bpfsmith.source.rust import SourceFile

_SIMPLE = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "bool", "usize", "f32", "f64", "*const u8", "char"]


def _file(text: str) -> SourceFile:
    return SourceFile("lib.rs", text.encode())


def _of(text: str, type_text: str) -> Layout:
    found = layout(_file(text), type_text)
    assert found is not None
    return found


def _random_types(seed: int, count: int) -> tuple[str, list[tuple[str, list[str]]]]:
    """Rust text, and (type, its fields) for each."""
    chance = random.Random(seed)
    text = "#![allow(dead_code)]\nconst WIDTH: usize = 3 * 2 - 1;\ntype Pair<T> = [T; 2];\n"
    made: list[tuple[str, list[str]]] = []
    for index in range(count):
        fields = []
        for at in range(chance.randint(1, 6)):
            kinds = [*_SIMPLE, *[name for name, _ in made[-6:] if "<" not in name]]
            kind = chance.choice(kinds)
            if chance.random() < 0.3:
                kind = chance.choice(["[{0}; {1}]", "[{0}; WIDTH]", "Pair<{0}>"]).format(kind, chance.randint(0, 7))
            fields.append((f"f{at}", kind))
        how = chance.choice(["C", "C", "C", "C, packed", "C, packed(2)", "C, align(16)"])
        if "packed" in how and any("align(16)" in text.partition(f"struct {name} ")[0][-40:] for name, _ in made):
            how = "C"  # rustc refuses an aligned type in a packed one
        body = ", ".join(f"{name}: {kind}" for name, kind in fields)
        text += f"#[repr({how})]\npub struct S{index} {{ {body} }}\n"
        made.append((f"S{index}", [name for name, _ in fields]))
    return text, made


@pytest.mark.toolchain("rust")
def test_as_rustc_has_it(tmp_path: Path) -> None:
    import rust

    wanted = []
    for seed in range(8):
        text, made = _random_types(seed, 25)
        if any("packed" in line for line in text.splitlines()):
            text = _without_aligned(text)
        checks = "".join(
            f'    println!("{name} {{}} {{}}", std::mem::size_of::<{name}>(), std::mem::align_of::<{name}>());\n'
            + "".join(
                f'    println!("{name}.{field} {{}}", std::mem::offset_of!({name}, {field}));\n' for field in fields
            )
            for name, fields in made
        )
        wanted.append((text, made, checks))
    compiler = rust.for_host()
    for number, (text, made, checks) in enumerate(wanted):
        source = tmp_path / f"t{number}.rs"
        source.write_text(f"{text}\nfn main() {{\n{checks}}}\n", encoding="utf-8")
        binary = tmp_path / f"t{number}"
        command = [str(compiler.cargo.parent / "rustc"), "--edition", "2021", "-o", str(binary), str(source)]
        subprocess.run(command, check=True, env={**_environment(), **compiler.env}, capture_output=True, text=True)
        said = subprocess.run([str(binary)], check=True, capture_output=True, text=True).stdout
        assert said == _ours(text, made), source


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def _without_aligned(text: str) -> str:
    return text.replace("C, align(16)", "C, align(8)") if "packed" not in text else text.replace("C, align(16)", "C")


def _ours(text: str, made: list[tuple[str, list[str]]]) -> str:
    file = _file(text)
    out = ""
    for name, fields in made:
        found = layout(file, name, None, "host")
        assert found is not None, name
        assert found.certain, found
        out += f"{name} {found.size} {found.align}\n"
        by_name = {one.name: one.offset for one in found.fields}
        out += "".join(f"{name}.{field} {by_name[field]}\n" for field in fields)
    return out


def test_padding_is_what_no_field_covers() -> None:
    text = "#[repr(C)] struct A { a: u8, b: u32, c: u16 } #[repr(C)] struct B { x: A, y: [A; 2], z: u8 }"
    assert _of(text, "A").padding == [(1, 3), (10, 2)]
    assert _of(text, "B").padding == [(1, 3), (10, 2), (13, 3), (22, 2), (25, 3), (34, 2), (37, 3)]
    assert _of("#[repr(C, packed)] struct A { a: u8, b: u32 }", "A").padding == []
    assert _of("use core::net::Ipv4Addr;", "Ipv4Addr").padding == []


def test_generics_consts_and_aliases() -> None:
    text = """
        const N: usize = 1 << 3;
        mod sizes { pub const M: usize = super::N / 2; }
        #[repr(C)] struct Buffer<T, const LEN: usize = { N - 1 }> { used: u16, data: [T; LEN] }
        type Bytes = Buffer<u8>;
        type Words<const LEN: usize> = Buffer<u32, LEN>;
        #[repr(transparent)] struct Wrapped<T>(core::mem::MaybeUninit<T>);
    """
    assert _of(text, "Bytes").size == 10
    assert _of(text, "Words<4>").size == 20
    assert _of(text, "Buffer<u64, { sizes::M }>").size == 40
    assert _of(text, "Wrapped<Words<1>>").size == 8
    assert _of(text, "[u8; core::mem::size_of::<Bytes>()]").size == 10


@pytest.mark.parametrize(
    ("text", "size", "certain"),
    [
        ("struct A { a: u8, b: u32, c: u16 }", 8, False),
        ("struct A { a: u32 }", 4, True),
        ("#[repr(C)] union A { a: u32, b: [u8; 6] }", 8, True),
        ("#[repr(u16)] enum A { One = 1, Two }", 2, True),
        ("#[repr(C)] enum A { One, Two }", 4, True),
        ("enum A { One, Two }", 1, False),
        ("#[cfg_attr(feature = \"x\", repr(C))] struct A { a: u8, b: u32 }", 8, False),
        ("#[repr(C)] struct A { a: u8, #[cfg(feature = \"x\")] b: u32 }", 8, False),
        ("#[repr(C)] struct A { a: (u8, u32) }", 8, False),
        ("#[repr(C)] struct A { a: Option<&'static u8>, b: extern \"C\" fn(u32) -> u8 }", 16, True),
    ],
)  # fmt: skip
def test_what_is_certain(text: str, size: int, certain: bool) -> None:
    found = _of(text, "A")
    assert (found.size, found.certain) == (size, certain)


@pytest.mark.parametrize(
    "type_text",
    [
        "Missing",
        "other::Flow",
        "Vec<u8>",
        "Option<u32>",
        "[u8; missing()]",
        "Data",
        "impl Copy",
        "T",
        "made!()",
        "[u8]",
    ],
)
def test_what_cannot_be_known_is_none(type_text: str) -> None:
    assert layout(_file("enum Data { A(u32), B } macro_rules! made { () => { u8 } }"), type_text) is None


def test_cycles_and_monsters_end() -> None:
    assert layout(_file("#[repr(C)] struct A { a: B } #[repr(C)] struct B { a: A }"), "A") is None
    assert layout(_file("type A = B; type B = A;"), "A") is None
    assert layout(_file(""), "[" * 5000) is None
    assert layout(_file("const A: usize = B; const B: usize = A;"), "[u8; A]") is None
    assert constant(_file(""), "(" * 3000) is None


def test_constant_expressions() -> None:
    file = _file("const A: u32 = 0x10; const B: usize = (A as usize) * 2 + 1;")
    assert constant(file, "B << 1 | 1") == 67
    assert constant(file, "u16::MAX as usize + { 1 }") == 65536
    assert constant(file, "-1i32 as u32") == 0xFFFFFFFF
    assert constant(file, "b'a' as u8") == 97
    assert constant(file, "A / 0") is None
    assert constant(file, "other::C") is None
