#!/usr/bin/env python3
"""Marks packets by the network they come from or go to, for routing rules, firewalls and queues to go by.

For example: `./tc_mark.py eth0 10.0.0.0/8=1 192.0.2.0/24=2`
"""

import argparse
import sys
import time
from pathlib import Path

import bpfsmith

OBJECT = Path(__file__).parents[1] / "prebuilt/tc-mark.bpf.o"


def seconds(text: str) -> float:
    if 0 < (value := float(text)) < 3e7:
        return value
    raise ValueError  # argparse says the rest


def rule(text: str) -> tuple[str, int]:
    """`10.0.0.0/8=1` as the prefix and the number; argparse refuses what raises `ValueError`."""
    prefix, _, number = text.partition("=")
    return prefix, int(number, 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("interface")
    parser.add_argument("rules", metavar="PREFIX=MARK", type=rule, nargs="+", help="the longest prefix that fits wins")
    parser.add_argument("--seconds", type=seconds, default=10)
    args = parser.parse_args()

    with bpfsmith.load(OBJECT) as bpf:
        bpf.maps["MARKS"].update(dict(args.rules))
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
    try:
        main()
    except bpfsmith.BpfsmithError as error:
        sys.exit(f"error: {error}")
