"""What `explain` and repair make of the case collection: figures for both halves, into docs/verifier/measured.md.

`verdict.py measure` explains every log again; `measure repair [NAME..|sample]` also repairs every case, or those, or a
third (most of a minute each; kept by what the case and the engine are); `measure show [NAME..]` prints what is wrong
and writes nothing. Of cases that are set aside only figures are ever printed.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tools/dev")]

import verdict  # noqa: E402
from verdict import Block, Case  # noqa: E402

PAGE = HERE.parents[1] / "docs/verifier/measured.md"
# Their cause is not in the program: an instruction is what helps.
ELSEWHERE = ("environment", "kernel-bug", "attach-target", "loader-or-metadata")
BARS = {"class": 95, "line": 90, "repair": 80}


class Row(NamedTuple):
    """What was said of one log. `how`: `log` or `object`; `there`: whether what was given has the right line at all."""

    name: str
    kernel: str
    how: str
    family: bool
    cls: bool
    line: bool
    ms: float
    said: str
    there: bool = True


def explained(case: Case, kernel: str, log: str, path: Path | None) -> Row:
    """One log, alone or with the object of its program."""
    import bpfsmith

    begin, how = time.perf_counter(), "object" if path else "log"
    try:
        report: Any = bpfsmith.explain(log.encode(), object=path) if path else bpfsmith.explain(log.encode())
    except bpfsmith.BpfsmithError as error:
        return Row(case.name, kernel, how, False, False, False, (time.perf_counter() - begin) * 1000, str(error)[:200])
    took = (time.perf_counter() - begin) * 1000
    rejected = [one.to_json() for one in report.programs if one.to_json()["verdict"] == "rejected"]
    if not rejected:
        return Row(case.name, kernel, how, False, False, False, took, "no rejection is found")
    found = rejected[0]
    cause, family = found["cause"], found["symptom"]["family"]
    block = case.rejected
    line = block is None or right_line(block, cause)
    said = f"{family} {cause['class']} {cause['confidence']} {cause['line'] or cause['text']}"
    right = family == case.family_on(kernel), cause["class"] == case.cls
    return Row(case.name, kernel, how, *right, line, took, said, path is not None or block is None or has(block, log))


def has(block: Block, log: str) -> bool:
    """Whether a log quotes one of the marked lines: of inlined functions kernels are often told the library's only."""
    lines = block.text.splitlines()
    return any(" ".join(lines[at - 1].split()) in " ".join(log.split()) for at in block.causes)


def right_line(block: Block, cause: dict[str, Any]) -> bool:
    """One of the marked lines: by its number, or by its text in logs of kernels that print no numbers."""
    if cause["line"] is not None:
        return cause["line"] in block.causes and Path(cause["path"] or "").name in ("main.rs", "block.c", "")
    lines = block.text.splitlines()
    text = " ".join((cause["text"] or "").split())
    return bool(text) and any(text == " ".join(lines[at - 1].split()) for at in block.causes)


def kernels_of(case: Case) -> list[str]:
    """Kernels that say what the case is about: where the fix is not taken, something else is wrong too."""
    assert case.rejected is not None
    accepted = case.accepted.kernels if case.accepted is not None else ()
    return [one for one in case.rejected.kernels if one in accepted]


def explain_all(chosen: Sequence[Case], kernels: Sequence[str]) -> list[Row]:
    """Every log, alone and with its object; made logs alone."""
    real = [one for one in chosen if not one.made]
    built = verdict.build(real)
    logs = _logs(real, built, kernels)
    out = []
    for one in chosen:
        if one.made:
            out.append(explained(one, "made", one.log, None))
            continue
        for kernel in kernels_of(one):
            if log := logs.get((one.name, kernel)):
                out.append(explained(one, kernel, log, None))
                out.append(explained(one, kernel, log, built.objects[one.name, "rejected"]))
    return out


def _logs(chosen: Sequence[Case], built: verdict.Built, kernels: Sequence[str]) -> dict[tuple[str, str], str]:
    """(case, kernel) -> the log of its rejection: kept by what the object is, as it is the same each time."""
    from shell import CACHE

    from bpfsmith.lab import store

    releases = {one.name: one.release for one in store.all()}
    folder = CACHE / "build/md-verdict-logs"

    def kept(case: Case, kernel: str) -> Path:
        data = built.objects[case.name, "rejected"].read_bytes()
        key = hashlib.sha256(data + repr((sorted(case.options.items()), sorted(case.flags))).encode()).hexdigest()[:32]
        return folder / releases[kernel] / f"{key}.log"

    mine = [one for one in chosen if (one.name, "rejected") in built.objects]
    lacking = [one for one in mine if not all(kept(one, kernel).exists() for kernel in kernels_of(one))]
    if lacking:
        wanted = [one._replace(accepted=None) for one in lacking]
        with tempfile.TemporaryDirectory() as place:
            answers = verdict.judge(wanted, built, kernels, Path(place))
        for one in lacking:
            for kernel, said in answers.get((one.name, "rejected"), {}).items():
                if said.verdict == "rejected":
                    file = kept(one, kernel)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(said.log, encoding="utf-8")
    return {
        (one.name, kernel): kept(one, kernel).read_text(encoding="utf-8")
        for one in mine
        for kernel in kernels_of(one)
        if kept(one, kernel).exists()
    }


