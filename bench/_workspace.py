"""A Cargo workspace of any size, made of real Aya code: the example's three crates over and over, each with the tests'
good and fine programs beside it as further binaries (those of user space several to a file, as modules)."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from _measure import CACHE, ROOT

sys.path.insert(0, str(ROOT / "tests/md"))

EXAMPLE = ROOT / "examples/packet-counter"
PER_FILE = 150  # lines; what public Aya projects have on average
USER, KERNEL = "0.14.0", "0.2.1"  # the releases of the example

_MEMBER = '[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n\n[dependencies]\n'
_USER = """\
anyhow = "1"
aya = { version = "=0.14.0" }
aya-log = "=0.3.0"
aya-obj = "=0.3.0"
clap = { version = "4.5", features = ["derive"] }
libc = "0.2"
num_cpus = "1"
signal-hook = "0.3"
"""
_KERNEL = 'aya-ebpf = "=0.2.1"\naya-log-ebpf = "=0.2.0"\nnetwork-types = "=0.0.7"\n'
_COMMON = 'aya = { version = "=0.14.0", optional = true }\n\n[features]\nuser = ["dep:aya"]\n'
_BUILD_RS = """\
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    for name in ["packet-counter", "counter"] {
        std::fs::write(std::path::Path::new(&out).join(name), b"").unwrap();
    }
}
"""


def _programs() -> dict[str, list[str]]:
    """Side -> whole programs that compile with the example's releases and need no other file."""
    from crates import blocks
    from harness import cases

    found: dict[str, list[str]] = {"user": [], "ebpf": []}
    every = [case for page in sorted((ROOT / "tests/md/source").glob("*.md")) for case in cases(page)]
    for block in blocks(case for case in every if case.kind != "bad"):
        plain = not (block.more or block.common or block.fails or block.skipped or "include_" in block.text)
        if plain and block.edition == "2024" and block.version == {"user": USER, "ebpf": KERNEL}[block.side]:
            found[block.side].append(block.text)
    found["user"] = _joined(found["user"])
    found["ebpf"] = _merged(found["ebpf"])
    for path in sorted((ROOT / "examples/toolbox").glob("*/src/main.rs")):
        found["ebpf"].append(path.read_text("utf-8"))
    return found


def _joined(programs: list[str]) -> list[str]:
    """Programs as modules of longer ones."""
    out: list[str] = []
    modules: list[str] = []
    for text in programs:
        if "crate::" in text or "extern crate" in text:
            continue
        modules.append(f"mod part{len(modules)} {{\n{text}}}\n")
        if sum(one.count("\n") for one in modules) >= PER_FILE:
            out.append("".join(["#![allow(dead_code, unused)]\n", *modules, "fn main() {}\n"]))
            modules = []
    return out


def _merged(programs: list[str]) -> list[str]:
    """Kernel programs of one file each put together as modules, as long as no name is taken twice."""
    out: list[str] = []
    open_: list[tuple[list[str], set[str]]] = []
    for text in programs:
        inner = "".join(line for line in text.splitlines(True) if not line.startswith("#!["))
        inner = _PANIC.sub("", inner)
        if any(word in inner for word in ("panic_handler", "crate::", "extern crate", "mod ", "LICENSE")):
            out.append(text)
            continue
        names = set(_NAMES.findall(inner))
        found = next((one for one in open_ if not one[1] & names), None)
        if found is None:
            found = ([], set())
            open_.append(found)
        parts, taken = found
        parts.append(f"mod part{len(parts)} {{\n{inner}}}\n")
        taken |= names
        if sum(one.count("\n") for one in parts) >= PER_FILE:
            open_.remove((parts, taken))
            out.append(_HEAD + "".join(parts))
    return out + [_HEAD + "".join(parts) for parts, _ in open_]


_HEAD = """\
#![no_std]
#![no_main]
#![allow(dead_code, unused)]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
"""
_PANIC = re.compile(r"^(#\[cfg\(not\(test\)\)\]\n)?#\[panic_handler\]\nfn .*\n?(    .*\n)*\}?\n", re.MULTILINE)
_NAMES = re.compile(r"\b(?:static|fn)\s+(?:mut\s+)?(\w+)")


def make(lines: int, name: str) -> Path:
    """A workspace with at least this many lines of Rust, in the user's cache."""
    folder = CACHE / name
    shutil.rmtree(folder, ignore_errors=True)
    programs = _programs()
    written = number = 0

    def put(path: str, text: str) -> None:
        nonlocal written
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        written += text.count("\n") if path.endswith(".rs") else 0

    def example(crate: str, of: str) -> None:
        for file in sorted((EXAMPLE / f"packet-counter{crate}/src").glob("*.rs")):
            text = file.read_text("utf-8").replace("packet_counter_common", f"{of}_common")
            put(f"{of}{crate}/src/{file.name}", text)

    while written < lines:
        one = f"tool{number:03}"
        number += 1
        common = f'{one}-common = {{ path = "../{one}-common" }}\n'
        put(f"{one}-common/Cargo.toml", _MEMBER.format(name=f"{one}-common") + _COMMON)
        example("-common", one)
        put(f"{one}-ebpf/Cargo.toml", _MEMBER.format(name=f"{one}-ebpf") + _KERNEL + common)
        example("-ebpf", one)
        user = common.replace(" }", ', features = ["user"] }')
        put(f"{one}/Cargo.toml", _MEMBER.format(name=one) + _USER + user)
        put(f"{one}/build.rs", _BUILD_RS)
        example("", one)
        for side, crate in (("user", one), ("ebpf", f"{one}-ebpf")):
            for at, text in enumerate(programs[side]):
                if written >= lines:
                    break
                put(f"{crate}/src/bin/{one}_{side}_{at:03}.rs", text)
    put("Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["tool*"]\n[profile.dev]\npanic = "abort"\n')
    shutil.copyfile(EXAMPLE / "Cargo.lock", folder / "Cargo.lock")
    return folder


if __name__ == "__main__":
    print(make(int(sys.argv[1]), sys.argv[2]))
