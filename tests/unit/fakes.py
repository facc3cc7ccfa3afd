"""Fake rules and reports for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bpfsmith import rules
from bpfsmith.model.finding import Finding
from bpfsmith.rules._base import ObjectRule, SourceRule


class FakeEntry(rules.Entry):
    """Stands for a rule module."""

    __slots__ = ()

    def __init__(self, rule) -> None:
        super().__init__(rule.code, rule.name, "")
        self._rule = rule

    @property
    def kind(self) -> str:
        return "object" if isinstance(self._rule, ObjectRule) else "source"


def object_rule(
    check: Callable[..., Iterable[Finding]], code: str = "OBJ900", name: str = "fake-rule", **attributes: object
) -> FakeEntry:
    kind = type("Fake", (ObjectRule,), {"code": code, "name": name, "check": check, **attributes})
    return FakeEntry(kind())


def source_rule(check: Callable[..., Iterable[Finding]], code: str = "AYA900", name: str = "fake-source") -> FakeEntry:
    kind = type("Fake", (SourceRule,), {"code": code, "name": name, "check": check})
    return FakeEntry(kind())


def install(monkeypatch, *entries: FakeEntry) -> None:
    """Only these rules exist, beside the engine's own."""
    rules.listing()
    engine = {code: entry for code, entry in rules._cache.items() if code.startswith("CHK")}
    monkeypatch.setattr(rules, "_cache", dict(sorted({**engine, **{one.code: one for one in entries}}.items())))
