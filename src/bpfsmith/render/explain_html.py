"""`explain --format html`: a page that steps through a verifier's log: source, instructions, states side by side.

The page is one file: style, script and data are in it, it asks nothing of any network, and works from a file manager.
The data is a list of programs; each has its failing path as steps, and with each step what it changed: the page makes
the state at any step by going through those before it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


__all__ = ["render"]

STEPS = 20_000
"""Steps of a path that a page has; of longer ones the last, where the program was rejected."""
AROUND = 400
"""Lines of a source file around those that the path touches; of more than that the rest is left out."""


QUOTED = "lines as the log quotes them"
"""The file of source lines whose file the log does not name; their numbers only tell them apart."""


def render(report: Any) -> str:
    """The page for an `ExplainReport`."""
    from bpfsmith.render._base import json_text

    programs = [_program(one) for one in report.programs]
    data = {"version": 1, "quoted": QUOTED, "notes": [str(note) for note in report.notes], "programs": programs}
    # Within a script element only its end tag, comments and the two line ends of JavaScript need care.
    text = json_text(data).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    title = _title(report)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'\">\n"
        f"<title>{_escaped(title)}</title>\n<style>\n{_asset('viewer.css')}</style>\n</head>\n<body>\n"
        f'{_asset("viewer.html")}<script type="application/json" id="data">\n{text}</script>\n'
        f"<script>\n{_asset('viewer.js')}</script>\n</body>\n</html>\n"
    )


def _title(report: Any) -> str:
    one = next((each for each in report.programs if each.verdict == "rejected"), None)
    if one is None:
        return "verifier log - bpfsmith"
    return f"{one.program or 'program'}: {one.cls or 'rejected'} - bpfsmith"


def _asset(name: str) -> str:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "viewer", name)
    with open(path, encoding="utf-8") as file:
        return file.read()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _program(one: Any) -> dict[str, Any]:
    log = one.log
    path = list(log.path) if log is not None else []
    left = max(0, len(path) - STEPS)
    files = _Files(one)
    steps, places = _steps(one, path[left:], files)
    at = {number: index for index, number in enumerate(path[left:])}
    slots: dict[int, int] = {}
    for place_in, step in enumerate(steps):
        slots[step["slot"]] = place_in
    cause = one.cause
    chain = []
    for fact in cause.because if cause is not None else ():
        index = at.get(fact.step) if fact.step is not None else None
        if index is None and fact.slot is not None:
            index = slots.get(fact.slot)
        chain.append({"step": index, "slot": fact.slot, "place": files.place(fact.place), "fact": fact.text})
    place = None if cause is None else cause.place
    return {
        "program": one.program,
        "kernel": one.kernel,
        "verdict": one.verdict,
        "family": one.family,
        "class": one.cls,
        "confidence": None if cause is None else cause.confidence,
        "headline": one.headline,
        "message": one.message,
        "cause": files.place(place),
        "causeStep": slots.get(cause.slot) if cause is not None and cause.slot is not None else None,
        "chain": chain,
        "fixes": [fix.message for fix in one.fixes],
        "notes": list(one.notes),
        "left": left,
        "steps": steps,
        "places": places,
        "files": files.shown(),
    }


def _steps(one: Any, path: list[int], files: _Files) -> tuple[list[dict[str, Any]], list[dict[str, Any] | None]]:
    log, trace = one.log, one.trace
    steps = []
    places: list[dict[str, Any] | None] = []
    known: dict[int, int] = {}  # slot -> index in places
    before: dict[int, dict[str, list[Any]]] = {}  # frame -> name -> value
    depth = 0
    for number in path:
        step = log.step(number)
        insn = log.insn(step.slot)
        if step.slot not in known:
            known[step.slot] = len(places)
            places.append(files.place(trace.place(step.slot)) if trace is not None else None)
        if step.frame > depth:
            before.pop(step.frame, None)  # a frame of that depth was another function's
        depth = step.frame
        made: dict[str, Any] = {"slot": step.slot, "place": known[step.slot], "text": "" if insn is None else insn.text}
        if step.frame:
            made["frame"] = step.frame
        if step.how not in ("next", "start"):
            made["how"] = step.how
        if insn is not None:
            if insn.reads:
                made["reads"] = [f"r{reg}" for reg in insn.reads]
            writes = [f"r{reg}" for reg in insn.writes]
            memory = _slot_of(insn)
            if memory is not None and insn.kind in ("store", "atomic"):
                writes.append(memory)
            if memory is not None and insn.kind == "load":
                made.setdefault("reads", []).append(memory)
            if writes:
                made["writes"] = writes
        changed = _changed(log, number, before)
        if changed:
            made["after"] = changed
        steps.append(made)
    return steps, places


def _changed(log: Any, number: int, before: dict[int, dict[str, list[Any]]]) -> dict[str, dict[str, Any]]:
    """frame -> name -> [type, text] of what is another value than before, None of what is not known any more."""
    changed: dict[str, dict[str, Any]] = {}
    for frame in log.after(number).frames:
        now = {name: [value.type, value.text] for name, value in frame.regs.items()}
        now |= {f"fp{offset}": [slot.kind, slot.text] for offset, slot in frame.stack.items()}
        was = before.get(frame.number, {})
        new: dict[str, Any] = {name: value for name, value in now.items() if was.get(name) != value}
        new |= {name: None for name in was if name not in now}
        if new:
            changed[str(frame.number)] = new
        before[frame.number] = now
    return changed


def _slot_of(insn: Any) -> str | None:
    """`fp-8`, where an access goes by the frame pointer itself."""
    base = insn.src if insn.kind == "load" else insn.dst
    return f"fp{-(-insn.off // 8) * 8 if insn.off % 8 == 0 else insn.off // 8 * 8}" if base == 10 else None


class _Files:
    """Source files as they are here, or the lines that the log quotes of them."""

    def __init__(self, one: Any) -> None:
        self._sources = one.finding()[1]
        self._nameless: dict[str, int] = {}
        self._touched: dict[str, set[int]] = {}
        self._quoted: dict[str, dict[int, str]] = {}

    def place(self, place: Any) -> dict[str, Any] | None:
        """`{"path","line","column","text","own"}`; the path as the page knows the file."""
        if place is None or (place.line is None and not place.text):
            return None
        path, line = place.path or "", place.line
        if path and line:
            path, line = self._sources.quote(path, line, place.text)
            self._touched.setdefault(path, set()).add(line)
            if place.text:
                self._quoted.setdefault(path, {})[line] = place.text
        else:  # older kernels quote a line and do not say where it stands
            path = QUOTED
            line = self._nameless.setdefault(place.text.strip(), len(self._nameless) + 1)
        return {
            "path": path, "line": line, "column": place.column or None, "text": (place.text or "").strip(),
            "own": bool(place.own),
        }  # fmt: skip

    def shown(self) -> dict[str, list[list[Any]]]:
        """path -> [number, text] of the lines that are shown; a line without number stands for those left out."""
        out: dict[str, list[list[Any]]] = {}
        if self._nameless:
            out[QUOTED] = [[number, text] for text, number in self._nameless.items()]
        for path, touched in self._touched.items():
            lines = self._sources.lines(path)
            quoted = self._quoted.get(path, {})
            if lines is None:
                out[path] = _gaps([[number, quoted[number].strip()] for number in sorted(quoted)])
                continue
            near = sorted({each for line in touched for each in range(line - AROUND, line + AROUND + 1)})
            out[path] = _gaps([[each, lines[each - 1]] for each in near if 1 <= each <= len(lines)])
        return out


def _gaps(rows: list[list[Any]]) -> list[list[Any]]:
    out: list[list[Any]] = []
    last = 0
    for number, text in rows:
        if number > last + 1 and (out or number > 1):
            out.append([None, ""])
        out.append([number, text])
        last = number
    return out
