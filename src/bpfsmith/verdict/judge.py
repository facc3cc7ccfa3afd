"""One program, alone, on one kernel: accepted, rejected, or why neither could be found out.

The program is planned and replayed as `load` does it, by the same code: the others' autoload off, its object's maps
created, CO-RE against that kernel's types. *accepted*: BPF_PROG_LOAD succeeded. *rejected*: the verifier ran and
refused, which its log shows; or BPF_PROG_LOAD failed without a word though that kernel has the type of program.
*cannot*: BPF_PROG_LOAD was not reached, or the kernel lacks what the program stands on; `reason` says which.
"""

from __future__ import annotations

from sys import byteorder

from bpfsmith import kernel as door_of
from bpfsmith.model.errors import BpfsmithError, GuestFailed
from bpfsmith.run.attempt import attempt
from bpfsmith.run.verifier_log import parse
from bpfsmith.verdict.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._rejection import Cause, Explained
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.run.plan import Command
    from bpfsmith.run.planner import Planned
    from bpfsmith.run.verifier_log import Log

__all__ = ["REASONS", "VERDICTS", "Judged", "judge"]

VERDICTS = ("accepted", "rejected", "cannot")
REASONS = (
    "prog-type", "map", "attach-target", "kfunc", "btf", "config", "loader", "no-target-given", "memory", "crash",
    "timeout",
)  # fmt: skip
"""Why there is no verdict. The first nine are about the program and its kernel; `crash` and `timeout` are of a lab
guest that died or hung while it judged."""

EPERM, ENOMEM, E2BIG = 1, 12, 7
INSTRUCTIONS, STATISTICS = 1, 4


class Judged:
    """What one kernel says of one program.

    `verdict`; `reason`: of `cannot`, else ""; `message`: the verifier's last line, or our sentence where it said none;
    `why`: what a person should know besides (which field is missing, what the loader did); `instruction`: slot in the
    program as loaded; `path`, `line`: its source line; `processed` instructions, `states`, `stack` bytes by subprogram,
    `ns` of verification: the kernel's own figures; `log`: its text; `whole`: all of it, compressed (zlib), where `log`
    is only its end; `told`: the log taken apart; `program`, `kernel`: who was judged, and by whom. What is not known
    is None or ""."""

    __slots__ = (
        "_explained", "errno", "instruction", "kernel", "line", "log", "message", "notes", "path", "program", "reason",
        "told", "verdict", "whole", "why",
    )  # fmt: skip

    def __init__(self, verdict: str, reason: str = "", message: str = "", why: str = "") -> None:
        self.verdict = verdict
        self.reason = reason
        self.message = message
        self.why = why
        self.instruction: int | None = None
        self.path = ""
        self.line = 0
        self.log = ""
        self.whole = b""
        self.errno = 0
        self.told: Log = parse("")
        self.notes: tuple[str, ...] = ()
        self.program: Program | None = None
        self.kernel = ""
        self._explained: Explained | None = None

    @property
    def explained(self) -> Explained | None:
        """Why it is rejected, worked out on first use: `str()` of it is what `bpfsmith explain` prints."""
        if self._explained is None and self.verdict == "rejected":
            from bpfsmith._rejection import explained

            name = self.program.name if self.program is not None else ""
            self._explained = explained(self.log, self.program, name, self.kernel or None, self.why)
        return self._explained

    @property
    def cause(self) -> Cause | None:
        """Where the proof was lost: class, place, headline, chain; None for other verdicts."""
        return self.explained.cause if self.explained is not None else None

    @property
    def accepted(self) -> bool:
        """Whether the kernel takes it: `verdict` in one word for `assert`."""
        return self.verdict == "accepted"

    @property
    def processed(self) -> int | None:
        return self.told.processed

    @property
    def states(self) -> int | None:
        """All states the verifier made."""
        return self.told.states

    @property
    def stack(self) -> list[int] | None:
        return self.told.stack

    @property
    def ns(self) -> int | None:
        return self.told.ns

    def __repr__(self) -> str:
        said = f" ({self.reason})" if self.reason else ""
        return f"<Judged {self.verdict}{said}{f': {self.message}' if self.message else ''}>"


def judge(obj: Object, program: Program, request: Request | None = None) -> Judged:
    """Asks the kernel of this context (`kernel.through`, else the running one); what is loaded is closed again at once.

    Raises `InputError` for a request that does not fit the object, `GuestFailed` when a guest died of it."""
    request = request or Request()
    if obj.endianness != byteorder:
        target = "bpfel" if byteorder == "little" else "bpfeb"
        said = f"the object is {obj.endianness}-endian, the kernel {byteorder}-endian"
        return Judged("cannot", "loader", said, f"build it for `{target}`")
    made = _Judge(obj, program, request).done()
    made.program, made.kernel = program, door_of.live().name
    return made


