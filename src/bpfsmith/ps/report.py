"""What `ps` returns."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LoadedBtf", "LoadedLink", "LoadedMap", "LoadedObject", "LoadedProgram", "Owner", "PsReport"]


class Owner:
    """A process that holds a descriptor."""

    __slots__ = ("name", "pid")

    def __init__(self, pid: int, name: str) -> None:
        self.pid = pid
        self.name = name

    def to_json(self) -> dict[str, Any]:
        return {"pid": self.pid, "name": self.name}

    def __repr__(self) -> str:
        return f"{self.name}({self.pid})"


class LoadedObject:
    """What programs, maps, links and BTF share. `owners`: processes holding a descriptor; `pins`: paths in bpffs."""

    __slots__ = ("id", "owners", "pins")
    kind = ""

    def __init__(self, number: int, owners: list[Owner], pins: list[str]) -> None:
        self.id = number
        self.owners = owners
        self.pins = pins

    def _own(self) -> dict[str, Any]:
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id, **self._own(), "owners": [owner.to_json() for owner in self.owners], "pins": self.pins,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class LoadedProgram(LoadedObject):
    """A loaded program. `name`: in full where its BTF tells it (the kernel keeps 15 characters); `loaded_at`: seconds
    since 1970; sizes in bytes, `jited` 0 = interpreted; `memory`: bytes locked; `runs` and `run_time_ns` count while
    run-time statistics are on; `links`: ids of links holding it;
    `attached`: every place it is attached to, with or without a link, as a person reads it."""

    __slots__ = (
        "attach_btf_id", "attached", "btf_id", "gpl", "jited", "links", "loaded_at", "map_ids", "memory", "misses",
        "name", "run_time_ns", "runs", "tag", "type", "uid", "verified", "xlated",
    )  # fmt: skip
    kind = "prog"

    def __init__(self, info: dict[str, Any], word: str, name: str, loaded_at: int, memory: int, *shared: Any) -> None:
        super().__init__(info["id"], *shared)
        self.type = word
        self.name = name
        self.tag: str = info["tag"]
        self.gpl: bool = info["gpl_compatible"]
        self.loaded_at = loaded_at
        self.uid: int = info.get("created_by_uid", 0)
        self.xlated: int = info["xlated_prog_len"]
        self.jited: int = info["jited_prog_len"]
        self.verified: int = info.get("verified_insns", 0)
        self.memory = memory
        self.map_ids: list[int] = info.get("map_ids", [])
        self.btf_id: int = info.get("btf_id", 0)
        self.attach_btf_id: int = info.get("attach_btf_id", 0)
        self.run_time_ns: int = info.get("run_time_ns", 0)
        self.runs: int = info.get("run_cnt", 0)
        self.misses: int = info.get("recursion_misses", 0)
        self.links: list[int] = []
        self.attached: list[str] = []

    @property
    def ns_per_run(self) -> float | None:
        """Mean over its life so far; None before the first counted run."""
        return self.run_time_ns / self.runs if self.runs else None

    def _own(self) -> dict[str, Any]:
        return {
            "type": self.type, "name": self.name, "tag": self.tag, "gpl": self.gpl, "loaded_at": self.loaded_at,
            "uid": self.uid, "xlated": self.xlated, "jited": self.jited, "verified": self.verified,
            "memory": self.memory, "map_ids": self.map_ids, "btf_id": self.btf_id, "runs": self.runs,
            "run_time_ns": self.run_time_ns, "ns_per_run": self.ns_per_run, "misses": self.misses, "links": self.links,
            "attached": self.attached,
        }  # fmt: skip


class LoadedMap(LoadedObject):
    """A map. Sizes in bytes; `flags` as at creation; `frozen`: user space may not write any more; `programs`: ids of
    the programs that use it."""

    __slots__ = (
        "btf_id", "flags", "frozen", "key_size", "key_type_id", "map_extra", "max_entries", "memory", "name",
        "programs", "type", "value_size", "value_type_id",
    )  # fmt: skip
    kind = "map"

    def __init__(self, info: dict[str, Any], word: str, memory: int, frozen: bool, *shared: Any) -> None:
        super().__init__(info["id"], *shared)
        self.type = word
        self.name: str = info["name"]
        self.key_size: int = info["key_size"]
        self.value_size: int = info["value_size"]
        self.max_entries: int = info["max_entries"]
        self.flags: int = info["map_flags"]
        self.map_extra: int = info.get("map_extra", 0)
        self.btf_id: int = info.get("btf_id", 0)
        self.key_type_id: int = info.get("btf_key_type_id", 0)
        self.value_type_id: int = info.get("btf_value_type_id", 0)
        self.memory = memory
        self.frozen = frozen
        self.programs: list[int] = []

    def _own(self) -> dict[str, Any]:
        return {
            "type": self.type, "name": self.name, "key_size": self.key_size, "value_size": self.value_size,
            "max_entries": self.max_entries, "flags": self.flags, "map_extra": self.map_extra, "frozen": self.frozen,
            "memory": self.memory, "btf_id": self.btf_id, "programs": self.programs,
        }  # fmt: skip


class LoadedLink(LoadedObject):
    """A link. `type`: its word (`tcx`, `perf_event`); `target`: where to, as a person reads it; `details`: the
    kernel's own fields of that type."""

    __slots__ = ("attach_type", "details", "program_id", "target", "type")
    kind = "link"

    def __init__(self, info: dict[str, Any], attach_type: str | None, target: str, *shared: Any) -> None:
        super().__init__(info["id"], *shared)
        self.type: str = info["kind"]
        self.program_id: int = info["prog_id"]
        self.attach_type = attach_type
        self.target = target
        self.details = {
            name: value for name, value in info.items() if name not in ("id", "type", "kind", "prog_id", "attach_type")
        }

    def _own(self) -> dict[str, Any]:
        return {
            "type": self.type, "program_id": self.program_id, "attach_type": self.attach_type, "target": self.target,
            "details": self.details,
        }  # fmt: skip


