"""Maps of a plan: what the kernel is asked to create, with which contents, how that differs from the declaration."""

from __future__ import annotations

from sys import byteorder as _ORDER  # noqa: N812 - a constant here

from bpfsmith.run.plan import Blob, Plan, Slot
from bpfsmith.run.planned import PlannedMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.map import Map
    from bpfsmith.model.object import Object
    from bpfsmith.run.planned import Options
    from bpfsmith.run.planprograms import ProgramPlanner

__all__ = ["MapPlanner", "kernel_name"]

PROG_ARRAY, PERF_EVENT_ARRAY, ARRAY_OF_MAPS, HASH_OF_MAPS, STRUCT_OPS, ARENA, INSN_ARRAY = 3, 4, 12, 13, 26, 33, 34
_RINGS = frozenset((27, 31))  # ringbuf, user_ringbuf
_NO_ENTRIES = frozenset((19, 21, 24, 26, 28, 29, 32))  # the storages, struct_ops: theirs is not a number of entries
# The value may hold a program besides the target since 5.8 (devmap, devmap_hash) and 5.9 (cpumap).
_VALUE_WITH_PROGRAM = {14: "devmap_prog", 25: "devmap_prog", 16: "cpumap_prog"}
# Kernels refuse types for these: perf_event_array, stack_trace, cgroup_array, maps of maps, devmap, sockmap, cpumap,
# xskmap, sockhash, queue, stack, devmap_hash, ringbuf, user_ringbuf (a type must have the key's size, and theirs is 0),
# arena.
_NO_TYPES = frozenset((4, 7, 8, 12, 13, 14, 15, 16, 17, 18, 22, 23, 25, 27, 31, 33))

F_RDONLY_PROG, F_MMAPABLE, F_VTYPE_BTF_OBJ_FD, F_TOKEN_FD = 1 << 7, 1 << 10, 1 << 15, 1 << 16


def kernel_name(name: str) -> str:
    """At most 15 characters of those the kernel allows."""
    if len(name) > 15:
        name = name[:15]
    if name.isidentifier() and name.isascii():
        return name
    return "".join(one if one.isascii() and (one.isalnum() or one in "_.") else "_" for one in name)


