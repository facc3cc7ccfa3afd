"""What `migrate` prints for a person: what was done in each file, what is left to decide, and what to run next."""

from __future__ import annotations

from bpfsmith.render._cells import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["render"]

_CODES = {"bold": "1", "path": "1;34", "todo": "1;33", "help": "1;36"}


def render(report: dict[str, Any], *, color: bool = False) -> str:
    """The text of a report's JSON value."""

    def paint(what: str, text: str) -> str:
        return f"\x1b[{_CODES[what]}m{text}\x1b[0m" if color else text

    out: list[str] = []
    by_file: dict[str, list[dict[str, Any]]] = {}
    for one in report["done"]:
        by_file.setdefault(one["path"], []).append(one)
    for path, listed in sorted(by_file.items()):
        out.append(paint("path", clean(path)))
        out.extend(_changes(listed))
    decisions = report["decisions"]
    if decisions:
        if out:
            out.append("")
        out.append(paint("todo", f"for you to decide ({len(decisions)})"))
        for one in decisions:
            code = f" [{one['code']}]" if one["code"] else ""
            out.append(f"  {clean(one['path'])}:{one['line']}{code} {clean(one['message'])}")
            out.append(f"      {paint('help', 'help')}: {clean(one['advice'])}")
    if report["commands"]:
        out += ["", paint("bold", "then")] + [f"  {clean(one)}" for one in report["commands"]]
    if out:
        out.append("")
    out += [f"note: {clean(one)}" for one in report["notes"]]
    out.append(paint("bold", _summary(report)))
    return "\n".join(out) + "\n"


def _changes(listed: list[dict[str, Any]]) -> list[str]:
    """The same said of several lines is one line here."""
    lines: dict[tuple[str, str], list[int]] = {}
    for one in listed:
        lines.setdefault((one["code"], one["message"]), []).append(one["line"])
    out = []
    for (code, message), numbers in lines.items():
        shown = sorted(set(numbers))
        few = ", ".join(str(one) for one in shown[:6]) + (", .." if len(shown) > 6 else "")
        out.append(f"  {few}: {clean(message)}" + (f" [{code}]" if code else ""))
    return out


def _summary(report: dict[str, Any]) -> str:
    count = len(report["files"])
    files = f"{count} file{'' if count == 1 else 's'}"
    way = f"aya {report['from']} -> {report['to']}" if report["from"] != report["to"] else f"aya {report['to']}"
    done = f"{files} {'changed' if report['written'] else 'would change'}" if count else "nothing to change"
    if report["errors"] and not count:
        done = "nothing was changed"
    left = len(report["decisions"])
    decide = f", {left} left to decide" if left else ""
    return f"{way}: {done}{decide}; needs rustc {report['rust']}"
