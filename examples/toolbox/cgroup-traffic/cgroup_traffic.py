#!/usr/bin/env python3
"""Packets and bytes of each control group, in and out.

For example: `./cgroup_traffic.py /sys/fs/cgroup --seconds 10`
"""

import argparse
import sys
import time
from pathlib import Path

import bpfsmith

OBJECT = Path(__file__).parents[1] / "prebuilt/cgroup-traffic.bpf.o"


def seconds(text: str) -> float:
    if 0 < (value := float(text)) < 3e7:
        return value
    raise ValueError  # argparse says the rest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cgroup", type=Path, help="a folder of cgroup2: it and all below it are counted")
    parser.add_argument("--seconds", type=seconds, default=10)
    args = parser.parse_args()

    with bpfsmith.load(OBJECT) as bpf:
        for program in bpf.programs.values():
            program.attach_cgroup(args.cgroup)
        try:
            print(f"counting for {args.seconds:g} s; Ctrl-C ends it", flush=True)
            time.sleep(args.seconds)
        except KeyboardInterrupt:
            print()
        traffic = bpf.maps["TRAFFIC"].sums()

    # The id of a group is the inode number of its folder; one that is gone by now has only its id.
    folders = {path.stat().st_ino: path for path in [args.cgroup, *args.cgroup.rglob("*/")]}
    print(f"{'received':>10} {'bytes':>12} {'sent':>10} {'bytes':>12}  control group")
    for group, row in sorted(traffic.items(), key=lambda item: -item[1].received_bytes - item[1].sent_bytes):
        numbers = f"{row.received_packets:>10} {row.received_bytes:>12} {row.sent_packets:>10} {row.sent_bytes:>12}"
        print(f"{numbers}  {folders.get(group, f'id {group}')}")


if __name__ == "__main__":
    try:
        main()
    except bpfsmith.BpfsmithError as error:
        sys.exit(f"error: {error}")
