"""How true the findings are on public projects: `./dev precision FOLDER [--write]`.

Every project below FOLDER is checked, rules in preview too, and each finding is looked up among the judgements of
people in `tests/data/precision.toml`. A project is a topmost folder with a `Cargo.toml` or a file `SOURCE` (one line:
its URL and its commit); a published crate's folder is named `NAME-VERSION`. None of them is kept in this repository:
`docs/rules/precision.md` names them all.

Exit: 1 when a finding is not judged, a project ends with our error, or a rule that is not in preview is right in less
than 90 % of its findings. `--write` writes the page and `src/bpfsmith/rules/_precision.py`, which `explain` reads.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bpfsmith.model.finding import Finding

ROOT = Path(__file__).resolve().parents[2]
JUDGEMENTS = ROOT / "tests/data/precision.toml"
PAGE = ROOT / "docs/rules/precision.md"
TABLE = ROOT / "src/bpfsmith/rules/_precision.py"
VERDICTS = ("true", "arguable", "false")
ENOUGH = 90  # per cent
CRATE = re.compile(r"^(?P<name>.+)-(?P<version>\d+\.\d+\.\d+[^/]*)$")
KERNEL = re.compile(r"\b(?:aya_bpf|aya_ebpf)::")


class Project(NamedTuple):
    """One public project: `version` is a commit or a crate's version."""

    name: str
    url: str
    version: str
    folder: Path
    lines: int
    kernel: bool


class Hit(NamedTuple):
    """One finding, and what a person said of it; an empty verdict: nobody looked yet."""

    project: str
    code: str
    place: str
    mark: str
    message: str
    verdict: str
    said: str

    @property
    def key(self) -> str:
        return f"{self.code} {self.place} {self.mark}"


def projects(folder: Path) -> Iterator[Project]:
    """The projects below `folder`, in the order of their names."""
    found = []
    for here, folders, files in os.walk(folder):
        folders.sort()
        if {"SOURCE", "Cargo.toml"} & set(files):
            folders.clear()
            found.append(_project(Path(here)))
    yield from sorted(found, key=lambda one: one.name.lower())


def _project(folder: Path) -> Project:
    source, crate = folder / "SOURCE", CRATE.match(folder.name)
    if source.exists():
        url, _, version = source.read_text("utf-8").strip().partition(" ")
        name = url.removeprefix("https://github.com/")
    elif crate is not None:
        name, version = crate["name"], crate["version"]
        url = f"https://crates.io/crates/{name}/{version}"
    else:
        name, url, version = folder.name, "", ""
    texts = [path.read_text("utf-8", "replace") for path in sorted(folder.rglob("*.rs"))]
    lines = sum(len(text.splitlines()) for text in texts)
    return Project(name, url, version, folder, lines, any(KERNEL.search(text) for text in texts))


def hits(project: Project, judged: dict[str, str]) -> tuple[list[Hit], list[str]]:
    """The findings of a project, and the sentences about what could not be checked for a fault of ours."""
    import bpfsmith

    try:
        report = bpfsmith.check(project.folder, preview=True)
    except Exception as error:  # whatever it is, the project is named
        return [], [f"{project.name}: {type(error).__name__}: {error}"]
    ours = [f"{project.name}: {error}" for error in report.errors if error.exit_code == 4]
    spoken = {}
    for key, text in judged.items():
        code, place, mark = key.split(" ")
        spoken[code, place.rpartition(":")[0], mark] = text
    out = []
    for one in report.findings:
        path, line, mark = _place(one, project.folder)
        verdict, _, said = spoken.get((one.code, path, mark), "").partition(": ")
        out.append(Hit(project.name, one.code, f"{path}:{line}", mark, one.message, verdict, said))
    return out, ours


def _place(finding: Finding, folder: Path) -> tuple[str, int, str]:
    """Its path below `folder`, its line, and a mark of what is written there: lines move, their text stays."""
    span = finding.span
    if span is None:
        return ".", 0, "-"
    path = Path(span.path).absolute()
    name = path.relative_to(folder.absolute()).as_posix() if path.is_relative_to(folder.absolute()) else path.name
    try:
        text = path.read_text("utf-8", "replace").splitlines()[span.line - 1]
    except (OSError, IndexError):
        text = ""
    return name.replace(" ", "_"), span.line, hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:8]


