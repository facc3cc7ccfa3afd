"""Reads the user side of a project: which object is loaded, which program is taken, loaded and attached, which map is
opened as what, what is overridden, pinned and marked. In order of the text, each with the expressions that say so."""

from __future__ import annotations

import os

from bpfsmith.read.overlay import text_of
from bpfsmith.source.aya.follow import value_type
from bpfsmith.source.aya.uses import GlobalSet, Loaded, LoaderCall, MapUse, ProgramUse, Use
from bpfsmith.source.aya.values import hidden
from bpfsmith.source.names import resolve
from bpfsmith.source.types import binding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.rust import Expr, SourceFile

__all__ = ["UserSide", "read_user"]

EBPF = frozenset({"aya::Ebpf", "aya::Bpf"})
LOADER = frozenset({"aya::EbpfLoader", "aya::BpfLoader"})
_PROGRAM = ("program", "program_mut")
_MAP = ("map", "map_mut", "take_map")
_EVERY = ("programs", "programs_mut", "maps", "maps_mut")
_HIDING = ("program_mut", "map_mut", "take_map", "programs_mut", ".program(", '.map("')
_DEPTH = 6


class UserSide:
    """One user crate. `every` are uses of all programs or maps at once; `opaque` says that macros hide some uses."""

    __slots__ = (
        "_tests", "crate", "every", "globals", "loaded", "loader_calls", "loggers", "maps", "opaque", "programs",
    )  # fmt: skip

    def __init__(self, crate: Crate) -> None:
        self.crate = crate
        self.loaded: list[Loaded] = []
        self.programs: list[ProgramUse] = []
        self.maps: list[MapUse] = []
        self.globals: list[GlobalSet] = []
        self.loader_calls: list[LoaderCall] = []
        self.loggers: list[Expr] = []
        self.every: list[Expr] = []
        self.opaque = False
        self._tests: str | None = None

    @property
    def uses(self) -> list[Use]:
        every = [*self.loaded, *self.programs, *self.maps, *self.globals, *self.loader_calls]
        return sorted(every, key=lambda one: (one.file.path, one.expr.start))

    def says(self, name: str) -> bool:
        """Whether a text of the crate's sources is just this name, anywhere; its tests and benches too."""
        quoted = f'"{name}"'
        if any(quoted in file.text for file in self.crate.files):
            return True
        if self._tests is None:
            self._tests = "\n".join(_read(path) for path in _tests(self.crate.folder))
        return quoted in self._tests


def _tests(folder: str) -> list[str]:
    """The files of a crate that are no part of what it builds."""
    out: list[str] = []
    for name in ("tests", "benches"):
        for at, _, files in os.walk(os.path.join(folder, name), onerror=lambda _: None):
            out.extend(os.path.join(at, file) for file in sorted(files) if file.endswith(".rs"))
    return out


def _read(path: str) -> str:
    try:
        return text_of(path, 1 << 20)
    except OSError:
        return ""


def read_user(crate: Crate) -> UserSide:
    """Reads one user crate."""
    side = UserSide(crate)
    side.opaque = bool(crate.unread)  # a module without a file may use anything
    for file in crate.files:
        if not file.has("load", "load_file", *_PROGRAM, *_MAP, *_EVERY, "EbpfLoader", "BpfLoader", "Ebpf", "Bpf"):
            continue
        _read_file(side, file)
    return side


_LOADER_CALLS = {
    "set_max_entries": "max_entries",
    "map_max_entries": "max_entries",
    "map_pin_path": "pin",
    "default_map_pin_directory": "pin_dir",
    "extension": "extension",
    "allow_unsupported_maps": "unsupported",
}


def _read_file(side: UserSide, file: SourceFile) -> None:
    _read_uses(side, file)
    _read_loader(side, file)
    _read_loaded(side, file)
    if side.opaque or not any(word in file.text for word in _HIDING):
        return
    inside = any(word in text for tokens, text in hidden(file) if tokens.kind == "tokens" for word in _HIDING)
    defined = any(word in item.extra for item in file.items_of_kind("macro_rules") for word in _HIDING)
    side.opaque = inside or defined


