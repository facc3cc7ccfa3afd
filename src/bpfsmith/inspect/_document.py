"""The JSON document of one object: docs/json.md is its contract, every key is always present."""

from __future__ import annotations

from bpfsmith.read.earliest import earliest_kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program


def object_document(obj: Object, kernel: Kernel | None = None) -> dict[str, object]:
    """One entry of `objects`."""
    return {
        "path": obj.path,
        "endianness": obj.endianness,
        "license": obj.license,
        "btf": obj.has_btf,
        "notes": notes(obj, kernel),
        "programs": [_program(program, kernel) for program in obj.programs],
        "maps": [
            {
                "name": one.name,
                "type": one.type_name,
                "key_size": one.key_size,
                "value_size": one.value_size,
                "max_entries": one.max_entries,
                "flags": one.flags,
                "pinning": one.pinning,
                "origin": one.origin,
            }
            for one in obj.maps
        ],
        "globals": [
            {"name": one.name, "section": one.section, "type": one.type, "offset": one.offset, "size": one.size}
            for one in obj.globals
        ],
        "tail_calls": [{"program": program, "map": array, "index": index} for program, array, index in obj.tail_calls],
    }


def _program(program: Program, kernel: Kernel | None) -> dict[str, object]:
    earliest = earliest_kernel(program)
    linked = program.link_error is None
    return {
        "name": program.name,
        "section": program.section,
        "type": program.type,
        "attach_type": program.attach_type,
        "attach_to": program.attach_to,
        "instructions": program.instructions if linked else program.own_instructions,
        "subprograms": program.subprograms,
        "helpers": program.helpers if linked else [],
        "kfuncs": program.kfuncs if linked else [],
        "maps": [one.name for one in program.maps] if linked else [],
        "stack": program.stack,
        "core_relocations": program.core_relocations,
        "earliest_kernel": {"version": earliest.version, "because": list(earliest.because)},
        "fingerprint": _fingerprint(program, kernel) if linked else None,
    }


def _fingerprint(program: Program, kernel: Kernel | None) -> str | None:
    """`None` when the relocations are malformed or ambiguous: libbpf refuses such a program."""
    from bpfsmith._native import ReadError

    try:
        return program.fingerprint(kernel)
    except ReadError:
        return None


def _unresolved(program: Program, kernel: Kernel) -> list[str]:
    from bpfsmith._native import ReadError

    name = f"program `{program.name}`"
    try:
        program.insns(kernel)
    except ReadError as error:
        place = f" ({error.args[1]})" if error.args[1] else ""
        return [f"{name} cannot be relocated against {kernel.name}: {error.args[0]}{place}"]
    missing = [row for row in program.core(kernel) if not row["resolved"]]
    if not missing:
        return []
    reasons = sorted({str(row["reason"] or row["access"]) for row in missing})
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    count = f"{len(missing)} of {program.core_relocations} CO-RE relocations"
    return [f"{name}: {count} do not resolve against {kernel.name}: {'; '.join(reasons[:3])}{more}"]


def notes(obj: Object, kernel: Kernel | None = None) -> list[str]:
    """What was unusual, one sentence each."""
    found = [text for _, text in obj.notes]
    for program in obj.programs:
        error = program.link_error
        if error is not None:
            found.append(f"program `{program.name}` cannot be linked: {error}")
        if program.meaning is None:
            found.append(f"program `{program.name}`: no known loader knows the section name `{program.section}`")
        if not program.autoload:
            found.append(f"program `{program.name}` is loaded only when asked for (`?` before its section name)")
        if kernel is not None and error is None and program.core_relocations:
            found.extend(_unresolved(program, kernel))
    if kernel is not None:
        for extern in obj.missing_externs(kernel):
            consequence = "it is optional (`__weak`)" if extern.weak else "no program that uses it loads there"
            found.append(f"{kernel.name} has no `{extern.name}` of that type: {consequence}")
    return found
