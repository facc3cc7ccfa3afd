"""The arguments of Aya's program macros: `#[xdp(frags, map = "devmap")]`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.source.rust import Attribute, SourceFile

__all__ = ["Argument", "arguments", "without"]


class Argument:
    """One argument; `value` is the string's content, None for a flag. `start`..`end` is all of it in the file."""

    __slots__ = ("end", "name", "start", "value", "value_start")

    def __init__(self, name: str, value: str | None, start: int, end: int, value_start: int) -> None:
        self.name = name
        self.value = value
        self.start = start
        self.end = end
        self.value_start = value_start  # of the quotes; `end` for a flag


def arguments(file: SourceFile, attr: Attribute) -> list[Argument]:
    """What stands in the brackets of an attribute; empty where that is no list of names and plain strings."""
    if not (attr.args.startswith("(") and attr.args.endswith(")")):
        return []
    at = file.text.find(attr.args, attr.start, attr.end)
    if at < 0:
        return []
    out = []
    at += 1
    for part in attr.args[1:-1].split(","):
        text = part.strip()
        start = at + len(part) - len(part.lstrip())
        at += len(part) + 1
        if not text:
            continue
        name, equals, value = (one.strip() for one in text.partition("="))
        if not name.isidentifier():
            return []
        if not equals:
            out.append(Argument(name, None, start, start + len(text), start + len(text)))
            continue
        if len(value) < 2 or value[0] != '"' or value[-1] != '"' or "\\" in value:
            return []
        end = start + len(text)
        out.append(Argument(name, value[1:-1], start, end, end - len(value)))
    return out


def without(file: SourceFile, attr: Attribute, one: Argument) -> tuple[int, int]:
    """The span to delete so that the argument is gone: with its comma, with the brackets when it is the only one."""
    every = arguments(file, attr)
    if len(every) == 1:
        first = file.text.find(attr.args, attr.start, attr.end)
        return first, first + len(attr.args)
    index = next(number for number, other in enumerate(every) if other.start == one.start)
    if index + 1 < len(every):
        return one.start, every[index + 1].start
    return every[index - 1].end, one.end
