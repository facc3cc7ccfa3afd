"""Which releases of Aya's crates belong together, and the Rust that each needs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.versions import VersionRange

__all__ = ["LOGS", "PAIRS", "RUST", "minor"]

Minor = tuple[int, int]

# (crate, the crate it is made with) -> minor release of the first -> that of the second.
PAIRS: dict[tuple[str, str], dict[Minor, Minor]] = {
    ("aya", "aya-obj"): {(0, 12): (0, 1), (0, 13): (0, 2), (0, 14): (0, 3), (0, 15): (0, 5), (0, 16): (0, 6)},
    ("aya-ebpf", "aya-ebpf-bindings"): {(0, 1): (0, 1), (0, 2): (0, 2), (0, 3): (0, 3)},
    ("aya-ebpf", "aya-ebpf-cty"): {(0, 1): (0, 2), (0, 2): (0, 3), (0, 3): (0, 4)},
    ("aya-log-ebpf", "aya-log-common"): {(0, 1): (0, 1), (0, 2): (0, 2), (0, 3): (0, 3)},
}
# Minor release of aya -> that of the aya-log made for it, None where there is none.
LOGS: dict[Minor, str | None] = {
    (0, 11): "0.1", (0, 12): "0.2.0", (0, 13): "0.2.1", (0, 14): "0.3", (0, 15): None, (0, 16): "0.4",
}  # fmt: skip
# (crate, from this version on, the Rust it needs), newest first.
RUST = (
    ("aya", "0.15.0", "1.98"),
    ("aya-ebpf", "0.3.0", "1.98"),
    ("aya", "0.14.0", "1.87"),
    ("aya-ebpf", "0.2.0", "1.87"),
)


def minor(known: VersionRange | None) -> Minor | None:
    """The minor release all versions of a range belong to; None when there are several."""
    if known is None:
        return None
    major, number, _ = known.low
    found = (major, number)
    return found if known.at_least(f"{major}.{number}") and known.below(f"{major}.{number + 1}") else None
