"""One thing a user should know, and its parts. Every output format is a view of these values.

Lines and columns start at 1, columns count Unicode characters, ends are exclusive. All values are frozen,
compare by content, hash, and order by place.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, ClassVar, Self

    Json = dict[str, Any]

__all__ = ["APPLICABILITIES", "SEVERITIES", "Edit", "Evidence", "Finding", "Fix", "Label", "Span", "Value"]

SEVERITIES = ("error", "warning", "note")  # worst first
APPLICABILITIES = ("safe", "unsafe", "display", "proved")


class Value:
    """Base of the frozen values: `FIELDS` are the content, in the order of the constructor."""

    __slots__ = ()
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"`{type(self).__name__}.{name}` cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"`{type(self).__name__}.{name}` cannot be deleted")

    def _content(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.FIELDS)

    def _set(self, *values: object) -> None:
        for name, value in zip(self.FIELDS, values, strict=True):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._content()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(self.FIELDS, self._content(), strict=True))
        return f"{type(self).__name__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._content()

    def replace(self, **changes: object) -> Self:
        """The same value with some parts changed."""
        for name in changes:
            if name not in self.FIELDS:
                raise TypeError(f"`{type(self).__name__}` has no part `{name}`")
        return type(self)(**{name: changes.get(name, getattr(self, name)) for name in self.FIELDS})


class Span(Value):
    """A place in a source file; without an end it is one character wide. Only edits have empty ones: insertions."""

    FIELDS = ("path", "line", "column", "end_line", "end_column")
    __slots__ = FIELDS
    path: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __init__(self, path: str, line: int, column: int = 1, end_line: int = 0, end_column: int = 0) -> None:
        end_line = max(end_line or line, line)
        if not end_column or (end_line == line and end_column < column):
            end_column = column + 1
        self._set(path, line, column, end_line, end_column)

    def shown(self) -> Self:
        """Itself, one character wide if it is empty: there is something to point at."""
        if (self.line, self.column) != (self.end_line, self.end_column):
            return self
        return self.replace(end_column=self.column + 1)

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"

    def to_json(self) -> Json:
        """`{"path","line","column","end_line","end_column"}`."""
        return {name: getattr(self, name) for name in self.FIELDS}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self | None:
        """The span of a JSON value, None when its line is null."""
        if data.get("line") is None:
            return None
        return cls(data["path"], data["line"], data["column"], data["end_line"], data["end_column"])


class Label(Value):
    """A second place that belongs to the finding, with a word about it."""

    FIELDS = ("span", "message")
    __slots__ = FIELDS
    span: Span
    message: str

    def __init__(self, span: Span, message: str) -> None:
        self._set(span.shown(), message)


class Evidence(Value):
    """What shows that it is so: `kind` is one word (`fact`, `object`, `source`, `called`, ...), `text` for a person."""

    FIELDS = ("kind", "text")
    __slots__ = FIELDS
    kind: str
    text: str

    def __init__(self, kind: str, text: str) -> None:
        self._set(kind, text)


class Edit(Value):
    """Replace the span by `text`; an empty `text` deletes, an empty span inserts."""

    FIELDS = ("span", "text")
    __slots__ = FIELDS
    span: Span
    text: str

    def __init__(self, span: Span, text: str) -> None:
        self._set(span, text)


class Fix(Value):
    """What to do about it. `applicability`: `safe`, `unsafe`, `display` (shown only) or `proved`."""

    FIELDS = ("applicability", "message", "edits")
    __slots__ = FIELDS
    applicability: str
    message: str
    edits: tuple[Edit, ...]

    def __init__(self, applicability: str, message: str, edits: Iterable[Edit] = ()) -> None:
        if applicability not in APPLICABILITIES:
            raise ValueError(f"unknown applicability `{applicability}`, known are {', '.join(APPLICABILITIES)}")
        self._set(applicability, message, tuple(edits))


class Finding(Value):
    """One finding. `object` is the path of the ELF file, `program` a program's name; `kernels` is empty for all."""

    FIELDS = (
        "code",
        "name",
        "severity",
        "message",
        "span",
        "object",
        "program",
        "labels",
        "evidence",
        "fixes",
        "kernels",
        "see",
    )
    __slots__ = FIELDS
    code: str
    name: str
    severity: str
    message: str
    span: Span | None
    object: str | None
    program: str | None
    labels: tuple[Label, ...]
    evidence: tuple[Evidence, ...]
    fixes: tuple[Fix, ...]
    kernels: tuple[str, ...]
    see: tuple[str, ...]

    def __init__(
        self,
        code: str,
        name: str,
        severity: str,
        message: str,
        span: Span | None = None,
        object: str | None = None,  # noqa: A002 - the word of the JSON contract
        program: str | None = None,
        labels: Iterable[Label] = (),
        evidence: Iterable[Evidence] = (),
        fixes: Iterable[Fix] = (),
        kernels: Iterable[str] = (),
        see: Iterable[str] = (),
    ) -> None:
        if severity not in SEVERITIES:
            raise ValueError(f"unknown severity `{severity}`, known are {', '.join(SEVERITIES)}")
        if span is not None and not isinstance(span, Span):
            raise TypeError(f"the span of {code} is a {type(span).__name__}")
        self._set(
            code, name, severity, message, span.shown() if span is not None else None, object, program,
            tuple(labels), tuple(evidence), tuple(fixes), tuple(kernels), tuple(see),
        )  # fmt: skip

    @property
    def path(self) -> str | None:
        """Where a user looks: the source file, else the object."""
        return self.span.path if self.span else self.object

    def sort_key(self) -> tuple[str, int, int, str, str, str]:
        """Path, line, column, code, program, message; findings without a line come first in their file."""
        span = self.span
        return (
            self.path or "",
            span.line if span else 0,
            span.column if span else 0,
            self.code,
            self.program or "",
            self.message,
        )

    def __lt__(self, other: Finding) -> bool:
        return self.sort_key() < other.sort_key()

    def to_json(self) -> Json:
        """The finding of `check --format json`, every key present."""
        place = self.span.to_json() if self.span else dict.fromkeys(Span.FIELDS)
        place["path"] = self.path
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "message": self.message,
            **place,
            "object": self.object,
            "program": self.program,
            "kernels": list(self.kernels),
            "labels": [{**label.span.to_json(), "message": label.message} for label in self.labels],
            "evidence": [{"kind": one.kind, "text": one.text} for one in self.evidence],
            "fixes": [
                {
                    "applicability": fix.applicability,
                    "message": fix.message,
                    "edits": [{**edit.span.to_json(), "text": edit.text} for edit in fix.edits],
                }
                for fix in self.fixes
            ],
            "see": list(self.see),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The finding that `to_json` gave; `KeyError` when a key is missing."""
        return cls(
            data["code"],
            data["name"],
            data["severity"],
            data["message"],
            Span.from_json(data),
            data["object"],
            data["program"],
            [Label(_span(one), one["message"]) for one in data["labels"]],
            [Evidence(one["kind"], one["text"]) for one in data["evidence"]],
            [
                Fix(one["applicability"], one["message"], [Edit(_span(edit), edit["text"]) for edit in one["edits"]])
                for one in data["fixes"]
            ],
            data["kernels"],
            data["see"],
        )


def _span(data: Mapping[str, Any]) -> Span:
    return Span(data["path"], data["line"], data["column"], data["end_line"], data["end_column"])
