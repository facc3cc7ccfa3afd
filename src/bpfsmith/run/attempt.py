"""The loop of every load: plan, replay, and learn from a refusal until the kernel takes a plan or none is left to try.

`load` keeps what a plan makes; `verdict` asks only whether it can be made. Both go through here, so that a program is
judged by the commands that would load it.
"""

from __future__ import annotations

from bpfsmith.run.planner import Planned, plan_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from bpfsmith._native import Fd
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object
    from bpfsmith.run.planned import Options

    Failure = tuple[int, int, str]
    Replay = Callable[[Planned, list[tuple[int, int]]], Failure | None]

__all__ = ["attempt"]


def attempt(
    obj: Object, kernel: Kernel, options: Options, replay: Replay, fixed: Mapping[str, Any]
) -> tuple[Planned, Failure | None, dict[str, Fd]]:
    """(the last plan, its failure or None, pinned maps it used: the caller closes those).

    `replay(planned, given)` carries a plan out and answers (index of the command, errno, log) of the command that
    failed; `fixed`: descriptors by slot. Errors are those the planner finds by itself."""
    planned = None
    while True:
        pinned: dict[str, Fd] = {}
        if options.pins:
            from bpfsmith.run.pins import existing

            pinned = existing(options)
        former = planned
        try:
            planned = plan_object(obj, kernel, options)
            if options.given:
                from bpfsmith.run.pins import check

                check(planned, options)
            failure = replay(planned, _given(planned, options, fixed) if planned.plan.given else [])
            if failure is None:
                return planned, None, pinned
            if planned.plan.commands[failure[0]].name == "BPF_OBJ_PIN":
                from bpfsmith.run.pins import take_back

                take_back(planned.plan.commands[: failure[0]])
            from bpfsmith.run.reject import again

            if not again(obj, kernel, options, planned, failure, former):
                _close(pinned, options)
                return planned, failure, {}
        except BaseException:
            _close(pinned, options)
            raise
        _close(pinned, options)


def _close(pinned: dict[str, Fd], options: Options) -> None:
    """Lets go of pins that were opened for a try that failed."""
    for name, fd in pinned.items():
        fd.close()
        options.given.pop(name, None)


def _given(planned: Planned, options: Options, fixed: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(slot, descriptor) of what the caller hands over."""
    slots = []
    for slot in planned.plan.given:
        kind, _, name = slot.partition(":")
        if kind == "map":
            value = options.given[name]
        elif kind == "target":
            value = options.programs[name]["attach_prog"]
        else:
            value = fixed[slot]
        slots.append((planned.plan.slot(slot), value if isinstance(value, int) else value.fileno()))
    return slots
