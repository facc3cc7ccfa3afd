"""The case collection of rejected programs in `verdict/`: read, built, judged by real kernels, recorded, measured.

    verdict.py list                  what there is, by family
    verdict.py write [NAME..]        builds, asks the kernels, writes what they said into the cases
    verdict.py check [NAME..]        builds, asks the kernels, says what is not as written
    verdict.py logs FOLDER [NAME..]  whole logs (FOLDER/KERNEL/NAME.log) and objects (FOLDER/obj); never of `aside/`
    verdict.py measure               what `explain` and repair make of the cases, into docs/verifier/measured.md

`--language rust|c`, `--kernels 5.10,6.12` narrow all but `list`. The format of a case: `verdict/README.md`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tools/dev")]

FOLDER, KERNELS = HERE / "verdict", ("5.10", "6.1", "6.12", "6.18", "7.3")
CLASSES = (
    "missing-null-check", "missing-bounds-check", "check-on-copy", "check-lost", "check-wrong", "stale-pointer",
    "pointer-to-scalar", "pointer-arithmetic", "uninitialised", "unreleased-reference", "stack-limit",
    "context-access", "argument-type", "return-range", "panic-or-unreachable", "no-progress-loop", "complexity",
    "environment", "attach-target", "loader-or-metadata", "verifier-imprecision", "kernel-bug", "unknown",
)  # fmt: skip
_MARK = re.compile(r"[ \t]*//~[ \t]*(cause|symptom)\b[^\n]*")
_FENCE = re.compile(r"^```(rust|c|messages|log)\b[ \t]*(.*)$")
_WORDS = {"family", "class", "language", "program", "aya-ebpf", "shape", "attach", "license", "kernels"}
_FLAGS = {"unprivileged", "made"}
_NUMBERS = re.compile(r"0x[0-9a-f]+|-?\d+")


class Block(NamedTuple):
    """A program of a case. `kind`: `rejected` or `accepted`; `kernels`: those that do; `text`: what is built, markers
    cut off; `causes`, `symptoms`: lines of it; `line`: of the fence in the page."""

    kind: str
    language: str
    kernels: tuple[str, ...]
    text: str
    causes: tuple[int, ...]
    symptoms: tuple[int, ...]
    options: dict[str, str]
    line: int


class Case(NamedTuple):
    """A rejected program, what is wrong with it, and the fix a person would make. `log`: of a made case."""

    file: Path
    title: str
    why: str
    options: dict[str, str]
    flags: frozenset[str]
    rejected: Block | None
    accepted: Block | None
    messages: dict[str, str]
    log: str

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def aside(self) -> bool:
        return self.file.parent.name == "aside"

    @property
    def family(self) -> str:
        return self.options["family"].partition(",")[0]

    def family_on(self, kernel: str) -> str:
        """That of the message of one kernel: `V08,V09@7.3` is V08 but on 7.3."""
        own = dict(reversed(one.split("@")) for one in self.options["family"].split(",")[1:])
        return own.get(kernel, self.family)

    @property
    def cls(self) -> str:
        return self.options["class"]

    @property
    def language(self) -> str:
        return self.options["language"]

    @property
    def program(self) -> str:
        return self.options["program"]

    @property
    def kernels(self) -> tuple[str, ...]:
        """Those that can show it: others lack what the program needs, and reject it for that."""
        told = self.options.get("kernels", "")
        return tuple(told.split(",")) if told else KERNELS

    @property
    def made(self) -> bool:
        return "made" in self.flags

    @property
    def blocks(self) -> list[Block]:
        return [one for one in (self.rejected, self.accepted) if one is not None]


class Wrong(Exception):
    """A case that is not written as one."""


def cases(names: Iterable[str] = (), language: str = "") -> list[Case]:
    """All cases, or those named (`*` is allowed), in the order of their names. Raises `Wrong`."""
    from fnmatch import fnmatchcase

    wanted = list(names)
    files = sorted([*FOLDER.glob("*.md"), *FOLDER.glob("aside/*.md")], key=lambda one: one.stem)
    found = [
        case(one)
        for one in files
        if one.stem != "README" and (not wanted or any(fnmatchcase(one.stem, word) for word in wanted))
    ]
    return [one for one in found if language in ("", one.language)]


def case(file: Path) -> Case:
    """One page as a case. Raises `Wrong` with the place."""
    lines = file.read_text(encoding="utf-8").splitlines()
    title, prose, told = "", [], ""
    blocks: dict[str, Block] = {}
    messages: dict[str, str] = {}
    log = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        fence = _FENCE.match(line)
        if fence is None:
            if line.startswith("# ") and not title:
                title = line[2:].strip()
            elif line.startswith("family=") and not told:
                told = line
            elif line.strip():
                prose.append(line.strip())
            at += 1
            continue
        end = next((one for one in range(at + 1, len(lines)) if lines[one].rstrip() == "```"), None)
        if end is None:
            raise Wrong(f"{file.name}:{at + 1}: the block does not end")
        inside = lines[at + 1 : end]
        if fence[1] == "messages":
            messages = _messages(file, at + 2, inside)
        elif fence[1] == "log":
            log = "\n".join(inside) + "\n"
        else:
            block = _block(file, at + 1, fence[1], fence[2], inside)
            if block.kind in blocks:
                raise Wrong(f"{file.name}:{at + 1}: a second `{block.kind}` block")
            blocks[block.kind] = block
        at = end + 1
    words = shlex.split(told)
    options = dict(word.split("=", 1) for word in words if "=" in word)
    flags = frozenset(word for word in words if "=" not in word)
    made = Case(
        file, title, " ".join(prose), options, flags, blocks.get("rejected"), blocks.get("accepted"), messages, log
    )
    _check(made)
    return made


def _block(file: Path, at: int, language: str, head: str, inside: list[str]) -> Block:
    options, kind = {}, ""
    for word in shlex.split(head):
        name, _, value = word.partition("=")
        if name in ("rejected", "accepted"):
            kind, options["kernels"] = name, value
        else:
            options[name] = value
    if not kind:
        raise Wrong(f"{file.name}:{at}: a block is `rejected` or `accepted`")
    kernels = tuple(one for one in options.pop("kernels").split(",") if one)
    marks: dict[str, list[int]] = {"cause": [], "symptom": []}
    for number, line in enumerate(inside, 1):
        for word in _MARK.findall(line):
            marks[word].append(number)
    text = _MARK.sub("", "\n".join(inside) + "\n")
    return Block(kind, language, kernels, text, tuple(marks["cause"]), tuple(marks["symptom"]), options, at)


def _messages(file: Path, at: int, inside: list[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for number, line in enumerate(inside, at):
        kernels, _, text = line.partition(" ")
        for one in kernels.split(","):
            if one not in KERNELS or not text:
                raise Wrong(f"{file.name}:{number}: a line is `KERNEL[,KERNEL] message`")
            out[one] = text
    return out


def _check(case: Case) -> None:
    """Raises `Wrong` for what no case may be."""
    name = case.file.name
    for word in ("family", "class", "language", "program"):
        if not case.options.get(word):
            raise Wrong(f"{name}: `{word}=` is missing")
    if unknown := (set(case.options) - _WORDS) | (case.flags - _FLAGS):
        raise Wrong(f"{name}: unknown word {sorted(unknown)[0]!r}")
    if case.cls not in CLASSES:
        raise Wrong(f"{name}: there is no class {case.cls!r}")
    if not re.fullmatch(r"V\d\d(,V\d\d@[\d.]+)*", case.options["family"]) or case.language not in ("rust", "c"):
        raise Wrong(f"{name}: family V01..V99, language rust or c")
    if not case.title or not case.why:
        raise Wrong(f"{name}: a title says what is wrong, a sentence why")
    if case.made != bool(case.log):
        raise Wrong(f"{name}: `made` and a `log` block go together")
    if not case.made and (case.rejected is None or case.accepted is None):
        raise Wrong(f"{name}: a `rejected` and an `accepted` block are needed")
    if case.rejected is not None and not case.rejected.causes:
        raise Wrong(f"{name}: no line is marked `//~ cause`")
    if case.accepted is not None and case.accepted.causes:
        raise Wrong(f"{name}: a cause in the accepted block")
    if any(one.language != case.language for one in case.blocks):
        raise Wrong(f"{name}: a block of another language")


def sample(rows: Sequence[Case]) -> list[Case]:
    """A third of the cases, the same every time, of each language and class."""
    from thirds import third

    return third(rows, lambda one: (one.language, one.cls))


# ------------------------------------------------------------ building


class Built(NamedTuple):
    """(case, kind) -> its object, or what the compiler said where there is none."""

    objects: dict[tuple[str, str], Path]
    errors: dict[tuple[str, str], str]


def build(chosen: Sequence[Case], folder: Path | None = None) -> Built:
    """Builds both blocks of each case; what is built already stays."""
    from shell import CACHE

    folder = folder or CACHE / "build/md-verdict"
    out = Built({}, {})
    rust = [(one, block) for one in chosen for block in one.blocks if one.language == "rust" and not one.made]
    if rust:
        _build_rust(rust, folder / "rust", out)
    for one in chosen:
        if one.language == "c" and not one.made:
            for block in one.blocks:
                _build_c(one, block, folder / "c", out)
    return out


_RUST_END = {
    "license": """
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE_OF_THE_CASE: [u8; 13] = *b"Dual MIT/GPL\\0";
""",
    "panic_handler": """
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
""",
}


def binary(case: Case, block: Block) -> str:
    """The name of the crate's binary that a Rust block becomes."""
    return re.sub(r"\W", "_", f"{case.name}_{block.kind}").lower()


