"""One load's log to what is said of it: the message's family, the cause, what is missing."""

from __future__ import annotations

from bpfsmith.verify.cause.result import Cause, Fact
from bpfsmith.verify.explained._one import Explained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from bpfsmith.model.program import Program
    from bpfsmith.verdict import Judged

__all__ = ["WHOLE", "explained", "of_verdict", "parsed"]


def parsed(data: bytes | str, more: BinaryIO | None = None) -> Any:
    """The log, read; `more`: what holds its rest. Of more than `WHOLE` bytes only what is on the failing path stays."""
    from bpfsmith._native import VerifierLog

    if more is None and len(data) <= WHOLE:
        return VerifierLog(data)
    reader = VerifierLog.reader(WHOLE)
    view = memoryview(data.encode("utf-8", "replace") if isinstance(data, str) else data)
    for at in range(0, len(view), PIECE):
        reader.feed(bytes(view[at : at + PIECE]))
    while more is not None and (piece := more.read(PIECE)):
        reader.feed(piece)
    return reader.finish()


WHOLE = 32 << 20
"""Bytes of a log that are read at once, and kept."""
PIECE = 4 << 20
SENTENCE = 2000
"""Characters of a headline: kernels print no line of more than 1,024."""


def explained(
    log: Any,
    *,
    program: Program | None = None,
    kernel: Any = None,
    release: str | None = None,
    name: str | None = None,
    sources: Any = None,
    said: str = "",
    rejected: bool = False,
) -> Explained:
    """`log`: one load's `VerifierLog`. `kernel`: what it was asked of (`release`: its name); `program`: whose log it
    is; `said`: what the loader knows of the message (which field or function a kernel lacks); `rejected`: the load
    failed, though the log may end like one that succeeded. Never fails: where the engine cannot follow, the symptom is
    what is known."""
    refused = rejected or log.verdict == "rejected"
    made = Explained(
        log,
        "rejected" if refused else log.verdict,
        name or (program.name if program is not None else log.program),
        release,
    )
    made.source = program
    if program is not None:
        made.object = program.owner.path
    made.notes = missing(log)
    if log.verdict == "accepted" and not refused:
        return made
    made.message = log.message
    made.instruction = log.at
    match = _match(log, refused) if log.message or refused else None
    apart = None
    if not log.message and (match is None or match.row is None):
        apart = _apart(log)
    if apart is not None:
        match = apart
        made.verdict, made.message, made.instruction = "rejected", apart.message, None
        if log.steps:
            made.notes = ["the message stands apart from the log, which ends before the instruction it is about"]
    elif not log.message and not refused:
        return made
    if match is not None:
        # A number alone is not what the kernel said.
        if (not log.message and match.family != "V67") or _said_before(log, match):
            made.message = match.message
        made.family = match.family
        made.title = _title(match.family)
    _cause(made, match, kernel, sources, alone=apart is not None)
    if said.startswith(_LOADERS) and made.cause is not None:
        made.cause.headline, made.cause.cls, made.cause.confidence = _sentence(said), "environment", "high"
    if made.cause is not None and made.title and made.cause.cls != "unknown" and made.cause.headline == made.message:
        made.cause.headline = made.title  # in words; the message follows anyway
    if not log.message and apart is None:
        _unheard(made, log, match)
    return made


def _unheard(made: Explained, log: Any, match: Any) -> None:
    """Says that there is no message: none at all, or none that can be told from the other lines."""
    if made.cause is None:
        return
    errno = _errno(log.errno)
    if not log.told:
        made.cause.headline = f"the kernel refused it{errno}, and what its verifier said is not in this log"
    elif match is not None and match.family == "V67" and match.row is None:
        made.cause.headline = f"the kernel refused it{errno}; which line is its verifier's last word cannot be told"
        made.notes.append("lines of the log seem to be broken or mixed with others: give it as the loader wrote it")


# How sentences of `run.reject.explained` begin: of calls that stand where something could not be resolved.
_LOADERS = ("needs ", "calls kernel function ")


