"""What an explanation is: Markdown pages."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.verify.explained import Explained

__all__ = ["Explanation", "Page"]


class Page:
    """One page: `kind` is `rule`, `topic`, `list`, `index` or a fact's kind; `markdown` starts with its heading;
    `facts`: of a fact, the first kernel claimed and what each kernel asked answered (`facts.seen.document`)."""

    __slots__ = ("facts", "kind", "markdown", "name")

    def __init__(self, kind: str, name: str, markdown: str, facts: dict[str, Any] | None = None) -> None:
        self.kind = kind
        self.name = name
        self.markdown = markdown.strip() + "\n"
        self.facts = facts

    def __repr__(self) -> str:
        return f"<Page {self.kind} {self.name}>"


class Explanation:
    """The pages a word leads to, the best first; of a log, object or workspace (`ExplainReport`) `programs` instead.
    `exit_code`: 0 for words, else as the report says."""

    __slots__ = ("pages", "word")
    programs: tuple[Explained, ...] = ()
    notes: tuple[str, ...] = ()
    errors: tuple[BpfsmithError, ...] = ()

    @property
    def exit_code(self) -> int:
        return 0

    def __init__(self, word: str, pages: Iterable[Page]) -> None:
        self.word = word
        self.pages = tuple(pages)

    @property
    def markdown(self) -> str:
        """All pages as one Markdown text."""
        return "\n".join(page.markdown for page in self.pages)

    def __repr__(self) -> str:
        pages = ", ".join(f"{one.kind} {one.name}" for one in self.pages)
        return f"<Explanation of {self.word!r}: {pages}>"

    def __str__(self) -> str:
        return self.markdown

    def to_json(self) -> dict[str, Any]:
        """`{"version":1,"word","pages":[{"kind","name","markdown","facts"}]}`; `facts` is null but for facts."""
        return {
            "version": 1,
            "word": self.word,
            "pages": [
                {"kind": one.kind, "name": one.name, "markdown": one.markdown, "facts": one.facts} for one in self.pages
            ],
        }
