"""Claims of the rules' tests about what happens after compiling, shown by doing it.

A `bad` block with `proof=PHASE:"words"` claims what is seen when its program is linked, loaded, verified, attached or
run. Kernel-side programs are built by the BPF toolchain, a binary each in one workspace, and judged by
`bpfsmith.verify`, or loaded by Aya itself. User-side programs are built with their release of Aya and run, each in
namespaces of its own. `proofs.py write` writes the figures of the claims into docs/rules/proved.md, `proofs.py check`
compares.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import crates
from harness import Case, cases
from thirds import third

HERE = Path(__file__).resolve().parent
PAGES = sorted((HERE / "source").glob("*.md"))
PHASES = ("link", "load", "verify", "attach", "silent")
KERNELS = ("host", "5.10", "6.12")
LIMIT = 10  # seconds for a user-side program; those that wait for ever end here
_TARGET = "bpfel-unknown-none"
_LICENSE = """
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE_OF_THE_PROOF: [u8; 13] = *b"Dual MIT/GPL\\0";
"""
# bpf-linker takes ten times as long over what rustc has not merged.
_PROFILE = {
    "ebpf": '\n[profile.release]\ndebug = 2\ncodegen-units = 1\nlto = "fat"\n',
    "user": "\n[profile.release]\nopt-level = 0\ndebug = false\nincremental = true\n",
}
_OBJECT = re.compile(r'concat!\(env!\("OUT_DIR"\), "/\w+"\)')
_NOTHING = re.compile(r"(?<=load\()&\[\](?=\))")


class Claim(NamedTuple):
    """One `proof=`; `shown` is how it can be: `link`, `verify`, `aya` (loaded), `run` (user side), `test` (a test of
    its own), or empty with the reason in `why`."""

    case: Case
    phase: str
    words: str
    shown: str
    why: str = ""

    @property
    def place(self) -> str:
        return f"{self.case.file.name}:{self.case.line}"

    @property
    def side(self) -> str:
        return self.case.options.get("crate", "ebpf")


def claims(pages: Iterable[Path] = PAGES) -> list[Claim]:
    """Every claim, page by page."""
    tests = shown_by_tests()
    out = []
    for page in pages:
        found = cases(page)
        first = next((case for case in found if case.kind == "bad"), None)
        for case in found:
            if "proof" in case.options:
                phase, _, words = case.options["proof"].partition(":")
                out.append(_claim(case, phase, words, tests if case is first else {}))
    return out


def _claim(case: Case, phase: str, words: str, tests: dict[str, str]) -> Claim:
    side = case.options.get("crate", "ebpf")
    own = next(block for block in crates.blocks([case]) if block.side == side)
    if case.options.get("run") == "no":
        return Claim(case, phase, words, "", case.options["reason"])
    if phase == "silent":
        return Claim(case, phase, words, "test" if case.code in tests else "", "no test runs it yet")
    if own.skipped:
        return Claim(case, phase, words, "", own.skipped)
    if side == "user":
        return Claim(case, phase, words, "run")
    return Claim(case, phase, words, "aya" if phase == "load" else phase)


def shown_by_tests() -> dict[str, str]:
    """Code -> the test of `test_silent.py` that shows it: its name starts with the code."""
    text = (HERE / "test_silent.py").read_text(encoding="utf-8") if (HERE / "test_silent.py").exists() else ""
    return {match[1].upper(): match[0][4:] for match in re.finditer(r"def test_(aya\d{3})\w*", text)}


def generic() -> crates.Block:
    """The kernel side of user-side blocks that name none."""
    text = (HERE / "proof/generic.rs").read_text(encoding="utf-8")
    return crates.Block("generic_ebpf", "generic.rs", "ebpf", "0.2.1", "2024", text, (), "", "", "")


def sample(rows: list[Claim]) -> list[Claim]:
    """A third of the claims, the same every time, of each phase and side."""
    return third(rows, lambda row: (row.phase, row.side))


# ------------------------------------------------------------ kernel side


class Built(NamedTuple):
    """Block name -> its object, or what the compiler and the linker said where there is none."""

    objects: dict[str, Path]
    errors: dict[str, str]


def kernel_blocks(rows: Iterable[Claim]) -> list[crates.Block]:
    """The kernel-side blocks of claims: their own, those of the other side's partner, and the page's `good` and `fine`
    twins of claims about kernel code."""
    wanted = {}
    for row in rows:
        for case in [row.case, *(twins(row) if row.side == "ebpf" else ())]:
            for block in crates.blocks([case]):
                if block.side == "ebpf" and not block.skipped and not block.fails:
                    wanted[block.name] = block
    return list(wanted.values())


def twins(row: Claim) -> list[Case]:
    """The page's `good` and `fine` blocks of the claim's side, up to the next `bad` one of another claim."""
    side = row.side
    return [one for one in cases(row.case.file) if one.kind != "bad" and one.options.get("crate", "ebpf") == side]


def build_kernel_side(folder: Path, blocks: list[crates.Block], env: dict[str, str]) -> Built:
    """Builds every block as one binary; what is already built stays."""
    keep = _workspace(folder, blocks, {})
    _sweep(folder, keep)
    env = {**env, "CARGO_BUILD_TARGET": _TARGET}
    said = _cargo(folder, env)
    objects, errors = {}, {}
    for block in blocks:
        path = Path(env["CARGO_TARGET_DIR"]) / _TARGET / "release" / block.name
        if block.name in said:
            errors[block.name] = said[block.name]
        elif path.exists():
            objects[block.name] = path
        else:
            errors[block.name] = said.get("", "not built")
    return Built(objects, errors)


def _workspace(folder: Path, blocks: list[crates.Block], texts: dict[str, str]) -> set[Path]:
    keep: set[Path] = set()

    def put(path: str, text: str) -> None:
        file = folder / path
        keep.add(file)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    put("Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["*_[0-9]*"]\n' + _PROFILE[blocks[0].side])
    for name, block in {block.member: block for block in blocks}.items():
        kernel = block.side == "ebpf"
        releases = crates._EBPF[block.version] if kernel else crates._USER[block.version] + crates._USER_ALL
        common = f'demo-common = {{ path = "common", package = "common-{name}" }}\n' if block.common else ""
        head = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "{block.edition}"\n'
        put(f"{name}/Cargo.toml", f"{head}\n[dependencies]\n{releases}{common}")
        if block.common:
            head = f'[package]\nname = "common-{name}"\nversion = "0.1.0"\nedition = "{block.edition}"\n'
            put(f"{name}/common/Cargo.toml", head)
            put(f"{name}/common/src/lib.rs", block.common)
    for block in blocks:
        base = f"{block.member}/src/bin/{block.name}"
        text = texts.get(block.name, block.text)
        if block.side == "ebpf" and "license" not in text.lower():
            text += _LICENSE
        put(f"{base}/main.rs", text)
        for path, more in block.more:
            put(f"{base}/{path}", more)
    return keep


def _sweep(folder: Path, keep: set[Path]) -> None:
    for pattern in ("*_[0-9]*/**/*.rs", "*/Cargo.toml"):
        for file in folder.glob(pattern):
            if file not in keep:
                file.unlink()
    for binary in folder.glob("*_[0-9]*/src/bin/*"):
        if not any(binary.rglob("*.rs")):
            shutil.rmtree(binary)


def _cargo(folder: Path, env: dict[str, str], which: Sequence[str] = ("--workspace", "--bins")) -> dict[str, str]:
    """Builds all, or what `which` says; name of a binary -> the errors about it."""
    words = ["build", "--release", *which, "--keep-going", "--message-format=json"]
    done = subprocess.run(
        [env["CARGO"], *words, "--ignore-rust-version"], cwd=folder, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    out: dict[str, str] = {"": done.stderr[-2000:]}
    for line in done.stdout.splitlines():
        row = json.loads(line) if line.startswith("{") else {}
        if row.get("reason") == "compiler-message" and row["message"]["level"] == "error":
            name = row["target"]["name"]
            out[name] = out.get(name, "") + row["message"]["rendered"]
    return out


class Verdict(NamedTuple):
    """What one kernel said of one program."""

    kernel: str
    program: str
    verdict: str
    reason: str
    text: str


def judge(objects: dict[str, Path], kernels: Iterable[str], folder: Path) -> dict[str, list[Verdict]]:
    """The verdicts of all kernels on all objects, in one go."""
    import bpfsmith

    folder.mkdir(parents=True, exist_ok=True)
    for name, path in objects.items():
        shutil.copyfile(path, folder / f"{name}.o")
    paths = [folder / f"{name}.o" for name in objects]
    report: Any = bpfsmith.verify(paths, kernels=list(kernels), loader="aya")
    out: dict[str, list[Verdict]] = {name: [] for name in objects}
    for row in report.programs:
        for one in row.results:
            text = f"{one.message}\n{one.log or ''}"
            out[Path(row.object).stem].append(Verdict(one.kernel, row.program, one.verdict, one.reason or "", text))
    return out


def wrong_verdicts(rows: Iterable[Claim], built: Built, verdicts: dict[str, list[Verdict]]) -> list[str]:
    """Claims of `link` and `verify` that are not so, and twins that are not accepted: one line each."""
    out = []
    for row in rows:
        name = next(block.name for block in crates.blocks([row.case]) if block.side == "ebpf")
        if row.phase == "link":
            said = built.errors.get(name, "")
            if row.words not in said:
                out.append(f"{row.place}: the linker does not say {row.words!r}: {said[-600:] or 'it links'}")
            continue
        rejected = [one for one in verdicts.get(name, ()) if one.verdict == "rejected"]
        if on := row.case.options.get("on"):
            rejected = [one for one in rejected if one.kernel == on]
        if not any(row.words in one.text for one in rejected):
            seen = built.errors.get(name) or "; ".join(f"{o.kernel} {o.program} {o.text[-200:]}" for o in rejected)
            out.append(f"{row.place}: no kernel says {row.words!r}: {seen[-1200:] or 'all accept it'}")
    return out


def wrong_twins(rows: Iterable[Claim], built: Built, verdicts: dict[str, list[Verdict]]) -> list[str]:
    """`good` and `fine` blocks that do not link, or that a kernel which knows their type rejects."""
    out: dict[str, str] = {}
    for row in rows:
        if row.side != "ebpf":
            continue
        for case in twins(row):
            for block in crates.blocks([case]):
                if block.side != "ebpf" or block.skipped or block.fails or case.options.get("run") == "no":
                    continue
                if block.name in built.errors:
                    out[block.name] = f"{block.place}: {built.errors[block.name][-600:]}"
                for one in verdicts.get(block.name, ()):
                    if one.verdict == "rejected" and _asked(case, one.kernel):
                        out[block.name] = f"{block.place}: {one.kernel} rejects {one.program}: {one.text[-400:]}"
    return list(out.values())


def _asked(case: Case, kernel: str) -> bool:
    """Whether the block speaks of this kernel."""
    wanted = case.options.get("kernels", "")
    if not wanted:
        return True
    number = tuple(map(int, (os.uname().release if kernel == "host" else kernel).split(".")[:2]))
    low, _, high = wanted.partition("..")
    first = tuple(map(int, low.split("."))) if low else (0,)
    last = tuple(map(int, high.split("."))) if high else (first if ".." not in wanted else (99,))
    return first <= number <= last


# ------------------------------------------------------------ user side


class Ran(NamedTuple):
    """What one user-side program left."""

    code: int
    said: str


def run_user_side(folder: Path, rows: Iterable[Claim], built: Built, env: dict[str, str]) -> dict[str, Ran]:
    """Builds and runs the user-side blocks of claims; place of a claim -> what was seen."""
    rows = list(rows)
    blocks: list[crates.Block] = []
    texts: dict[str, str] = {}
    runs: dict[str, tuple[str, list[str]]] = {}
    for row in rows:
        pair = {block.side: block for block in crates.blocks([row.case])}
        if "user" not in pair:
            objects = built.objects.get(pair["ebpf"].name)
            runs[row.place] = ("proof_load", [str(objects or "")])
            continue
        block = pair["user"]
        kernel = built.objects.get(pair["ebpf"].name) if "ebpf" in pair else built.objects[generic().name]
        bytes_of = f'"{kernel}"'
        text = _NOTHING.sub(f"aya::include_bytes_aligned!({bytes_of})", block.text)
        texts[block.name] = _OBJECT.sub(bytes_of, text)
        blocks.append(block)
        runs[row.place] = (block.name, [])
    loader = (HERE / "proof/load.rs").read_text(encoding="utf-8")
    made = crates.Block("proof_load", "load.rs", "user", "0.14.0", "2024", loader, (), "", "", "")
    _sweep(folder, _workspace(folder, [*blocks, made], texts))
    errors = _cargo(folder, env)
    binaries = Path(env["CARGO_TARGET_DIR"]) / "release"
    out: dict[str, Ran] = {}
    for place, (name, words) in runs.items():
        if name in errors or not (binaries / name).exists():
            out[place] = Ran(-1, errors.get(name, errors[""]))
        else:
            out[place] = _isolated([str(binaries / name), *words])
    return out


def _isolated(command: list[str]) -> Ran:
    """Runs a program in network and mount namespaces of its own, with `lo` up and a bpffs, in an empty folder that has
    a folder `pins`."""
    script = 'ip link set lo up; mount -t bpf bpf /sys/fs/bpf; exec "$@"'
    words = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *command]
    env = {**os.environ, "RUST_BACKTRACE": "0"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pins").mkdir()
        try:
            done = subprocess.run(
                ["timeout", "-k", "1", str(LIMIT), *words], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, check=False, timeout=LIMIT + 5,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Ran(124, "it did not end")
    return Ran(done.returncode, done.stdout + done.stderr)


def wrong_runs(rows: Iterable[Claim], ran: dict[str, Ran]) -> list[str]:
    """Claims of `load` and `attach` that are not so: one line each."""
    out = []
    for row in rows:
        code, said = ran[row.place]
        if code in (0, -1) or row.words not in said:
            out.append(f"{row.place}: exit {code}, {row.words!r} expected: {said[-800:]}")
    return out


# ------------------------------------------------------------ figures

PAGE = HERE.parents[1] / "docs/rules/proved.md"
_HOW = {"link": "by the linker", "verify": "by verifiers", "aya": "by a program that is run",
        "run": "by a program that is run", "test": "by a program that is run"}  # fmt: skip


def page() -> str:
    """docs/rules/proved.md."""
    rows = claims()
    lines = [
        "# What was really seen",
        "",
        "Made by `python3 tests/md/proofs.py write`; not to be edited.",
        "",
        "Each rule's tests hold programs that have its mistake. Where the compiler does not refuse them, a block says",
        "what is seen when it is linked, loaded, verified, attached or run (`proof=` in `tests/md/source`). These",
        "claims are tried on the running kernel and on kernels of the lab: in each run all that are shown of the",
        "silent ones (`test_silent.py`) and a third of the others, always the same ones (`test_proved.py`);",
        "everything with `./dev test --full`. A block counts as shown when it was itself built and run.",
        "",
        "| phase | claims | shown | not run |",
        "|---|---|---|---|",
    ]
    for phase in PHASES:
        own = [row for row in rows if row.phase == phase]
        shown = sum(bool(row.shown) for row in own)
        lines.append(f"| {phase} | {len(own)} | {shown} | {len(own) - shown} |")
    ways = Counter(_HOW[row.shown] for row in rows if row.shown)
    lines += ["", "Shown " + ", ".join(f"{way}: {count}" for way, count in sorted(ways.items())) + "."]
    more = sorted(set(shown_by_tests()) - {row.case.code for row in rows if row.shown == "test"})
    if more:
        lines += ["", f"Shown besides, without a claim in a block: {', '.join(more)}."]
    lines += ["", "Not run, so only compiled, and why:", "", "| claims | why | rules |", "|---|---|---|"]
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if not row.shown:
            reasons.setdefault(row.why, []).append(row.case.code)
    for why, codes in sorted(reasons.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {len(codes)} | {why} | {', '.join(dict.fromkeys(codes))} |")
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> int:
    text = page()
    if words == ["write"]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if words == ["check"]:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        print("" if same else f"{PAGE} is not as the tests are: run `python3 tests/md/proofs.py write`", end="\n")
        return 0 if same else 1
    print("proofs.py write | check")
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
