#!/usr/bin/env python3
"""How long system calls take, as a histogram for each of those that took the most time.

For example: `./syscall_latency.py --pid 1234 --seconds 10`
"""

import argparse
import sys
import time
from pathlib import Path

import bpfsmith

OBJECT = Path(__file__).parents[1] / "prebuilt/syscall-latency.bpf.o"
HEADER = "*/asm/unistd_64.h"  # of the C library's headers: the kernel tells numbers only


def names() -> dict[int, str]:
    """The names of system calls by number, as far as this machine has them."""
    lines = [line.split() for file in Path("/usr/include").glob(HEADER) for line in file.read_text().splitlines()]
    return {int(row[2]): row[1].removeprefix("__NR_") for row in lines if row[:1] == ["#define"] and len(row) == 3}


def seconds(text: str) -> float:
    if 0 < (value := float(text)) < 3e7:
        return value
    raise ValueError  # argparse says the rest


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int, default=0, help="only this process")
    parser.add_argument("--seconds", type=seconds, default=10)
    parser.add_argument("--top", type=int, default=3, metavar="N", help="show so many system calls")
    args = parser.parse_args()

    with bpfsmith.load(OBJECT, globals={"TGID": args.pid}) as bpf:
        bpf.attach()
        try:
            print(f"measuring for {args.seconds:g} s; Ctrl-C ends it", flush=True)
            time.sleep(args.seconds)
        except KeyboardInterrupt:
            print()
        seen = {number: times for number, times in bpf.maps["HISTOGRAMS"].sums().items() if times.count}

    called = names()
    for number, times in sorted(seen.items(), key=lambda row: -row[1].total_ns)[: args.top]:
        average = times.total_ns / times.count / 1000
        print(f"{called.get(number, number)}: {times.count} calls, {average:.1f} us on average")
        most = max(times.slots)
        for slot, count in enumerate(times.slots):
            if count:
                print(f"  from {2**slot // 2:>13,} ns {count:>10}  {'#' * round(40 * count / most)}".rstrip())


if __name__ == "__main__":
    try:
        main()
    except bpfsmith.BpfsmithError as error:
        sys.exit(f"error: {error}")
