"""Mistakes that nobody reports, shown: the rules' own `bad` and `good` blocks run on this kernel, with packets.

A test's name starts with the rule it shows. The programs are those of the pages in `source/`, the first `bad` and the
first `good` block unless said otherwise.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import crates  # noqa: E402
import proofs  # noqa: E402
from harness import cases  # noqa: E402

pytestmark = [pytest.mark.root, pytest.mark.toolchain("rust")]

SO_ATTACH_BPF = 50
Load = Callable[[str], Any]


def _blocks() -> dict[str, crates.Block]:
    """`900-bad` -> the kernel side of the first such block."""
    codes = re.findall(r"^def test_aya(\d{3})", Path(__file__).read_text(encoding="utf-8"), re.M)
    out: dict[str, crates.Block] = {}
    for code in codes:
        for case in cases(HERE / f"source/AYA{code}.md"):
            for block in crates.blocks([case]):
                if block.side == "ebpf" and not block.skipped and case.kind != "fine":
                    out.setdefault(f"{code}-{case.kind}", block)
    return out


@pytest.fixture(scope="module")
def built() -> dict[str, Path]:
    """All objects, built once and kept for the next run."""
    import bpf_toolchain
    from shell import CACHE

    folder = CACHE / "build/md-silent"
    env = {**os.environ, **bpf_toolchain.env(), "CARGO_TARGET_DIR": str(CACHE / "build/md-proofs-target")}
    wanted = _blocks()
    made = proofs.build_kernel_side(folder / "ebpf", list(wanted.values()), env)
    assert not made.errors, made.errors
    return {name: made.objects[block.name] for name, block in wanted.items()}


@pytest.fixture
def load(built: dict[str, Path]) -> Iterator[Load]:
    """`load("900-bad")` loads one of the objects, until the test ends."""
    import bpfsmith

    with ExitStack() as stack:

        def one(name: str, *programs: str) -> Any:
            return stack.enter_context(bpfsmith.load(built[name], select=programs or None))

        yield one


def ipv4(payload: bytes, proto: int = 6, *, source: str = "10.1.2.3", options: bytes = b"", fragment: int = 0) -> bytes:
    """An Ethernet frame with an IPv4 packet, of 100 bytes at least."""
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, fragment, 9, proto, 0,
        socket.inet_aton(source), socket.inet_aton("10.9.8.7"),
    )  # fmt: skip
    return (bytes([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]) + head + options + payload).ljust(100, b"\0")


def tcp(port: int) -> bytes:
    return struct.pack(">HHIIBBHHH", 50000, port, 1, 1, 0x50, 2, 1000, 0, 0)


def udp(port: int) -> bytes:
    return struct.pack(">HHHH", 50000, port, 16, 0) + bytes(8)


def test_aya900_a_port_as_it_came_is_another_number(load: Load) -> None:
    bad = load("900-bad", "filter").programs["filter"]
    assert bad.test_run(ipv4(tcp(443))).verdict == "XDP_PASS"
    assert bad.test_run(ipv4(tcp(47873))).verdict == "XDP_DROP"  # 443 with its bytes swapped
    good = load("900-good", "local").programs["local"]
    assert good.test_run(ipv4(tcp(443))).verdict == "TC_ACT_SHOT"
    assert good.test_run(ipv4(tcp(47873))).verdict == "TC_ACT_OK"


def test_aya901_a_key_in_another_order_is_not_found(load: Load) -> None:
    key = struct.pack("=I", int.from_bytes(socket.inet_aton("10.1.2.3"), "big"))  # `u32::from(Ipv4Addr)`
    for kind, verdict in (("bad", "XDP_PASS"), ("good", "XDP_DROP")):
        loaded = load(f"901-{kind}")
        loaded.maps["BLOCKLIST"][key] = bytes(4)
        assert loaded.programs["filter"].test_run(ipv4(tcp(80))).verdict == verdict


def test_aya904_a_prefix_in_the_order_of_the_machine_matches_nothing(load: Load) -> None:
    number = int.from_bytes(socket.inet_aton("10.0.0.0"), "big")
    for order, found in (("=I", 0), (">I", 2)):  # as the bad and the good user side write it
        loaded = load("904-good")
        loaded.maps["ROUTES"][struct.pack("=I", 8) + struct.pack(order, number)] = struct.pack("=I", 2)
        assert loaded.programs["route"].test_run(ipv4(tcp(80))).retval == found


def test_aya906_a_verdict_thrown_away_is_none(load: Load) -> None:
    long = ipv4(tcp(80)).ljust(1600, b"\0")
    assert load("906-bad", "egress").programs["egress"].test_run(long).verdict == "TC_ACT_OK"
    assert load("906-good", "egress").programs["egress"].test_run(long).verdict == "TC_ACT_SHOT"


def test_aya907_options_hide_a_port(load: Load) -> None:
    packet = ipv4(tcp(53), options=bytes([1, 1, 1, 0]))
    bad = load("907-bad").programs["filter"]
    assert bad.test_run(ipv4(tcp(53))).verdict == "XDP_DROP"
    assert bad.test_run(packet).verdict == "XDP_PASS"
    assert load("907-good").programs["filter"].test_run(packet).verdict == "XDP_DROP"


def test_aya908_a_later_fragment_has_no_ports(load: Load) -> None:
    fragment = ipv4(udp(53), 17, fragment=100)  # its payload, not its port, looks like 53
    assert load("908-bad").programs["filter"].test_run(fragment).verdict == "XDP_DROP"
    good = load("908-good").programs["filter"]
    assert good.test_run(fragment).verdict == "XDP_PASS"
    assert good.test_run(ipv4(udp(53), 17)).verdict == "XDP_DROP"


def test_aya909_an_extension_header_hides_a_port(load: Load) -> None:
    head = struct.pack(">IHBB", 6 << 28, 28, 60, 64) + bytes(32)
    packet = bytes(12) + b"\x86\xdd" + head + bytes([6, 0, 1, 4, 0, 0, 0, 0]) + tcp(25)
    plain = bytes(12) + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, 20, 6, 64) + bytes(32) + tcp(25)
    bad = load("909-bad").programs["filter"]
    assert bad.test_run(plain).verdict == "XDP_DROP"
    assert bad.test_run(packet).verdict == "XDP_PASS"
    assert load("909-good").programs["filter"].test_run(packet).verdict == "XDP_DROP"


def test_aya910_a_refused_checksum_helper_changes_nothing(load: Load) -> None:
    packet = ipv4(tcp(8080))
    assert load("910-bad").programs["rewrite"].test_run(packet).data_out == packet
    changed = load("910-good").programs["rewrite"].test_run(packet).data_out
    assert changed[24:26] != packet[24:26]
    assert changed[50:52] != packet[50:52]


def test_aya918_a_changed_copy_is_not_the_packet(load: Load) -> None:
    packet = ipv4(tcp(80))
    bad = load("918-bad")
    assert bad.programs["rewrite"].test_run(packet).data_out == packet
    assert bad.programs["tag"].test_run(packet).data_out == packet
    changed = load("918-good").programs["tag"].test_run(packet).data_out
    assert (changed[6:12], changed[15]) == (bytes(6), 1)


def test_aya083_the_return_value_is_what_redirects(load: Load) -> None:
    assert load("083-bad").programs["forward"].test_run(ipv4(tcp(80))).verdict == "XDP_PASS"


def test_aya916_an_index_behind_the_end_counts_nothing(load: Load) -> None:
    for kind, counts in (("bad", 4), ("good", 5)):  # what is counted five times (six in the bad block)
        loaded = load(f"916-{kind}")
        loaded.programs["count"].test_run(ipv4(tcp(80)))
        found = [loaded.maps["COUNTS"].get(struct.pack("=I", key)) for key in range(5)]
        values = [sum(row) for row in found if row is not None]
        assert values == [1] * counts


def test_aya923_what_cannot_be_read_passes(load: Load) -> None:
    bad = load("923-bad")
    assert bad.programs["filter"].test_run(bytes(30)).verdict == "XDP_PASS"
    assert bad.programs["egress"].test_run(bytes(12) + b"\x12\x34" + bytes(9)).verdict == "TC_ACT_SHOT"


def test_aya924_swapped_constants_let_it_pass(load: Load) -> None:
    bad = load("924-bad", "filter").programs["filter"]
    assert {bad.test_run(ipv4(tcp(port))).verdict for port in (25, 80, 443)} == {"XDP_PASS"}


def test_aya926_a_list_asked_the_wrong_way_round(load: Load) -> None:
    bad = load("926-bad", "filter", "peers")
    bad.maps["BLOCKLIST"][struct.pack("=I", 100)] = bytes(4)
    bad.maps["ALLOWED_PEERS"][struct.pack("=I", 100)] = bytes(4)
    listed, other = ipv4(tcp(80)), ipv4(tcp(80)) + bytes(1)
    assert [bad.programs["filter"].test_run(one).verdict for one in (listed, other)] == ["XDP_PASS", "XDP_DROP"]
    assert [bad.programs["peers"].test_run(one).verdict for one in (listed, other)] == ["XDP_DROP", "XDP_PASS"]


def test_aya090_a_socket_filter_that_answers_0_leaves_nothing(load: Load) -> None:
    for kind, arrives in (("bad", False), ("good", True)):
        program = load(f"090-{kind}").programs["tap"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(0.3)
            receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_BPF, struct.pack("=i", program.fd.fileno()))
            receiver.sendto(b"hello", receiver.getsockname())
            try:
                seen = receiver.recv(100) == b"hello"
            except TimeoutError:
                seen = False
        assert seen == arrives
