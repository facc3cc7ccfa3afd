"""What a loader decides before a kernel sees the program: aya 0.14's rules, and libbpf 1.x's.

Our own loader takes what either takes. Whoever ships an object ships it with one of the two, so its verdict is asked
for under that one's rules; what the loader itself would refuse is said as such.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.verdict import Request

__all__ = ["LOADERS", "adjust", "refusal", "style"]

LOADERS = ("aya", "libbpf")

# Maps aya has no type for: it refuses the object unless `allow_unsupported_maps()` was called.
_AYA_LACKS = {26: "struct_ops", 29: "task_storage", 31: "user_ringbuf", 33: "arena", 34: "insn_array", 35: "rhash"}
# aya's entries hold a program besides the target, whatever the object says: devmap, cpumap, devmap_hash.
_AYA_WIDENS = frozenset((14, 16, 25))


def style(obj: Object) -> str:
    """The loader an object is made for: aya for what was written in Rust or declares maps in the old way, else
    libbpf."""
    if "rustc" in (obj.producer or "") or any(one.origin == "legacy" for one in obj.maps):
        return "aya"
    linked = (program for program in obj.programs if program.link_error is None)
    return "aya" if any(file.endswith(".rs") for program in linked for file in program.files()) else "libbpf"


def refusal(obj: Object, program: Program, loader: str) -> tuple[str, str]:
    """(why that loader does not load the program, what to do), ("", "") where it does."""
    return _libbpf(obj, program) if loader == "libbpf" else _aya(obj)


def adjust(request: Request, obj: Object, loader: str) -> list[str]:
    """Makes the request as that loader would load; answers what a person should know of it."""
    notes = []
    request.whole = loader == "libbpf"
    if loader == "aya":
        if obj.license is None:
            request.license = "GPL"
            notes.append(f"`{obj.path}` names no licence: aya loads it as GPL, libbpf would not")
        for one in obj.maps:
            if one.native.type in _AYA_WIDENS and one.native.value_size == 4:
                request.value_sizes[one.name] = 8
                notes.append(f"map `{one.name}` of `{obj.path}`: aya makes its values 8 bytes, the object says 4")
    return notes


def _libbpf(obj: Object, program: Program) -> tuple[str, str]:
    legacy = [one.name for one in obj.maps if one.origin == "legacy"]
    if legacy:
        return (
            f"libbpf 1.0 and later refuse the object: map `{legacy[0]}` is declared in section `maps`",
            "declare maps in `.maps`, or judge it with `--loader aya`",
        )
    for extern in obj.externs:
        if extern.kind in ("func", "unknown"):
            return (
                f"libbpf refuses the object: `{extern.name}` is declared, and nothing says where it comes from",
                "link it with the object that defines it (`bpftool gen object`), or mark it `__ksym`",
            )
    wrong = [one.name for one in obj.maps if one.native.pinning not in (0, 1)]
    if wrong:
        return f"libbpf refuses the object: map `{wrong[0]}` has an unknown `pinning`", "`LIBBPF_PIN_BY_NAME` is 1"
    for kind, said in obj.notes:
        if kind == "odd-map-definition" and said.endswith("libbpf refuses it"):
            why = said.removesuffix("; libbpf refuses it")
            return f"libbpf refuses the object: {why}", "judge it with `--loader aya`"
    meaning = program.meaning
    if meaning is not None and "libbpf" not in meaning.loaders:
        return f"libbpf does not know section `{program.section}`", "judge it with `--loader aya`"
    return "", ""


def _aya(obj: Object) -> tuple[str, str]:
    for program in obj.programs:
        meaning = program.meaning
        if not program.autoload:
            return f"aya refuses the object: it does not know section `?{program.section}`", _OTHERWISE
        if meaning is None or "aya" not in meaning.loaders:
            return f"aya refuses the object: it does not know section `{program.section}`", _OTHERWISE
    for one in obj.maps:
        kind = _AYA_LACKS.get(one.native.type)
        if kind is not None:
            hint = "`EbpfLoader::allow_unsupported_maps()` lets it pass, or judge it with `--loader libbpf`"
            return f"aya refuses the object: it has no maps of type `{kind}` (`{one.name}`)", hint
    for extern in obj.externs:
        if extern.kind in ("kfunc", "ksym", "kconfig"):
            word = {"kfunc": "kernel function", "ksym": "kernel symbol", "kconfig": "configuration value"}[extern.kind]
            return f"aya 0.14 refuses the object: it resolves no {word} (`{extern.name}`)", _OTHERWISE
    return "", ""


_OTHERWISE = "judge it with `--loader libbpf`, or put it into an object of its own"
