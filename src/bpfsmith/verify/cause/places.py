"""Source lines of instructions: what the object knows, else what the log prints beside them."""

from __future__ import annotations

from bpfsmith.verify.cause.result import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.verify.cause.trace import Step, Trace

__all__ = ["library", "of", "own"]

NEAR = 400  # steps looked back for a line of the user's own

# What paths of libraries contain; the kernel prints a file's last part only, so that a log alone tells less.
_FOREIGN = (
    "/registry/src/", "/rustc/", "/library/core/", "/rustlib/", "/.cargo/git/", "/usr/include/", "/usr/lib/",
    "bpf_helper_defs.h", "bpf_helpers.h", "bpf_tracing.h", "bpf_core_read.h", "bpf_endian.h", "vmlinux.h",
)  # fmt: skip


def library(path: str | None) -> bool:
    """Whether a path is of a library and not the user's own."""
    return path is not None and any(part in path for part in _FOREIGN)


def of(trace: Trace, slot: int) -> Place | None:
    """The innermost source line of an instruction; None when neither log nor object has one."""
    program = trace.program
    if program is not None:
        source = program.source_line(slot)
        if source is not None:
            return Place(source.path, source.line, source.column, _strip(source.text), own=not library(source.path))
    told = trace.log.source(slot)
    if told is None:
        return None
    path, line, text = told
    return Place(path, line, 0, _strip(text), own=not library(path))


def own(trace: Trace, step: Step | int) -> Place | None:
    """As `Trace.own_place`."""
    slot = step if isinstance(step, int) else step.slot
    here = trace.place(slot)
    if here is not None and here.own:
        return here
    if trace.program is not None and here is not None:
        from bpfsmith.verify.places import own as inlined
        from bpfsmith.verify.places import text

        path, line = inlined(trace.program, slot, here.path or "", here.line or 0)
        if not library(path):
            return Place(path, line, 0, text(trace.program, slot, path, line) or None)
    if isinstance(step, int):
        return here
    for former in trace.steps.back(step.at, NEAR):
        if former.frame == step.frame:
            found = trace.place(former.slot)
            if found is not None and found.own:
                return found
    return here


def _strip(text: str | None) -> str | None:
    return None if text is None else text.strip()
