"""The earliest kernel a program can load on, and what decides it: model joined with facts, nothing measured.

Series are mainline ones (`5.18`); a distribution that backported a helper may load the program earlier. A helper behind
an existence check (`bpf_core_enum_value_exists()`, `bpf_ksym_exists()`) needs nothing; one behind a kernel
configuration value or a switch of the program's own counts as needed. What a loader adapts to an older kernel by itself
(BTF kinds, global functions) counts for nothing.
"""

from __future__ import annotations

from functools import cache

from bpfsmith.facts import helpers, insn_features, kfuncs, program_types
from bpfsmith.facts._row import series_key as _key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.facts.helpers import Helper
    from bpfsmith.facts.kfuncs import Kfunc
    from bpfsmith.model.map import Map
    from bpfsmith.model.program import Program

# `BPF_MAXINSNS`: programs longer than this need the feature `large_program`.
_OLD_LIMIT = 4096
_ARENA = 33
# Instruction features that only references to the kernel bring, and the kind of these.
_ASKED_BY = {"kfunc": "kfunc", "kfunc_module": "kfunc", "ksym": "ksym"}


class Earliest:
    """`version` is a series (`5.18`), `None` when nothing is known; `because` what needs it, each with its series.

    Helpers newer still that are only called behind an existence check come last: `bpf_loop (5.17) only behind a check`.
    """

    __slots__ = ("because", "version")

    def __init__(self, version: str | None, because: tuple[str, ...]) -> None:
        self.version = version
        self.because = because

    def __repr__(self) -> str:
        return f"<Earliest {self.version}: {', '.join(self.because)}>"


def earliest_kernel(program: Program) -> Earliest:
    """The newest of all that the program needs, and every need as new as that."""
    found: dict[str, str] = {}
    best: tuple[int, int] = (0, 0)
    version: str | None = None
    for name, since in needs(program):
        at = _key(since)
        if at > best:
            best, version, found = at, since, {}
        if at == best:
            found.setdefault(name, since)
    because = [f"{name} ({since})" for name, since in found.items()]
    because += [f"{name} ({since}) only behind a check" for name, since in _optional(program) if _key(since) > best]
    return Earliest(version, tuple(because))


def needs(program: Program) -> Iterator[tuple[str, str]]:
    """(what, first series) for everything the facts know a date for; unknown things are left out."""
    yield from _section_needs(program)
    if program.link_error is not None:
        return
    yield from _helper_needs(program)
    yield from _kfunc_needs(program)
    yield from _code_needs(program)
    for one in program.maps:
        yield from map_needs(one)


def map_needs(one: Map) -> Iterator[tuple[str, str]]:
    """(what, first series) for one map."""
    from bpfsmith.facts import flags, map_types

    if one.origin in {"data", "kconfig"} and one.type != _ARENA:
        yield from _feature("map_value", f"global data in {one.name}")
        return
    found = map_types.get(one.type)
    if found is not None and found.since:
        yield f"{found.name} map {one.name}", found.since
    for flag in flags.of("map", one.flags)[0]:
        if flag.since:
            yield f"{flag.name} of map {one.name}", flag.since
    inner = one.inner
    if inner is not None:
        yield from map_needs(inner)


def _feature(word: str, shown: str = "") -> Iterator[tuple[str, str]]:
    feature = insn_features.get(word)
    if feature is not None and feature.since:
        yield shown or word, feature.since


def _section_needs(program: Program) -> Iterator[tuple[str, str]]:
    from bpfsmith.facts import attach_types

    meaning = program.meaning
    if meaning is None:
        return
    kind = program.type
    found = None if kind is None else program_types.get(kind)
    if found is not None and found.since:
        yield f"program type {found.name}", found.since
    attach = program.attach_type
    attached = None if attach is None else attach_types.get(attach)
    if attached is not None and attached.since and not attaches_without(program):
        yield f"attach type {attached.name}", attached.since
    if meaning.sleepable and kind != "syscall":
        yield from _feature("sleepable", "sleepable program")
    if "xdp_frags" in meaning.flags:
        yield from _feature("xdp_frags", "XDP on fragments")