def rust_text(case: Case, block: Block) -> str:
    """A block as it is built: what it lacks to be a whole program stands after it, so that lines stay."""
    text = block.text
    for word, end in _RUST_END.items():
        if word not in text.lower() and not (word == "license" and case.options.get("license") == "no"):
            text += end
    return text


def _build_rust(rust: list[tuple[Case, Block]], folder: Path, out: Built) -> None:
    import bpf_toolchain
    import crates
    import proofs
    from shell import CACHE

    def made(case: Case, block: Block) -> crates.Block:
        text = rust_text(case, block)
        if case.options.get("license") == "no":
            text += "// no license\n"  # whoever writes the files looks for the word
        version = case.options.get("aya-ebpf", "0.2.1")
        place = f"{case.file.name}:{block.line}"
        return crates.Block(binary(case, block), place, "ebpf", version, "2024", text, (), "", "", "")

    # The workspace has every case, so that asking for a few does not throw away the rest.
    every = [made(one, block) for one in cases(language="rust") if not one.made for block in one.blocks]
    proofs._sweep(folder, proofs._workspace(folder, every, {}))
    target = Path(os.environ.get("BPFSMITH_VERDICT_TARGET") or CACHE / "build/md-verdict-target")
    env = {
        **os.environ, **bpf_toolchain.env(), "CARGO_TARGET_DIR": str(target), "CARGO_BUILD_TARGET": proofs._TARGET,
        "CARGO_INCREMENTAL": "0",
    }  # fmt: skip
    said = proofs._cargo(folder, env, [word for one, block in rust for word in ("--bin", binary(one, block))])
    for one, block in rust:
        name, key = binary(one, block), (one.name, block.kind)
        path = target / proofs._TARGET / "release" / name
        if name in said:
            out.errors[key] = said[name]
        elif path.exists():
            out.objects[key] = path
        else:
            out.errors[key] = said.get("", "not built")


