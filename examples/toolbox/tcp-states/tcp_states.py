#!/usr/bin/env python3
"""Every change of state of every TCP socket of this machine, and how long the socket was in the state before.

For example: `./tcp_states.py --port 443`
"""

import argparse
import ipaddress
import sys
from pathlib import Path

import bpfsmith

OBJECT = Path(__file__).parents[1] / "prebuilt/tcp-states.bpf.o"
# As in the kernel's `include/net/tcp_states.h`, from 1 on.
STATES = (
    "-", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
    "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
)  # fmt: skip


def end(address: bytes, port: int) -> str:
    """`192.0.2.1:80` or `[2001:db8::1]:80`; the kernel writes an IPv4 address as `::ffff:192.0.2.1`."""
    six = ipaddress.IPv6Address(bytes(address))
    return f"{six.ipv4_mapped}:{port}" if six.ipv4_mapped else f"[{six}]:{port}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0, help="only connections with this port at one end")
    args = parser.parse_args()

    with bpfsmith.load(OBJECT) as bpf:
        bpf.attach()
        try:
            print(f"{'in state':>12}  change", flush=True)
            for change in bpf.maps["EVENTS"]:
                if args.port not in (0, change.source_port, change.destination_port):
                    continue
                spent = f"{change.spent_ns / 1e6:.2f} ms" if change.spent_ns else "-"
                ends = f"{end(change.source, change.source_port)} -> {end(change.destination, change.destination_port)}"
                print(f"{spent:>12}  {ends}  {STATES[change.old]} -> {STATES[change.new]}", flush=True)
        except KeyboardInterrupt:
            pass
        if lost := bpf.maps["LOST"].sum(0):
            print(f"{lost} changes were lost: the ring buffer was full")


if __name__ == "__main__":
    try:
        main()
    except bpfsmith.BpfsmithError as error:
        sys.exit(f"error: {error}")
