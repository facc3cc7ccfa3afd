"""A loaded program or map as an `Object`: the same views as for a file, from what the kernel tells.

The verifier rewrote the program: field accesses are those of the kernel's own structures, some helper calls are
inlined, dead code is gone. Types, source lines, functions, maps and variables are the program's own.
"""

from __future__ import annotations

from struct import pack, unpack_from
from sys import byteorder

from bpfsmith.inspect._elf import (
    ALLOC,
    EXEC,
    FUNC,
    NOBITS,
    OBJECT,
    PROGBITS,
    R_BPF_64_32,
    R_BPF_64_64,
    SECTION,
    WRITE,
    Elf,
    btf_ext,
    with_strings,
)
from bpfsmith.inspect._kernel_calls import Calls, forget_symbols
from bpfsmith.model.map import Map
from bpfsmith.model.object import Object
from bpfsmith.model.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith import _native
    from bpfsmith.model.names import Names, SectionMeaning

__all__ = ["is_loaded", "read_loaded"]

_ORDER = "<" if byteorder == "little" else ">"
_CALL, _LD_IMM64 = 0x85, 0x18


def is_loaded(word: str) -> bool:
    """Whether a word names something loaded: `prog:12`, `map:12`, `prog:count_packets`."""
    return word.startswith(("prog:", "map:"))


def read_loaded(word: str) -> Object:
    """`prog:ID`, `prog:TAG`, `prog:NAME`, `map:ID` or `map:NAME` of the running kernel. Needs CAP_SYS_ADMIN.

    `UnknownName` when nothing has that id, tag or name, `InputError` when several have the name."""
    from bpfsmith.kernel import info

    kind, _, which = word.partition(":")
    if not which:
        from bpfsmith.model.errors import UnknownName

        raise UnknownName(f"`{word}` says no id, tag or name", hint=f"`{kind}:ID`; `bpfsmith ps` lists what is loaded")
    # No id has more than ten digits, and `int` takes no more than some thousand.
    number = int(which[:20]) if which.isascii() and which.isdecimal() else _by_name(kind, which)
    with info.open_id(kind, number) as fd:
        if kind == "map":
            found = info.map_(fd)
            return _build(word, None, [found], _types(found.get("btf_id", 0)))
        told = info.program(fd, "xlated_prog_insns", "map_ids", "func_info", "line_info")
    maps = []
    for one in told["map_ids"]:
        with info.open_id("map", one) as fd:
            maps.append(info.map_(fd))
    if not told["xlated_prog_insns"]:
        from bpfsmith.model.errors import PermissionMissing

        raise PermissionMissing(
            f"the kernel hides the instructions of {word}: reading them needs CAP_SYS_ADMIN, and kernel addresses not "
            "restricted",
            "sudo sysctl kernel.kptr_restrict=0 net.core.bpf_jit_harden=0", word, "CAP_SYS_ADMIN",
        )  # fmt: skip
    made = _build(word, told, maps, _types(told.get("btf_id", 0)))
    forget_symbols()
    return made


def _by_name(kind: str, which: str) -> int:
    from bpfsmith.kernel import info
    from bpfsmith.model.errors import InputError, UnknownName
    from bpfsmith.model.near import did_you_mean

    found, names = [], set()
    for number in info.ids(kind):
        try:
            with info.open_id(kind, number) as fd:
                told = info.describe(kind, fd)
        except UnknownName:
            continue
        # The kernel keeps 15 characters of a name.
        names.add(told["name"])
        if told.get("tag") == which or (told["name"] and told["name"] == which[:15]):
            found.append(number)
    what = "program" if kind == "prog" else "map"
    if not found:
        raise UnknownName(
            f"no loaded {what} is called `{which}`", f"{kind}:{which}",
            did_you_mean(which, sorted(names - {""}), "`bpfsmith ps` lists what is loaded"),
        )  # fmt: skip
    if len(found) > 1:
        listed = ", ".join(f"`{kind}:{number}`" for number in found[:10])
        raise InputError(f"{len(found)} loaded {what}s are called `{which}`", f"{kind}:{which}", f"name one: {listed}")
    return found[0]


def _types(number: int) -> bytes | None:
    if not number:
        return None
    from bpfsmith.kernel import info

    with info.open_id("btf", number) as fd:
        told = info.btf(fd, data=True)
    data: bytes = told["data"]
    return data


class _Meaning:
    """What the section of the made-up object stands for: known from the kernel, not from a name."""

    flags: tuple[str, ...] = ()
    sleepable = False
    loaders: frozenset[str] = frozenset()

    def __init__(self, program_type: str | None, attach_type: str | None, attach_to: str | None) -> None:
        self.program_type = program_type
        self.attach_type = attach_type
        self.attach_to = attach_to


