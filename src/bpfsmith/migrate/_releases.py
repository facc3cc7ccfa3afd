"""Which releases of the crates belong together: one set per release of aya, with what is written into manifests."""

from __future__ import annotations

__all__ = ["GONE_FEATURES", "RELEASES", "RENAMED", "Release"]


class Release:
    """One set. `versions` are the releases that Cargo takes, `required` what a manifest asks for to get them; `rust` is
    the oldest compiler."""

    __slots__ = ("name", "required", "rust", "versions")

    def __init__(self, name: str, rust: str, versions: dict[str, str], required: dict[str, str] | None = None) -> None:
        self.name = name
        self.rust = rust
        self.versions = versions
        self.required = {package: _series(version) for package, version in versions.items()} | (required or {})


def _series(version: str) -> str:
    return version.rpartition(".")[0]


_KERNEL_01 = {
    "aya-ebpf": "0.1.1",
    "aya-ebpf-macros": "0.1.1",
    "aya-ebpf-bindings": "0.1.1",
    "aya-ebpf-cty": "0.2.2",
    "aya-log-ebpf": "0.1.0",
    "aya-log-ebpf-macros": "0.1.0",
}
# What 0.1.0 has not: a lock file would keep it.
_REQUIRED_01 = {"aya-ebpf": "0.1.1", "aya-ebpf-macros": "0.1.1", "aya-ebpf-bindings": "0.1.1"}
_KERNEL_03 = {
    "aya-ebpf": "0.3.0",
    "aya-ebpf-macros": "0.4.0",
    "aya-ebpf-bindings": "0.3.0",
    "aya-ebpf-cty": "0.4.0",
    "aya-log-ebpf": "0.3.0",
    "aya-log-ebpf-macros": "0.3.0",
    "aya-log-common": "0.3.0",
    "aya-log-parser": "0.3.0",
    "aya-build": "0.2.1",
}
# The newest release of a series is not always of the same set: aya-log 0.2.1 asks for aya 0.13.
RELEASES = {
    one.name: one
    for one in (
        Release(
            "0.12",
            "1.66",
            {
                "aya": "0.12.0",
                "aya-obj": "0.1.0",
                "aya-log": "0.2.0",
                "aya-log-common": "0.1.14",
                "aya-log-parser": "0.1.13",
                "aya-build": "0.1.2",
                **_KERNEL_01,
            },
            {**_REQUIRED_01, "aya-log": "=0.2.0", "aya-log-common": "0.1.14", "aya-log-parser": "0.1.13"},
        ),
        Release(
            "0.13",
            "1.80",
            {
                "aya": "0.13.1",
                "aya-obj": "0.2.1",
                "aya-log": "0.2.1",
                "aya-log-common": "0.1.15",
                "aya-log-parser": "0.1.13",
                "aya-build": "0.1.2",
                **_KERNEL_01,
            },
            {**_REQUIRED_01, "aya": "0.13.1", "aya-obj": "0.2.1", "aya-log": "0.2.1", "aya-log-common": "0.1.15",
             "aya-log-parser": "0.1.13"},
        ),
        Release(
            "0.14",
            "1.87",
            {
                "aya": "0.14.0",
                "aya-obj": "0.3.0",
                "aya-log": "0.3.0",
                "aya-log-common": "0.2.0",
                "aya-log-parser": "0.2.0",
                "aya-build": "0.2.0",
                "aya-ebpf": "0.2.1",
                "aya-ebpf-macros": "0.2.0",
                "aya-ebpf-bindings": "0.2.0",
                "aya-ebpf-cty": "0.3.0",
                "aya-log-ebpf": "0.2.0",
                "aya-log-ebpf-macros": "0.2.0",
            },
        ),
        # No aya-log was ever released for it (0.4 asks for aya 0.16): a program with a log waits, or goes on to 0.16.
        Release("0.15", "1.98", {"aya": "0.15.0", "aya-obj": "0.5.0", "aya-log": "0.3.0", **_KERNEL_03}),
        Release("0.16", "1.98", {"aya": "0.16.0", "aya-obj": "0.6.0", "aya-log": "0.4.0", **_KERNEL_03}),
    )
}  # fmt: skip

# Names until 2024. Nothing was ever released under them.
RENAMED = {
    "aya-bpf": "aya-ebpf",
    "aya-bpf-macros": "aya-ebpf-macros",
    "aya-bpf-bindings": "aya-ebpf-bindings",
    "aya-bpf-cty": "aya-ebpf-cty",
}
# (package, first release without it) -> features.
GONE_FEATURES = {
    ("aya", "0.12.0"): ("async",),
    ("aya", "0.14.0"): ("async_tokio", "async_std"),
    ("aya-ebpf", "0.2.0"): ("const_assert",),
}
