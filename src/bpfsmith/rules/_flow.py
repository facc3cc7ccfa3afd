"""What rules ask about a linked program's control flow, slot by slot, beyond what the native columns tell."""

from __future__ import annotations

from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.program import Program

__all__ = ["Flow"]

_EXIT = 0x95
_LD_IMM64 = 0x18
# What may come last in a function: exit, `goto` of both widths, an indirect jump.
_LAST = frozenset((_EXIT, 0x05, 0x06, 0x0D))
_JMP, _JMP32 = 0x05, 0x06
_CALL = 0x80


class Flow:
    """The functions of one linked program; made from its bytes, so make one only where a rule needs it."""

    __slots__ = ("_big", "_code", "_firsts", "_functions", "_returns", "_throws")

    def __init__(self, program: Program, calls: list[tuple[int, str, int, str]]) -> None:
        """`calls` are the program's; their kinds and names are asked for."""
        self._code = program.insns()
        self._big = program.owner.endianness == "big"
        self._functions = program.functions()
        self._firsts = [first for _, first, _, _ in self._functions]
        self._returns: dict[int, bool] = {}
        # bpf_throw() does not return either, and the verifier knows it (check_subprogs, since 6.7).
        self._throws = {slot for slot, kind, _, name in calls if kind == "kfunc" and name == "bpf_throw"}

    def function_at(self, slot: int) -> int:
        """The index of the function `slot` lies in; 0 is the program."""
        return max(0, bisect_right(self._firsts, slot) - 1)

    def returns(self, function: int) -> bool:
        """Whether there is any `exit` (or `bpf_throw`) in it."""
        found = self._returns.get(function)
        if found is None:
            _, first, count, _ = self._functions[function]
            codes = self._code[first * 8 : (first + count) * 8 : 8]
            at = codes.find(_EXIT)
            while at > 0 and codes[at - 1] == _LD_IMM64:  # the second half of a constant
                at = codes.find(_EXIT, at + 1)
            found = at >= 0 or any(first <= slot < first + count for slot in self._throws)
            self._returns[function] = found
        return found

    def ends_well(self, function: int) -> bool:
        """Whether its last instruction is one the verifier accepts there."""
        _, first, count, _ = self._functions[function]
        last = first + count - 1
        return count > 0 and (self._code[last * 8] in _LAST or last in self._throws)

    def all_end_well(self) -> bool:
        return all(self.ends_well(index) for index in range(len(self._functions)))

    def is_exit(self, slot: int) -> bool:
        return self._code[slot * 8] == _EXIT

    def callee(self, slot: int) -> int:
        """The first slot of the subprogram called at `slot`."""
        return slot + 1 + self._number(slot, 4, 8)

    def leading_to(self, slot: int) -> list[int]:
        """Slots in the same function from which `slot` is next: the instruction before it, and jumps."""
        _, first, count, _ = self._functions[self.function_at(slot)]
        found = []
        for at in range(first, first + count):
            code = self._code[at * 8]
            if code & 7 in (_JMP, _JMP32) and code & 0xF0 not in (_CALL, 0x90) and at != slot:
                off = self._number(at, 4, 8) if code == _JMP32 else self._number(at, 2, 4)
                falls_through = at + 1 == slot and code & 0xF0 != 0
                if at + 1 + off == slot or falls_through:
                    found.append(at)
            elif at + 1 == slot and code != _EXIT:
                found.append(at)
        return found

    def _number(self, slot: int, start: int, end: int) -> int:
        word = self._code[slot * 8 + start : slot * 8 + end]
        return int.from_bytes(word, "big" if self._big else "little", signed=True)
