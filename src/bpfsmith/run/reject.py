"""When the kernel refuses a command of a plan: another plan, or an error that says why and where."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.run.planned import Options
    from bpfsmith.run.planner import Planned

__all__ = ["again", "explained", "meaning", "rejected"]

EPERM, EEXIST, EACCES, EINVAL, E2BIG = 1, 17, 13, 22, 7
TRACING, LSM, EXT = 26, 29, 28
SYS_ADMIN, PERFMON = 21, 38
CORE_POISON = 0xBAD2310
KFUNC_POISON = 2002000000


def again(
    obj: Object,
    kernel: Kernel,
    options: Options,
    planned: Planned,
    failure: tuple[int, int, str],
    former: Planned | None,
) -> bool:
    """Changes `options` (or settles the kernel) so that another plan comes out; False when there is none to try."""
    at, errno, _ = failure
    command = planned.plan.commands[at]
    if errno == EPERM and not options.token:
        from bpfsmith.kernel.privilege import missing

        if missing(command.name, command.fields):
            # Without the right to ask, a probe would tell of what is forbidden here, not of what the kernel has.
            return False
    if not kernel.settled:
        # From here on the kernel answers for itself. An equal plan fails again, and then the error is raised.
        kernel.settle()
        from bpfsmith.run.planner import plan_object

        if plan_object(obj, kernel, options).plan != planned.plan:
            return True
    if command.name == "BPF_BTF_LOAD" and not options.no_btf and not _needs_types(planned):
        options.no_btf = True  # types are a comfort: as in libbpf, what loads without them is loaded without
        return True
    if command.name == "BPF_MAP_CREATE" and "btf_key_type_id" in command.fields and errno != EPERM:
        name = command.out.removeprefix("map:").removesuffix(".inner")
        if name not in options.plain_maps and not _needs_types(planned, name):
            options.plain_maps.add(name)
            return True
    if command.name == "BPF_PROG_BIND_MAP" and not options.no_bind:
        options.no_bind = True  # libbpf only warns here; the kernel side of the program is complete without
        return True
    # Somebody was faster: what is pinned there now is looked at.
    return command.name == "BPF_OBJ_PIN" and errno == EEXIST and (former is None or former.plan != planned.plan)


def _needs_types(planned: Planned, name: str = "") -> bool:
    from bpfsmith.run.planner import NEED_TYPES

    return any(one.type in NEED_TYPES for one in planned.maps.values() if name in ("", one.name))


def meaning(obj: Object, kernel: Kernel, planned: Planned, failure: tuple[int, int, str]) -> BpfsmithError:
    """The error for a failed command."""
    from bpfsmith.kernel import failures

    at, errno, log = failure
    command = planned.plan.commands[at]
    if command.name == "BPF_PROG_LOAD":
        program = planned.programs[command.out.removeprefix("program:")]
        from bpfsmith.run.verifier_log import parse

        if parse(log).message:
            # An attach type the kernel does not know: what the verifier says then is about something else.
            unknown = errno == EINVAL and program.type in (TRACING, LSM)
            if unknown and (lacking := failures.lacking(command.name, errno, command.what, command.fields)) is not None:
                return lacking
            return rejected(program.source, log, errno, kernel)
        if errno == EPERM and program.type in (TRACING, LSM, EXT) and _capable(SYS_ADMIN):
            from bpfsmith.model.errors import Unsupported

            return Unsupported(
                f"this kernel does not allow `{program.source.section}` programs (`{program.name}`): loading one is "
                "refused whatever the privilege",
                program.source.section.partition("/")[0],
                instead=_locked(),
                where=obj.path,
            )
    made = failures.error(command.name, errno, command.what, command.fields)
    if command.name == "BPF_MAP_CREATE" and not made.hint:
        made.hint = _map_hint(command.fields)
    if command.fields.get("prog_ifindex") and not made.hint:
        made.hint = "the driver of that interface takes no programs bound to it: leave `ifindex` out"
    if not made.where:
        made.where = obj.path
    return made


def _locked() -> str:
    """What `doctor` says of it too: a kernel that is locked down refuses what could change what it does."""
    from bpfsmith.kernel.privilege import lockdown

    level = lockdown()
    locked = level in ("integrity", "confidentiality")
    return f"the kernel is locked down ({level}); `bpfsmith doctor` says what else is missing" if locked else ""


def _capable(number: int) -> bool:
    """Whether this process has a capability, or CAP_SYS_ADMIN, which counts as all that matter here."""
    from bpfsmith import kernel

    try:
        status = kernel.door().read_text("/proc/self/status")
    except OSError:
        return False
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return bool((held >> number | held >> SYS_ADMIN) & 1)
    return False


def _map_hint(fields: dict[str, object]) -> str:
    if not fields.get("max_entries"):
        return "it has no `max_entries`: give one with `map_sizes=`"
    return ""


# ---------------------------------------------------------------- the verifier


def rejected(program: Program, log: str, errno: int, kernel: Kernel) -> BpfsmithError:
    """`VerifierRejected`: the last thing the log says, and the source line of the last instruction it names."""
    from bpfsmith.model.errors import VerifierRejected
    from bpfsmith.run.verifier_log import parse

    told = parse(log)
    slot = told.instruction
    reason, hint = explained(program, told.message, slot, kernel)
    reason = reason or told.message
    hint = hint or " ".join(filter(None, (told.report.get("Reason"), told.report.get("Suggestion"))))
    if not hint and "pointer" in reason and not _capable(PERFMON):
        hint = "without CAP_PERFMON the verifier allows less with pointers"
    path, line = "", 0
    if slot is not None:
        source = program.source_line(slot)
        if source is not None:
            path, line = source.path, source.line
            if source.text and not hint:
                hint = f"at `{source.text.strip()}`"
    where = "" if slot is None else f" (instruction {slot})"
    error = VerifierRejected(
        f"the verifier rejects program `{program.name}`: {reason or 'it does not say why'}{where}",
        program.name,
        log,
        reason,
        errno,
        path,
        line,
        hint,
    )
    error.source, error.kernel = program, kernel.version if kernel.name == "host" else kernel.name
    return error


def explained(program: Program, message: str, slot: int | None, kernel: Kernel) -> tuple[str, str]:
    """(what a message means that only the loader can read, what to do): calls of numbers no helper has are what loaders
    put where a relocation or a kernel function could not be resolved. "" for every other message."""
    if f"#{CORE_POISON}" in message:
        return _core(program, slot, kernel)
    number = message.rpartition("invalid func unknown#")[2].split(" ")[0]
    if number.isdigit() and number.startswith(str(KFUNC_POISON)[:6]):
        index = int(number) - KFUNC_POISON
        externs = program.owner.externs
        if 0 <= index < len(externs):
            return (
                f"calls kernel function `{externs[index].name}`, which this kernel does not have",
                "ask with `bpf_ksym_exists()` before the call",
            )
    return "", ""


def _core(program: Program, slot: int | None, kernel: Kernel) -> tuple[str, str]:
    """A poisoned instruction was reached: which relocation it is."""
    try:
        rows = program.native.image(kernel.targets).poisoned
    except Exception:
        return "", ""
    here = [what for at, what in rows if at == slot] or list(dict.fromkeys(what for _, what in rows))
    if not here:
        return "", ""
    others = f" or {len(here) - 1} more" if len(here) > 1 else ""
    wanted, colon, found = here[0].partition(": ")
    kind, _, name = wanted.partition(" ")
    what = f"{_RELOCATED.get(kind, kind)} `{name}`" if name else wanted
    return (
        f"needs {what}{others}, which kernel `{kernel.name}` does not have{f': {_plainly(found)}' if colon else ''}",
        "ask with `bpf_core_field_exists()` (or `bpf_core_type_exists()`) before using it",
    )


# Kinds of CO-RE relocations as a person would call them; others under their own names.
_RELOCATED = {
    "byte_off": "field", "byte_sz": "field", "field_exists": "field", "signed": "field", "lshift_u64": "bit field",
    "rshift_u64": "bit field", "local_type_id": "type", "target_type_id": "type", "type_exists": "type",
    "type_matches": "type", "type_size": "type", "enumval_exists": "enum value", "enumval_value": "enum value",
}  # fmt: skip


def _plainly(found: str) -> str:
    """Without type numbers: `struct task_struct` [132] has no member `x`."""
    out: list[str] = []
    for part in found.split(" ["):
        number, closed, rest = part.partition("]")
        out.append(rest if closed and number.isdigit() else f" [{part}" if out else part)
    return "".join(out)