def _build_c(case: Case, block: Block, folder: Path, out: Built) -> None:
    import compiler
    import harness

    options = {**block.options, **({"license": "no"} if case.options.get("license") == "no" else {})}
    made = harness.Case(case.file, block.line, block.kind, "c", options)
    made.files["block.c"] = block.text
    own = folder / binary(case, block)
    own.mkdir(parents=True, exist_ok=True)
    try:
        out.objects[case.name, block.kind] = compiler.compile_case(made, own)
    except AssertionError as error:
        out.errors[case.name, block.kind] = str(error)


# ------------------------------------------------------------ verdicts


class Said(NamedTuple):
    """What one kernel said of one block."""

    verdict: str
    reason: str
    message: str
    log: str


Answers = dict[tuple[str, str], dict[str, Said]]


def judge(chosen: Sequence[Case], built: Built, kernels: Sequence[str], folder: Path) -> Answers:
    """(case, kind) -> kernel -> what it said, with the whole log."""
    folder.mkdir(parents=True, exist_ok=True)
    out: Answers = {}
    groups: dict[tuple[str, str, str], list[tuple[Case, str]]] = {}
    for one in chosen:
        for block in one.blocks:
            if (one.name, block.kind) in built.objects:
                attach = one.options.get("attach", "")
                how = "unprivileged" if "unprivileged" in one.flags else one.language
                groups.setdefault((how, one.program if attach else "", attach), []).append((one, block.kind))
    for (how, program, attach), rows in groups.items():
        paths = {}
        for one, kind in rows:
            path = folder / f"{one.name}.{kind}.o"
            shutil.copyfile(built.objects[one.name, kind], path)
            paths[str(path)] = (one, kind)
        if how == "unprivileged":
            import unprivileged

            for kernel, path, said in unprivileged.judge(list(paths), kernels):
                one, kind = paths[path]
                if said["program"] == one.program:
                    row = Said(said["verdict"], said["reason"], said["message"], said["log"])
                    out.setdefault((one.name, kind), {})[kernel] = row
            continue
        _ask(how, paths, kernels, {program: attach} if attach else None, out)
    return out