def attaches_without(program: Program) -> bool:
    """Whether kernels that do not know the declared attach type take the program and attach it all the same."""
    meaning = program.meaning
    flags = () if meaning is None else meaning.flags
    # libbpf leaves an optional one out on old kernels; `tc/ingress` attaches as a classic filter too, and
    # `sk_reuseport` by a socket option: before the kernel knew these attach types it did not look at them.
    return (
        "attachable_opt" in flags
        or (program.type == "sched_cls" and program.section.startswith("tc/"))
        or program.attach_type == "sk_reuseport_select"
    )


def guarded_helpers(program: Program) -> frozenset[int]:
    """Numbers of the helpers all of whose calls are behind an existence check.

    Only helpers: a kernel function that is not `__weak` must be there for the loader, and an old kernel looks at the
    address of a callback before it follows any branch.
    """
    slots = frozenset(program.guarded())
    if not slots:
        return frozenset()
    calls = [call for call in program.calls() if call[1] == "helper"]
    needed = {number for slot, _, number, _ in calls if slot not in slots}
    return frozenset(number for _, _, number, _ in calls) - needed


def _helper_needs(program: Program) -> Iterator[tuple[str, str]]:
    spared = guarded_helpers(program)
    yield from _dated(program, [number for number in program.helper_numbers if number not in spared])


def _optional(program: Program) -> Iterator[tuple[str, str]]:
    if program.link_error is None:
        yield from _dated(program, sorted(guarded_helpers(program)))


def _dated(program: Program, numbers: list[int]) -> Iterator[tuple[str, str]]:
    for number in numbers:
        helper = helpers.by_id(number)
        if helper is not None and helper.since:
            late = helper_permitted(program, helper)
            yield (f"{helper.name} in {program.type}", late) if late else (helper.name, helper.since)


def helper_permitted(program: Program, helper: Helper) -> str:
    """The series from which such a program may call a helper; empty when it could from the day both were there."""
    return _permitted(program.type, helper)


@cache
def _permitted(kind: str | None, helper: Helper) -> str:
    known = None if kind is None else program_types.get(kind)
    allowed = None if kind is None else helper.since_in(kind)
    # Permitted from the type's own first day on: then the type decides, not the permission.
    first = max(_key(helper.since), _key("" if known is None else known.since))
    return allowed if allowed and _key(allowed) > first else ""


def _kfunc_needs(program: Program) -> Iterator[tuple[str, str]]:
    for _, found, late in kernel_functions(program).values():
        yield (f"{found.name} in {program.type}", late) if late else (found.name, found.since)


def kernel_functions(program: Program) -> dict[str, tuple[int | None, Kfunc, str]]:
    """Name -> (first reachable call, its facts, the series that permits it here where that came later).

    Those the facts know and the program cannot do without: the loader removes calls of `__weak` ones a kernel lacks.
    """
    called = program.kfuncs
    if not called:
        return {}
    optional = {one.name for one in program.owner.externs if one.weak}
    slots: dict[str, int] = {}
    for slot, kind, _, name in program.calls():
        if kind == "kfunc":
            slots.setdefault(name, slot)
    out = {}
    for name in called:
        # `bpf_iter_new___flavour` is looked up without its flavour.
        found = None if name in optional else kfuncs.get(name.partition("___")[0])
        if found is not None and found.since:
            allowed = found.program_types.get(program.type) if program.type is not None else None
            late = allowed if allowed and _key(allowed) > _key(found.since) else ""
            out[name] = (slots.get(name), found, late)
    return out


def _code_needs(program: Program) -> Iterator[tuple[str, str]]:
    for word, _ in features(program):
        if word == "large_program":
            yield from _feature(word, f"{program.instructions} instructions")
        elif word != "map_value":  # said for each map, by its name
            yield from _feature(word)


def features(program: Program) -> Iterator[tuple[str, int]]:
    """(feature, first slot) of what the code itself needs, in the words of `bpfsmith.facts.insn_features`."""
    externs = program.owner.externs
    needed = {externs[index].kind for index in program.externs if not externs[index].weak}
    for word, slot in program.features():
        if word == "alu32":
            continue  # every kernel runs it; what came with 4.15 is LLVM making use of it
        # The loader removes weak references a kernel lacks.
        if _ASKED_BY.get(word, "") in {"", *needed}:
            yield word, slot
    if program.instructions > _OLD_LIMIT:
        yield "large_program", 0
