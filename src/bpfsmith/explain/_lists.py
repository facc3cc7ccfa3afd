"""The lists of `explain rules|helpers|...` and the index."""

from __future__ import annotations

from bpfsmith import facts, rules
from bpfsmith.explain import _topics
from bpfsmith.explain._page import Page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bpfsmith.facts._row import Row

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


def _first(row: Row) -> str:
    """The oldest of the kernels asked that has it."""
    found = facts.seen.of_row(row)
    return (found.first() if found is not None else "") or "none"


def _helpers() -> Page:
    found = facts.helpers.all()
    rows = [
        (str(one.number), one.name, one.since or "?", _first(one), "GPL" if one.gpl_only else "",
         _programs(one.program_types))
        for one in found
    ]  # fmt: skip
    head = ("number", "name", "since", "seen here", "licence", "program types")
    return _table(f"{len(rows)} helpers", "helpers", head, rows)


def _programs(types: dict[str, str]) -> str:
    words = list(types)
    return ", ".join(words) if len(words) <= 4 else f"{', '.join(words[:3])} and {len(words) - 3} more"


def _kfuncs() -> Page:
    rows = [(one.name, one.since or "?", _first(one), ", ".join(one.flags)) for one in facts.kfuncs.all()]
    return _table(f"{len(rows)} kernel functions (kfuncs)", "kfuncs", ("name", "since", "seen here", "flags"), rows)


def _maps() -> Page:
    rows = [
        (str(one.number), one.name, one.since or "?", _first(one), one.key, one.value, one.entries)
        for one in facts.map_types.all()
    ]
    head = ("number", "name", "since", "seen here", "key", "value", "entries")
    return _table(f"{len(rows)} map types", "maps", head, rows)


def _program_types() -> Page:
    rows = [
        (str(one.number), one.name, one.since or "?", _first(one), ", ".join(one.sections[:3]))
        for one in facts.program_types.all()
    ]
    head = ("number", "name", "since", "seen here", "sections")
    return _table(f"{len(rows)} program types", "programs", head, rows)


def _attach() -> Page:
    rows = [
        (str(one.number), one.name, one.since or "?", _first(one), ", ".join(one.program_types))
        for one in facts.attach_types.all()
    ]
    head = ("number", "name", "since", "seen here", "program types")
    return _table(f"{len(rows)} attach types", "attach", head, rows)


def _flags() -> Page:
    rows = [(one.name, one.scope, f"0x{one.value:x}", one.since or "?", one.what) for one in facts.flags.all()]
    return _table(f"{len(rows)} flags", "flags", ("name", "of", "value", "since", "meaning"), rows)


def _features() -> Page:
    rows = [(one.name, one.since or "?", _first(one), one.what) for one in facts.insn_features.all()]
    head = ("name", "since", "seen here", "what it is")
    return _table(f"{len(rows)} instruction set and verifier features", "features", head, rows)


def _contexts() -> Page:
    rows = [(one.name, str(len(one.fields_)), ", ".join(one.program_types)) for one in facts.contexts.all()]
    return _table(f"{len(rows)} contexts", "contexts", ("structure", "fields", "program types"), rows)


def _topic_list() -> Page:
    rows = [(name, _topics.title(name)) for name in _topics.names()]
    return _table(f"{len(rows)} topics", "topics", ("topic", "answers"), rows, "One of them: `bpfsmith explain TOPIC`.")


def _families() -> Page:
    from bpfsmith.verify.messages import FAMILIES

    rows = [(one.code, one.name, one.title, ", ".join(one.classes)) for one in FAMILIES]
    return _table(
        f"{len(rows)} families of verifier messages",
        "verifier-messages",
        ("family", "name", "says", "classes of causes"),
        rows,
        "One of them: `bpfsmith explain V06`. A log: `bpfsmith explain FILE`, or `-` to paste it.",
    )


LISTS: dict[str, Callable[[], Page]] = {
    "attach": _attach,
    "contexts": _contexts,
    "features": _features,
    "flags": _flags,
    "helpers": _helpers,
    "kfuncs": _kfuncs,
    "maps": _maps,
    "programs": _program_types,
    "rules": _rules,
    "topics": _topic_list,
    "verifier-messages": _families,
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

A verifier's log, an object or a workspace is explained, too: `bpfsmith explain verifier.log`, `-` for a paste,
`bpfsmith explain prog.o`. A word is

* a rule's code or name: `OBJ001`, `helper-not-allowed` ({len(codes)} rules: `bpfsmith explain rules`)
* a helper, kernel function, map type, program type, attach type, flag, context or section name: `bpf_loop`, `ringbuf`,
  `xdp`, `__sk_buff`, `kprobe/tcp_v4_connect`; what real kernels answered about it stands with it
* a family of the verifier's messages, by its code (`V06`) or by a message, pasted; a class of causes
  (`missing-null-check`)
* a list: {", ".join(f"`{name}`" for name in LISTS)}
* a topic, one of those below

{topics}
""",
    )
