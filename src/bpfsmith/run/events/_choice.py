"""What a user says of a stream's records (`record=`, `select=`) made into `Types`."""

from __future__ import annotations

from bpfsmith.model.errors import BadRecord, InputError, UnknownName, ValueMismatch
from bpfsmith.model.near import did_you_mean

from ._types import ChosenType, GrowingType, OneType, SortedTypes, Types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from bpfsmith._native import Btf
    from bpfsmith.run.codec import Codec

__all__ = ["codec_of", "struct_names", "types_of"]


def types_of(record: Any, select: Any, btf: Btf | None, where: str) -> Types:
    """`record`: None (bytes), a type (name, BTF id, dtype, codec, fields), or {number or word: type} with `select`:
    the field (name, or (offset, bytes)) with the number, or a function from a record's bytes to a key or type."""
    if callable(select):
        return _chosen(record, select, btf, where)
    if isinstance(record, dict) and (select is not None or all(isinstance(key, int) for key in record)):
        if not record:
            raise InputError(f"{where}: `record` names no type")
        made: dict[str, Codec] = {}  # a type said for several numbers is one type
        for one in record.values():
            if repr(one) not in made:
                made[repr(one)] = codec_of(one, btf, where)
        codecs = {int(number): made[repr(one)] for number, one in record.items()}
        return SortedTypes(_selector(select, list(codecs.values()), where), codecs)
    if select is not None:
        raise InputError(f"{where}: `select` needs the types to select from", hint="pass record={number: type, ...}")
    return _single(record, btf, where)


def _single(record: Any, btf: Btf | None, where: str) -> Types:
    if record is None or record is bytes:
        return Types()
    codec = codec_of(record, btf, where)
    type_id = _type_id(record, btf)
    if btf is not None and type_id is not None and _grows(btf, type_id):
        from bpfsmith.run.codec import codec_for

        return GrowingType(codec, lambda size: codec_for(btf, type_id, size))
    return OneType(codec)


def _chosen(record: Any, select: Callable[[bytes], Any], btf: Btf | None, where: str) -> Types:
    known: dict[Any, Types] = {}

    def types(key: Any) -> Types:
        found = known.get(key)
        if found is None:
            spec = record[key] if isinstance(record, dict) and key in record else key
            if key is None:
                raise BadRecord(f"{where}: `select` has no type for an event")
            found = known[key] = _single(spec, btf, where)
        return found

    return ChosenType(select, types)


def _type_id(record: Any, btf: Btf | None) -> int | None:
    if btf is None or isinstance(record, bool):
        return None
    if isinstance(record, int):
        return record
    if isinstance(record, str):
        word = record.strip()
        for kind in ("STRUCT", "UNION"):
            if word.startswith(kind.lower() + " "):
                return btf.find(word.partition(" ")[2].strip(), kind)
        for kind in ("STRUCT", "UNION", "TYPEDEF", "ENUM", "ENUM64", "INT", "FLOAT"):
            found = btf.find(word, kind)
            if found is not None:
                return found
    return None


def codec_of(record: Any, btf: Btf | None, where: str) -> Codec:
    from bpfsmith.run.codec import codec_for, parse_type

    type_id = _type_id(record, btf)
    if btf is not None and type_id is not None:
        size = btf.size_of(type_id)
        if size is None:
            raise InputError(f"{where}: type {record!r} has no size, so that no event can be one")
        return codec_for(btf, type_id, size)
    if isinstance(record, int):
        raise InputError(f"{where}: type {record} needs the object's types, and there are none")
    try:
        return parse_type(record, btf)
    except (InputError, ValueMismatch) as error:
        if isinstance(record, str):
            names = struct_names(btf)
            raise UnknownName(
                f"{where}: no type `{record}` in the object", hint=did_you_mean(record, names) or error.hint
            ) from error
        raise


def struct_names(btf: Btf | None) -> list[str]:
    """Names of the structs and unions of an object, as C spells them."""
    if btf is None:
        return []
    found = []
    for type_id in range(btf.first_id, len(btf)):
        kind = btf.kind(type_id)
        if kind in ("STRUCT", "UNION") and btf.name(type_id):
            found.append(f"{kind.lower()} {btf.name(type_id)}")
    return found


def _grows(btf: Btf, type_id: int) -> bool:
    row: dict[str, Any] = btf.type(btf.resolve(type_id))
    if row["kind"] != "STRUCT" or not row.get("members"):
        return False
    last: dict[str, Any] = btf.type(btf.resolve(row["members"][-1]["type"]))
    return last["kind"] == "ARRAY" and not last["nr_elems"]


def _selector(select: Any, codecs: Sequence[Codec], where: str) -> tuple[int, int]:
    if isinstance(select, (tuple, list)) and len(select) == 2:
        place = int(select[0]), int(select[1])
    else:
        found = [_field(select, codec, where) for codec in codecs]
        place = found[0]
        for codec, other in zip(codecs, found, strict=True):
            if other != place:
                raise InputError(
                    f"{where}: `{select}` lies at {other[0]} in `{codec.name}` and at {place[0]} in `{codecs[0].name}`",
                    hint="a selector must lie at the same place in all types",
                )
    if place[0] < 0 or place[1] not in (1, 2, 4, 8):
        raise InputError(f"{where}: a selector has 1, 2, 4 or 8 bytes, not {place[1]}")
    return place


def _field(name: str | None, codec: Codec, where: str) -> tuple[int, int]:
    for field in codec.fields:
        if field.name == name or name is None:
            return field.offset, field.size
    names = [field.name for field in codec.fields]
    raise UnknownName(f"{where}: `{codec.name}` has no field `{name}`", hint=did_you_mean(str(name), names))