class _KernelNames:
    """The facts' names, with this program's meaning, and kernel functions that are no helpers by their own names."""

    def __init__(self, meaning: _Meaning | None, functions: dict[int, str]) -> None:
        from bpfsmith.read._join import names

        self._meaning = meaning
        self._functions = functions
        self._facts = names()

    def section(self, _name: str) -> SectionMeaning | None:
        return self._meaning

    def map_type(self, number: int) -> str | None:
        return self._facts.map_type(number)

    def helper(self, number: int) -> str | None:
        return self._functions.get(number) or self._facts.helper(number)


class KernelMap(Map):
    """A map as the kernel has it; the made-up object only says where it is used."""

    __slots__ = ("_info",)

    def __init__(self, native: _native.Map, names: Names, info: dict[str, Any]) -> None:
        super().__init__(native, names)
        self._info = info

    @property
    def name(self) -> str:
        return str(self._info["name"]) or f"map {self._info['id']}"

    @property
    def id(self) -> int:
        """The kernel's id."""
        return int(self._info["id"])

    @property
    def type(self) -> int:
        return int(self._info["type"])

    @property
    def key_size(self) -> int:
        return int(self._info["key_size"])

    @property
    def value_size(self) -> int:
        return int(self._info["value_size"])

    @property
    def max_entries(self) -> int:
        return int(self._info["max_entries"])

    @property
    def flags(self) -> int:
        return int(self._info["map_flags"])

    @property
    def map_extra(self) -> int:
        return int(self._info.get("map_extra", 0))

    @property
    def key_type(self) -> int:
        return int(self._info.get("btf_key_type_id", 0))

    @property
    def value_type(self) -> int:
        return int(self._info.get("btf_value_type_id", 0))

    @property
    def origin(self) -> str:
        # The kernel does not know how a map was declared: with types, most likely as libbpf wants it.
        return "data" if self._native.origin == "data" else "btf"


class KernelProgram(Program):
    """A program as the kernel runs it."""

    __slots__ = ()

    def fingerprint(self, kernel: Any = None) -> str:  # noqa: ARG002
        """Not told: the fingerprint is that of the instructions before the verifier rewrote them."""
        from bpfsmith._native import ReadError

        raise ReadError("a loaded program has no fingerprint: the verifier rewrote it", self.owner.path, "")


class KernelObject(Object):
    """What was made of a loaded program or map."""

    __slots__ = ("_infos",)

    def __init__(self, native: _native.Object, path: str, names: Names, infos: dict[str, dict[str, Any]]) -> None:
        super().__init__(native, path, names)
        self._infos = infos

    @property
    def maps(self) -> tuple[Map, ...]:
        if self._maps is None:
            made = []
            for one in self._native.maps:
                info = self._infos.get(one.name) or self._infos.get(one.section)
                made.append(Map(one, self._names) if info is None else KernelMap(one, self._names, info))
            self._maps = tuple(made)
        return self._maps

    @property
    def programs(self) -> tuple[Program, ...]:
        if self._programs is None:
            self._programs = tuple(KernelProgram(one, self, self._names) for one in self._native.programs)
        return self._programs


# ------------------------------------------------------------ from the kernel's words to an object


def _build(word: str, told: dict[str, Any] | None, maps: list[dict[str, Any]], types: bytes | None) -> Object:
    from bpfsmith import _native
    from bpfsmith.read._diagnose import input_error

    made = _Maker(maps, types)
    names = made.program(told) if told is not None else _KernelNames(None, {})
    data = made.finish(told)
    try:
        native = _native.Object.parse(data, word)
    except _native.ReadError as error:
        raise input_error(word, error) from None
    return KernelObject(native, word, names, made.infos)


