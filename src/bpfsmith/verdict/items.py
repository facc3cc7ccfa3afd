"""What is judged, and under whose rules: the one way from a caller's words to verdicts, for `bpfsmith verify` and
`k.verify` of a lab kernel alike."""

from __future__ import annotations

from bpfsmith.model.errors import BpfsmithError, GuestFailed, InputError
from bpfsmith.verdict import loaders
from bpfsmith.verdict.judge import Judged, judge
from bpfsmith.verdict.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program

__all__ = ["Given", "Item", "chosen", "verdict_of"]


class Item:
    """One program to be judged. `replaced`: (object, program, function) a `freplace` program takes the place of;
    `refused`: what its loader (`loader`) says before any kernel is asked."""

    __slots__ = ("loader", "object", "program", "refused", "replaced", "request")

    def __init__(self, obj: Object, program: Program, request: Request, loader: str) -> None:
        self.loader = loader
        self.object = obj
        self.program = program
        self.request = request
        self.refused: Judged | None = None
        self.replaced: tuple[Object, str, str] | None = None


def chosen(obj: Object, patterns: Any) -> list[Program]:
    """Its programs, or those that fit a name or pattern (`fnmatch`)."""
    if patterns is None:
        return list(obj.programs)
    from fnmatch import fnmatchcase

    words = [patterns] if isinstance(patterns, str) else list(patterns)
    return [one for one in obj.programs if any(fnmatchcase(one.name, word) for word in words)]


class Given:
    """What the caller said that decides verdicts; each name must be of some object."""

    def __init__(
        self, attach_to: Mapping[str, Any], values: Mapping[str, Any], sizes: Mapping[str, int], loader: str | None,
        log_level: int, base: Request | None = None,
    ) -> None:  # fmt: skip
        """`loader`: whose rules hold, None for the object's own. `base`: what else a request says."""
        self.attach_to = attach_to
        self.values = values
        self.sizes = sizes
        self.loader = loader
        self.log_level = log_level
        self.base = base or Request()

    def items(self, programs: list[tuple[Object, Program]], notes: list[str]) -> list[Item]:
        """Programs as their loader has them judged; `notes` are given what a person should know of it."""
        made = []
        requests: dict[int, tuple[Request, str]] = {}
        for obj, program in programs:
            if id(obj) not in requests:
                requests[id(obj)] = self._request(obj, notes)
            request, loader = requests[id(obj)]
            item = Item(obj, program, request, loader)
            said, hint = loaders.refusal(obj, program, loader)
            if said:
                item.refused = Judged("cannot", "loader", said, hint)
            target = self.attach_to.get(program.name)
            if isinstance(target, str) and program.type == "ext":
                item.request = self._request(obj, [])[0]
                item.request.attach_to.pop(program.name)
                item.replaced = _replaced(obj, target)
            made.append(item)
        return made

    def _request(self, obj: Object, notes: list[str]) -> tuple[Request, str]:
        names = {one.name for one in obj.programs}
        variables = {one.name for one in obj.globals}
        configured = {one.name for one in obj.externs if one.kind == "kconfig"}
        maps = {one.name for one in obj.maps}
        request = self.base.copy(
            attach_to={name: to for name, to in self.attach_to.items() if name in names},
            globals={name: value for name, value in self.values.items() if name in variables},
            kconfig=self.base.kconfig | {name: value for name, value in self.values.items() if name in configured},
            map_sizes={name: size for name, size in self.sizes.items() if name.removesuffix(".inner") in maps},
            log_level=self.log_level,
        )
        loader = self.loader or loaders.style(obj)
        notes += loaders.adjust(request, obj, loader)
        request.license = self.base.license or request.license
        request.value_sizes |= self.base.value_sizes
        request.whole |= self.base.whole
        return request, loader

    def check(self, objects: list[Object]) -> None:
        """`UnknownName` for a name that none of the objects has; `InputError` for a target of a program that is bound
        to nothing when it is loaded."""
        from bpfsmith.run.options import unknown

        for kind, told, known in (
            ("program", self.attach_to, [one.name for obj in objects for one in obj.programs]),
            ("global variable", self.values, [one.name for obj in objects for one in _settable(obj)]),
            ("map", self.sizes, [one.name for obj in objects for one in obj.maps]),
        ):
            for name in told:
                if name.removesuffix(".inner") not in known and objects:
                    raise unknown(kind, name, known, objects[0].path)
        for name, target in self.attach_to.items():
            types = [one.type for obj in objects for one in obj.programs if one.name == name]
            if isinstance(target, str) and types and all(kind and kind not in _BOUND for kind in types):
                raise InputError(
                    f"`{name}` is `{types[0]}`: it is not bound when it is loaded",
                    hint="leave out its target: what it is attached to later does not change the verdict",
                )


# Types whose BPF_PROG_LOAD names a target; others get theirs by a link, after the verdict.
_BOUND = frozenset(("tracing", "lsm", "ext", "struct_ops"))


def _settable(obj: Object) -> list[Any]:
    """Variables, and configuration values the object asks for."""
    return [*obj.globals, *(one for one in obj.externs if one.kind == "kconfig")]


def _replaced(obj: Object, target: str) -> tuple[Object, str, str]:
    """`PROGRAM[/FUNCTION]` of the same object, or `FILE:PROGRAM[/FUNCTION]`."""
    from bpfsmith.run.options import unknown

    file, _, word = target.rpartition(":")
    program, _, function = word.partition("/")
    if file:
        from bpfsmith.read import read

        obj = read(file)
    if obj.program(program) is None:
        raise unknown("program", program, [one.name for one in obj.programs], obj.path)
    return obj, program, function


def verdict_of(item: Item) -> Judged:
    """What its loader, or else the kernel of this context says of it."""
    if item.refused is not None:
        return item.refused
    if item.replaced is None:
        return judge(item.object, item.program, item.request)
    from bpfsmith.run.load import load

    obj, program, function = item.replaced
    try:
        loaded = load(obj, select=[program])
    except GuestFailed:
        raise
    except BpfsmithError as error:
        said = f"`{program}`, whose function it replaces, does not load: {error.message}"
        return Judged("cannot", "attach-target", said, error.hint)
    with loaded:
        target: dict[str, Any] = {"attach_prog": loaded.programs[program]}
        if function:
            target["attach_to"] = function
        request = item.request.copy()
        request.attach_to[item.program.name] = target
        return judge(item.object, item.program, request)
