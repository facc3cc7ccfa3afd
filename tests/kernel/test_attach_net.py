"""Network families on the running kernel: each is seen to run by real packets, and to have stopped."""

from __future__ import annotations

import gc
import os
import socket
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.kernel import journal, netlink
from bpfsmith.model.errors import InputError, KernelError, TargetGone, TargetMissing, UnknownName, Unsupported
from bpfsmith.run import link as links
from bpfsmith.run.load import load

pytestmark = [pytest.mark.root, pytest.mark.toolchain]


@pytest.fixture
def bpf(netns: Any, load_known: Callable[..., Any], bpf_object: Callable[..., Path]) -> Iterator[Any]:
    with load_known(bpf_object("attach_net"), select=[*ALL]) as loaded:
        yield loaded


ALL = [
    "one", "two", "xdp_dispatcher", "redirected", "first", "second", "leaving", "lookup", "flows", "hook", "filter",
    "chooser",
]  # fmt: skip


def runs(bpf: Any, name: str, act: Callable[[], object]) -> int:
    before = bpf.globals[f"{name}_hits"]
    act()
    return int(bpf.globals[f"{name}_hits"] - before)


# ------------------------------------------------------------ XDP


@pytest.mark.parametrize("mode", [None, "native", "driver", "skb", "generic"])
@pytest.mark.parametrize("via", ["link", "netlink"])
def test_xdp_sees_packets_until_it_is_detached(bpf: Any, netns: Any, mode: str | None, via: str) -> None:
    program = bpf.programs["one"]
    with program.attach_xdp(netns.device, mode, via=via) as link:
        assert runs(bpf, "one", lambda: netns.udp(3)) == 3
        assert program.links == bpf.links == [link]
        native = "native" if mode in {None, "native", "driver"} else "skb"
        assert list(netlink.xdp_state(netns.ifindex)[1]) == [native]
    assert link.closed and not program.links and not bpf.links
    assert runs(bpf, "one", lambda: netns.udp(3)) == 0
    assert netlink.xdp_state(netns.ifindex) == ("", {})


def test_an_interface_is_given_by_name_or_index(bpf: Any, netns: Any) -> None:
    with bpf.programs["one"].attach(netns.ifindex):
        assert runs(bpf, "one", netns.udp) == 1
    with pytest.raises(TargetMissing, match=r"there is no interface `veth00`.*did you mean `veth0`"):
        bpf.programs["one"].attach_xdp("veth00")
    with pytest.raises(TargetMissing, match="no interface with index 9999"):
        bpf.programs["one"].attach_xdp(9999)
    with pytest.raises(InputError, match=r"pass `iface=`"):
        bpf.programs["one"].attach()
    with pytest.raises(InputError, match=r"no XDP mode `nativ`.*did you mean `native`"):
        bpf.programs["one"].attach_xdp(netns.device, "nativ")
    from bpfsmith.model.errors import UnknownName

    with bpf.programs["one"].attach(netns.device) as link, pytest.raises(UnknownName, match="no program has the id"):
        link.update(99999999)
    with pytest.raises(InputError, match="is a `xdp` program; attach_tc takes"):
        bpf.programs["one"].attach_tc(netns.device, "ingress")
    with pytest.raises(InputError, match="runs from a devmap"):
        bpf.programs["redirected"].attach(netns.device)
    with pytest.raises(Unsupported, match="cannot run XDP programs in hardware"):
        bpf.programs["one"].attach_xdp(netns.device, "hardware")
    assert netlink.xdp_state(netns.ifindex) == ("", {})


@pytest.mark.parametrize("via", ["link", "netlink"])
def test_a_taken_interface_names_its_program(bpf: Any, netns: Any, via: str) -> None:
    with bpf.programs["one"].attach_xdp(netns.device, via=via):
        held = "link" if via == "link" else "without a link"
        with pytest.raises(KernelError, match=rf"`veth0` is taken by `one` \(program \d+\), attached native, {held}"):
            bpf.programs["two"].attach_xdp(netns.device)
    with (
        bpf.programs["xdp_dispatcher"].attach_xdp(netns.device, via=via),
        pytest.raises(KernelError, match=r"dispatcher of libxdp.*xdp-loader"),
    ):
        bpf.programs["two"].attach_xdp(netns.device)
    assert bpf.programs["two"].links == []