class _Judge:
    """One verdict in the making."""

    def __init__(self, obj: Object, program: Program, request: Request) -> None:
        self.object = obj
        self.program = program
        self.request = request
        self.kernel: Kernel = door_of.live()
        self.door = door_of.door()
        self.slot = f"program:{program.name}"
        self.level = request.log_level | STATISTICS
        self.given: list[tuple[int, int]] = []
        self.log = ""

    def done(self) -> Judged:
        options = self.request.options(self.object, self.program)  # a wrong request is the caller's error
        try:
            planned, failure, _ = attempt(self.object, self.kernel, options, self._replay, {})
        except GuestFailed:
            raise
        except BpfsmithError as error:
            return _cannot(error, self.kernel)
        if self._at(planned) is None:
            said = next(
                (text for _, text in planned.plan.notes if f"`{self.program.name}`" in text), "it is not loaded"
            )
            return Judged("cannot", "attach-target", said)
        if failure is None:
            made = self._told(Judged("accepted"), self.log)
            if made.processed is None and self._cut(self.log):
                self._ask(planned, STATISTICS)
                made.told = parse(self.log)
        elif planned.plan.commands[failure[0]].out != self.slot:
            made = self._not_reached(planned, failure)
        else:
            made = self._refused(planned, failure)
        made.notes = tuple(f"{what}: {text}" for what, text in planned.plan.notes)
        return made

    # ------------------------------------------------------------ asking

    def _at(self, planned: Planned) -> int | None:
        """Where in the plan the program is loaded; what comes after it is no matter of a verdict."""
        commands = planned.plan.commands
        return next((at for at, command in enumerate(commands) if command.out == self.slot), None)

    def _replay(self, planned: Planned, given: list[tuple[int, int]]) -> tuple[int, int, str] | None:
        self.given = given
        return self._ask(planned, self.level)

    def _ask(self, planned: Planned, level: int) -> tuple[int, int, str] | None:
        plan = planned.plan
        at = self._at(planned)
        if at is None:
            return None
        steps, slots, limit = plan.steps()[: at + 1], len(plan.slots), self.request.log_limit
        failure, logs, _ = self.door.replay_once(steps, slots, self.given, level, limit)
        self.log = next((log for step, log in logs if step == at), "")
        return failure

    # ------------------------------------------------------------ refused by the verifier, or without a word

    def _refused(self, planned: Planned, failure: tuple[int, int, str]) -> Judged:
        at, errno, log = failure
        told = parse(log)
        cut = bool(self.level & ~STATISTICS) and self._cut(log)
        if cut:
            # Kernels before 6.4 keep the beginning of a log that is too long, and its last line is none of the end:
            # statistics alone end with the message.
            again = self._ask(planned, STATISTICS)
            told = parse(again[2] if again is not None else "")
        if cut and told.message:
            made = Judged("rejected", "", told.message)
            made.log, made.told = log, told
            self._explain(made)
        elif told.message:
            made = self._told(Judged("rejected"), log)
            made.message = told.message
            if not self.level & INSTRUCTIONS and not _too_large(told):
                self._where(planned, made)
            made.instruction = made.told.instruction
            self._explain(made)
        else:
            made = self._told(self._wordless(planned.plan.commands[at], errno), log)
        made.errno = errno
        return made

    def _cut(self, log: str) -> bool:
        """Whether it filled all the room it was given."""
        room = self.request.log_limit - 8
        return len(log) * 4 > room and len(log.encode("utf-8", "replace")) >= room

    def _where(self, planned: Planned, made: Judged) -> None:
        """Once more with the instructions: the log's last one is where it went wrong."""
        again = self._ask(planned, self.level | INSTRUCTIONS)
        if again is None or not again[2]:
            return
        told = parse(again[2])
        if told.message != made.message:
            return  # cut off: kernels before 6.4 keep the beginning of a log that is too long
        made.log = again[2]
        for name in ("instruction", "report"):
            setattr(made.told, name, getattr(told, name))

    def _explain(self, made: Judged) -> None:
        from bpfsmith.run.reject import explained

        said, hint = explained(self.program, made.message, made.instruction, self.kernel)
        report = made.told.report
        made.why = said or " ".join(filter(None, (report.get("Reason"), report.get("Suggestion"))))
        if said:
            made.why = f"{_here(said, self.kernel)} ({hint})" if hint else _here(said, self.kernel)
        if made.instruction is not None:
            source = self.program.source_line(made.instruction)
            if source is not None:
                made.path, made.line = source.path, source.line

    def _wordless(self, command: Command, errno: int) -> Judged:
        """BPF_PROG_LOAD failed, and the verifier said nothing: it did not run, or did not say why."""
        from bpfsmith.kernel._tiny import loads
        from bpfsmith.kernel.failures import errno_name

        word = _type_word(command.fields["prog_type"])
        if errno == ENOMEM:
            return Judged("cannot", "memory", "the kernel has no memory to verify it (ENOMEM)")
        if word and _lacks(self.kernel, f"program_type:{word}"):
            return Judged("cannot", "prog-type", f"this kernel has no `{word}` programs{_since(word)}")
        smallest = _smallest(command.fields)
        same = smallest is not None and loads(command.fields["prog_type"], **smallest) == -errno
        kind = f"`{self.program.section.partition('/')[0]}` programs"
        if errno == EPERM and same:
            return Judged("cannot", "prog-type", f"this kernel refuses {kind}, whatever they do (EPERM)")
        if same:
            why = _unknown_part(command.fields, self.kernel.series)
            return Judged("rejected", "", f"this kernel takes no {kind}: {why} ({errno_name(errno)})")
        why = {E2BIG: "it has too many instructions"}.get(errno, "without saying why")
        return Judged("rejected", "", f"the kernel refuses it {why} ({errno_name(errno)})".replace("it it", "it: it"))

    def _told(self, made: Judged, log: str) -> Judged:
        made.log = log
        made.told = parse(log)
        return made

    # ------------------------------------------------------------ not reached

    def _not_reached(self, planned: Planned, failure: tuple[int, int, str]) -> Judged:
        from bpfsmith.run.reject import meaning

        at, errno, log = failure
        command = planned.plan.commands[at]
        error = meaning(self.object, self.kernel, planned, failure)
        made = _cannot(error, self.kernel)
        made.errno, made.log = errno, log
        if errno == ENOMEM:
            made.reason = "memory"
        elif not error.lacks:
            made.reason = "map" if "MAP" in command.name else "btf"
        name = command.out.removeprefix("map:").removesuffix(".inner")
        if command.name == "BPF_MAP_CREATE" and not self._uses(name):
            made.why = f"`{self.program.name}` does not use `{name}`, but loaders create all maps of an object"
        return made

    def _uses(self, name: str) -> bool:
        return any(one.name == name for one in self.program.maps) if not self.program.link_error else True


