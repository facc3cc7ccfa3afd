"""`check --fix --prove`: what kernels reject is repaired, and the repair becomes the fix of a finding."""

from __future__ import annotations

import os

from bpfsmith.model.errors import BpfsmithError, InputError
from bpfsmith.model.finding import Evidence, Finding, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from bpfsmith.check.report import Report
    from bpfsmith.repair.report import Proof

__all__ = ["Repairs", "folders_of", "outside"]


class Repairs:
    """The repairs of what `paths` stand for, searched for once. `kernels`: as for `verify`."""

    def __init__(self, paths: Iterable[str], kernels: Any, say: Callable[[str], None] = lambda _: None) -> None:
        self._paths = list(paths)
        self._kernels = kernels
        self._say = say
        self.repaired: set[str] = set()  # programs with a fix that has been made
        self.roots: list[str] = []
        self._proofs: list[Proof] = []
        self._whole: list[str] = []  # what was repaired as a folder
        self._failed: list[BpfsmithError] = []

    def into(self, report: Report) -> Report:
        """The report with a finding for each program that is rejected, and its fix."""
        findings: list[Finding] = []
        self.roots = folders_of(self._paths)
        for path in self._sources():
            if (refused := outside(path, self.roots)) is not None:
                self._failed.append(refused)
                continue
            try:
                from bpfsmith.repair import repair

                proofs = repair(path, self._kernels, say=self._say)
            except BpfsmithError as error:
                self._failed.append(error)
                continue
            findings += [_finding(one) for one in proofs]
            self._proofs += proofs
            self._whole.append(path)
        if report.sources is not None:
            for root in self.roots:
                report.sources.add_root(root)
        report.findings = tuple(sorted([*report.findings, *findings], key=lambda one: one.sort_key()))
        report.errors = self._errors(report)
        return report

    def _errors(self, report: Report) -> tuple[BpfsmithError, ...]:
        """The errors without those that speak of missing objects where sources were built and judged instead."""
        roots = {os.path.abspath(path) for path in self._whole}
        return tuple(
            one for one in report.errors
            if not (one.message.startswith("no eBPF object and no") and os.path.abspath(one.where or ".") in roots)
        )  # fmt: skip

    def _reasons(self, done: set[str | None], *, unsafe: bool) -> list[str]:
        """Why the others are left, a line each."""
        out = []
        for one in self._proofs:
            if one.program in done:
                continue
            if one.proved:
                said = "its fix does not go with another one: run it again"
            elif one.fix.edits and not unsafe:
                said = f"there is a change (`--unsafe-fixes` writes it), {one.why}"
            else:
                said = one.why
            out.append(f"`{one.program}` is left as it is: {said}")
        return out

    def left(self, report: Report, mended: Iterable[Finding], *, unsafe: bool, diff: bool) -> Report:
        """The last report without the verdicts on builds from before the repair, and with a reason for each program
        that is left; with `diff`, which prints no notes, the reasons are said."""
        done = {one.program for one in mended if one.code == "CHK006"}
        made = {one.program: one for one in self._proofs if one.program in done}
        report.findings = tuple(
            one for one in report.findings
            if one.code != "CHK006" or one.program not in made or set(one.kernels) & set(made[one.program].still)
        )  # fmt: skip
        report.loads = tuple(
            one for one in report.loads if not any(name and one.startswith(f"{name}: ") for name in done)
        )
        report.errors = (*self._errors(report), *self._failed)
        reasons = self._reasons(done, unsafe=unsafe)
        if diff:
            for one in reasons:
                self._say(one)
        report.notes = (*report.notes, *reasons)
        if made:
            said = [repaired(one, diff=diff) for one in sorted(made.values(), key=lambda one: one.program)]
            if diff:
                for sentence in said:
                    self._say(sentence)
            else:
                said[-1] += "; what is built is older: build again"
            report.notes = (*report.notes, *said)
        return report

    def _sources(self) -> list[str]:
        """The projects and C files behind the paths, each once."""
        from bpfsmith.repair.explained import behind

        out: dict[str, None] = {}
        for path in self._paths:
            if os.path.isdir(path):
                from bpfsmith.check.inputs import resolve

                try:
                    inputs = resolve(path)
                except BpfsmithError:
                    out[path] = None  # a folder of C sources, or said by the check itself
                    continue
                for one in inputs:
                    if one.project is not None:
                        out[one.project.root] = None
                    for name in one.objects:
                        out.update(dict.fromkeys(behind(name)))
            else:
                out.update(dict.fromkeys(behind(path)))
        return list(out)


def repaired(proof: Proof, *, diff: bool = False) -> str:
    """A sentence about a change that was made: who accepts the program with it, and who rejects it still. `diff`: it
    was not made yet."""
    said = f"`{proof.program}` {'would be' if diff else 'is'} "
    said += f"repaired for {', '.join(proof.kernels)}" if proof.kernels else "changed"
    for kernel, message in proof.still.items():
        said += f"; {kernel} rejects it still: {message}"
    return said


def folders_of(paths: Iterable[str]) -> list[str]:
    """The folders that a call's paths allow to write to: those it names, those of the files it names, and the Cargo
    projects that these lie in."""
    from bpfsmith.source.project import find_project

    out: dict[str, None] = {}
    for path in paths:
        folder = os.path.realpath(path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)))
        out[folder] = None
        try:
            project = find_project(folder)
        except BpfsmithError:
            continue  # said where it is met
        if project is not None:
            out[project.root] = None
    return list(out)


def outside(path: str, folders: Iterable[str]) -> InputError | None:
    """Why what lies at `path` is not to be repaired; None when it lies in one of the folders."""
    real = os.path.realpath(path)
    if any(f"{real}{os.sep}".startswith(os.path.join(os.path.realpath(one), "")) for one in folders):
        return None
    folder = real if os.path.isdir(real) else os.path.dirname(real)
    return InputError(
        f"`{os.path.basename(real)}` is not repaired: it lies outside of what was given",
        where=real,
        hint=f"an object was built from it: give its folder too (`{folder}`), or build the object from other sources",
    )


def _finding(proof: Proof) -> Finding:
    """One rejected program: CHK006 with what repair made of it."""
    kernels = ", ".join(proof.refused)
    place = Span(proof.place[0], proof.place[1]) if proof.place is not None else None
    if place is None and proof.fix.edits:
        place = proof.fix.edits[0].span
    evidence = [Evidence("kernel", f"{kernels}: {proof.message}")]
    if proof.kernels:
        taken = "accepts" if len(proof.kernels) == 1 else "accept"
        evidence.append(Evidence("kernel", f"{', '.join(proof.kernels)} {taken} it with the fix"))
    for name, message in proof.still.items():
        evidence.append(Evidence("kernel", f"{name} rejects it with the fix too: {message}"))
    evidence.append(Evidence("repair", proof.why))
    return Finding(
        "CHK006",
        "rejected-by-kernel",
        "error",
        f"{kernels}: the verifier rejects `{proof.program}`: {proof.headline or proof.message}",
        place,
        object=proof.object,
        program=proof.program,
        evidence=evidence,
        fixes=[proof.fix],
        kernels=[one for one in proof.refused if one[:1].isdigit() and "-" not in one],
    )