def _read_uses(side: UserSide, file: SourceFile) -> None:
    for call in file.methods(*_PROGRAM):
        if len(call.args) == 1 and _is_ebpf(call):
            side.programs.append(ProgramUse(call, call.args[0]))
    for call in file.methods(*_MAP):
        if len(call.args) == 1 and _is_ebpf(call):
            side.maps.append(MapUse(call, call.args[0]))
    for call in file.methods("maps_disjoint_mut"):
        side.maps.extend(MapUse(call, name) for name in _array(call))
    side.every.extend(call for call in file.methods(*_EVERY) if not call.args and _is_ebpf(call))
    # The same calls on what may be an `Ebpf` or not, with a name that is not written there.
    for call in file.methods("program_mut", "map_mut", "take_map", "programs_mut", "maps_mut", "maps_disjoint_mut"):
        named = call.args[0].string if call.args else None
        if named is None and value_type(call.receiver) is None:
            side.opaque = True


def _read_loader(side: UserSide, file: SourceFile) -> None:
    for call in file.methods("override_global", "set_global"):
        if call.args and _is_loader(call):
            side.globals.append(GlobalSet(call, call.args[0]))
    for call in file.methods(*_LOADER_CALLS):
        if _is_loader(call):
            what = _LOADER_CALLS[call.name]
            # `map_pin_path` took the directory alone until 0.13.
            wanted = {"max_entries": 2, "extension": 1, "pin": 2}.get(what)
            side.loader_calls.append(LoaderCall(call, call.args[0] if wanted == len(call.args) else None, what))


def _read_loaded(side: UserSide, file: SourceFile) -> None:
    for call in file.calls("load", "load_file"):
        path = _called(call)
        if path.rpartition("::")[0] in EBPF and call.args:
            side.loaded.append(Loaded(call, _object_name(call.args[0], path.endswith("_file"))))
    for call in file.methods("load", "load_file"):
        if len(call.args) == 1 and _is_loader(call):
            side.loaded.append(Loaded(call, _object_name(call.args[0], call.name == "load_file")))
    for call in file.calls("init", "init_with_logger", "init_from_id"):
        if _called(call).startswith("aya_log::"):
            side.loggers.append(call)


def _called(call: Expr) -> str:
    callee = call.callee
    return (resolve(call.file, callee.path, call.item) or "") if callee is not None else ""


def _array(call: Expr) -> list[Expr]:
    argument = call.args[0] if call.args else None
    if argument is None or argument.kind != "array":
        return []
    return [one for one in (call.file.expr(at) for at in argument.fields[0]) if one is not None]


def _is_ebpf(call: Expr) -> bool:
    known = value_type(call.receiver)
    return known is not None and known.path in EBPF


def _is_loader(call: Expr) -> bool:
    """On a loader, or in a chain that starts with one."""
    at = call.receiver
    for _ in range(32):
        known = value_type(at)
        if known is not None:
            return known.path in LOADER
        if at is None or at.kind != "method":
            return False
        at = at.receiver
    return False


def _object_name(expr: Expr, is_file: bool, depth: int = 0) -> frozenset[str] | None:
    """The file name in `include_bytes_aligned!(concat!(env!("OUT_DIR"), "/counter"))` or in a path to a file."""
    import re

    expr = expr.stripped()
    while expr.kind == "ref" and expr.inner is not None:
        expr = expr.inner
    if expr.kind == "macro" and expr.path.rpartition("::")[2] in ("include_bytes_aligned", "include_bytes"):
        found = re.findall(r'"([^"]*)"', expr.text)
        return frozenset({found[-1].rpartition("/")[2]}) if found and found[-1].rpartition("/")[2] else None
    if is_file and expr.string is not None:
        return frozenset({expr.string.rpartition("/")[2]})
    if expr.kind == "path" and depth < _DEPTH:
        local = binding(expr) if "::" not in expr.path else None
        if local is not None:
            if local.kind == "let" and local.let is not None and local.let.init is not None:
                return _object_name(local.let.init, is_file, depth + 1)
            return None
        from bpfsmith.source.across import constant_item

        item = constant_item(expr.file, expr.path, expr.item)
        if item is not None and item.expr is not None:
            return _object_name(item.expr, is_file, depth + 1)
    return None
