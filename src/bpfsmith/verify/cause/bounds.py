"""What is wanted of a number, and what became of it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.verify.cause.result import Fact
    from bpfsmith.verify.cause.trace import Step

    Value = Any

__all__ = ["HUGE", "Need", "Story"]

HUGE = 1 << 29


class Story:
    """What became of a bound: `cls` of the cause, the `step` it happened at (None: the use itself), `facts` in the
    order of the path, `headline` about the number, `sure` of it or not; `slot`: of a comparison that is not on the
    path."""

    __slots__ = ("cls", "facts", "headline", "slot", "step", "sure")

    def __init__(
        self, cls: str, step: Step | None, headline: str, facts: list[Fact], sure: bool = True, slot: int | None = None
    ) -> None:
        self.cls = cls
        self.step = step
        self.headline = headline
        self.facts = facts
        self.sure = sure
        self.slot = slot


class Need:
    """What the verifier wants of a number: that it is not negative (`low`), not 0 (`zero`), at most `most` (None: some
    limit); `packet`: that so many bytes of a packet are there, which no number shows; `half`: 32 bits of it count."""

    __slots__ = ("half", "low", "most", "packet", "zero")

    def __init__(
        self,
        low: bool = False,
        zero: bool = False,
        most: int | None = None,
        packet: bool = False,
        half: bool = False,
    ) -> None:
        self.half = half
        self.low = low
        self.zero = zero
        self.most = most
        self.packet = packet

    def met(self, value: Value | None, wide: int = 8) -> bool:
        """The kernel knows it of `value`, or of as many bytes of it as are kept."""
        if value is None:
            return False
        if wide < 8 and not self.zero and value.u32max is not None and value.u32max < 1 << 31:
            return self.most is None or bool(value.u32max <= self.most)
        if self.low:
            return value.smin is not None and value.smin >= 0
        if self.zero:
            return value.umin is not None and value.umin > 0
        return value.umax is not None and value.umax <= (HUGE if self.most is None else self.most)

    def lacking(self) -> str:
        """The end of a sentence about a number that does not meet it."""
        if self.low:
            return "may be negative"
        return "may be 0" if self.zero else "has no upper limit that fits"