def precision(counts: Counter[str]) -> int | None:
    """Per cent of the findings that are right, of those where right and wrong are clear."""
    clear = counts["true"] + counts["false"]
    return None if not clear else 100 * counts["true"] // clear


def main(words: list[str]) -> int:
    folders = [word for word in words if not word.startswith("-")]
    unknown = [word for word in words if word.startswith("-") and word != "--write"]
    if len(folders) != 1 or unknown:
        print("dev precision: one folder of projects, and `--write` or not", file=sys.stderr)
        return 2
    here = list(projects(Path(folders[0])))
    if not here:
        print(f"dev precision: no project below {folders[0]}: no `Cargo.toml`, no `SOURCE`", file=sys.stderr)
        return 2
    judged = tomllib.loads(JUDGEMENTS.read_text("utf-8")) if JUDGEMENTS.exists() else {}
    started = time.monotonic()
    found: list[Hit] = []
    failures: list[str] = []
    for project in here:
        more, ours = hits(project, judged.get(project.name, {}))
        found += more
        failures += ours
    seconds = time.monotonic() - started
    by_rule = _by_rule(found)
    lines = sum(one.lines for one in here)
    print(
        f"{len(here)} projects, {lines} lines of Rust, {len(found)} findings of {len(by_rule)} rules, {seconds:.1f} s"
    )
    for code, some in by_rule.items():
        print(f"{code:7} {_counted(some)}  in {', '.join(sorted({one.project for one in some}))}")
    low = [text for code, some in by_rule.items() if (text := _too_low(code, some))]
    unjudged = [one for one in found if one.verdict not in VERDICTS]
    for project_name, keys in _by_project(unjudged).items():
        print(f'\n# not judged yet\n["{project_name}"]')
        print("\n".join(f'"{key}" = "?: {message}"' for key, message in keys.items()))
    for text in (*failures, *low):
        print(text)
    for name, texts in judged.items():
        left = set(texts) - {key for key in texts if any(_same(key, one) for one in found if one.project == name)}
        for key in sorted(left):
            print(f"judged, but no longer found: {name} {key}")
    if "--write" in words:
        PAGE.write_text(_page(here, by_rule), "utf-8")
        TABLE.write_text(_table(here, by_rule), "utf-8")
    return int(bool(unjudged or failures or low))


def _same(key: str, hit: Hit) -> bool:
    code, place, mark = key.split(" ")
    return (code, place.rpartition(":")[0], mark) == (hit.code, hit.place.rpartition(":")[0], hit.mark)


def _by_rule(found: Iterable[Hit]) -> dict[str, list[Hit]]:
    out: dict[str, list[Hit]] = defaultdict(list)
    for one in found:
        out[one.code].append(one)
    return dict(sorted(out.items()))


def _by_project(found: Iterable[Hit]) -> dict[str, dict[str, str]]:
    out: dict[str, dict[str, str]] = defaultdict(dict)
    for one in found:
        out[one.project][one.key] = one.message.replace("\\", "/").replace('"', "'")
    return dict(out)


def _verdicts(some: Iterable[Hit]) -> Counter[str]:
    return Counter(one.verdict if one.verdict in VERDICTS else "unjudged" for one in some)


def _counted(some: list[Hit]) -> str:
    counts = _verdicts(some)
    said = ", ".join(f"{counts[word]} {word}" for word in (*VERDICTS, "unjudged") if counts[word])
    return f"{len(some):3} findings ({said})"


def _too_low(code: str, some: list[Hit]) -> str:
    from bpfsmith import rules

    rule, share = rules.get(code), precision(_verdicts(some))
    if share is None or share >= ENOUGH or rule.preview:
        return ""
    return f"{code} is right in {share} % of its findings: below {ENOUGH} % a rule is mended, or in preview"