# ------------------------------------------------------------ repair


def kept_at() -> Path:
    from shell import CACHE

    return Path(os.environ.get("BPFSMITH_VERDICT_REPAIRS") or CACHE / "build/md-verdict-repair")


def _engine() -> str:
    """A hash of what repairs depend on."""
    source = HERE.parents[1] / "src/bpfsmith"
    made = hashlib.sha256()
    for folder in ("repair", "verify/cause", "source"):
        for file in sorted((source / folder).rglob("*.py")):
            made.update(file.read_bytes())
    return made.hexdigest()[:16]


def project(case: Case, folder: Path) -> Path:
    """The case as a person has it: a Cargo package, or a C source. All Rust cases of a release are one package in turn,
    so that what they depend on is built once."""
    block = case.rejected
    assert block is not None
    text = verdict.rust_text(case, block) if case.language == "rust" else block.text
    version = case.options.get("aya-ebpf", "0.2.1")
    root = folder / (f"rust-{version}" if case.language == "rust" else case.name)
    if case.language == "rust":
        import crates

        head = '[package]\nname = "rejected"\nversion = "0.1.0"\nedition = "2024"\n'
        profile = '\n[profile.release]\ndebug = 2\ncodegen-units = 1\nlto = "fat"\n\n[workspace]\n'
        files = {"Cargo.toml": f"{head}\n[dependencies]\n{crates._EBPF[version]}{profile}", "src/main.rs": text}
    else:
        files = {"block.c": text}
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
    return root if case.language == "rust" else root / "block.c"


def repaired(case: Case, folder: Path) -> dict[str, Any]:
    """What repair makes of one case, asked of the oldest and the newest kernel that it is about."""
    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.repair import repair

    mine = kernels_of(case)
    kernels = list(dict.fromkeys([mine[0], mine[-1]]))
    begin = time.perf_counter()
    try:
        proofs = repair(project(case, folder / "src"), kernels, case.program, cache=str(folder / "kept"))
        out: dict[str, Any] = proofs[0].to_json() if proofs else {"applicability": "none", "why": "nothing is rejected"}
    except BpfsmithError as error:
        out = {"applicability": "error", "why": str(error)[:500]}
    return {**out, "seconds": round(time.perf_counter() - begin, 1)}


def repair_all(chosen: Sequence[Case], say: Callable[[str], None]) -> None:
    """Repairs each case whose cause is in the program, and keeps what came of it."""
    import bpf_toolchain

    os.environ.update(bpf_toolchain.env())
    folder, engine = kept_at(), _engine()
    folder.mkdir(parents=True, exist_ok=True)
    for one in chosen:
        if not _repairable(one) or not kernels_of(one):
            continue
        key, file = _key(one, engine), folder / f"{one.name}.json"
        if file.exists() and json.loads(file.read_text(encoding="utf-8")).get("key") == key:
            continue
        made = {**repaired(one, folder), "key": key}
        file.write_text(json.dumps(made, indent=1), encoding="utf-8")
        if not one.aside:
            words = [made["applicability"], made.get("shown") or "", made.get("message") or "", made.get("why") or ""]
            say(f"{one.name}: {' | '.join(word for word in words if word)[:220]} ({made['seconds']} s)")


def _key(case: Case, engine: str) -> str:
    assert case.rejected is not None
    return hashlib.sha256(f"{engine}\0{case.rejected.text}".encode()).hexdigest()[:16]


def _repairable(case: Case) -> bool:
    return not case.made and "unprivileged" not in case.flags and case.cls not in ELSEWHERE


def proofs_of(chosen: Iterable[Case]) -> dict[str, dict[str, Any]]:
    """What was kept of repairs by the engine as it is now, by case."""
    out, engine = {}, _engine()
    for one in chosen:
        file = kept_at() / f"{one.name}.json"
        if _repairable(one) and file.exists():
            made = json.loads(file.read_text(encoding="utf-8"))
            if made.get("key") == _key(one, engine):
                out[one.name] = made
    return out


# ------------------------------------------------------------ figures


class Figures(NamedTuple):
    """Of one half: per cent of logs right, and of cases that are right on every kernel they are about."""

    cases: int
    logs: int
    family: float
    cls: float
    cls_cases: float
    line: float
    line_cases: float
    line_there: float
    ms: float


def figures(rows: Sequence[Row]) -> Figures:
    names = sorted({one.name for one in rows})

    def logs(word: str) -> float:
        return 100 * sum(getattr(one, word) for one in rows) / max(1, len(rows))

    def whole(word: str) -> float:
        bad = {one.name for one in rows if not getattr(one, word)}
        return 100 * (len(names) - len(bad)) / max(1, len(names))

    ms = statistics.median([one.ms for one in rows] or [0])
    there = [one for one in rows if one.there]
    line_there = 100 * sum(one.line for one in there) / max(1, len(there))
    shares = logs("family"), logs("cls"), whole("cls"), logs("line"), whole("line"), line_there
    return Figures(len(names), len(rows), *shares, round(ms, 1))


