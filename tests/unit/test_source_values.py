"""Values: byte order through conversions, casts and functions of the crate; ranges; types of packet pointers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.source._typed import typed
from bpfsmith.source.project import find_project
from bpfsmith.source.rust import Expr, SourceFile
from bpfsmith.source.values import constant, values

HEAD = """\
use aya_ebpf::{bindings::xdp_action, programs::{SkBuffContext, SockAddrContext, SockOpsContext, TcContext, XdpContext}};
use network_types::{eth::EthHdr, ip::Ipv4Hdr, tcp::TcpHdr, udp::UdpHdr};
use core::net::Ipv4Addr;
use aya_ebpf::{helpers::bpf_get_current_pid_tgid, maps::HashMap};
static SEEN: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);
const PORT: u16 = 80;
const WIRE: u16 = 80u16.to_be();
mod bindings { pub struct udphdr { pub dest: u16 } }
use bindings::udphdr;
#[repr(C)]
struct UdpHeader { src_port: u16, dst_port: u16, length: u16, sum: u16 }
#[repr(C)]
struct TcpHeader { src_port: u16, dst_port: u16 }
#[repr(C, packed)]
struct IpHdr { vihl: u8, tos: u8, len: u16, id: u16, frag: u16, ttl: u8, proto: u8, sum: u16, from: u32, to: u32 }
struct Seen { port: u16, addr: __be32 }
fn ptr_at<T>(ctx: &XdpContext, offset: usize) -> Result<*const T, ()> { Err(()) }
fn ipv4(ctx: &XdpContext) -> Result<*const Ipv4Hdr, ()> { ptr_at(ctx, EthHdr::LEN) }
fn ntohs(value: u16) -> u16 { u16::from_be(value) }
fn dest(tcp: *const TcpHdr) -> u16 { unsafe { (*tcp).dest } }
"""
PARAMS = (
    "ctx: XdpContext, addr: SockAddrContext, ops: SockOpsContext, tc: TcContext, skb: SkBuffContext, n: u32, "
    "seen: *const Seen, ip4: Ipv4Addr"
)


def project(folder: Path, body: str, network: str = "0.0.7") -> SourceFile:
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\naya-ebpf = "=0.2.1"\n'
        f'network-types = "={network}"\n'
    )
    (folder / "src/main.rs").write_text(f"#![no_std]\n{HEAD}fn f({PARAMS}) {{\n{body}\n}}\n")
    found = find_project(str(folder))
    assert found is not None
    return found.crates[0].files[0]


def last(file: SourceFile) -> Expr:
    block = file.items[-1].expr
    assert block is not None
    assert block.tail is not None
    return block.tail


TCP = "let tcp = ptr_at::<TcpHdr>(&ctx, 34)?;"


@pytest.mark.parametrize(
    ("body", "order"),
    [
        (f"{TCP} unsafe {{ (*tcp).dest }}", "big"),
        (f"{TCP} u16::from_be(unsafe {{ (*tcp).dest }})", "host"),
        (f"{TCP} unsafe {{ (*tcp).dest }}.to_be()", "host"),
        (f"{TCP} u16::from_be(unsafe {{ (*tcp).dest }}).to_be()", "big"),
        (f"{TCP} unsafe {{ (*tcp).dest }}.swap_bytes() as u32", "host"),
        (f"{TCP} ntohs(unsafe {{ (*tcp).dest }})", "host"),
        (f"{TCP} dest(tcp)", "big"),
        (f"{TCP} (unsafe {{ (*tcp).dest }}).to_be_bytes()", "little"),
        (f"{TCP} unsafe {{ (*tcp).dest }} + 1", None),
        (f"{TCP} unsafe {{ (*tcp).nothing }}", None),
        ("let tcp: *const TcpHdr = ptr_at(&ctx, 34)?; unsafe { (*tcp).source }", "big"),
        ("let udp: UdpHdr = tc.load(34)?; udp.dest", "big"),
        ("let udp = tc.load::<UdpHdr>(34).map_err(|_| ())?; udp.dest", "big"),
        (
            "let ip = match ptr_at::<Ipv4Hdr>(&ctx, 14) { Ok(ip) => ip, Err(_) => return }; unsafe { (*ip).src_addr }",
            "big",
        ),
        ("let ip = ipv4(&ctx)?; unsafe { (*ip).src_addr }", "big"),
        (
            "let Ok(ip) = ipv4(&ctx) else { return }; unsafe { core::ptr::read(core::ptr::addr_of!((*ip).id)) }",
            "big",
        ),
        ("if let Ok(ip) = ipv4(&ctx) { unsafe { (*ip).src_addr } } else { 0 }", "big"),
        ("let (a, b) = (ntohs(WIRE), WIRE); b", "big"),
        ("let (a, b) = if n > 1 { (ntohs(WIRE), WIRE) } else { (0, 0) }; a", "host"),
        ("PORT", None),
        ("PORT.to_be()", "big"),
        ("80u16.to_be()", "big"),
        ("u16::to_be(80)", "big"),
        ("unsafe { (*addr.sock_addr).user_port }", "big"),
        ("u16::from_be(unsafe { (*addr.sock_addr).user_port } as u16)", "host"),
        ("(u32::from_be(unsafe { (*addr.sock_addr).user_port }) >> 16) as u16", "host"),
        ("unsafe { (*addr.sock_addr).user_ip4 }", "big"),
        ("ops.local_port()", "host"),
        ("u32::from_be(ops.remote_port())", "host"),
        ("u16::from_be((ops.remote_port() >> 16) as u16)", "host"),
        ("ops.remote_port() as u16", None),
        ("unsafe { (*tc.skb.skb).protocol }", "big"),
        ("u32::from(ip4)", "host"),
        ("ip4.octets()", "big"),
        ("u32::from_be_bytes(ip4.octets())", "host"),
        ("u32::from_ne_bytes(ip4.octets())", "big"),
        ("u32::from_be_bytes([10, 0, 0, 1])", "host"),
        ("unsafe { (*seen).addr }", "big"),
        ("let udp: *const UdpHeader = ptr_at(&ctx, 34)?; unsafe { (*udp).dst_port }", "big"),
        ("let tcp: *const TcpHeader = ptr_at(&ctx, 34)?; unsafe { (*tcp).dst_port }", None),
        ("let ip: IpHdr = tc.load(14)?; ip.from", "big"),
        ("let ip: IpHdr = tc.load(14)?; ip.id", None),
        ("let own = UdpHeader { src_port: 1, dst_port: 2, length: 3, sum: 4 }; own.dst_port", None),
        ("unsafe { *ptr_at(&ctx, EthHdr::LEN + offset_of!(tcphdr, dest))? }", "big"),
        ("u16::from_be(unsafe { *ptr_at(&ctx, 34 + offset_of!(bindings::tcphdr, dest))? })", "host"),
        ("tc.load::<u32>(14 + offset_of!(Ipv4Hdr, src_addr))?", "big"),
        ("tc.load::<u32>(14 + offset_of!(Ipv4Hdr, ttl))?", None),
        ("let udp: *const udphdr = ptr_at(&ctx, 34)?; unsafe { (*udp).dest }", "big"),
        ("unsafe { (*seen).port }", None),
    ],
)
def test_order(tmp_path: Path, body: str, order: str | None) -> None:
    file = project(tmp_path, body)
    assert values(file.items[-1]).order(last(file)) == order


@pytest.mark.parametrize(
    ("body", "high", "kind"),
    [
        ("ops.remote_port()", True, "big"),
        ("ops.remote_port() as u16", False, "zero"),
        ("u32::from_be(unsafe { (*addr.sock_addr).user_port })", True, "host"),
        ("(unsafe { (*addr.sock_addr).user_port }) >> 16", False, "zero"),
    ],
)
def test_halves(tmp_path: Path, body: str, high: bool, kind: str) -> None:
    file = project(tmp_path, body)
    found = values(file.items[-1]).fact(last(file))
    assert found is not None
    assert found.kind == kind
    assert kind == "zero" or found.high == high


def test_headers_by_version(tmp_path: Path) -> None:
    file = project(tmp_path, f"{TCP} u16::from_be_bytes(unsafe {{ (*tcp).dest }})", "0.1.0")
    assert values(file.items[-1]).order(last(file)) == "host"


@pytest.mark.parametrize(
    ("body", "low", "high"),
    [
        ("n & 7", 0, 7),
        ("n as u8", 0, 255),
        ("(n % 10) as usize", 0, 9),
        ("n.min(5)", 0, 5),
        ("let a = n & 3; a + 1", 1, 4),
        ("PORT as u32 * 2", 160, 160),
    ],
)
def test_range(tmp_path: Path, body: str, low: int, high: int) -> None:
    file = project(tmp_path, body)
    assert values(file.items[-1]).range(last(file)) == (low, high)


def test_range_of_loops(tmp_path: Path) -> None:
    file = project(tmp_path, "for i in 0..4 { g(i); } for j in 1..=n { g(j); } 0")
    first, second = (one.args[0] for one in file.calls("g"))
    assert values(file.items[-1]).range(first) == (0, 3)
    assert values(file.items[-1]).range(second) is None


def test_constants_and_types(tmp_path: Path) -> None:
    file = project(tmp_path, f"{TCP} let n = PORT + (1 << 4); let m = n * 2; g(m, tcp, n / 0); 0")
    args = next(file.calls("g")).args
    assert constant(args[0]) == 192
    assert typed(args[1]) == "network_types::tcp::TcpHdr"
    assert constant(args[2]) is None


@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        ("let v = unsafe { SEEN.get(&n) }?; *v as u64", "map", "SEEN"),
        (f"{TCP} unsafe {{ (*tcp).dest }}", "packet", "dest"),
        (f"{TCP} tcp", "packet", "ptr_at"),
        ("let Ok(udp) = tc.load::<UdpHdr>(34) else { return }; udp", "packet", "load"),
        ("unsafe { (*addr.sock_addr).user_port }", "context", "user_port"),
        ("ops.remote_port()", "context", "remote_port"),
        ("let both = bpf_get_current_pid_tgid(); (both) as u32", "helper", "bpf_get_current_pid_tgid"),
    ],
)
def test_provenance(tmp_path: Path, body: str, kind: str, name: str) -> None:
    file = project(tmp_path, body)
    found = values(file.items[-1]).source(last(file))
    assert found is not None
    assert (found.kind, found.name) == (kind, name)
    assert values(file.items[-1]).source(None) is None