def _ask(
    how: str, paths: dict[str, tuple[Case, str]], kernels: Sequence[str], attach: dict[str, str] | None, out: Answers
) -> None:
    import bpfsmith

    loader = "aya" if how == "rust" else None
    report: Any = bpfsmith.verify(list(paths), kernels=list(kernels), loader=loader, attach_to=attach, log=True)
    for row in report.programs:
        one, kind = paths[row.object]
        if row.program == one.program:
            for cell in row.results:
                said = Said(cell.verdict, cell.reason or "", cell.message or "", cell.log or "")
                out.setdefault((one.name, kind), {})[cell.kernel] = said


def prepared(full: bool = True) -> list[str]:
    """Kernels of the lab that can be asked; without `full` the oldest and one in the middle. Never the running one:
    what verifiers reject is also what they fall over, and a guest that crashes is only a guest."""
    from bpfsmith.lab import store

    here = {one.name for one in store.all()}
    return [one for one in (KERNELS if full else ("5.10", "6.12")) if one in here]


def wrong(chosen: Sequence[Case], built: Built, answers: Answers) -> list[str]:
    """What is not as the cases say: one line each."""
    out = []
    for one in chosen:
        for block in one.blocks:
            key = (one.name, block.kind)
            if key in built.errors:
                out.append(f"{one.name}: the `{block.kind}` block is not built: {built.errors[key][-1500:]}")
                continue
            for kernel, said in answers.get(key, {}).items():
                if kernel in one.kernels:
                    out += _compare(one, block, kernel, said)
    return out


def _compare(case: Case, block: Block, kernel: str, said: Said) -> list[str]:
    named = kernel in block.kernels
    if (said.verdict == block.kind) != named:
        what = f"{said.verdict} {said.reason}".strip()
        return [f"{case.name}: {kernel} {what} the `{block.kind}` block: {said.message[:300]}"]
    if named and block.kind == "rejected":
        wanted = case.messages.get(kernel, "")
        if shape(wanted) != shape(said.message):
            return [f"{case.name}: {kernel} says {said.message[:300]!r}, not {wanted!r}"]
    return []


def shape(message: str) -> str:
    """A message without its numbers: another compiler takes other registers and offsets."""
    return _NUMBERS.sub("#", " ".join(message.split()))


def missing(chosen: Iterable[Case]) -> list[str]:
    """Cases whose kernels or messages were never recorded, or of which nothing is shown."""
    out = []
    for one in chosen:
        if one.made:
            continue
        assert one.rejected is not None
        assert one.accepted is not None
        if not one.rejected.kernels or not one.accepted.kernels:
            out.append(f"{one.name}: no kernel is named; `verdict.py write {one.name}` records them")
        elif not set(one.rejected.kernels) & set(one.accepted.kernels):
            out.append(f"{one.name}: no kernel rejects the one and accepts the other")
        if set(one.messages) != set(one.rejected.kernels):
            out.append(f"{one.name}: messages of other kernels than those that reject it")
    return out


# ------------------------------------------------------------ recording


def record(case: Case, answers: Answers, kernels: Sequence[str]) -> None:
    """Writes what was seen into the page: kernels of both blocks and the messages. What kernels that were not asked
    say stays."""
    text = case.file.read_text(encoding="utf-8")
    for block in case.blocks:
        seen = answers.get((case.name, block.kind), {})
        named = [
            one
            for one in case.kernels
            if (seen[one].verdict == block.kind if one in seen else one in block.kernels and one not in kernels)
        ]
        head = re.compile(rf"^(```{block.language} (?:.* )?{block.kind})(=\S*)?", re.MULTILINE)
        text = head.sub(lambda match, named=named: match[1] + (f"={','.join(named)}" if named else ""), text, count=1)
        if block.kind == "rejected":
            said = {one: " ".join(seen[one].message.split()) if one in seen else case.messages[one] for one in named}
            text = _with_messages(text, said)
    if text != case.file.read_text(encoding="utf-8"):
        case.file.write_text(text, encoding="utf-8")


