"""From a word to pages. The exact word wins; a word several things share shows all of them."""

from __future__ import annotations

from bpfsmith import facts, rules
from bpfsmith.explain import _lists, _topics
from bpfsmith.explain._page import Explanation, Page
from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.facts._row import Row
    from bpfsmith.rules import Entry

__all__ = ["find", "pages", "rule_page"]


def find(word: str) -> Explanation:
    """See `bpfsmith.explain.explain`."""
    found = pages(word)
    if not found and (page := _message_page(word)) is not None:
        found = [page]
    if not found:
        raise _unknown(word)
    return Explanation(word, found)


def pages(word: str) -> list[Page]:
    """Of a word, the best first; none for one that nobody knows."""
    if not word:
        return [_lists.index()]
    if word.lower() in _lists.LISTS:
        return [_lists.LISTS[word.lower()]()]
    entry = rules.find(word)
    if entry is not None:
        return [rule_page(entry)]
    page = _family_page(word)
    if page is not None:
        return [page]
    found = []
    topic = _topics.get(word)
    if topic is not None:
        found.append(topic)
    found.extend(_fact_page(kind, row) for kind, row in facts.lookup(word))
    family = _family_page(word, single=True)
    if family is not None:
        found.append(family)
    if not found:
        from bpfsmith.explain import _classes

        topic = _classes.page(word) or _topics.about(word)
        if topic is not None:
            found.append(topic)
    return found


def _family_page(word: str, single: bool = False) -> Page | None:
    """Of a family of the verifier's messages: `V06`, or its name; names of one word, which other things have too, only
    where asked for (`single`)."""
    code = word.upper()
    if not single and not (code[:1] == "V" and code[1:].isdecimal()) and "-" not in word:
        return None
    from bpfsmith.verify.messages import FAMILIES

    row = next((one for one in FAMILIES if word.lower() in (one.code.lower(), one.name)), None)
    if row is None:
        return None
    try:
        text = row.page
    except OSError:  # an installation without its pages still names families
        text = f"# {row.code} {row.name}\n\n{row.title}"
    return Page("family", row.code, text)


def _message_page(text: str) -> Page | None:
    """Of a sentence a verifier says, pasted without its log: its family."""
    if " " not in text.strip():
        return None
    from bpfsmith.verify.messages import classify

    found = classify(text.strip())
    page = _family_page(found.family) if found is not None and found.confidence != "low" else None
    if page is None:
        return None
    said = (
        f"> {text.strip()}\n\nThe log that ends with this message tells where and why: `bpfsmith explain FILE`, or `-`"
    )
    return Page(page.kind, page.name, f"{page.markdown}\n{said}.\n")


def rule_page(entry: Entry) -> Page:
    """A rule's documentation with what its class says."""
    rule = entry.rule
    docs = rule.docs
    body = docs.text.split("\n", 1)
    shown = f"severity: {rule.severity} · group: {rule.group} · shows in: {rule.phase}"
    facts_line = f"{shown} · since bpfsmith {rule.since_version}"
    rest = body[1].strip() if len(body) > 1 else ""
    if entry.kind == "source":
        rest = f"{rest}\n\n{_on_public_code(entry.code)}".lstrip()
    suppress = f'Suppress one: `// bpfsmith: expect({entry.code}, reason = "...")` on the line above.'
    if rule.group == "engine":
        suppress = f"Switch it off: `--ignore {entry.code}`."
    return Page(
        "rule",
        entry.code,
        f"# {entry.code} {entry.name}\n\n{docs.summary}\n\n{facts_line}\n\n{rest}\n\n{suppress}\n",
    )


def _on_public_code(code: str) -> str:
    """What the rule said about the projects that `docs/rules/precision.md` names."""
    from bpfsmith.rules._precision import PROJECTS, SEEN

    found, where, arguable, wrong = SEEN.get(code, (0, 0, 0, 0))
    if not found:
        return f"On {PROJECTS} public projects: no finding."
    findings = "one finding" if found == 1 else f"{found} findings"
    doubt = f", {arguable} arguable" if arguable else ""
    return (
        f"On {PROJECTS} public projects: {findings} in {where}, {wrong or 'no'} false alarm{'s' * (wrong > 1)}{doubt}."
    )


def _fact_page(kind: str, row: Row) -> Page:
    """A row, and what real kernels answered about it: `since: Linux 5.8 (first seen here: 5.10)`."""
    seen = facts.seen.of_row(row)
    told = dict(seen.fields(row.since)) if seen is not None else {}
    first = told.pop("seen", "")
    lines = []
    for label, text in row.fields():
        lines.append(f"* {label}: {text}" + (f" ({first})" if label == "since" and first else ""))
        if label == "since":
            first = ""
    if first:
        lines.append(f"* seen: {first}")
    lines += [f"* {label}: {text}" for label, text in told.items()]
    return Page(kind, row.name, f"# {kind} {row.name}\n\n" + "\n".join(lines), facts.seen.document(row))


def _unknown(word: str) -> InputError:
    from bpfsmith.model.near import near_matches

    ours = [name for entry in rules.listing() for name in (entry.code, entry.name)]
    from bpfsmith.explain._classes import CLASSES
    from bpfsmith.verify.messages import FAMILIES

    families = [name for one in FAMILIES for name in (one.code, one.name)]
    known = [*_lists.LISTS, *_topics.names(), *ours, *CLASSES, *families]
    near = list(
        dict.fromkeys([*near_matches(word.upper() if word[1:2].isdigit() else word, known, 2), *facts.near(word, 3)])
    )[:4]
    hint = "`bpfsmith explain` lists what there is"
    if near:
        hint = f"did you mean {', '.join(f'`{one}`' for one in near)}? {hint}"
    return InputError(f"nothing is known about `{word}`", hint=hint)
