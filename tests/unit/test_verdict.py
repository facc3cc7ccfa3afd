"""One program on one kernel: what counts as accepted, rejected, and as no verdict at all."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith import kernel
from bpfsmith.kernel import fake
from bpfsmith.model.errors import GuestFailed, UnknownName, ValueMismatch
from bpfsmith.model.kernel import Kernel
from bpfsmith.model.object import Object
from bpfsmith.verdict import REASONS, Judged, Request, judge

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
LOG = (
    "6: (85) call bpf_map_lookup_elem#1\n7: (79) r1 = *(u64 *)(r0 +0)\nR0 invalid mem access 'map_value_or_null'\n"
    "verification time 12 usec\nstack depth 8\n"
    "processed 8 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 2 mark_read 0\n"
)
COUNTS = "verification time 5 usec\nstack depth 16+0\nprocessed 9 insns (limit 1000000) max_states_per_insn 0 " \
    "total_states 1 peak_states 1 mark_read 0\n"  # fmt: skip


@pytest.fixture
def obj() -> Object:
    return bpfsmith.read(FIXTURES / "verdicts.bpf.o")


class Made(Kernel):
    """A kernel made of answers, that can be asked as those of guests."""

    def lacks(self, feature: str) -> bool:
        return not self.has(feature)


def ask(obj: Object, name: str, door: fake.FakeDoor, request: Request | None = None, **known: object) -> Judged:
    """The verdict of a kernel made of answers. `known`: what `Kernel` takes."""
    program = obj.program(name)
    assert program is not None
    types = bpfsmith.read(FIXTURES / "inside.bpf.o").btf  # no kernel's, and not this object's
    model = Made("made", types, version="6.12.1", **known)  # type: ignore[arg-type]
    with kernel.through(door, model):
        made = judge(obj, program, request)
    assert not door.open_fds()
    assert made.reason in ("", *REASONS)
    assert bool(made.reason) == (made.verdict == "cannot")
    return made


def test_accepted(obj: Object) -> None:
    door = fake.FakeDoor()
    door.logs["accepted"] = COUNTS
    made = ask(obj, "accepted", door)
    assert (made.verdict, made.message, made.processed, made.states) == ("accepted", "", 9, 1)
    assert (made.stack, made.ns, made.instruction, made.path) == ([16, 0], 5000, None, "")
    # Alone: its object's maps, this program, nothing after it, nothing pinned.
    assert [one["prog_name"] for one in door.of("BPF_PROG_LOAD")] == ["accepted"]
    assert len(door.of("BPF_MAP_CREATE")) == len(obj.maps)
    assert door.commands()[-1] == "BPF_PROG_LOAD"


def test_what_is_not_loaded_by_itself_is_judged_too(obj: Object) -> None:
    door = fake.FakeDoor()
    assert ask(obj, "optional", door).verdict == "accepted"


def test_rejected(obj: Object) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_PROG_LOAD", errno.EACCES)
    door.logs["unchecked"] = LOG
    made = ask(obj, "unchecked", door)
    assert (made.verdict, made.message) == ("rejected", "R0 invalid mem access 'map_value_or_null'")
    assert (made.instruction, made.path, made.errno) == (7, "./verdicts.bpf.c", errno.EACCES)
    assert (obj.program("unchecked").source_line(7).text or "").strip() == "*count += 1;"  # type: ignore[union-attr]
    assert made.line > 0
    # Statistics first; the instructions once more, because it was refused.
    assert len(door.of("BPF_PROG_LOAD")) == 2


def test_a_log_that_was_cut_is_not_believed(obj: Object) -> None:
    """Kernels before 6.4 keep the beginning of a log that is too long."""
    door = fake.FakeDoor()
    cut = ("6: (85) call bpf_map_lookup_elem#1\n" * 40)[:1023]

    def answer(fields: dict[str, Any]) -> int:
        door.logs["unchecked"] = cut if len(door.of("BPF_PROG_LOAD")) == 1 else LOG
        return -errno.EACCES

    door.answer("BPF_PROG_LOAD", answer)
    made = ask(obj, "unchecked", door, Request(log_level=1, log_limit=1024))
    assert (made.verdict, made.message) == ("rejected", "R0 invalid mem access 'map_value_or_null'")
    assert (made.instruction, made.processed, made.log) == (None, 8, cut)
    assert len(door.of("BPF_PROG_LOAD")) == 2

    taken = fake.FakeDoor()

    def accepts(_: dict[str, Any]) -> None:
        taken.logs["accepted"] = cut if len(taken.of("BPF_PROG_LOAD")) == 1 else COUNTS

    taken.answer("BPF_PROG_LOAD", accepts)
    made = ask(obj, "accepted", taken, Request(log_level=2, log_limit=1024))
    assert (made.verdict, made.accepted, made.processed, made.log) == ("accepted", True, 9, cut)


def test_a_million_instructions_are_not_followed_twice(obj: Object) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_PROG_LOAD", errno.E2BIG)
    door.logs["endless"] = (
        "BPF program is too large. Processed 1000001 insn\n"
        "processed 1000001 insns (limit 1000000) max_states_per_insn 4 total_states 12 peak_states 12 mark_read 0\n"
    )
    made = ask(obj, "endless", door)
    assert (made.verdict, made.processed, made.instruction) == ("rejected", 1_000_001, None)
    assert len(door.of("BPF_PROG_LOAD")) == 1


def test_what_loaders_leave_behind_is_explained(obj: Object) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_PROG_LOAD", errno.EINVAL)
    door.logs["missing_field"] = "0: (85) call unknown#195896080\ninvalid func unknown#195896080\nprocessed 1 insns\n"
    made = ask(obj, "missing_field", door)
    assert made.message == "invalid func unknown#195896080"
    assert made.why.startswith("needs field `struct task_struct.nobody_has_this`, which this kernel does not have")
    assert "bpf_core_field_exists" in made.why
    door.logs["weak_function"] = "1: (85) call unknown#2002000000\ninvalid func unknown#2002000000\nprocessed 1 insns\n"
    made = ask(obj, "weak_function", door, Request(attach_to={"weak_function": "sched_switch"}))
    # The kernel made here has no such tracepoint either.
    assert (made.verdict, made.reason) == ("cannot", "attach-target")


def test_without_a_word(obj: Object) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_PROG_LOAD", errno.EINVAL)
    assert ask(obj, "accepted", door).verdict == "rejected"
    made = ask(obj, "accepted", door, lacking=["program_type:xdp"])
    assert (made.verdict, made.reason) == ("cannot", "prog-type")
    assert "no `xdp` programs" in made.message


def test_a_refusal_of_everything_of_its_kind(obj: Object) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_PROG_LOAD", errno.EPERM)
    made = ask(obj, "accepted", door)
    assert (made.verdict, made.reason) == ("cannot", "prog-type")


def test_no_memory(obj: Object) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_PROG_LOAD", errno.ENOMEM)
    assert ask(obj, "accepted", door).reason == "memory"
    door.logs["accepted"] = "The sequence of 8193 jumps is too complex.\nprocessed 9 insns\n"
    assert ask(obj, "accepted", door).verdict == "rejected"
    other = fake.FakeDoor()
    other.fail("BPF_MAP_CREATE", errno.ENOMEM)
    assert ask(obj, "accepted", other).reason == "memory"


def test_maps(obj: Object) -> None:
    door = fake.FakeDoor()
    door.fail("BPF_MAP_CREATE", errno.EINVAL, when=lambda fields: fields["map_type"] == 27)
    made = ask(obj, "accepted", door, lacking=["map_type:ringbuf"])
    assert (made.verdict, made.reason) == ("cannot", "map")
    assert "`ring`" in made.message
    assert made.why == "`accepted` does not use `ring`, but loaders create all maps of an object"
    assert "loaders create all" not in ask(obj, "leaks", door).why


def test_targets(obj: Object) -> None:
    door = fake.FakeDoor()
    made = ask(obj, "no_target", door)
    assert (made.reason, "--attach-to" in made.why) == ("no-target-given", True)
    assert ask(obj, "no_such_target", door).reason == "attach-target"
    made = ask(obj, "no_target", door, Request(attach_to={"no_target": "nobody_has_this_either"}))
    assert made.reason == "attach-target"
    assert "`made`" not in made.message, "the table says which kernel it is"


def test_a_kernel_without_types(obj: Object) -> None:
    program = obj.program("missing_field")
    assert program is not None
    with kernel.through(fake.FakeDoor(), Kernel("bare", None, version="6.12.1")):
        assert judge(obj, program).reason == "btf"


def test_another_endianness() -> None:
    other = bpfsmith.read(FIXTURES / "inside-be.bpf.o")
    for program in other.programs:
        made = judge(other, program)
        assert (made.verdict, made.reason) == ("cannot", "loader")


def test_requests_that_do_not_fit(obj: Object) -> None:
    door = fake.FakeDoor()
    with pytest.raises(ValueMismatch):
        ask(obj, "accepted", door, Request(map_sizes={"counts": 0}))
    with pytest.raises(UnknownName):
        ask(obj, "accepted", door, Request(map_sizes={"countz": 5}))
    ask(obj, "accepted", door, Request(map_sizes={"counts": 5}, globals={"ROUNDS": 7}))
    assert 5 in {fields["max_entries"] for fields in door.of("BPF_MAP_CREATE")}
    assert any(fields["value"][:4] == b"\7\0\0\0" for fields in door.of("BPF_MAP_UPDATE_ELEM"))


def test_a_guest_that_dies_is_not_a_verdict(obj: Object) -> None:
    class Dying(fake.FakeDoor):
        def replay_once(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise GuestFailed("it died", "crash", "oops")

    with pytest.raises(GuestFailed):
        ask(obj, "accepted", Dying())