@pytest.mark.parametrize("via", ["link", "netlink"])
def test_update_replaces_only_the_expected_program(bpf: Any, netns: Any, via: str) -> None:
    one, two = bpf.programs["one"], bpf.programs["two"]
    with one.attach_xdp(netns.device, via=via) as link:
        link.update(two, expected=one)
        assert (one.links, two.links, link.program) == ([], [link], two)
        assert (runs(bpf, "two", netns.udp), runs(bpf, "one", netns.udp)) == (1, 0)
        with pytest.raises((InputError, KernelError)):
            link.update(one, expected=one)
        assert runs(bpf, "two", netns.udp) == 1
    assert two.links == []


@pytest.mark.parametrize("via", ["link", "netlink"])
@pytest.mark.parametrize("how", ["program", "id", "true"])
def test_replace(bpf: Any, netns: Any, via: str, how: str) -> None:
    one, two = bpf.programs["one"], bpf.programs["two"]
    with pytest.raises(InputError, match="nothing is attached"):
        two.attach_xdp(netns.device, replace=one)
    old = one.attach_xdp(netns.device, via=via)
    number = next(iter(netlink.xdp_state(netns.ifindex)[1].values()))
    new = two.attach_xdp(netns.device, replace={"program": one, "id": number, "true": True}[how])
    assert runs(bpf, "two", netns.udp) == 1
    with pytest.raises((KernelError, InputError)):
        one.attach_xdp(netns.device, replace=number)
    new.detach()
    old.detach()
    assert netlink.xdp_state(netns.ifindex) == ("", {})


@pytest.mark.parametrize("how", ["program", "id", "true"])
def test_replace_means_this_network_namespace(bpf: Any, netns: Any, how: str) -> None:
    one, two = bpf.programs["one"], bpf.programs["two"]
    with netns.peer():
        # Interfaces have the same numbers in every namespace.
        far = [one.attach_xdp(netns.peer_device), bpf.programs["first"].attach_tc(netns.peer_device, "ingress")]
    near = [one.attach_xdp(netns.device), bpf.programs["first"].attach_tc(netns.device, "ingress")]
    ids = [link.info()["prog_id"] for link in near]
    two.attach_xdp(netns.device, replace={"program": one, "id": ids[0], "true": True}[how])
    given = {"program": bpf.programs["first"], "id": ids[1], "true": True}[how]
    bpf.programs["second"].attach_tc(netns.device, "ingress", replace=given)
    assert runs(bpf, "two", netns.udp) == 1 and runs(bpf, "second", netns.udp) == 1
    assert [link.info()["prog_id"] for link in far] == ids
    assert [link.info()["prog_id"] for link in near] != ids


def test_an_interface_gone_while_attached(bpf: Any, netns: Any) -> None:
    one = bpf.programs["one"]
    subprocess.run(["ip", "link", "add", "bye0", "type", "veth", "peer", "name", "bye1"], check=True)
    held = [one.attach_xdp("bye0"), bpf.programs["first"].attach_tc("bye0", "ingress"),
            bpf.programs["second"].attach_tc("bye0", "ingress", via="clsact"),
            one.attach_xdp("bye1", via="netlink")]  # fmt: skip
    assert held[0].attached
    subprocess.run(["ip", "link", "del", "bye0"], check=True)
    assert not held[0].attached and held[0].info()["ifindex"] == 0
    for link, program in ((held[0], one), (held[1], bpf.programs["first"]), (held[3], one)):
        with pytest.raises(TargetGone):
            link.update(program)
    with pytest.raises(TargetGone):
        held[2].info()
    for link in held:
        link.detach()


def test_a_dropped_link_warns_and_is_detached(bpf: Any, netns: Any) -> None:
    one = bpf.programs["one"]
    one.attach_xdp(netns.device)
    one.links.clear()
    with pytest.warns(ResourceWarning, match="xdp link of `one` to `veth0` was dropped"):
        bpf.links.clear()
        gc.collect()
    assert netlink.xdp_state(netns.ifindex) == ("", {})


