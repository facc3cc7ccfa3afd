"""Crates that were renamed, in the sources: `aya_bpf::programs::XdpContext` -> `aya_ebpf::..`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

    from bpfsmith.source.rust import SourceFile

__all__ = ["renamed"]

_tokens: re.Pattern[str] | None = None
# What had a name of its own, under the crate's old name and new one.
_CONTEXT = ("aya_bpf::BpfContext", "EbpfContext")


def renamed(file: SourceFile, names: Mapping[str, str]) -> tuple[str, int]:
    """(the text with the crates' new names, how many places that are). Strings stay as they are; of comments, paths
    are renamed: examples in documentation are code."""
    places: dict[int, tuple[int, str]] = {}
    for start, word, comment in _words(file.text):
        new = names.get(word)
        if new is None or file.text[start - 1 : start] == ".":
            continue
        if not comment or file.text.startswith("::", start + len(word)):
            places[start] = (start + len(word), new)
    if "aya_bpf" in names:
        from bpfsmith.rules._rust import mentions

        for one in mentions(file, {_CONTEXT[0]}):
            if one.text == "BpfContext":
                places[one.start] = (one.end, _CONTEXT[1])
    out = []
    at = 0
    for start in sorted(places):
        end, new = places[start]
        out += [file.text[at:start], new]
        at = end
    return "".join([*out, file.text[at:]]), len(places)


def _words(text: str) -> list[tuple[int, str, bool]]:
    """(start, identifier, whether it is in a comment) outside of strings and characters."""
    global _tokens  # noqa: PLW0603 - compiled on first use
    import re

    if _tokens is None:
        _tokens = re.compile(
            r"""(?P<comment>//[^\n]*|/\*.*?\*/)|[bc]?r(?P<hash>\#*)".*?"(?P=hash)|[bc]?"(?:\\.|[^"\\])*\""""
            r"""|b?'(?:\\[^\n]{1,10}?|[^'\\\n])'|(?:r\#)?(?P<word>[A-Za-z_]\w*)""",
            re.DOTALL,
        )
    word = re.compile(r"[A-Za-z_]\w*")
    out = []
    for token in _tokens.finditer(text):
        if token["word"] is not None:
            out.append((token.start("word"), token["word"], False))
        elif token["comment"] is not None:
            out += [(token.start() + one.start(), one[0], True) for one in word.finditer(token["comment"])]
    return out
