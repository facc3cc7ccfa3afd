#!/usr/bin/env python3
"""Hands what one local TCP socket writes straight to the other one, past the TCP/IP stack.

For example: `./local_redirect.py /sys/fs/cgroup/web.slice`
"""

import argparse
import sys
import time
from pathlib import Path

import bpfsmith

OBJECT = Path(__file__).parents[1] / "prebuilt/local-redirect.bpf.o"
COUNTERS = "sockets remembered", "messages redirected", "messages passed on", "sockets without room"


def seconds(text: str) -> float:
    if 0 < (value := float(text)) < 3e7:
        return value
    raise ValueError  # argparse says the rest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cgroup", type=Path, help="new connections of the processes in this control group are taken")
    parser.add_argument("--seconds", type=seconds, default=10)
    args = parser.parse_args()

    with bpfsmith.load(OBJECT) as bpf:
        # First the program that reads the map, then the one that fills it: no socket is in the map without it.
        bpf.programs["redirect"].attach_sockmap(bpf.maps["SOCKETS"])
        bpf.programs["remember"].attach_cgroup(args.cgroup)
        try:
            print(f"redirecting for {args.seconds:g} s; Ctrl-C ends it", flush=True)
            time.sleep(args.seconds)
        except KeyboardInterrupt:
            print()
        for slot, name in enumerate(COUNTERS):
            count = bpf.maps["COUNTERS"].sum(slot)
            print(f"{name:>20}: {count.events} ({count.bytes} bytes)")


if __name__ == "__main__":
    try:
        main()
    except bpfsmith.BpfsmithError as error:
        sys.exit(f"error: {error}")