class _Maker:
    def __init__(self, maps: list[dict[str, Any]], types: bytes | None) -> None:
        from bpfsmith._native import Btf

        self.elf = Elf()
        self.types = types
        self.btf = Btf.parse(types) if types else None
        self.infos: dict[str, dict[str, Any]] = {}
        self._map_symbols: dict[int, int] = {}
        self._ext: bytes | None = None
        self._maps(maps)

    def _maps(self, maps: list[dict[str, Any]]) -> None:
        plain = []
        for info in maps:
            section = self._data_section(info)
            if section and section not in self.infos:
                # The kernel's current contents are not read: only the shape is shown.
                flags = ALLOC if section.startswith(".rodata") else ALLOC | WRITE
                kind = NOBITS if section.startswith(".bss") else PROGBITS
                at = self.elf.section(section, bytes(info["value_size"]), flags, kind)
                self._map_symbols[info["id"]] = self.elf.symbol("", at, 0, 0, SECTION)
                self.infos[section] = info
                self._variables(at, section)
            else:
                plain.append(info)
        if not plain:
            return
        rows = (pack(f"{_ORDER}5I", one["type"], one["key_size"], one["value_size"], one["max_entries"],
        one["map_flags"])
                for one in plain)  # fmt: skip
        at = self.elf.section("maps", b"".join(rows), ALLOC | WRITE)
        for position, one in enumerate(plain):
            name = str(one["name"])
            if not name or name in self.infos:  # names are cut, so two may be the same
                name = f"{name or 'map'}_{one['id']}"
            self._map_symbols[one["id"]] = self.elf.symbol(name, at, 20 * position, 20, OBJECT)
            self.infos[name] = one

    def _data_section(self, info: dict[str, Any]) -> str | None:
        """The data section an array of one entry was made from, by the type of its value."""
        value = info.get("btf_value_type_id", 0)
        if self.btf is None or info["type"] != 2 or info["max_entries"] != 1 or not value:
            return None
        if self.btf.kind(value) != "DATASEC":
            return None
        name = self.btf.name(value)
        return name if name.startswith((".data", ".rodata", ".bss")) else None

    def _variables(self, section: int, name: str) -> None:
        assert self.btf is not None
        number = self.btf.find(name, "DATASEC")
        if number is None:
            return
        rows: Any = self.btf.type(number).get("vars") or []
        for row in rows:
            self.elf.symbol(self.btf.name(row["type"]), section, row["offset"], row["size"], OBJECT)

    def program(self, told: dict[str, Any]) -> Names:
        """Adds the program; answers the names it is to be read with."""
        from bpfsmith.facts import program_types

        code = bytearray(told["xlated_prog_insns"])
        row = program_types.get(told["type"])
        kind = row.name if row else str(told["type"])
        attach, target = _attached(told["id"])
        section = _section_name(kind, attach)
        functions = _records(told["func_info"], told["func_info_rec_size"], 8)
        starts = _starts(code, [unpack_from(f"{_ORDER}I", one)[0] for one in functions])
        names = self._function_names(starts, functions, told["name"])
        split = starts[1] * 8 if len(starts) > 1 else len(code)
        calls = Calls(code)
        sections = {"main": self.elf.section(section, b"", ALLOC | EXEC)}
        if split < len(code):
            sections["text"] = self.elf.section(".text", b"", ALLOC | EXEC)
        symbols = {}
        for at, (start, name) in enumerate(zip(starts, names, strict=True)):
            end = starts[at + 1] * 8 if at + 1 < len(starts) else len(code)
            where, base = ("main", 0) if not at else ("text", split)
            symbols[start] = self.elf.symbol(name, sections[where], start * 8 - base, end - start * 8, FUNC)
        entries = self._relocate(code, starts, symbols, calls)
        parts = {"main": bytes(code[:split]), "text": bytes(code[split:])}
        for word, number in sections.items():
            old = self.elf._sections[number]
            self.elf._sections[number] = (*old[:3], parts[word], *old[4:])
        self.elf.relocations(sections["main"], [one for one in entries if one[0] < split])
        if "text" in sections:
            self.elf.relocations(
                sections["text"], [(at - split, symbol, kind) for at, symbol, kind in entries if at >= split]
            )
        if self.types is not None:
            lines = _records(told["line_info"], told["line_info_rec_size"], 16)
            self._lines(section, split, functions, lines)
        return _KernelNames(_Meaning(kind, attach, target), calls.functions)

    def _function_names(self, starts: list[int], functions: list[bytes], name: str) -> list[str]:
        known = dict(unpack_from(f"{_ORDER}II", one) for one in functions)
        found = []
        for at, start in enumerate(starts):
            told = self.btf.name(known[start]) if self.btf is not None and start in known else ""
            found.append(told or (name if not at and name else f"subprog_{at}" if at else "program"))
        # Two static functions of different files may share a name.
        seen: dict[str, int] = {}
        for at, one in enumerate(found):
            seen[one] = seen.get(one, 0) + 1
            if seen[one] > 1:
                found[at] = f"{one}.{seen[one]}"
        return found

    def _relocate(
        self, code: bytearray, starts: list[int], symbols: dict[int, int], calls: Calls
    ) -> list[tuple[int, int, int]]:
        """Maps, subprograms and helpers as they were before loading; the relocations for them."""
        entries = []
        slot = 0
        while slot * 8 < len(code):
            at = slot * 8
            opcode, registers = code[at], code[at + 1]
            source = registers >> 4 if byteorder == "little" else registers & 15
            if opcode == _LD_IMM64:
                number = int(unpack_from(f"{_ORDER}i", code, at + 4)[0])
                if source in (1, 2) and number in self._map_symbols:
                    _set_source(code, at, 0)
                    code[at + 4 : at + 8] = code[at + 12 : at + 16] if source == 2 else bytes(4)
                    code[at + 12 : at + 16] = bytes(4)
                    entries.append((at, self._map_symbols[number], R_BPF_64_64))
                elif source == 4 and slot + number + 1 in symbols:
                    code[at + 4 : at + 8] = bytes(4)
                    entries.append((at, symbols[slot + number + 1], R_BPF_64_64))
                elif source == 4:
                    _set_source(code, at, 0)  # of a function the verifier removed: nothing comes there
                slot += 2
                continue
            if opcode == _CALL and source == 1:
                offset, index = unpack_from(f"{_ORDER}hi", code, at + 2)
                # Compiled programs keep the distance in `off` and the number of the subprogram in `imm`.
                target = slot + offset + 1
                if target not in symbols:
                    target = starts[index] if 0 <= index < len(starts) else slot + index + 1
                if target in symbols:
                    code[at + 2 : at + 4] = bytes(2)
                    code[at + 4 : at + 8] = pack(f"{_ORDER}i", -1)
                    entries.append((at, symbols[target], R_BPF_64_32))
                else:
                    calls.name(at, "a function the verifier removed")
            elif opcode == _CALL:
                calls.mend(at)
            slot += 1
        return entries

    def _lines(self, section: str, split: int, functions: list[bytes], lines: list[bytes]) -> None:
        """Function and line records by section, offsets in bytes."""
        assert self.types is not None
        self.types, names = with_strings(self.types, [section, ".text"])

        def sorted_in(records: list[bytes]) -> dict[int, list[bytes]]:
            found: dict[int, list[bytes]] = {names[section]: [], names[".text"]: []}
            for record in records:
                at = unpack_from(f"{_ORDER}I", record)[0] * 8
                where, base = (section, 0) if at < split else (".text", split)
                found[names[where]].append(pack(f"{_ORDER}I", at - base) + record[4:])
            return found

        self._ext = btf_ext(sorted_in(functions), sorted_in(lines))

    def finish(self, told: dict[str, Any] | None) -> bytes:
        if told is not None:
            self.elf.section("license", b"GPL\0" if told["gpl_compatible"] else b"Proprietary\0", ALLOC | WRITE)
        if self.types is not None:
            self.elf.section(".BTF", self.types)
        if self._ext is not None:
            self.elf.section(".BTF.ext", self._ext)
        return self.elf.to_bytes()


