"""struct_ops values: the object's struct laid out as the kernel's own type wants it."""

from __future__ import annotations

from bpfsmith.run.externs import essential

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Btf
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.map import Map
    from bpfsmith.model.object import Object

__all__ = ["Value", "convert"]


class Value:
    """`data`: bytes of the kernel's value type; `type_id`: that type, `ops_id` the operations' within it, in the types
    of `module` ("": the kernel's own). `members`: program -> position of its member; `funcs`: (byte offset in `data`,
    program); `dropped`: programs for members the kernel does not have."""

    __slots__ = ("data", "dropped", "funcs", "members", "module", "notes", "ops_id", "type_id")

    def __init__(self, module: str, type_id: int, ops_id: int) -> None:
        self.module = module
        self.type_id = type_id
        self.ops_id = ops_id
        self.data = b""
        self.members: dict[str, int] = {}
        self.funcs: list[tuple[int, str]] = []
        self.dropped: list[str] = []
        self.notes: list[str] = []


def convert(obj: Object, source: Map, kernel: Kernel, data: bytes | None = None, near: bool = True) -> Value:
    """Member by member by name, as libbpf does: sizes must agree, a member the kernel lacks must be zero."""
    from bpfsmith.model.errors import InputError, TargetMissing, Unsupported

    local = obj.btf
    if local is None:
        raise InputError(
            f"struct_ops map `{source.name}` has no types", where=obj.path, hint="compile with `-g`"
        ).lacking("map")
    struct: dict[str, Any] = local.type(local.resolve(source.value_type))
    name = essential(str(struct["name"]))
    wrapper = f"bpf_struct_ops_{name}"
    for module, btf in (("", kernel.btf), *kernel.modules):
        type_id = btf.find(wrapper, "STRUCT")
        if type_id is not None and (not module or type_id >= btf.first_id):
            break
    else:
        raise Unsupported(
            f"struct_ops map `{source.name}` implements `{name}`, and kernel `{kernel.name}` takes no such struct",
            f"struct_ops:{name}",
            instead=_offered(kernel) if near else "",
            where=obj.path,
        ).lacking("attach-target")
    ops_id = btf.find(name, "STRUCT")
    holder: dict[str, Any] = btf.type(type_id)
    place = next((one for one in _members(holder) if one["type"] == ops_id), None)
    if ops_id is None or place is None:
        raise TargetMissing(f"`{wrapper}` of kernel `{kernel.name}` holds no `{name}`", where=obj.path).lacking(
            "attach-target"
        )
    value = Value(module, type_id, ops_id)
    out = bytearray(int(holder["size"]))
    start = int(place["bits_offset"]) // 8
    theirs = {one["name"]: (index, one) for index, one in enumerate(_members(btf.type(ops_id)))}
    given = data if data is not None else source.data or bytes(source.value_size)
    programs = dict(source.values)
    for member in _members(struct):
        _copy(
            source.name, obj.path, member, (local, btf), theirs.get(member["name"]), given, programs, start, out, value
        )
    value.data = bytes(out)
    return value


def _members(struct: dict[str, Any]) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = struct.get("members", [])
    return members


def _copy(
    map_name: str,
    path: str,
    member: dict[str, Any],
    types: tuple[Btf, Btf],
    theirs: tuple[int, dict[str, Any]] | None,
    given: bytes,
    programs: dict[int, str],
    start: int,
    out: bytearray,
    value: Value,
) -> None:
    from bpfsmith.model.errors import Unsupported

    local, btf = types
    name = member["name"]
    at = int(member["bits_offset"]) // 8
    size = local.size_of(member["type"]) or 0
    program = programs.get(at)
    if theirs is None:
        if any(given[at : at + size]):
            raise Unsupported(
                f"struct_ops map `{map_name}` sets member `{name}`, which this kernel's struct does not have",
                f"struct_ops:{name}",
                where=path,
            ).lacking("attach-target")
        if program is not None:
            value.dropped.append(program)
            value.notes.append(f"this kernel's struct has no member `{name}`: program `{program}` is not loaded")
        return
    index, kernel_member = theirs
    if member.get("bitfield_size") or kernel_member.get("bitfield_size"):
        raise Unsupported(f"member `{name}` of struct_ops map `{map_name}` is a bit field", where=path).lacking("map")
    place = start + int(kernel_member["bits_offset"]) // 8
    ours, kind = local.kind(local.resolve(member["type"])), btf.kind(btf.resolve(kernel_member["type"]))
    if ours != kind:
        raise Unsupported(
            f"member `{name}` of struct_ops map `{map_name}` is {ours}, the kernel's is {kind}", where=path
        ).lacking("attach-target")
    if ours == "PTR":
        if program is not None:
            value.members[program] = index
            value.funcs.append((place, program))
        return
    if size != btf.size_of(kernel_member["type"]):
        raise Unsupported(
            f"member `{name}` of struct_ops map `{map_name}` has {size} bytes, the kernel's "
            f"{btf.size_of(kernel_member['type'])}",
            where=path,
        ).lacking("attach-target")
    out[place : place + size] = given[at : at + size]


def _offered(kernel: Kernel) -> str:
    """The structs this kernel takes, from the names of its types. Slow; for errors only."""
    start = " STRUCT 'bpf_struct_ops_"
    found = []
    for _, btf in (("", kernel.btf), *kernel.modules):
        for line in btf.dump_raw().splitlines():
            at = line.find(start)
            if at > 0:
                found.append(line[at + len(start) : line.index("'", at + len(start))])
    return f"it takes {', '.join(f'`{one}`' for one in sorted(set(found) - {'common_value'}))}" if found else ""
