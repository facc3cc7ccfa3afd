#!/usr/bin/env python3
"""Marks packets by the network they come from or go to, for routing rules, firewalls and queues to go by.

For example: `./tc_mark.py eth0 10.0.0.0/8=1 192.0.2.0/24=2`
"""

import argparse
import time
from pathlib import Path

import bpfsmith

OBJECT = Path(__file__).parents[1] / "prebuilt/tc-mark.bpf.o"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("interface")
    parser.add_argument("marks", metavar="PREFIX=MARK", nargs="+", help="the longest prefix that fits decides")
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    marks = dict(rule.split("=") for rule in args.marks)

    with bpfsmith.load(OBJECT) as bpf:
        bpf.maps["MARKS"].update({prefix: int(mark, 0) for prefix, mark in marks.items()})
        for direction in ("ingress", "egress"):
            bpf.programs[f"mark_{direction}"].attach_tc(args.interface, direction)
        try:
            print(f"marking on {args.interface} for {args.seconds:g} s; Ctrl-C ends it", flush=True)
            time.sleep(args.seconds)
        except KeyboardInterrupt:
            print()
        for mark, count in sorted(bpf.maps["COUNTS"].sums().items()):
            print(f"mark {mark:#x}: {count.packets} packets, {count.bytes} bytes")


if __name__ == "__main__":
    main()
