"""What `bpfsmith run --plan` shows: the commands that would load an object, and what would be attached where."""

from __future__ import annotations

from bpfsmith.model.errors import InputError
from bpfsmith.run.aim import Aim
from bpfsmith.run.arrange import arrange, short
from bpfsmith.run.attach import family_of
from bpfsmith.run.attach import plan as attach_plan
from bpfsmith.run.load import planned as load_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.run.plan import Plan

__all__ = ["Preview", "preview"]


class Preview:
    """`load`: the plan; `attach`: a row per program: `{"program","family","state","targets","commands","note"}`;
    `notes`: what was decided for the caller."""

    __slots__ = ("attach", "load", "notes", "path")

    def __init__(self, path: str, load: Plan, attach: list[dict[str, Any]], notes: list[str]) -> None:
        self.path = path
        self.notes = notes
        self.load = load
        self.attach = attach

    def to_json(self) -> dict[str, Any]:
        return {"kind": "plan", "version": 1, "path": self.path, "load": self.load.to_json(), "attach": self.attach,
                "notes": self.notes}  # fmt: skip

    def text(self) -> str:
        """One command a line: loading numbered, then attaching."""
        lines = [self.load.text().rstrip("\n")]
        for row in self.attach:
            said = ", ".join(row["targets"]) or "nothing"
            lines.append(
                f"attach {row['program']} ({row['family']}) to {said}" + (f": {row['note']}" if row["note"] else "")
            )
            for command in row["commands"]:
                shown = ", ".join(
                    f"{key}={value}" for key, value in command.items() if key != "command" and value not in (None, "")
                )
                lines.append(f"     {command['command']}  {shown}".rstrip())
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)]) + "\n"


def preview(
    path: Any,
    *,
    programs: Any = None,
    entries: Any = None,
    globals: Any = None,  # noqa: A002 - the word of the domain
    map_sizes: Any = None,
    kconfig: Any = None,
    btf: Any = None,
    pin_path: Any = None,
    attach: Any = None,
    iface: Any = None,
    **aim: Any,
) -> Preview:
    """The same arguments as `bpfsmith.run`; the kernel is asked for its types at most."""
    from bpfsmith.read import read

    obj = read(path)
    ifaces = () if iface is None else (iface,) if isinstance(iface, str | int) else tuple(iface)
    options = {
        "select": programs, "globals": globals, "map_sizes": map_sizes, "kconfig": kconfig, "btf": btf,
        "pin_path": pin_path,
    }  # fmt: skip
    found = arrange(obj, Aim(iface=ifaces, given=attach, **aim), entries, options, lenient=True)
    planned = load_plan(obj, **found.options)
    rows = []
    for program, wanted, note in found.rows:
        family = family_of(program)
        commands: list[Any] = []
        for place in wanted:
            if "packets_of" in place.options:
                commands.append({"command": "socket", "family": "AF_PACKET", "interface": place.options["packets_of"]})
                commands.append({"command": "setsockopt", "option": "SO_ATTACH_BPF"})
                continue
            try:
                commands += attach_plan(program, *place.args, **place.options)["commands"]
            except TypeError as error:  # `attach=` with arguments its method does not take
                raise InputError(f"`{program.name}` cannot be attached like that: {error}") from error
        rows.append(
            {
                "program": program.name,
                "family": family.name,
                "state": family.state,
                "targets": [place.text for place in wanted],
                "commands": commands,
                "note": note,
            }
        )
    rows += [
        {
            "program": program.name,
            "family": family_of(program).name,
            "state": family_of(program).state,
            "targets": [],
            "commands": [],
            "note": short(error, program),
        }
        for program, error in found.left
    ]
    return Preview(obj.path, planned.plan, rows, found.notes)
