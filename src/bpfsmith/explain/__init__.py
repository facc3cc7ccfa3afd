"""The job behind `bpfsmith explain`: what a rule, helper, map type, program type, section or topic is about."""

from __future__ import annotations

from bpfsmith._verbs import make_callable
from bpfsmith.explain._page import Explanation, Page

__all__ = ["Explanation", "Page", "explain"]


def explain(word: str = "") -> Explanation:
    """Explains one word: a rule's code or name, a helper, map, program or attach type, kernel function, context,
    section, topic.

    `rules`, `helpers`, `kfuncs`, `maps`, `programs`, `attach`, `flags`, `features`, `contexts` and `topics` give lists,
    no word at all the index. `InputError` with near matches for a word nobody knows.
    """
    from bpfsmith.explain._find import find

    return find(word.strip())


make_callable(__name__)
