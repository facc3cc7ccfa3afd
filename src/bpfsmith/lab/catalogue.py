"""`lab list`: the kernels here, and those that could be had."""

from __future__ import annotations

import os

from bpfsmith.lab import store
from bpfsmith.lab.kernels.config import BPF
from bpfsmith.lab.kernels.matrix import ARCHES, DEFAULT, SERIES, native_arch
from bpfsmith.lab.kernels.versions import numbers, version_key
from bpfsmith.model.errors import EnvironmentMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.lab.progress import Progress
    from bpfsmith.lab.store import Prepared

__all__ = ["Listing", "Offered", "kernel_json", "listing"]


class Offered:
    """A series that can be had. `release`, `package`, `suite`, `download` (bytes) of its newest build, `modules`:
    whether they are offered too; "", 0 and None as long as no index was read. `default`: in the default matrix."""

    __slots__ = ("default", "download", "modules", "package", "release", "series", "suite")

    def __init__(self, series: str) -> None:
        self.series = series
        self.default = series in DEFAULT
        self.release = self.package = self.suite = ""
        self.download = 0
        self.modules: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Every key of the schema."""
        return {key: getattr(self, key) for key in sorted(self.__slots__)}

    def __repr__(self) -> str:
        return f"<Offered {self.series}: {self.release or 'not read yet'}>"


class Listing:
    """`kernels` here, oldest first; `offered` by series; `folder` and `size` (bytes) of the lab; `read_at`: when the
    oldest index that `offered` stands on was read (seconds since 1970, None: none was)."""

    __slots__ = ("folder", "kernels", "offered", "read_at", "size")

    def __init__(self) -> None:
        self.folder = store.folder()
        self.size = 0
        self.kernels: list[Prepared] = []
        self.offered: list[Offered] = []
        self.read_at: int | None = None

    @property
    def exit_code(self) -> int:
        """Always 0."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md, every key present."""
        return {
            "version": 1,
            "folder": self.folder,
            "size": self.size,
            "kernels": [kernel_json(one) for one in self.kernels],
            "offered": [one.to_json() for one in self.offered],
            "read_at": self.read_at,
        }

    def __repr__(self) -> str:
        return f"<Listing: {', '.join(one.name for one in self.kernels) or 'nothing prepared'}>"


def kernel_json(one: Prepared) -> dict[str, Any]:
    """A prepared kernel as `lab list`, `lab get` and `lab add` print it."""
    words = ("name", "release", "version", "package", "arch", "origin", "added", "folder", "boot")
    lacks = dict(one.lacks)
    try:
        one.check()
        config = one.config
    except EnvironmentMissing as error:
        lacks["files"], config = f"{error.message}; {error.hint}", {}
    return {
        **{word: getattr(one, word) for word in words},
        "series": one.series,
        "size": store.size_of(one.folder),
        "btf": one.has_btf,
        "modules": one.module_names,
        "features": {word: config.get(f"CONFIG_{option}") for word, option in BPF.items()} if config else None,
        "lacks": [{"what": what, "lost": lost} for what, lost in lacks.items()],
    }


def listing(*, refresh: bool = False, progress: Progress | None = None) -> Listing:
    """What is here and what could be had, from the indexes read last; nothing is fetched but with `refresh`, which
    reads the indexes of all suites that hold kernels through this machine's apt."""
    if refresh:
        from bpfsmith.lab.getting import refresh_indexes

        refresh_indexes(progress)
    found = Listing()
    found.kernels = store.all()
    found.size = store.size_of(found.folder)
    rows = {series: Offered(series) for series in SERIES}
    for row, when in _indexed():
        best = rows.setdefault(row["series"], Offered(row["series"]))
        if version_key(row["package"]) > version_key(best.package):
            best.release, best.package, best.suite = row["release"], row["package"], row["suite"]
            best.download, best.modules = row["size"], row["modules"]
        found.read_at = when if found.read_at is None else min(found.read_at, when)
    found.offered = sorted(rows.values(), key=lambda one: numbers(one.series))
    return found


def _indexed() -> list[tuple[dict[str, Any], int]]:
    """Builds of the cloud flavour in every index kept, with when it was read."""
    import json

    from bpfsmith.lab.kernels.index import Offer

    rows = []
    base = store.folder("index")
    for name in sorted(os.listdir(base)):
        path = os.path.join(base, name)
        if not name.endswith(".json") or f"-{ARCHES[native_arch()]}-" not in name:
            continue
        try:
            when = int(os.path.getmtime(path))
            with open(path, encoding="utf-8") as file:
                offers = [Offer.from_json(one) for one in json.load(file)]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        rows += [
            (
                {
                    "series": one.series, "release": one.release, "package": one.package, "suite": one.suite,
                    "size": one.size, "modules": one.has_modules,
                },
                when,
            )
            for one in offers
            if one.flavour == "cloud" and numbers(one.series) >= (5, 10)
        ]  # fmt: skip
    return rows