def _with_messages(text: str, said: dict[str, str]) -> str:
    grouped: dict[str, list[str]] = {}
    for kernel, message in said.items():
        grouped.setdefault(message, []).append(kernel)
    lines = "".join(f"{','.join(kernels)} {message}\n" for message, kernels in grouped.items())
    made = f"```messages\n{lines}```\n"
    if "```messages\n" in text:
        return re.sub(r"^```messages\n.*?^```\n", lambda _: made, text, count=1, flags=re.MULTILINE | re.DOTALL)
    at = re.search(r"^```\w+ (?:\S+ )*accepted", text, re.MULTILINE)
    assert at is not None
    return f"{text[: at.start()]}{made}\n{text[at.start() :]}"


def keep(chosen: Sequence[Case], built: Built, answers: Answers, folder: Path) -> int:
    """Whole logs and objects of rejected blocks, for whoever works on the engine: none of those set aside."""
    count = 0
    for one in chosen:
        if one.aside:
            continue
        if one.made:
            (folder / "made").mkdir(parents=True, exist_ok=True)
            (folder / f"made/{one.name}.log").write_text(one.log, encoding="utf-8")
            continue
        path = built.objects.get((one.name, "rejected"))
        if path is not None:
            (folder / "obj").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / f"obj/{one.name}.o")
        for kernel, said in answers.get((one.name, "rejected"), {}).items():
            if said.verdict == "rejected" and kernel in one.kernels:
                (folder / kernel).mkdir(parents=True, exist_ok=True)
                (folder / kernel / f"{one.name}.log").write_text(said.log, encoding="utf-8")
                count += 1
    return count


# ------------------------------------------------------------ the command


def table(rows: Sequence[Case]) -> str:
    """Families by language and half, as lines."""
    count = Counter((one.family, one.language, one.aside) for one in rows)
    out = ["family  rust (aside)  c (aside)"]
    for family in sorted({one.family for one in rows}):
        cells = []
        for language in ("rust", "c"):
            view, aside = count[family, language, False], count[family, language, True]
            cells.append(f"{view + aside:4} ({aside})")
        out.append(f"{family}    " + "     ".join(cells))
    halves = Counter((one.language, one.aside) for one in rows)
    return "\n".join([*out, ", ".join(f"{n} {word}{' aside' if a else ''}" for (word, a), n in sorted(halves.items()))])


def main(words: list[str]) -> int:
    import argparse
    import tempfile

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=["list", "write", "check", "logs", "measure"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--language", choices=["rust", "c"], default="")
    parser.add_argument("--kernels", default="")
    options = parser.parse_args(words)
    if options.what == "measure":
        import verdict_measure

        return verdict_measure.main(options.names)
    if options.what == "logs" and not options.names:
        parser.error("logs: name a folder")
    folder = Path(options.names.pop(0)) if options.what == "logs" else None
    chosen = cases(options.names, options.language)
    if options.what == "list":
        print(table(chosen))
        print("\n".join(missing(chosen)))
        return 0
    kernels = options.kernels.split(",") if options.kernels else prepared()
    built = build(chosen)
    with tempfile.TemporaryDirectory() as place:
        answers = judge(chosen, built, kernels, Path(place))
    for (name, kind), said in built.errors.items():
        print(f"{name} {kind}: {said[-3000:]}")
    if options.what == "write":
        for one in chosen:
            for block in one.blocks:
                seen = answers.get((one.name, block.kind), {})
                rows = " | ".join(f"{k} {s.verdict[:3]} {s.reason} {s.message[:110]}" for k, s in seen.items())
                print(f"{one.name} {block.kind}: {rows}")
            if (one.name, "rejected") in answers:
                record(one, answers, kernels)
        told = missing(cases(options.names, options.language))
    elif folder is not None:
        print(f"{keep(chosen, built, answers, folder)} logs in {folder}")
        told = []
    else:
        told = wrong(chosen, built, answers)
    print("\n".join(told))
    return 1 if told or built.errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