def _page(here: list[Project], by_rule: dict[str, list[Hit]]) -> str:
    """`docs/rules/precision.md`."""
    from bpfsmith import rules

    lines = sum(one.lines for one in here)
    kernel = sum(one.kernel for one in here)
    found = [one for some in by_rule.values() for one in some]
    counts = _verdicts(found)
    share = precision(counts)
    text = [
        "# How true the findings are",
        "",
        f"{len(here)} public projects that use Aya, {kernel} of them with a kernel side, {lines} lines of Rust. Every",
        f"finding on them, of rules in preview too, was looked through by hand: {len(found)} of {len(by_rule)} rules;",
        f"{counts['true']} true, {counts['arguable']} arguable, {counts['false']} false"
        + (f"; {counts['unjudged']} not judged." if counts["unjudged"] else "."),
        "",
        "*True* is a defect, a cost or a risk that is there as the message says it. *Arguable* is what is so, but was",
        "meant, or does no harm in that program. *False* is what is not so. Precision is true ÷ (true + false)"
        + (f": {share} % of all." if share is not None else "."),
        f"A rule below {ENOUGH} % is mended, or runs with `--preview` only.",
        "Findings that were false when a rule was written first, and were mended, are not counted: the rule's test has",
        "them as code that looks bad but is fine. So the figures are of this corpus, which shaped the rules; expect a",
        "little less on code that nobody has looked at.",
        "",
        "## Per rule",
        "",
        "| rule | findings | projects | true | arguable | false | precision |",
        "|---|---|---|---|---|---|---|",
    ]
    for code, some in by_rule.items():
        rule, told = rules.get(code), _verdicts(some)
        percent = precision(told)
        name = f"[{code}]({code}.md) {rule.name}" + (" (preview)" if rule.preview else "")
        text.append(
            f"| {name} | {len(some)} | {len({one.project for one in some})} | {told['true']} | {told['arguable']} "
            f"| {told['false']} | {'–' if percent is None else f'{percent} %'} |"
        )
    wrong = [one for one in found if one.verdict == "false"]
    if wrong:
        text += ["", "## False alarms", "", "| rule | project | place | why |", "|---|---|---|---|"]
        text += [f"| {one.code} | {one.project} | `{one.place}` | {one.said} |" for one in wrong]
    silent = [one.code for one in rules.listing() if one.kind == "source" and one.code not in by_rule]
    text += [
        "",
        "## Rules that never fired",
        "",
        f"{len(silent)} source rules have nothing to say about these projects: " + ", ".join(silent) + ".",
        "",
        "## The projects",
        "",
        "Of repositories only what a check reads was taken: manifests, the Aya family of lock files, the Rust files of",
        "the kernel side and those of the user side that use Aya.",
        "",
        "| project | version or commit | lines of Rust | kernel side | findings |",
        "|---|---|---|---|---|",
    ]
    per_project = Counter(one.project for one in found)
    for one in here:
        name = f"[{one.name}]({one.url})" if one.url else one.name
        side = "yes" if one.kernel else "no"
        text.append(f"| {name} | {one.version[:12]} | {one.lines} | {side} | {per_project[one.name]} |")
    text += [
        "",
        "## How to repeat it",
        "",
        "Put the projects into one folder: crates as `NAME-VERSION`, each repository with a file `SOURCE`: its URL and",
        "commit on one line. `./dev precision FOLDER` checks them all, compares with the judgements in",
        "`tests/data/precision.toml`, lists findings that nobody judged, and ends with 1 when there are any or a rule",
        "falls below the bar; `--write` writes this page and what `bpfsmith explain CODE` says about it.",
    ]
    return "\n".join(text) + "\n"


def _table(here: list[Project], by_rule: dict[str, list[Hit]]) -> str:
    """`src/bpfsmith/rules/_precision.py`."""
    rows = []
    for code, some in by_rule.items():
        told = _verdicts(some)
        where = len({one.project for one in some})
        rows.append(f'    "{code}": ({len(some)}, {where}, {told["arguable"]}, {told["false"]}),')
    return "\n".join(
        [
            '"""What each rule said about public projects; written by `./dev precision FOLDER --write`."""',
            "",
            f"PROJECTS = {len(here)}",
            f"LINES = {sum(one.lines for one in here)}",
            "# code: findings, projects they are in, arguable ones, false ones",
            "SEEN: dict[str, tuple[int, int, int, int]] = {",
            *rows,
            "}",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
