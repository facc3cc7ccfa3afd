"""What is learnt about a kernel in its first boot, through the door of its guest, and kept with the template."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .guest import Guest
    from .store import Prepared

__all__ = ["learn"]


def learn(guest: Guest, prepared: Prepared) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(what is small, as JSON can hold it; what is large, compressed): CPUs, BTF ids, what the guest said about itself,
    an answer for every feature a loader chooses by and for every program and map type; symbols and modules' BTF."""
    from bpfsmith import kernel

    from .described import LabKernel

    with kernel.through(guest.door, LabKernel(prepared, {})):
        about = {**_small(), "hello": guest.hello}
        large = {}
        for name, data in (("symbols", _symbols()), ("modules", _modules(about["btf_ids"]))):
            if data:
                large[name] = data
    return about, large


def _small() -> dict[str, Any]:
    from bpfsmith import kernel
    from bpfsmith.facts import map_types, program_types
    from bpfsmith.kernel.info import kernel_btf_ids
    from bpfsmith.kernel.probe import FEATURES, outcome

    features = {}
    asked = [*FEATURES]
    asked += [f"program_type:{row.name}" for row in program_types.all()]
    asked += [f"map_type:{row.name}" for row in map_types.all()]
    for feature in asked:
        try:
            features[feature] = outcome(feature)[0]
        except ValueError:
            continue  # nobody knows how to ask for it: `has` hopes
    door = kernel.door()
    return {
        "features": features,
        "cpus": door.possible_cpus(),
        "btf_ids": kernel_btf_ids(),
        "uname": list(door.uname()),
    }


def _symbols() -> bytes:
    from zlib import compress

    from bpfsmith import kernel

    try:
        return compress(kernel.door().read_bytes("/proc/kallsyms"), 1)
    except OSError:
        return b""


def _modules(names: Iterable[str]) -> bytes:
    from bpfsmith import kernel

    rows = []
    for name in sorted(names):
        if name != "vmlinux":
            try:
                rows.append((name, kernel.door().read_bytes(f"/sys/kernel/btf/{name}")))
            except OSError:
                continue  # loaded without it
    return packed(rows) if rows else b""


def packed(rows: list[tuple[str, bytes]]) -> bytes:
    """Names and bytes, each with its length before it, compressed."""
    from zlib import compress

    parts = []
    for name, data in rows:
        word = name.encode()
        parts += [len(word).to_bytes(4, "little"), len(data).to_bytes(4, "little"), word, data]
    return compress(b"".join(parts), 1)
