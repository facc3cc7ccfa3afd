"""Who calls whom inside one crate."""

from __future__ import annotations

from bpfsmith.source.calls import Graph
from bpfsmith.source.rust import SourceFile

_TEXT = b"""\
#![no_std]
use aya_ebpf::{macros::{map, xdp as net}, programs::XdpContext};
mod inner {
    pub fn leaf(n: u32) -> u32 { super::other(n) }
}
use inner::leaf as renamed;
struct Packet { x: u32 }
impl Packet {
    fn new() -> Self { Self::make() }
    fn make() -> Packet { Packet { x: 1 } }
    fn go(&self) -> u32 { self.again() }
    fn again(&self) -> u32 { self.go() }
}
fn other(n: u32) -> u32 { n }
fn failed(e: u32) -> u32 { e }
fn factorial(n: u32) -> u32 { if n == 0 { 1 } else { n * factorial(n - 1) } }
fn alone() -> u32 { let other = |x: u32| x; other(1) }
#[net]
pub fn program(ctx: XdpContext) -> u32 {
    let packet = Packet::new();
    packet.go();
    renamed(3);
    let f = |x| factorial(x);
    f(2);
    run(&ctx).unwrap_or_else(failed)
}
fn run(ctx: &XdpContext) -> Result<u32, u32> { Ok(2) }
#[cfg(test)]
mod tests {
    fn calls() { super::run(); }
}
"""


def test_calls() -> None:
    file = SourceFile("src/main.rs", _TEXT)
    found = Graph([file])
    fns = {item.name: item for item in file.items if item.kind == "fn"}
    assert [(one.macro, one.item.name) for one in found.programs] == [("xdp", "program")]
    called = {name: {call.callee.name for call in found.calls_of(item)} for name, item in fns.items()}
    assert called["program"] == {"new", "go", "leaf", "factorial", "run", "failed"}
    assert called["leaf"] == {"other"}
    assert called["new"] == {"make"}
    assert called["alone"] == set()  # a local of that name
    assert {call.caller.name for call in found.calls_to(fns["run"])} == {"program"}
    assert [one.item.name for one in found.programs_of(fns["other"])] == ["program"]
    assert found.programs_of(fns["alone"]) == []
    assert sorted(sorted(call.caller.name for call in ring) for ring in found.cycles()) == [
        ["again", "go"],
        ["factorial"],
    ]
