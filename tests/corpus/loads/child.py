"""Loads every program of the objects named on standard input, each by itself, and prints what came of it.

One line per program, in the words of `verifier_ref`: path, number, program, what, errno, message; `crashed` when an
exception came that is none of the documented tree. Pins go into a folder of the process's own and are removed at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import bpfsmith

# Statistics, source lines and register states say nothing of the reason: the list of `verifier_ref/load.c`.
BESIDE = ("processed ", "verification time ", "stack depth ", "; ", "cur state:", "old state:", "mark_precise:")
RINGBUFS = (27, 31)
PINS = Path(f"/sys/fs/bpf/bpfsmith-corpus-{os.getpid()}")


def last_message(log: str) -> str:
    lines = [line for line in log.split("\n") if line and not line.startswith(BESIDE)]
    return plain(lines[-1].partition("\t")[0]) if lines else ""


def plain(message: str) -> str:
    """Some messages lack their line end: then statistics follow, which depend on the log's level."""
    return message.partition("verification time ")[0].partition("processed ")[0]


def outcome(obj: bpfsmith.Object, name: str) -> tuple[str, int, str]:
    """(what, errno, message) of one program."""
    # Sizes left to the loading code.
    sizes = {one.name: 1 << 16 for one in obj.native.maps if one.type in RINGBUFS and not one.max_entries}
    try:
        with bpfsmith.load(obj, select=[name], autoload=[name], map_sizes=sizes, pin_path=str(PINS)):
            return "accepted", 0, ""
    except bpfsmith.VerifierRejected as error:
        said = last_message(error.log)
        return ("rejected" if said else "refused"), error.errno, said or error.message
    except bpfsmith.KernelError as error:
        return ("refused" if error.command == "BPF_PROG_LOAD" else "unloadable"), error.errno, str(error)
    except bpfsmith.Unsupported as error:
        return "refused", 1, str(error)
    except bpfsmith.BpfsmithError as error:
        return "unloadable", 0, f"{type(error).__name__}: {error}"
    except Exception:
        return "crashed", 0, traceback.format_exc().strip().replace("\n", " | ")[-600:]
    finally:
        unpin()


def unpin() -> None:
    if PINS.is_dir():
        for one in PINS.iterdir():
            one.unlink()
        PINS.rmdir()


def show(*fields: object) -> None:
    print(*(str(one).replace("\n", " ").replace("\t", " ") for one in fields), sep="\t", flush=True)


def main() -> None:
    for line in sys.stdin:
        path = line.rstrip("\n")
        try:
            obj = bpfsmith.read(path)
        except bpfsmith.BpfsmithError as error:
            show(path, -1, "", "unreadable", 0, error)
            continue
        for number, program in enumerate(obj.programs):
            show(path, number, program.name, *outcome(obj, program.name))


if __name__ == "__main__":
    main()