def test_the_object_keeps_links_that_nobody_holds(bpf: Any, netns: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bpf.programs["one"].attach_xdp(netns.device)
        gc.collect()
    assert runs(bpf, "one", netns.udp) == 1
    bpf.close()
    assert netlink.xdp_state(netns.ifindex) == ("", {})


def test_a_forked_child_detaches_nothing(bpf: Any, netns: Any) -> None:
    with bpf.programs["one"].attach_xdp(netns.device, via="netlink"):
        if (pid := os.fork()) == 0:
            try:
                bpf.links[0].close()
                del bpf.links[:]
                gc.collect()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert runs(bpf, "one", netns.udp) == 1


def test_pins_outlive_the_object(bpf: Any, netns: Any, bpffs: Path) -> None:
    link = bpf.programs["one"].attach_xdp(netns.device)
    number = link.id
    link.pin(bpffs / "link")
    link.close()
    assert netlink.xdp_state(netns.ifindex)[1]
    found = links.from_pin(bpffs / "link")
    assert (found.id, found.family, found.pinned) == (number, "xdp", str(bpffs / "link"))
    found.update(bpf.programs["two"])
    assert runs(bpf, "two", netns.udp) == 1
    other = links.from_id(number)
    assert other.id == number
    other.close()
    found.detach()
    assert netlink.xdp_state(netns.ifindex) == ("", {}) and not (bpffs / "link").exists()
    again = bpf.programs["one"].attach_xdp(netns.device)
    again.pin(bpffs / "link")
    with pytest.raises(InputError, match=r"is pinned at .* already"):
        again.pin(bpffs / "other")
    again.unpin()
    assert not (bpffs / "link").exists() and not (bpffs / "other").exists() and runs(bpf, "one", netns.udp) == 1
    again.detach()


def test_only_a_link_is_taken_for_a_link(bpf: Any, bpffs: Path) -> None:
    bpf.programs["one"].pin(bpffs / "program")  # paths of pathlib
    with pytest.raises(InputError, match="is no link but a program"):
        links.from_pin(bpffs / "program")
    assert (bpffs / "program").exists()
    with pytest.raises(TargetMissing, match="nothing is pinned"):
        links.from_pin(bpffs / "nothing")
    with pytest.raises(UnknownName, match="no link has the id"):
        links.from_id((1 << 31) - 1)
    (bpffs / "program").unlink()


# ------------------------------------------------------------ tc


def order(netns: Any, bpf: Any) -> list[str]:
    """The programs of TCX ingress, in the order they run."""
    from bpfsmith import kernel
    from bpfsmith.kernel.attrs import encode, output
    from bpfsmith.run.attach._base import program_id

    ids = bytearray(64)
    number, attr, buffers = encode(
        "BPF_PROG_QUERY", target_ifindex=netns.ifindex, attach_type=46, prog_ids=ids, prog_cnt=16
    )
    assert kernel.door().bpf(number, attr, buffers) == 0
    names = {program_id(program): name for name, program in bpf.programs.items()}
    count = output("BPF_PROG_QUERY", attr, "prog_cnt")
    return [names[one] for one in struct.unpack("16I", ids)[:count]]


@pytest.mark.parametrize("via", [None, "tcx", "clsact"])
def test_tc_sees_both_directions(bpf: Any, netns: Any, via: str | None) -> None:
    program = bpf.programs["first"]
    with program.attach_tc(netns.device, "ingress", via=via) as link:
        assert runs(bpf, "first", lambda: netns.udp(2)) == 2
        link.update(bpf.programs["second"])
        assert (runs(bpf, "second", netns.udp), runs(bpf, "first", netns.udp)) == (1, 0)
    assert runs(bpf, "second", netns.udp) == 0
    with program.attach_tc(netns.device, "egress", via=via):
        assert runs(bpf, "first", lambda: netns.udp_out(2)) == 2
    assert runs(bpf, "first", lambda: netns.udp_out(2)) == 0
    assert not netlink.has_clsact(netns.ifindex)


def test_tc_by_section_knows_its_direction(bpf: Any, netns: Any) -> None:
    with bpf.programs["leaving"].attach(netns.device):
        assert runs(bpf, "leaving", netns.udp_out) == 1
    with pytest.raises(InputError, match="says no direction"):
        bpf.programs["first"].attach(netns.device)
    with pytest.raises(InputError, match="did you mean `ingress`"):
        bpf.programs["first"].attach_tc(netns.device, "ingres")


def test_tcx_order(bpf: Any, netns: Any) -> None:
    first, second = bpf.programs["first"], bpf.programs["second"]
    with first.attach_tc(netns.device, "ingress") as link:
        for place, expected in (
            ({}, ["first", "second"]), ({"last": True}, ["first", "second"]), ({"first": True}, ["second", "first"]),
            ({"before": link}, ["second", "first"]), ({"after": link}, ["first", "second"]),
            ({"before": first}, ["second", "first"]), ({"after": link.info()["prog_id"]}, ["first", "second"]),
        ):  # fmt: skip
            with second.attach_tc(netns.device, "ingress", **place):
                assert order(netns, bpf) == expected, place
        with pytest.raises(InputError, match="exclude each other"):
            second.attach_tc(netns.device, "ingress", first=True, last=True)
        with pytest.raises(InputError, match="is not attached to `veth0` ingress"):
            second.attach_tc(netns.device, "ingress", after=bpf.programs["leaving"])
        with pytest.raises(InputError, match="is attached to `veth0` ingress already"):
            first.attach_tc(netns.device, "ingress")
    with pytest.raises(InputError, match="run by `priority`"):
        first.attach_tc(netns.device, "ingress", via="clsact", first=True)


def test_tcx_replace_keeps_the_place(bpf: Any, netns: Any) -> None:
    first, second = bpf.programs["first"], bpf.programs["second"]
    with first.attach_tc(netns.device, "ingress") as link:
        assert second.attach_tc(netns.device, "ingress", replace=first) is link
        assert order(netns, bpf) == ["second"]
        other = first.attach_tc(netns.device, "ingress", replace=link.info()["prog_id"])
        assert order(netns, bpf) == ["first"] and other.id == link.id
        other.close()


def test_clsact_priorities_and_what_others_made(bpf: Any, netns: Any) -> None:
    first, second = bpf.programs["first"], bpf.programs["second"]
    assert netlink.add_clsact(netns.ifindex)
    with first.attach_tc(netns.device, "ingress", via="clsact", priority=20, handle=5) as late:
        told = late.info()
        assert (told["priority"], told["handle"], told["name"]) == (20, 5, "first")
        with second.attach_tc(netns.device, "ingress", priority=10):
            assert [row[0] for row in netlink.filters(netns.ifindex, netlink.INGRESS)] == [10, 20]
            assert runs(bpf, "first", netns.udp) == 1  # the earlier one lets the next go on
        for bad in ({"priority": 1 << 16}, {"priority": -1}, {"handle": 1 << 32}):
            with pytest.raises(InputError, match="16 bits"):
                second.attach_tc(netns.device, "ingress", **bad)
        with pytest.raises(InputError, match="has a filter with priority 20 and handle 5 already"):
            second.attach_tc(netns.device, "ingress", via="clsact", priority=20, handle=5)
        replaced = second.attach_tc(netns.device, "ingress", via="clsact", replace=first)
        assert replaced is late and runs(bpf, "second", netns.udp) == 1
    assert netlink.has_clsact(netns.ifindex), "a qdisc that was there before stays"
    assert netlink.filters(netns.ifindex, netlink.INGRESS) == []


@pytest.mark.parametrize("order_of_leaving", [(0, 1), (1, 0)])
def test_the_last_filter_takes_the_qdisc_with_it(bpf: Any, netns: Any, order_of_leaving: tuple[int, int]) -> None:
    links = [
        bpf.programs["first"].attach_tc(netns.device, "ingress", via="clsact"),
        bpf.programs["second"].attach_tc(netns.device, "egress", via="clsact"),
    ]
    one, other = (links[at] for at in order_of_leaving)
    one.detach()
    assert netlink.has_clsact(netns.ifindex) and [line for line in journal._Own.lines if "clsact" in line]
    other.detach()
    assert not netlink.has_clsact(netns.ifindex) and not [line for line in journal._Own.lines if "clsact" in line]


def new_netkit(name: str, peer: str) -> None:
    """A pair of netkit devices that pass packets on as they are (older `ip` cannot make them)."""

    def attribute(kind: int, data: bytes) -> bytes:
        return struct.pack("=HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)

    def named(text: str) -> bytes:
        return attribute(3, text.encode() + b"\0")  # IFLA_IFNAME

    other = attribute(1, bytes(16) + named(peer))  # IFLA_NETKIT_PEER_INFO
    info = attribute(1, b"netkit\0") + attribute(2, other)  # IFLA_INFO_KIND, IFLA_INFO_DATA
    body = bytes(16) + named(name) + attribute(18, info)  # IFLA_LINKINFO
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
        # RTM_NEWLINK; NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE
        route.send(struct.pack("=IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
        error = int.from_bytes(route.recv(4096)[16:20], sys.byteorder, signed=True)
    if error:
        pytest.skip(f"kernel: no netkit devices: {os.strerror(-error)}")


def test_netkit(bpf_object: Callable[..., Path], netns: Any) -> None:
    with load(bpf_object("attach_net"), select=["primary", "leaving"]) as bpf:
        program, other = bpf.programs["primary"], bpf.programs["leaving"]
        with pytest.raises((Unsupported, InputError), match="netkit"):
            program.attach(netns.device)
        new_netkit("nk0", "nk1")
        for device in ("nk0", "nk1"):
            subprocess.run(["ip", "link", "set", device, "up"], check=True)
        subprocess.run(["ip", "addr", "add", "10.98.0.1/24", "dev", "nk0"], check=True)

        def send() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"x", ("10.98.0.2", 9))

        def seen(name: str) -> int:
            before = bpf.globals[f"{name}_hits"]
            send()
            return int(bpf.globals[f"{name}_hits"] - before)

        with program.attach("nk0") as link:
            assert seen("primary") >= 1
            told = link.info()
            assert (told["kind"], told["ifindex"]) == ("netkit", socket.if_nametoindex("nk0"))
            link.update(program)
            with pytest.raises(InputError, match="is attached to `nk0` primary already"):
                program.attach("nk0")
            with pytest.raises(InputError, match="is the peer"):
                program.attach("nk1")
            with other.attach_netkit("nk0", "primary", before=link):
                send()
        assert seen("primary") == 0
        with program.attach_netkit("nk0", "peer"):
            assert seen("primary") == 0, "it sees what the other end sends"
        with pytest.raises(InputError, match="there is no side of a netkit device `netkit_both`"):
            program.attach_netkit("nk0", "both")
        assert program.links == []


# ------------------------------------------------------------ namespaces, netfilter, sockets


def test_sk_lookup(bpf: Any, netns: Any) -> None:
    with bpf.programs["lookup"].attach() as link:
        assert runs(bpf, "lookup", lambda: netns.udp(2)) == 2
        link.update(bpf.programs["lookup"])
    assert runs(bpf, "lookup", netns.udp) == 0
    with bpf.programs["lookup"].attach_sk_lookup(os.getpid()):
        pass  # by process: the namespace of its main thread
    with pytest.raises(TargetMissing, match="no network namespace `nowhere`"):
        bpf.programs["lookup"].attach("nowhere")
    with pytest.raises(InputError, match="is no network namespace"):
        bpf.programs["lookup"].attach("/proc/self/ns/mnt")


def test_flow_dissector(bpf: Any, netns: Any) -> None:
    # A packet socket asks for the headers of what it sends.
    frame = bytes.fromhex("020000000002020000000001080045000020000100004011000001020304010203050035003500080000")

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind((netns.device, 0x0800))
            out.send(frame + bytes(5))

    with bpf.programs["flows"].attach():
        assert runs(bpf, "flows", send) >= 1
        with pytest.raises(KernelError, match="one flow dissector"):
            bpf.programs["flows"].attach()
    assert runs(bpf, "flows", send) == 0


def test_netfilter(bpf: Any, netns: Any) -> None:
    hook = bpf.programs["hook"]
    with hook.attach("ipv4", "prerouting", -10) as link:
        assert runs(bpf, "hook", lambda: netns.udp(2)) == 2
        assert (link.info()["pf"], link.info()["priority"]) == (2, -10)
        with pytest.raises(KernelError, match="is taken by another program"):
            hook.attach_netfilter("ipv4", "prerouting", -10)
    with hook.attach_netfilter("ipv6", "local_in"):
        assert runs(bpf, "hook", lambda: netns.udp(1, ipv6=True)) == 1
    with pytest.raises(InputError, match="did you mean `prerouting`"):
        hook.attach_netfilter("ipv4", "prerout")
    with pytest.raises(InputError, match="kernel's own"):
        hook.attach_netfilter(priority=(1 << 31) - 1)
    assert runs(bpf, "hook", netns.udp) == 0


def test_socket_filter(bpf: Any, netns: Any) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((netns.address, 9000))
        receiver.settimeout(0.2)
        with bpf.programs["filter"].attach(receiver) as link:
            assert runs(bpf, "filter", lambda: netns.udp(2)) == 2
            with pytest.raises(TimeoutError):  # it keeps nothing
                receiver.recv(10)
            link.update(bpf.programs["filter"])
        assert runs(bpf, "filter", netns.udp) == 0
        assert receiver.recv(10) == b"bpfsmith"
        with bpf.programs["filter"].attach_socket(receiver.fileno()):
            assert runs(bpf, "filter", netns.udp) == 1
    with pytest.raises(InputError, match="the socket is closed"):
        bpf.programs["filter"].attach(receiver)
    with open("/dev/null") as file, pytest.raises(InputError, match="is no socket"):
        bpf.programs["filter"].attach(file)


def test_reuseport(bpf: Any, netns: Any) -> None:
    kind = (socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket(*kind) as one, socket.socket(*kind) as two:
        with pytest.raises(InputError, match="SO_REUSEPORT"):
            bpf.programs["chooser"].attach(one)
        for member in (one, two):
            member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            member.bind((netns.address, 9003))
        with bpf.programs["chooser"].attach(one):
            assert runs(bpf, "chooser", lambda: netns.udp(2, port=9003)) == 2
        assert runs(bpf, "chooser", lambda: netns.udp(2, port=9003)) == 0


def test_a_program_of_a_route_says_how(bpf_object: Callable[..., Path]) -> None:
    with load(bpf_object("attach_net"), select=["route"]) as bpf, pytest.raises(InputError, match="ip route add"):
        bpf.programs["route"].attach()


def test_closed_objects_attach_nothing(bpf: Any, netns: Any) -> None:
    program = bpf.programs["one"]
    link = program.attach_xdp(netns.device)
    bpf.close()
    assert link.closed
    from bpfsmith.model.errors import Closed

    with pytest.raises(Closed):
        program.attach_xdp(netns.device)
    with pytest.raises(Closed):
        link.info()
    link.detach()


def test_what_outlives_is_undone_from_another_namespace(bpf: Any, netns: Any) -> None:
    links = [
        bpf.programs["one"].attach_xdp(netns.device, via="netlink"),
        bpf.programs["first"].attach_tc(netns.device, "ingress", via="clsact"),
    ]
    with netns.peer():
        for link in links:
            link.detach()
    assert netlink.xdp_state(netns.ifindex) == ("", {}) and not netlink.has_clsact(netns.ifindex)


def test_detaching_leaves_alone_what_others_put_there(bpf: Any, netns: Any) -> None:
    link = bpf.programs["one"].attach_xdp(netns.device, via="netlink")
    netlink.set_xdp(netns.ifindex, bpf.programs["two"].fd.fileno(), fresh=False)
    link.detach()
    assert runs(bpf, "two", netns.udp) == 1
    netlink.set_xdp(netns.ifindex, -1)
    link = bpf.programs["first"].attach_tc(netns.device, "ingress", via="clsact", priority=3, handle=1)
    netlink.add_filter(netns.ifindex, netlink.INGRESS, bpf.programs["second"].fd.fileno(), "x", 1, 3, replace=True)
    with pytest.raises(TargetGone):
        link.update(bpf.programs["first"])
    link.detach()
    assert runs(bpf, "second", netns.udp) == 1
    assert [line for line in journal._Own.lines if "clsact" in line or "filter" in line] == []
    netlink.delete_clsact(netns.ifindex)


def test_a_process_that_ends_in_order_leaves_nothing(netns: Any, bpf_object: Callable[..., Path]) -> None:
    script = f"""
from bpfsmith.run.load import load
bpf = load({str(bpf_object("attach_net"))!r}, select=["one", "first"])
bpf.programs["one"].attach_xdp("veth0", via="netlink")
bpf.programs["first"].attach_tc("veth0", "ingress", via="clsact")
bpf.programs["first"].attach_tc("veth0", "egress")
"""
    import bpfsmith

    env = {**os.environ, "PYTHONPATH": str(Path(bpfsmith.__file__).parents[1])}
    words = [sys.executable, "-W", "always::ResourceWarning", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0 and done.stderr.count("was dropped and is detached now") >= 2, done.stderr
    assert "Traceback" not in done.stderr and "ignored" not in done.stderr
    assert netlink.xdp_state(netns.ifindex) == ("", {}) and not netlink.has_clsact(netns.ifindex)