class MapPlanner:
    """Plans the maps of one object."""

    def __init__(self, obj: Object, kernel: Kernel, options: Options, plan: Plan) -> None:
        self.object = obj
        self.kernel = kernel
        self.options = options
        self.plan = plan
        self.maps: dict[str, PlannedMap] = {}
        self.by_index: list[PlannedMap | None] = []
        self._later: list[PlannedMap] = []
        self._shared = {"names": kernel.has("prog_name"), "mmap": kernel.has("array_mmap")}

    def plan_all(self, programs: ProgramPlanner) -> None:
        """Every map of the object, in its order; contents that refer to other maps come last."""
        for source in self.object.maps:
            native = source.native
            if native.origin == "struct_ops" and self._left_out(source, programs):
                self.by_index.append(None)
                continue
            if native.origin in ("data", "kconfig") and not self.kernel.has("global_data"):
                self.by_index.append(None)  # programs that use it are refused where they are planned
                continue
            self.by_index.append(self._plan(source, programs))
        by_name = self.maps
        for one in self._later:
            for index, name in one.source.values:
                if name in by_name:
                    self._store(one, index, Slot(by_name[name].slot), f"`{name}` into slot {index} of map `{one.name}`")

    def _left_out(self, source: Map, programs: ProgramPlanner) -> bool:
        """struct_ops maps that are optional exist when one of their programs was asked for; beside a program that is
        judged alone, those it is a member of or uses, unless the object counts as a whole."""
        native = source.native
        alone = self.options.alone
        if alone and not self.options.whole and all(name != alone for _, name in native.values):
            judged = programs.programs.get(alone)
            return judged is None or len(self.by_index) not in judged.source.native.map_refs()
        return source.section.startswith("?") and native.name not in programs.forced

    def _plan(self, source: Map, programs: ProgramPlanner) -> PlannedMap:
        name = source.native.name
        while name in self.maps:  # `static` maps of several sections may share a name
            name += "'"
        planned = PlannedMap(source, name, f"map:{name}")
        self.maps[name] = planned
        self._size(planned)
        planned.kernel_name = self._kernel_name(planned)
        if name in self.options.given:
            planned.reused = True
            self.plan.give(planned.slot)
            if name in self.options.data:
                self._contents_are_there(planned)
            return planned
        if not planned.type:
            self._undefined(planned)
        if planned.type == STRUCT_OPS:
            self._struct_ops(planned, programs)
        if source.native.origin in ("data", "kconfig"):
            self._contents(planned)
        self._create(planned)
        if planned.data is not None and planned.type != STRUCT_OPS:
            self._fill(planned)
        if planned.type in (ARRAY_OF_MAPS, HASH_OF_MAPS) and source.native.values:
            self._later.append(planned)
        return planned

    # ------------------------------------------------------------ what it will be

    def _kernel_name(self, planned: PlannedMap) -> str:
        name = planned.source.native.name
        if planned.source.native.origin in ("data", "kconfig") and "." not in name[1:]:
            # libbpf's way, so that tools show the same: as much of the object's name as fits before `.rodata`.
            stem = self.object.path.rpartition("/")[2].partition(".")[0]
            name = stem[: 15 - max(7, len(name))] + name
        return kernel_name(name)

    def _size(self, planned: PlannedMap) -> None:
        """Adjusts what kernels want otherwise than objects say."""
        planned.value_size = self.options.value_sizes.get(planned.name, planned.value_size)
        wanted = self.options.map_sizes.get(planned.name)
        if wanted is not None:
            planned.max_entries = wanted
        kind = planned.type
        if kind == PERF_EVENT_ARRAY and not planned.max_entries:
            planned.max_entries = self.kernel.possible_cpus
        elif self.options.alone and not planned.max_entries and kind not in _NO_ENTRIES:
            planned.max_entries = 1
            self.plan.note(f"map `{planned.name}`", "its size is left to whoever loads it: created with one entry")
        if kind in _RINGS:
            # A declared value type says what its records are; kernels want no sizes.
            planned.key_size = planned.value_size = 0
            rounded = _ring_size(planned.max_entries, self.kernel.page_size)
            if rounded != planned.max_entries:
                self.plan.note(
                    f"map `{planned.name}`",
                    f"a ring's size is a power of two of whole pages: {planned.max_entries} bytes become {rounded}",
                )
                planned.max_entries = rounded
        elif kind in _VALUE_WITH_PROGRAM and planned.value_size == 8 and not self.kernel.has(_VALUE_WITH_PROGRAM[kind]):
            planned.value_size = 4
            self.plan.note(f"map `{planned.name}`", "this kernel's entries hold no program: 4-byte values instead of 8")
        if (
            planned.flags & F_MMAPABLE
            and not self._shared["mmap"]
            and planned.source.native.origin in ("data", "kconfig")
        ):
            planned.flags &= ~F_MMAPABLE
            self.plan.note(f"map `{planned.name}`", "this kernel maps no arrays: globals go through system calls")
        if kind == ARENA and not planned.map_extra:
            # Programs hold pointers as the process sees them, so the place of the mapping is fixed before they load.
            planned.map_extra = self.options.arena
            self.options.arena += 1 << 32
        if kind in (ARRAY_OF_MAPS, HASH_OF_MAPS):
            inner = planned.source.inner
            if inner is not None:
                planned.inner = PlannedMap(inner, f"{planned.name}.inner", f"{planned.slot}.inner")
                self._size(planned.inner)

    def _struct_ops(self, planned: PlannedMap, programs: ProgramPlanner) -> None:
        from bpfsmith.run.structops import convert

        given = self.options.data.get(planned.name)
        value = convert(self.object, planned.source, self.kernel, given, self.options.near)
        planned.value_size = len(value.data)
        planned.data = value.data
        planned.btf_ids = (0, value.type_id)
        planned.funcs = value.funcs
        programs.bind_struct_ops(planned.name, value)
        for sentence in value.notes:
            self.plan.note(f"map `{planned.name}`", sentence)
        if value.module:
            planned.flags |= F_VTYPE_BTF_OBJ_FD
            planned.module = programs.module_slot(value.module)

    def _contents(self, planned: PlannedMap) -> None:
        data = self.options.data.get(planned.name)
        if data is None and planned.source.native.origin == "kconfig":
            from bpfsmith.run.externs import kconfig_data

            data = kconfig_data(self.object, self.kernel, planned.value_size, self.options.kconfig)
        planned.data = data if data is not None else planned.source.native.data
        if planned.data is not None and len(planned.data) < planned.value_size:
            planned.data += bytes(planned.value_size - len(planned.data))

    # ------------------------------------------------------------ commands

    def _create(self, planned: PlannedMap) -> None:
        inner = planned.inner
        if inner is not None:
            inner.kernel_name = kernel_name(inner.name)
            self._create(inner)
        native = planned.source.native
        fields: dict[str, Any] = {
            "map_type": planned.type,
            "key_size": planned.key_size,
            "value_size": planned.value_size,
            "max_entries": planned.max_entries,
            "map_flags": planned.flags,
        }
        if inner is not None:
            fields["inner_map_fd"] = Slot(inner.slot)
        elif planned.type in (ARRAY_OF_MAPS, HASH_OF_MAPS):
            self._no_template(planned)
        if native.numa_node:
            fields["numa_node"] = native.numa_node
        if self._shared["names"]:
            fields["map_name"] = planned.kernel_name
        self._types(planned, fields)
        if planned.map_extra:
            fields["map_extra"] = planned.map_extra
        if self.options.token:
            fields["map_flags"] = planned.flags | F_TOKEN_FD
            fields["map_token_fd"] = Slot("token")
        self.plan.add("BPF_MAP_CREATE", f"map `{planned.name}`", fields, planned.slot)

    def _types(self, planned: PlannedMap, fields: dict[str, Any]) -> None:
        key, value = planned.btf_ids
        if planned.type == STRUCT_OPS:
            fields["btf_vmlinux_value_type_id"] = value
            fields["btf_fd"] = Slot("btf")
            if key:
                fields["btf_key_type_id"] = key
            if planned.module:
                fields["value_type_btf_obj_fd"] = Slot(planned.module)
            return
        if not (key or value) or planned.type in _NO_TYPES or not self.plan.has("btf"):
            planned.btf_ids = (key, value) if self.plan.has("btf") else (0, 0)
            return
        if planned.name in self.options.plain_maps:
            self.plan.note(f"map `{planned.name}`", "the kernel refused it with its types: it is created without")
            return
        fields["btf_fd"] = Slot("btf")
        fields["btf_key_type_id"] = key
        fields["btf_value_type_id"] = value

    def _contents_are_there(self, planned: PlannedMap) -> None:
        from bpfsmith.model.errors import InputError

        raise InputError(
            f"`globals=` sets variables of map `{planned.name}`, which exists already and keeps what is in it",
            where=self.object.path,
            hint="set them once it is loaded: `bpf.globals[...] = ...`",
        )

    def _undefined(self, planned: PlannedMap) -> None:
        from bpfsmith.model.errors import InputError

        section = planned.source.section
        if all(kind != "maps-without-btf" for kind, _ in self.object.notes):
            raise InputError(
                f"map `{planned.name}` declares no type",
                where=self.object.path,
                hint="`__uint(type, BPF_MAP_TYPE_HASH);` in C says which",
            ).lacking("map")
        raise InputError(
            f"`{section}` has no BTF, which alone says what map `{planned.name}` is",
            where=self.object.path,
            hint="compile with `-g`, and strip with `llvm-strip -g`; Aya: `debug = 2` in the kernel crate's profile, "
            "and bpf-linker with `--btf`",
        ).lacking("loader")

    def _no_template(self, planned: PlannedMap) -> None:
        from bpfsmith.model.errors import InputError

        raise InputError(
            f"map `{planned.name}` is a map of maps, and the object does not say what the inner maps are",
            where=self.object.path,
            hint="declare the inner map's type (`__array(values, ...)` in C, a BTF map in Aya), or hand over a ready "
            f"map with `maps={{'{planned.name}': ...}}`",
        ).lacking("map")

    def _fill(self, planned: PlannedMap) -> None:
        data = planned.data or b""
        if data.count(0) != len(data):
            self.plan.add(
                "BPF_MAP_UPDATE_ELEM",
                f"the contents of map `{planned.name}`",
                {"map_fd": Slot(planned.slot), "key": bytes(planned.key_size), "value": data},
            )
        if planned.flags & F_RDONLY_PROG:
            self.plan.add("BPF_MAP_FREEZE", f"map `{planned.name}`", {"map_fd": Slot(planned.slot)})

    def _store(self, planned: PlannedMap, index: int, value: Slot, what: str) -> None:
        key = index.to_bytes(planned.key_size or 4, _ORDER)
        self.plan.add(
            "BPF_MAP_UPDATE_ELEM",
            what,
            {"map_fd": Slot(planned.slot), "key": key, "value": Blob(bytes(4), ((0, value.name),))},
        )

    def jump_tables(self, program: str, tables: list[tuple[int, int, list[int]]]) -> list[tuple[int, str]]:
        """Instruction arrays (Linux 6.19) for the jump tables of one program, each made once: (place of a descriptor in
        its instructions, slot)."""
        places = []
        for at, offset, targets in tables:
            slot = f"jumps:{program}:{offset}"
            if not self.plan.has(slot):
                what = f"jump table {offset // 8} of program `{program}`"
                fields: dict[str, Any] = {"map_type": INSN_ARRAY, "key_size": 4, "value_size": 16, "map_flags": 0}
                fields["max_entries"] = len(targets)
                if self._shared["names"]:
                    fields["map_name"] = ".jumptables"
                self.plan.add("BPF_MAP_CREATE", what, fields, slot)
                for index, target in enumerate(targets):
                    entry = {"key": index.to_bytes(4, _ORDER), "value": target.to_bytes(4, _ORDER) + bytes(12)}
                    self.plan.add("BPF_MAP_UPDATE_ELEM", f"entry {index} of {what}", {"map_fd": Slot(slot), **entry})
                self.plan.add("BPF_MAP_FREEZE", what, {"map_fd": Slot(slot)})
            places.append((at, slot))
        return places

    # ------------------------------------------------------------ after the programs

    def fill_program_arrays(self, programs: ProgramPlanner) -> None:
        """The slots an object declares; programs that are not loaded leave theirs empty."""
        for planned in self.maps.values():
            if planned.type != PROG_ARRAY or planned.reused:
                continue
            for index, name in planned.source.native.values:
                program = programs.programs.get(name)
                if program is not None:
                    what = f"program `{name}` into slot {index} of map `{planned.name}`"
                    self._store(planned, index, Slot(program.slot), what)

    def pin(self) -> None:
        """Last of all: a load that fails leaves no pin."""
        for name, path in self.options.pins.items():
            planned = self.maps.get(name)
            if planned is not None and not planned.reused:
                self.plan.add(
                    "BPF_OBJ_PIN",
                    f"map `{name}` at `{path}`",
                    {"pathname": path.encode() + b"\0", "bpf_fd": Slot(planned.slot)},
                )


def _ring_size(wanted: int, page: int) -> int:
    """The next power of two of pages; 0 stays 0, for the kernel to refuse."""
    if wanted <= 0 or (wanted % page == 0 and (wanted // page).bit_count() == 1):
        return wanted
    size = page
    while size < wanted:
        size <<= 1
    return size if size < 1 << 32 else wanted
