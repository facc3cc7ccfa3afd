"""What `bpfsmith run` loads and attaches of an object: each program's places, what is left out and why, and which
programs go into prog arrays by themselves.

Nothing is loaded here: it is decided from the object and from what the caller said, for runs and plans alike.
"""

from __future__ import annotations

from bpfsmith.model.errors import BpfsmithError, InputError, TargetMissing
from bpfsmith.run.aim import blame
from bpfsmith.run.attach import family_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from bpfsmith.run.aim import Aim, Place
    from bpfsmith.run.planner import Planned

__all__ = ["Arranged", "arrange", "short"]


class Arranged:
    """`options`: those of `load`, without what is left out; `entries`: the caller's, and the programs of prog arrays;
    `rows`: (program, attachments to make, why there are none) of those loaded; `left`: (program, error) of the others;
    `named`: programs the caller asked for by their names; `notes`: what was decided for the caller."""

    __slots__ = ("entries", "left", "named", "notes", "options", "planned", "rows")

    def __init__(self, options: dict[str, Any], entries: dict[str, dict[Any, Any]], named: set[str]) -> None:
        self.options = options
        self.entries = entries
        self.named = named
        self.rows: list[tuple[Any, list[Place], str]] = []
        self.left: list[tuple[Any, BpfsmithError]] = []
        self.notes: list[str] = []
        self.planned: Planned


def arrange(
    obj: Any,
    aim: Aim,
    entries: Mapping[str, Mapping[Any, Any]] | None,
    options: Mapping[str, Any],
    *,
    lenient: bool = False,
) -> Arranged:
    """Decides all of it. Programs this machine cannot attach, or nobody says a target for, are left out unless the
    caller named them; when that leaves nothing to attach, an error says why.

    `lenient`, for plans: nothing of that is an error, and what lacks only a target is planned to be loaded."""
    from bpfsmith.run.load import planned as load_plan
    from bpfsmith.run.loaded import LoadedProgram

    select = options.get("select")
    words = [select] if isinstance(select, str) else [one for one in select or () if isinstance(one, str)]
    told = {name: dict(values) for name, values in (entries or {}).items()}
    found = Arranged(dict(options), told, {*words, *aim.given})
    # A plan asks the kernel nothing.
    refused = [] if lenient else _refused(obj, found.named, words, options.get("programs") or {})
    found.left += refused
    found.options |= _without(obj, words, select is not None, refused)
    found.planned = load_plan(obj, **{name: value for name, value in found.options.items() if name != "log_level"})
    views: list[Any] = [LoadedProgram(None, one, None) for one in found.planned.programs.values()]  # type: ignore[arg-type]
    aim.check([one.name for one in views])
    aim.check_used([*views, *(program for program, _ in refused)])
    if options.get("pin_path") is not None and not any(one.pinning for one in obj.native.maps):
        found.notes.append("`--pin-path` says nothing here: no map of the object is pinned by name")
    _tail_calls(obj, views, aim, found)
    called = reached(obj, found.entries)
    sockmaps = [one.name for one in obj.maps if one.native.type in (15, 18)]
    several = len(views) + len(refused) > 1
    for view in views:
        try:
            found.rows.append((view, *aim.places(view, called, sockmaps)))
        except TargetMissing as error:
            if view.name in found.named and not lenient:
                raise blame(error, view, several) from error
            found.left.append((view, error))
        except BpfsmithError as error:
            raise blame(error, view, several) from error
    _one_xdp_each(found.rows, obj)
    if found.left and not lenient and not any(places for _, places, _ in found.rows):
        # What a target would mend says more than what this machine cannot do.
        program, first = next((one for one in found.left if isinstance(one[1], TargetMissing)), found.left[0])
        raise blame(first, program, several)
    if len(found.left) > len(refused) and not lenient:
        found.options |= _without(obj, words, select is not None, found.left)
    found.left.sort(key=lambda one: one[0].name)
    return found


def short(error: BpfsmithError, program: Any) -> str:
    """Why a program is left out, behind its name."""
    name = program.name
    said = error.message.removeprefix(f"`{name}` ").removeprefix(f"(section `{program.section}`) ")
    said = said.removeprefix("cannot be attached: ")
    for part in error.hint.split("; "):
        if part.startswith(f"`--attach {name}="):
            return f"left out: {said} ({part.partition(' for this')[0]})"
    return f"left out: {said}"


def reached(obj: Any, entries: Mapping[str, Mapping[Any, Any]]) -> set[str]:
    """Names of the programs in prog arrays: as the object declares them, and as the caller puts them."""
    called = {name for one in obj.native.maps if one.type == 3 for _, name in one.values}
    return called | {value for told in entries.values() for value in told.values() if isinstance(value, str)}