def _sentence(said: str) -> str:
    """Without what to do, which comes in parentheses at its end."""
    return said.partition(" (ask ")[0]


def _errno(number: int | None) -> str:
    from errno import errorcode

    return "" if number is None else f" ({errorcode.get(number, number)})"


def of_verdict(judged: Judged, program: Program | None, kernel: str | None) -> Explained:
    """What one kernel said of one program. The verdict is the kernel's answer, whatever its log looks like."""
    text = judged.log
    if judged.whole:
        from zlib import decompress

        text = decompress(judged.whole).decode("utf-8", "replace")
    one = explained(parsed(text or judged.message), program=program, release=kernel, said=judged.why,
                    rejected=judged.verdict == "rejected")  # fmt: skip
    if judged.verdict == "accepted":
        one.verdict, one.cause, one.message, one.family = "accepted", None, "", None
    elif judged.verdict == "rejected":
        one.verdict = "rejected"
        if not one.message or one.cause is None:
            said = Cause("unknown", "low", judged.message, symptom=Fact(judged.instruction, None, judged.message))
            one.message, one.instruction, one.cause = judged.message, judged.instruction, one.cause or said
    return one


def _match(log: Any, rejected: bool) -> Any:
    from bpfsmith.verify.messages import classify

    try:
        return classify(log, rejected)
    except Exception:
        if _strict():
            raise
        return None


def _title(code: str) -> str:
    from bpfsmith.verify.messages import family

    try:
        return str(family(code).title)
    except (LookupError, AttributeError):
        return ""


def _said_before(log: Any, match: Any) -> bool:
    """Whether what is said last is none of the kernel's messages, and one stands before it: logs are cut in a line."""
    if match.row is None or match.confidence == "low" or match.message in log.message:
        return False
    from bpfsmith.verify.messages import classify

    return classify(str(log.message)) is None


def _apart(log: Any) -> Any:
    """The message where it stands in words around the log: a title, a sentence, the loader's one line."""
    from bpfsmith.verify.messages import quoted

    try:
        return quoted(log)
    except Exception:
        if _strict():
            raise
        return None


def _cause(made: Explained, match: Any, kernel: Any, sources: Any, *, alone: bool = False) -> None:
    """The engine's answer; what it cannot follow costs the cause, not the explanation. `alone`: by the message only,
    where the log does not reach the instruction that it is about."""
    from bpfsmith.verify.cause.dispatch import explain_cause
    from bpfsmith.verify.cause.trace import Trace

    for program in dict.fromkeys((made.source, None)):
        try:
            made.trace = Trace(made.log, program, kernel, sources)
            asked = Trace(parsed(match.message), program, kernel, sources) if alone else made.trace
            made.cause = explain_cause(asked, match, strict=_strict())
        except Exception:
            if _strict():
                raise
            continue
        if len(made.cause.headline) > SENTENCE:  # nothing a verifier says is that long: a paste of something else
            made.cause.headline = f"{made.cause.headline[:SENTENCE]} .."
        if made.cause.symptom is not None and made.cause.symptom.slot is not None:
            made.instruction = made.cause.symptom.slot
        return
    said = made.message or "the log does not say why"
    made.cause = Cause("unknown", "low", said, slot=made.instruction, symptom=Fact(made.instruction, None, said))


def _strict() -> bool:
    from os import environ

    return environ.get("BPFSMITH_DEBUG") == "1"


def missing(log: Any) -> list[str]:
    """What is not in a log, and what that costs."""
    cut: set[str] = log.cut
    said = []
    if "tail" in cut:
        said.append("the log ends before the kernel's verdict: what follows its last line is not in it")
    if "middle" in cut:
        said.append("lines are missing in the middle: states before the gap are not carried over it")
    if "head" in cut and log.steps:
        said.append("the log does not begin with the first instruction: what was known before is not in it")
    # What is wrong with the code's shape or metadata is found before any instruction is followed.
    if log.verdict == "rejected" and not log.steps and log.counts.get("processed") != 0:
        said.append(
            "the log has no instructions: the verifier followed none, or was not asked to print them (`log_level=1`)"
        )
    return said