def _set_source(code: bytearray, at: int, source: int) -> None:
    registers = code[at + 1]
    code[at + 1] = registers & 15 | source << 4 if byteorder == "little" else registers & 0xF0 | source


def _records(data: bytes, size: int, width: int) -> list[bytes]:
    """Records of `size` bytes cut to what we know of them."""
    return [data[at : at + width] for at in range(0, len(data), size)] if size >= width else []


def _starts(code: bytearray, told: list[int]) -> list[int]:
    """First slots of the functions: as the types tell, else by the calls."""
    found = {0, *told}
    if not told:
        for slot in range(len(code) // 8):
            at = slot * 8
            registers = code[at + 1]
            source = registers >> 4 if byteorder == "little" else registers & 15
            if code[at] == _CALL and source == 1:
                found.add(slot + int(unpack_from(f"{_ORDER}h", code, at + 2)[0]) + 1)
    return sorted(start for start in found if 0 <= start < len(code) // 8)


def _attached(number: int) -> tuple[str | None, str | None]:
    """(attach type, target) of the first link that holds the program; None, None without one."""
    from bpfsmith.facts import attach_types
    from bpfsmith.kernel import info
    from bpfsmith.kernel.linked import Targets
    from bpfsmith.model.errors import BpfsmithError

    try:
        for one in info.ids("link"):
            with info.open_id("link", one) as fd:
                told = info.link(fd)
            if told["prog_id"] == number:
                row = attach_types.get(told["attach_type"]) if "attach_type" in told else None
                return (row.name if row else None), Targets().of(told) or None
    except BpfsmithError:
        pass  # it went away meanwhile, or links may not be listed: a program without a known target
    return None, None


def _section_name(kind: str, attach: str | None) -> str:
    """A section name loaders would make such a program from, the plainest there is."""
    from bpfsmith.facts import sections

    names = [pattern.partition("+")[0].rstrip("/") for pattern in sections.patterns(kind)]
    found = {name: meaning for name in names if (meaning := sections.match(name)) is not None}
    fitting = [name for name, meaning in found.items() if meaning.attach_type == attach] or list(found)
    return kind if kind in fitting else min(fitting, key=len, default=kind)
