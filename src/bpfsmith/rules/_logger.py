"""Loggers of the user side that nobody keeps or reads, and what the kernel side logs."""

from __future__ import annotations

from bpfsmith.rules._rust import files
from bpfsmith.source.names import resolve
from bpfsmith.source.types import type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr

__all__ = ["forgotten", "inits", "kept_unread", "logs"]

_INIT = frozenset(
    f"aya_log::{name}::{made}" for name in ("EbpfLogger", "BpfLogger") for made in ("init", "init_with_logger")
)
_MACROS = ("trace", "debug", "info", "warn", "error", "log")


def inits(project: Project, since: str | None = None) -> Iterator[Expr]:
    """The calls that start aya's logger, tests left out."""
    for file in files(project, "aya-log", since, None):
        for call in file.calls("init", "init_with_logger"):
            if call.callee is not None and resolve(file, call.callee.path, call.item) in _INIT:
                yield call


def logs(crate: Crate) -> Iterator[Expr]:
    """The log macros of aya-log-ebpf that a kernel crate calls."""
    for file in crate.files:
        for call in file.macros(*_MACROS):
            path = resolve(file, call.path, call.item)
            if path is not None and path.startswith("aya_log_ebpf::") and not file.in_test(call.item):
                yield call


def forgotten(project: Project) -> Iterator[tuple[Expr, Expr | None]]:
    """(the `init` call, the first program loaded after it in the same function) where the logger is dropped."""
    for call in inits(project, "0.3.0"):
        if _dropped(call):
            yield call, _load_after(call)


def kept_unread(project: Project) -> Iterator[Expr]:
    """The `init` calls whose logger gets a name that nothing uses."""
    for call in inits(project, "0.3.0"):
        at = call
        while at.parent is not None and at.parent.stripped() == call:
            at = at.parent
        block = at.parent
        let = next((one for one in block.lets if one.init == at), None) if block is not None else None
        if block is None or let is None or let.name is None or let.name == "_":
            continue
        used = any(
            one.start > let.end and (one.path == let.name if one.kind == "path" else let.name in one.text)
            for one in block.within()
            if one.kind in ("path", "tokens", "macro")
        )
        if not used:
            yield call


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