# ------------------------------------------------------------ what is not loaded


def _refused(
    obj: Any, named: set[str], words: list[str], settings: Mapping[str, Any]
) -> list[tuple[Any, BpfsmithError]]:
    """Programs of families this kernel lacks or refuses and that nobody named; none when there are no others."""
    found: list[tuple[Any, BpfsmithError]] = []
    others = False
    for program in obj.programs:
        if not _wanted(program, words):
            continue
        try:
            family = family_of(program)
        except InputError:
            others = True
            continue
        lacking = getattr(family.load(), "lacking", None)
        error = lacking(family.name, program.name) if lacking is not None and program.name not in named else None
        if error is None and program.type == "ext" and "attach_prog" not in settings.get(program.name, {}):
            error = TargetMissing(
                f"`{program.name}` replaces a function of another program, which was not given", program.name,
                f"load it from Python: `programs={{'{program.name}': {{'attach_prog': PROGRAM}}}}`",
            )  # fmt: skip
        if error is None:
            others = True
        else:
            found.append((program, error))
    return found if others else []


def _wanted(program: Any, words: list[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(program.name, word) for word in words) if words else bool(program.autoload)


def _without(obj: Any, words: list[str], selected: bool, left: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """The options of `load` that leave these out."""
    names = {program.name for program, _ in left}
    if not names:
        return {}
    if selected:
        return {"select": [one.name for one in obj.programs if _wanted(one, words) and one.name not in names]}
    return {"autoload": dict.fromkeys(names, False)}


# ------------------------------------------------------------ tail calls


def _tail_calls(obj: Any, programs: list[Any], aim: Aim, found: Arranged) -> None:
    """Fills empty slots of prog arrays where the object leaves one choice: a constant slot, and one other program of
    the caller's type that is attached nowhere else."""
    declared = {(one.name, key) for one in obj.native.maps if one.type == 3 for key, _ in one.values}
    placed = reached(obj, found.entries)
    by_name = {one.name: one for one in programs}
    pinned = {one.name for one in obj.native.maps if one.pinning}
    for array, index in dict.fromkeys((array, index) for _, array, index in obj.tail_calls):
        callers = {name for name, where, at in obj.tail_calls if (where, at) == (array, index) and name in by_name}
        # A pinned array may hold another process's program.
        if not callers or array is None or index is None or array in pinned or (array, index) in declared:
            continue
        if index in found.entries.get(array, {}):
            continue
        fitting = [one for one in programs if one.name not in callers | placed and _fits(one, by_name, callers, aim)]
        if len(fitting) == 1:
            name = fitting[0].name
            found.entries.setdefault(array, {})[index] = name
            placed.add(name)
            found.notes.append(
                f"`{name}` is put into `{array}[{index}]`, which `{min(callers)}` tail-calls: no other program fits; "
                f"`--put '{array}[{index}]=NAME'` chooses otherwise"
            )
        elif fitting:
            names = ", ".join(f"`{one.name}`" for one in fitting[:8])
            found.notes.append(
                f"`{array}[{index}]`, which `{min(callers)}` tail-calls, is empty: "
                f"`--put '{array}[{index}]=NAME'` with one of {names}"
            )


def _fits(program: Any, by_name: Mapping[str, Any], callers: set[str], aim: Aim) -> bool:
    """Whether callers may tail-call it, and nothing says that it is attached by itself."""
    if program.name in aim.given:
        return False
    return all(
        (program.type, program.attach_type) == (one.type, one.attach_type)
        and program.attach_to in (None, "", one.attach_to)
        for one in map(by_name.__getitem__, callers)
    )


def _one_xdp_each(rows: Iterable[tuple[Any, list[Place], str]], obj: Any) -> None:
    taken: dict[Any, str] = {}
    for program, wanted, _ in rows:
        if program.type != "xdp":
            continue
        for place in wanted:
            other = taken.setdefault(place.args[0] if place.args else place.options.get("iface"), program.name)
            if other != program.name:
                hint = f"`--program {other}` chooses one"
                put = _put(obj, other, program.name)
                raise InputError(
                    f"`{other}` and `{program.name}` are both for {place.text}, and an interface takes one XDP program",
                    hint=f"{hint}; {put} makes one a tail call of the other" if put else hint,
                )


def _put(obj: Any, one: str, other: str) -> str:
    """The option that makes one of two programs a tail call of the other, "" where neither makes any."""
    for caller, array, index in obj.tail_calls:
        if caller in (one, other) and array is not None:
            callee = other if caller == one else one
            return f"`--put '{array}[{'SLOT' if index is None else index}]={callee}'`"
    return ""