class LoadedBtf(LoadedObject):
    """BTF in the kernel. `name`: `vmlinux` or a module's, "" of a program's types; `size` in bytes; `programs` and
    `maps`: ids of those it describes."""

    __slots__ = ("kernel", "maps", "name", "programs", "size")
    kind = "btf"

    def __init__(self, info: dict[str, Any], *shared: Any) -> None:
        super().__init__(info["id"], *shared)
        self.name: str = info["name"]
        self.kernel = bool(info.get("kernel_btf"))
        self.size: int = info["btf_size"]
        self.programs: list[int] = []
        self.maps: list[int] = []

    def _own(self) -> dict[str, Any]:
        return {
            "name": self.name, "kernel": self.kernel, "size": self.size, "programs": self.programs, "maps": self.maps,
        }  # fmt: skip


class PsReport:
    """What was loaded when it was asked. `kernel`: its version; `stats`: whether run-time statistics are being counted;
    lists are in order of ids, and empty for kinds not asked for."""

    __slots__ = ("btf", "kernel", "links", "maps", "programs", "stats")

    def __init__(self, kernel: str, stats: bool) -> None:
        self.kernel = kernel
        self.stats = stats
        self.programs: list[LoadedProgram] = []
        self.maps: list[LoadedMap] = []
        self.links: list[LoadedLink] = []
        self.btf: list[LoadedBtf] = []

    @property
    def exit_code(self) -> int:
        return 0

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md: `{"version":1,"programs":[...],...}` with every key present."""
        return {
            "version": 1,
            "kernel": self.kernel,
            "stats": self.stats,
            "programs": [one.to_json() for one in self.programs],
            "maps": [one.to_json() for one in self.maps],
            "links": [one.to_json() for one in self.links],
            "btf": [one.to_json() for one in self.btf],
        }

    def __repr__(self) -> str:
        return (
            f"<PsReport: {len(self.programs)} programs, {len(self.maps)} maps, {len(self.links)} links, "
            f"{len(self.btf)} BTF>"
        )
