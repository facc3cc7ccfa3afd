"""The job behind `bpfsmith skill`: an agent skill made from our commands, rules and topics."""

from __future__ import annotations

from bpfsmith._verbs import make_callable
from bpfsmith.skill._page import Skill

__all__ = ["Skill", "skill"]


def skill() -> Skill:
    """The skill `rust-ebpf`: its files as text; `Skill.install` writes them."""
    from bpfsmith.skill._page import files

    return Skill(files())


make_callable(__name__)
