#!/usr/bin/env python3
"""`packet-counter` driven from Python: counts packets, reports each new source, drops blocked ones.

For example: `./packet_counter.py eth0 --block 192.0.2.7`
"""

import argparse
import sys
from pathlib import Path

import bpfsmith

OBJECT = Path(__file__).parent / "prebuilt/packet-counter.bpf.o"
COUNTERS = "packets", "blocked", "not IPv4", "without a filter", "lost events", "openat", "openat2"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("interface")
    parser.add_argument("--block", metavar="ADDRESS", action="append", default=[])
    args = parser.parse_args()

    with bpfsmith.load(OBJECT) as bpf:
        # Everything that the first stage needs is in place before the first packet can reach it.
        bpf.maps["CONFIG"][0] = {"enforce": 1, "report_sources": 1}
        bpf.maps["BLOCKED"].update({bpfsmith.ip(address): 1 for address in args.block})
        bpf.maps["STAGES"][0] = bpf.programs["packet_filter"]
        for call in ("openat", "openat2"):
            bpf.programs[f"count_{call}"].attach_tracepoint("syscalls", f"sys_enter_{call}")
        bpf.programs["packet_parser"].attach_xdp(args.interface)
        try:
            print(f"counting on {args.interface}; Ctrl-C ends it", flush=True)
            for event in bpf.maps["EVENTS"]:
                packet = event.packet
                where = f"{bpfsmith.ip(packet.destination)}:{packet.destination_port}"
                print(f"new source {bpfsmith.ip(packet.source)} -> {where}{' (blocked)' * event.blocked}", flush=True)
        except KeyboardInterrupt:
            pass
        for slot, name in enumerate(COUNTERS):
            count = bpf.maps["COUNTERS"].sum(slot)
            print(f"{name:>17}: {count.packets} ({count.bytes} bytes)")


if __name__ == "__main__":
    try:
        main()
    except bpfsmith.BpfsmithError as error:
        sys.exit(f"error: {error}")
