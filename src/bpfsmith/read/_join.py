"""Joins what the file says with what the facts know: section names, map types, helpers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.names import Names, SectionMeaning


class FactNames:
    """The facts behind the model's names; each fact table is imported when it is first asked."""

    __slots__ = ("_helpers", "_map_types", "_sections")

    def __init__(self) -> None:
        self._sections: dict[str, SectionMeaning | None] = {}
        self._map_types: dict[int, str | None] = {}
        self._helpers: dict[int, str | None] = {}

    def section(self, name: str) -> SectionMeaning | None:
        """The first row of the section table that matches."""
        if name not in self._sections:
            from bpfsmith.facts import sections

            self._sections[name] = sections.match(name)
        return self._sections[name]

    def map_type(self, number: int) -> str | None:
        """libbpf's word."""
        if number not in self._map_types:
            from bpfsmith.facts import map_types

            found = map_types.get(number)
            self._map_types[number] = None if found is None else found.name
        return self._map_types[number]

    def helper(self, number: int) -> str | None:
        """The full name, `bpf_map_lookup_elem`."""
        if number not in self._helpers:
            from bpfsmith.facts import helpers

            found = helpers.by_id(number)
            self._helpers[number] = None if found is None else found.name
        return self._helpers[number]


_NAMES: list[FactNames] = []


def names() -> Names:
    """One instance for the process: the facts do not change."""
    if not _NAMES:
        _NAMES.append(FactNames())
    return _NAMES[0]
