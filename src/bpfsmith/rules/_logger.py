"""Loggers of aya-log 0.3 and newer that nobody keeps."""

from __future__ import annotations

from bpfsmith.rules._rust import files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

__all__ = ["forgotten"]

_INIT = frozenset({"aya_log::EbpfLogger::init", "aya_log::EbpfLogger::init_with_logger"})


def forgotten(project: Project) -> Iterator[tuple[Expr, Expr | None]]:
    """(the `init` call, the first program loaded after it in the same function) where the logger is dropped."""
    for file in files(project, "aya-log", "0.3.0", None):
        for call in file.of_kind("call"):
            callee = call.callee
            if callee is None or callee.kind != "path" or not callee.path.rpartition("::")[2].startswith("init"):
                continue
            if resolve(file, callee.path, call.item) in _INIT and _dropped(call):
                yield call, _load_after(call)


def _dropped(call: Expr) -> bool:
    """Whether the value goes nowhere: a statement, `let _`, or a test for the error alone."""
    at = call
    parent = at.parent
    while parent is not None and parent.stripped() == call:
        at, parent = parent, parent.parent
    if parent is None:
        return False
    if parent.kind == "block":
        if parent.tail == at:
            return False
        let = next((one for one in parent.lets if one.init == at), None)
        return let is None or let.pattern == "_"
    if parent.kind == "let":
        return parent.file.text[parent.fields[0] : parent.fields[1]].startswith("Err")
    # `init(..).is_err()` and the like; anything else may keep it.
    return parent.kind == "method" and parent.name in ("is_err", "is_ok", "err", "unwrap_or_default")


def _load_after(call: Expr) -> Expr | None:
    item = call.item
    if item is None or item.expr is None:
        return None
    for one in item.expr.within():
        if one.kind == "method" and one.name == "load" and one.start > call.end:
            known = type_of(one.receiver)
            if known is not None and known.within("aya::programs"):
                return one
    return None