def page(chosen: Sequence[Case], rows: Sequence[Row]) -> str:
    """docs/verifier/measured.md."""
    aside = {one.name for one in chosen if one.aside}
    kernels = ", ".join(sorted({one.kernel for one in rows if one.kernel != "made"}, key=verdict.KERNELS.index))
    rust, c = (sum(one.language == word for one in chosen) for word in ("rust", "c"))
    proofs = proofs_of(chosen)
    lines = [
        "# How often the cause is right",
        "",
        f"{len(chosen)} rejected programs ({rust} Rust with Aya, {c} C), each really rejected and its fix really "
        f"accepted ([the cases](../../tests/md/verdict/README.md)), explained from the logs of Linux {kernels}. "
        f"{len(aside)} of them were set aside when they were written: nobody who works on the engine has read those. "
        "Which class and which lines are right was written down before the engine was run.",
        "",
        "`python3 tests/md/verdict.py measure` writes this page. A case counts where it is right on every kernel that "
        "rejects it and accepts its fix; a log counts by itself.",
        "",
        "| given | half | cases | logs | family | class, logs | class, cases | line, logs | line, cases "
        "| line where it is told | median |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for how, title in (("log", "the log alone"), ("object", "log and object")):
        for half, word in ((False, "in view"), (True, "set aside"), (None, "all")):
            own = [one for one in rows if one.how == how and half in (None, one.name in aside)]
            f = figures(own)
            cells = [f"{value:.1f} %" for value in (f.family, f.cls, f.cls_cases, f.line, f.line_cases, f.line_there)]
            lines.append(f"| {title} | {word} | {f.cases} | {f.logs} | {' | '.join(cells)} | {f.ms} ms |")
    lines += [
        "",
        "The median is of one log inside a running process. *Line where it is told*: of the logs that quote the right "
        "line at all; of inlined functions the kernel is often told the library's line only, and an object, which has "
        "the chain of inlining, is what helps.",
        "",
    ]
    if proofs:
        wanted = [one for one in chosen if _repairable(one)]
        lines += [
            "## Fixes that are proved",
            "",
            "For cases whose cause lies in the program. Proved means: built by the project's own build, accepted by "
            "the oldest and the newest kernel the case is about, and shown to do nothing else: both ran and agreed, or "
            "the only new path is the failing branch of an added check, or the edit is of a kind that says the same in "
            "other words ([which](../guide/repair.md)). `verdict.py measure repair` tries them.",
            "",
            "| language | half | tried | proved | same output | only the failing branch | same work | unsafe |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for language in ("rust", "c"):
            for half, word in ((False, "in view"), (True, "set aside")):
                mine = [one for one in wanted if one.language == language and one.aside is half]
                told = [proofs[one.name] for one in mine if one.name in proofs]
                if not told:
                    continue
                proved = [one for one in told if one["applicability"] == "proved"]
                kinds = ("same-output", "only-failing-branch", "same-work")
                shown = " | ".join(str(sum(one["shown"] == kind for one in proved)) for kind in kinds)
                unsafe = sum(one["applicability"] == "unsafe" for one in told)
                share = f"{len(proved)} ({100 * len(proved) / len(told):.0f} %)"
                lines.append(f"| {language} | {word} | {len(told)} of {len(mine)} | {share} | {shown} | {unsafe} |")
        lines.append("")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """See the top of the file."""
    what = words[0] if words and words[0] in ("repair", "show") else ""
    names = words[1:] if what else words
    every = verdict.cases()
    if what == "repair":
        repair_all(verdict.sample(every) if names == ["sample"] else verdict.cases(names), print)
        if names:
            return 0
    chosen = verdict.cases(names) if what == "show" else every
    rows = explain_all(chosen, verdict.prepared())
    aside = {one.name for one in chosen if one.aside}
    by_name = {one.name: one for one in chosen}
    if what == "show":
        for row in rows:
            if row.name not in aside and not (row.family and row.cls and row.line):
                wrong = ", ".join(word for word in ("family", "cls", "line") if not getattr(row, word))
                case = by_name[row.name]
                wanted = f"{case.family_on(row.kernel)} {case.cls} {case.rejected.causes if case.rejected else ()}"
                print(f"{row.name} {row.kernel} {row.how}: {wrong}: {row.said}; {wanted}")
    for how in ("log", "object"):
        for half in (False, True):
            own = [one for one in rows if one.how == how and (one.name in aside) is half]
            print(
                how, "aside" if half else "in view", " ".join(f"{k}={v:.4g}" for k, v in figures(own)._asdict().items())
            )
    if what != "show":
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(every, rows), encoding="utf-8")
    return 0