def _cannot(error: BpfsmithError, kernel: Kernel) -> Judged:
    """PROG_LOAD was not reached; the table says which kernel it is."""
    reason = error.lacks or "loader"
    hint = _HINTS.get(reason, error.hint)
    if reason in ("loader", "btf") and "programs={" in hint:
        hint = ""
    return Judged("cannot", reason, _here(error.message, kernel), hint)


# Errors speak to callers of `load`; here other words say the same.
_HINTS = {
    "no-target-given": "say it with `--attach-to PROGRAM=TARGET` (`attach_to=` in Python)",
    "config": "declare it `__weak`, or say its value with `--global NAME=VALUE`",
}


def _here(text: str, kernel: Kernel) -> str:
    """Without the kernel's name: the table says which it is, and others may say the same."""
    return text.replace(f"kernel `{kernel.name}`", "this kernel")


def _too_large(told: Log) -> bool:
    """Following it again with all instructions costs seconds and says nothing: the limit may end it anywhere."""
    return bool(told.limit) and (told.processed or 0) >= (told.limit or 0)


def _type_word(number: int) -> str:
    from bpfsmith.facts import program_types

    row = program_types.get(number)
    return row.name if row is not None else ""


def _since(word: str) -> str:
    from bpfsmith.facts import program_types

    row = program_types.get(word)
    return f" (Linux {row.since} and later)" if row is not None and row.since else ""


def _lacks(kernel: Any, feature: str) -> bool:
    ask = getattr(kernel, "lacks", None)
    return bool(ask(feature)) if ask is not None else not kernel.has(feature)


def _smallest(fields: dict[str, Any]) -> dict[str, Any] | None:
    """What a program of that kind needs besides its code; None where that stands in a slot."""
    kept: dict[str, Any] = {
        name: fields[name]
        for name in ("prog_flags", "expected_attach_type", "attach_btf_id", "prog_ifindex", "license", "kern_version")
        if name in fields
    }
    if any(name in fields for name in ("attach_prog_fd", "attach_btf_obj_fd", "prog_token_fd")):
        return None
    return kept


# Bits of `prog_flags` and what sections call them.
_FLAGS = {1 << 4: ("sleepable", "5.10"), 1 << 5: ("multi-buffer (`frags`)", "5.18"), 1 << 6: ("device-bound", "6.3")}


def _unknown_part(fields: dict[str, Any], series: str) -> str:
    """What of a load that any program of that kind fails with the kernel may not know."""
    from bpfsmith.facts import attach_types
    from bpfsmith.model.kernels import series_key

    parts = []
    row = attach_types.get(fields.get("expected_attach_type", 0)) if fields.get("expected_attach_type") else None
    if row is not None:
        parts.append((f"attach type `{row.name}`", row.since))
    parts += [(f"{word} programs", since) for bit, (word, since) in _FLAGS.items() if fields.get("prog_flags", 0) & bit]
    newer = [one for one in parts if series and one[1] and series_key(one[1]) > series_key(series)]
    told = [f"{word} (Linux {since} and later)" if since else word for word, since in newer or parts]
    return f"it knows no {' or '.join(told)}" if told else "it refuses the smallest one too"
