"""Where findings point: the user's own line that called what was inlined, and how much of it is marked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import bpf_toolchain
import pytest
from toolchain import Clang, llvm_tool

import bpfsmith
from bpfsmith.model.object import Object
from bpfsmith.rules._context import CheckContext
from bpfsmith.rules._sources import Sources, call_start, expression_end

HEADER = """\
static inline __attribute__((always_inline)) long far(long (*f)(void)) { return f(); }
static inline __attribute__((always_inline)) unsigned long long now(void) { return bpf_ktime_get_ns(); }
static inline __attribute__((always_inline)) unsigned int noise(void) { return bpf_get_prandom_u32(); }
"""
PROGRAM = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "bpf_tracing.h"
unsigned long long sum;

SEC("xdp")
int count(struct xdp_md *ctx)
{
	sum += ctx->rx_queue_index;
	sum += now();
	sum ^= noise() + bpf_get_smp_processor_id(/* ) */);
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
"""
RUST = """\
#![no_std]
pub mod aya_ebpf_bindings;
use aya_ebpf_bindings::{bpf_get_prandom_u32, bpf_ktime_get_ns};
#[unsafe(link_section = "xdp")]
#[unsafe(no_mangle)]
pub fn count(ctx: *mut u64) -> u32 {
    let first = unsafe { bpf_ktime_get_ns() };
    let second = u64::from(unsafe { bpf_get_prandom_u32() });
    unsafe { *ctx = first + second };
    2
}
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
"""
BINDINGS = """\
#[inline(always)]
pub unsafe fn bpf_ktime_get_ns() -> u64 {
    let fun: unsafe extern "C" fn() -> u64 = unsafe { core::mem::transmute(5usize) };
    unsafe { fun() }
}
#[inline(always)]
pub unsafe fn bpf_get_prandom_u32() -> u32 {
    let fun: unsafe extern "C" fn() -> u32 = unsafe { core::mem::transmute(7usize) };
    unsafe { fun() }
}
"""


def spans(obj: Object) -> dict[str, str]:
    """Helper called -> what its finding would mark, as `LINE: text`."""
    ctx = CheckContext()
    out = {}
    for program in obj.programs:
        for slot, _, _, name in program.calls():
            span = ctx.span(program, slot, obj)
            assert span is not None, name
            text = ctx.sources.line(span.path, span.line) or ""
            out[name] = f"{span.line}: {text[span.column - 1 : span.end_column - 1]}"
    return out


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clang: Clang) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bpf_tracing.h").write_text(HEADER, encoding="utf-8")
    (tmp_path / "count.c").write_text(PROGRAM, encoding="utf-8")
    machine = [f"-I{path}" for path in sorted(Path("/usr/include").glob("*-linux-gnu")) if (path / "asm").is_dir()]
    words = [clang.path, "--target=bpf", "-O2", "-g", "-I.", *machine, "-c", "count.c", "-o", "count.o"]
    subprocess.run(words, check=True)
    return tmp_path / "count.o"


@pytest.mark.toolchain
def test_inlined_from_a_header(built: Path) -> None:
    assert spans(bpfsmith.read(str(built))) == {
        "bpf_ktime_get_ns": "10: now()",
        "bpf_get_prandom_u32": "11: noise()",
        "bpf_get_smp_processor_id": "11: bpf_get_smp_processor_id(/* ) */)",
    }


@pytest.mark.toolchain
def test_without_dwarf_no_line_of_another_call_is_named(built: Path, clang: Clang) -> None:
    strip = llvm_tool("llvm-strip", clang.major)
    if strip is None:
        pytest.skip("no llvm-strip: `apt-get install llvm`")
    subprocess.run([strip, "-g", built], check=True)
    obj = bpfsmith.read(str(built))
    assert obj.programs[0].inline_frames(0) == []
    found = spans(obj)
    # The line that uses the result, or the function's own.
    assert found["bpf_ktime_get_ns"].split(":")[0] in {"10", "7"}
    assert found["bpf_get_prandom_u32"].split(":")[0] in {"11", "7"}
    assert found["bpf_get_smp_processor_id"] == "11: bpf_get_smp_processor_id(/* ) */)"


@pytest.mark.toolchain("rust")
def test_rust_bindings_are_shown_at_their_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "program"
    bindings = tmp_path / ".cargo/registry/src/index/bindings-0.1.0/src"
    bindings.mkdir(parents=True)
    folder.mkdir()
    (bindings / "lib.rs").write_text(BINDINGS, encoding="utf-8")
    source = RUST.replace("pub mod aya", f'#[path = "{bindings / "lib.rs"}"]\npub mod aya')
    (folder / "count.rs").write_text(source, encoding="utf-8")
    monkeypatch.chdir(folder)
    rust, linker = bpf_toolchain.find(), bpf_toolchain.linker()
    assert rust is not None and linker is not None
    words = ["--edition=2024", "--target=bpfel-unknown-none", "--crate-type=lib", "--emit=obj", "-O", "-g"]
    subprocess.run(
        [rust.rustc, *words, "count.rs", "-o", "count.bc"], check=True, env={"PATH": "/usr/bin", **bpf_toolchain.env()}
    )
    subprocess.run([linker, "--btf", "--export", "count", "-o", "count.o", "count.bc"], check=True)
    assert spans(bpfsmith.read("count.o")) == {
        "bpf_ktime_get_ns": "8: bpf_ktime_get_ns()",
        "bpf_get_prandom_u32": "9: bpf_get_prandom_u32()",
    }


def test_what_is_marked() -> None:
    def marked(text: str, start: str) -> str:
        at = text.index(start)
        return text[at : expression_end(text, at)]

    assert marked("let t = unsafe { f(a.b(), ')') };", "f(") == "f(a.b(), ')')"
    assert marked("\treturn x + g(1, 2); // f)", "return") == "return x + g(1, 2)"
    assert marked("count(Seen, length * weight);", "length") == "length * weight"
    assert marked("fn run(ctx: &'a str) -> u32 {", "fn") == "fn run(ctx: &'a str) -> u32"
    assert marked('say("a;b\\");", 1)', "say") == 'say("a;b\\");", 1)'
    assert marked("\tx = v.unwrap() + 4;", "unwrap") == "unwrap()"
    assert marked("}", "}") == "}"
    assert expression_end("", 0) >= 0
    assert call_start("bpf_x(1) + my_bpf_x(2) + bpf_x (3)", "bpf_x", 20) == 25
    assert call_start("bpf_xdp(1)", "bpf_x", 0) is None


def test_what_is_not_the_users() -> None:
    sources = Sources()
    for path in (
        "/root/.cargo/registry/src/index.crates.io-1/aya-ebpf-0.1.1/src/lib.rs",
        "/cargo/registry/src/index/x-1/src/lib.rs",
        "/rustc/0123/library/core/src/ptr/mod.rs",
        "../vendored/bpf/bpf_helpers.h",
        "vmlinux.h",
        "<built-in>",
    ):
        assert sources.foreign(path), path
    assert not sources.foreign("src/helpers.h")
    assert not sources.foreign("/home/me/work/src/my_bpf_helpers.h")
