"""What the callers of a C function take for its failure."""

from __future__ import annotations

import re

__all__ = ["asked_for", "predicate"]

_LEAVES = r"\s*\{?\s*(?:return|goto|continue|break)\b"


def _called(name: str) -> str:
    return rf"\b{re.escape(name)}\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"


def asked_for(name: str, plain: str) -> str:
    """What a branch that leaves compares the result with: `-1` where that is below 0, `0` where it is nothing; "" where
    none does. `plain`: the file without comments."""
    called = _called(name)
    made = [one[1] for one in re.finditer(rf"(?<![\w.>])(\w+)\s*=\s*{called}\s*[;,)]", plain)]
    given = "|".join([called, *(re.escape(one) for one in dict.fromkeys(made))])
    if re.search(rf"\bif\s*\(\s*(?:{given})\)?\s*(?:<\s*0|<=?\s*-1|==\s*-1)\s*\)*{_LEAVES}", plain):
        return "-1"
    if re.search(rf"\bif\s*\(\s*!\s*(?:{given})\s*\){_LEAVES}", plain):
        return "0"
    return ""


def predicate(name: str, plain: str, start: int, end: int) -> bool:
    """Whether a function only says yes or no: all it returns is compared, masked to a bit, or 0 and 1, and its callers
    ask nothing else of it. `start`, `end`: of its body."""
    every = [" ".join(one.split()) for one in re.findall(r"\breturn\b([^;]*);", plain[start:end])]
    told = r"[01]|true|false|!.*|.*(?:==|!=|<=?|>=?|&&|\|\|)[^<>]*|.*& (?:1|0x1)\)?"
    if not every or not all(re.fullmatch(told, one.replace("->", ".")) for one in every):
        return False
    uses = [one for one in re.finditer(_called(name), plain) if not plain[one.end() :].lstrip().startswith("{")]
    asks = r"\s*(?:\?|&&|\|\||\)\s*(?:[{;\w]))"
    return bool(uses) and all(re.match(asks, plain[one.end() :]) for one in uses)
