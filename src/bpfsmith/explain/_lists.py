"""The lists of `explain rules|helpers|...` and the index."""

from __future__ import annotations

from bpfsmith import facts, rules
from bpfsmith.explain import _topics
from bpfsmith.explain._page import Page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["LISTS", "index"]


def _table(title: str, name: str, head: Sequence[str], rows: Iterable[Sequence[str]], after: str = "") -> Page:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    text = [f"# {title}", "", line(head), line(["---"] * len(head)), *(line(row) for row in rows)]
    return Page("list", name, "\n".join([*text, "", after]))


def _rules() -> Page:
    rows = [(one.code, one.name, one.rule.severity, one.rule.group, one.rule.docs.summary) for one in rules.listing()]
    return _table(
        f"{len(rows)} rules",
        "rules",
        ("code", "name", "severity", "group", "finds"),
        rows,
        "One of them: `bpfsmith explain CODE`.",
    )


def _helpers() -> Page:
    found = facts.helpers.all()
    rows = [
        (str(one.number), one.name, one.since or "?", "GPL" if one.gpl_only else "", _programs(one.program_types))
        for one in found
    ]
    return _table(f"{len(rows)} helpers", "helpers", ("number", "name", "since", "licence", "program types"), rows)


def _programs(types: dict[str, str]) -> str:
    words = list(types)
    return ", ".join(words) if len(words) <= 4 else f"{', '.join(words[:3])} and {len(words) - 3} more"


def _kfuncs() -> Page:
    rows = [(one.name, one.since or "?", ", ".join(one.flags)) for one in facts.kfuncs.all()]
    return _table(f"{len(rows)} kernel functions (kfuncs)", "kfuncs", ("name", "since", "flags"), rows)


def _maps() -> Page:
    rows = [
        (str(one.number), one.name, one.since or "?", one.key, one.value, one.entries) for one in facts.map_types.all()
    ]
    return _table(f"{len(rows)} map types", "maps", ("number", "name", "since", "key", "value", "entries"), rows)


def _program_types() -> Page:
    rows = [
        (str(one.number), one.name, one.since or "?", ", ".join(one.sections[:3])) for one in facts.program_types.all()
    ]
    return _table(f"{len(rows)} program types", "programs", ("number", "name", "since", "sections"), rows)


def _attach() -> Page:
    rows = [
        (str(one.number), one.name, one.since or "?", ", ".join(one.program_types)) for one in facts.attach_types.all()
    ]
    return _table(f"{len(rows)} attach types", "attach", ("number", "name", "since", "program types"), rows)


def _flags() -> Page:
    rows = [(one.name, one.scope, f"0x{one.value:x}", one.since or "?", one.what) for one in facts.flags.all()]
    return _table(f"{len(rows)} flags", "flags", ("name", "of", "value", "since", "meaning"), rows)


def _features() -> Page:
    rows = [(one.name, one.since or "?", one.what) for one in facts.insn_features.all()]
    return _table(
        f"{len(rows)} instruction set and verifier features", "features", ("name", "since", "what it is"), rows
    )


def _topic_list() -> Page:
    rows = [(name, _topics.title(name)) for name in _topics.names()]
    return _table(f"{len(rows)} topics", "topics", ("topic", "answers"), rows, "One of them: `bpfsmith explain TOPIC`.")


LISTS: dict[str, Callable[[], Page]] = {
    "attach": _attach,
    "features": _features,
    "flags": _flags,
    "helpers": _helpers,
    "kfuncs": _kfuncs,
    "maps": _maps,
    "programs": _program_types,
    "rules": _rules,
    "topics": _topic_list,
}


def index() -> Page:
    """What can be asked."""
    topics = "\n".join(f"* `{name}`: {_topics.title(name)}" for name in _topics.names())
    codes = rules.listing()
    return Page(
        "index",
        "index",
        f"""\
# bpfsmith explain WORD

A word is

* a rule's code or name: `OBJ001`, `helper-not-allowed` ({len(codes)} rules: `bpfsmith explain rules`)
* a helper, kernel function, map type, program type, attach type, flag or section name: `bpf_loop`, `ringbuf`, `xdp`,
  `kprobe/tcp_v4_connect`
* a list: {", ".join(f"`{name}`" for name in LISTS)}
* a topic, one of those below

{topics}
""",
    )
