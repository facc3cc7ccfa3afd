"""Attaching: one row per family of programs, one module per row.

    link = attach(program, "eth0")        # by what the section says; every family has its own options
    for row in families(): print(row.name, row.state, row.needs)

A row says which programs belong to it, which module attaches them, which kernel has it, which capability it needs, and
its state: `fires` (attached and seen to run by this project's tests), `untried` (attached, but no machine of the tests
has what it is attached to), `none` (nothing to attach: it is run otherwise).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith.run.link import Link

__all__ = ["Family", "attach", "describe", "families", "family_of", "plan"]


class Family:
    """One row. `types`: program types; `attach_types`: libbpf's words (empty: any); `sections`: the first words of
    section names that single it out among programs of one type; `target`: what it is attached to; `since`: first
    series, `link`: first series with a `bpf_link` ("" = none exists); `capability` beside CAP_BPF; `needs`: kernel
    options; `note`."""

    __slots__ = (
        "attach_types", "capability", "link", "method", "module", "name", "needs", "note", "sections", "since", "state",
        "target", "types",
    )  # fmt: skip

    def __init__(
        self, name: str, module: str, method: str, types: str, attach_types: str, sections: str, target: str,
        since: str, link: str, capability: str, needs: str, state: str, note: str = "",
    ) -> None:  # fmt: skip
        self.name = name
        self.module = module
        self.method = method
        self.types = tuple(types.split())
        self.attach_types = tuple(attach_types.split())
        self.sections = tuple(sections.split())
        self.target = target
        self.since = since
        self.link = link
        self.capability = capability
        self.needs = needs
        self.state = state
        self.note = note

    def __repr__(self) -> str:
        return f"<Family {self.name}: {self.state}>"

    def load(self) -> Any:
        """The module that attaches it."""
        from importlib import import_module

        return import_module(f"{__name__}.{self.module}")


_families: list[Family] = []


def families() -> tuple[Family, ...]:
    """Every row, in the order they are tried."""
    if not _families:
        from ._rows import ROWS

        _families.extend(Family(*row) for row in ROWS)
    return tuple(_families)


def family(name: str) -> Family:
    """The row of that name."""
    for row in families():
        if row.name == name:
            return row
    from bpfsmith.model.errors import InputError
    from bpfsmith.model.near import did_you_mean

    raise InputError(f"there is no family `{name}`", hint=did_you_mean(name, [row.name for row in families()]))


def family_of(program: Any) -> Family:
    """The family of a loaded program (anything with `type`, `attach_type` and `section`)."""
    word = (program.section or "").removeprefix("?").partition("/")[0]
    # The attach type of a program whose section names none is only a default; then the section decides.
    for row in families():
        if program.type not in row.types:
            continue
        if row.attach_types and program.attach_type not in row.attach_types:
            continue
        if row.sections and word not in row.sections:
            continue
        return row
    if word.removesuffix(".s") in ("fentry.multi", "fexit.multi", "fsession.multi"):
        return family("fentry.multi")  # of an object that is only read: libbpf's table does not have them yet
    from bpfsmith.model.errors import InputError

    raise InputError(
        f"`{program.name}` (type `{program.type}`, section `{program.section}`) belongs to no family",
        program.name, "`run.attach.families()` lists them",
    )  # fmt: skip


def attach(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says; `where` and `options` are those of the family's own method (`attach_xdp` ...)."""
    row = family_of(program)
    by_section: Callable[..., Link] = row.load().by_section
    try:
        return by_section(program, *where, **options)
    except TypeError as error:
        # Only what the caller passed: a fault of ours lies deeper.
        depth, at = 0, error.__traceback__
        while at is not None:
            depth, at = depth + 1, at.tb_next
        if depth > 2:
            raise
        raise _wrong_options(program, row, where, options) from None


def _wrong_options(program: Any, row: Family, where: tuple[Any, ...], options: dict[str, Any]) -> Exception:
    from inspect import signature

    from bpfsmith.model.errors import InputError
    from bpfsmith.model.near import did_you_mean

    known = [name for name in signature(getattr(type(program), row.method)).parameters if name != "self"]
    listed = ", ".join(f"`{name}`" for name in known)
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known, f"it takes {listed}")
            return InputError(f"attaching `{program.name}` ({row.name}) has no option `{name}`", program.name, hint)
    return InputError(
        f"attaching `{program.name}` ({row.name}) takes other arguments than {len(where)} by place", program.name,
        f"it takes {listed}",
    )  # fmt: skip


def plan(program: Any, *where: Any, **options: Any) -> dict[str, Any]:
    """What `attach` would ask of the kernel, without asking:
    `{"family","state","since","capability","needs","commands"}`."""
    row = family_of(program)
    commands = row.load().plan(program, *where, **options)
    return {
        "family": row.name, "state": row.state, "since": row.since, "capability": row.capability, "needs": row.needs,
        "program": program.name, "commands": commands,
    }  # fmt: skip


def describe(program: Any, *where: Any, **options: Any) -> str:
    """`plan` as text, one command a line."""
    told = plan(program, *where, **options)
    capability = f", {told['capability']}" if told["capability"] else ""
    lines = [f"{told['program']}: {told['family']}, Linux {told['since']}+{capability}"]
    for command in told["commands"]:
        fields = {key: value for key, value in command.items() if key != "command" and value not in (None, "")}
        rest = ", ".join(f"{key}={value}" for key, value in fields.items())
        lines.append(f"  {command['command']}({rest})")
    return "\n".join(lines)
