"""Compiles the Rust blocks of Markdown pages, many at a time: one small workspace for the user side and one for the
kernel side, a member for each set of releases and edition, a binary for each block, `cargo check` over all.

Blocks are files as they stand; what a snippet lacks to be one (attributes and a panic handler, or a `main`) is put
around it. Words of the info string:

* `fails=E0599`: the compiler must refuse the block with this error (or one with these words); without it the block
  must compile.
* `compile=no reason="..."`: never compiled. Blocks for releases that need a newer compiler (`TOO_NEW`) need no word.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from harness import Case

# Their `rust-version` is 1.98.
TOO_NEW = ("0.15.0", "0.16.0")
_USER = {
    "0.11.0": 'aya = "=0.11.0"\n',
    "0.12.0": 'aya = "=0.12.0"\naya-obj = "=0.1.0"\n',
    "0.13.1": 'aya = { version = "=0.13.1", features = ["async_tokio"] }\naya-log = "=0.2.1"\naya-obj = "=0.2.1"\n',
    "0.14.0": 'aya = "=0.14.0"\naya-log = "=0.3.0"\naya-obj = "=0.3.0"\n',
}
# With a compiler of `TOO_NEW` (`tools/dev/new_rust.py`), in `./dev test --full`.
NEW_USER = {
    "0.15.0": 'aya = "=0.15.0"\naya-obj = "=0.5.0"\n',
    "0.16.0": 'aya = "=0.16.0"\naya-log = "=0.4.0"\naya-obj = "=0.6.0"\n',
}
_USER_ALL = 'anyhow = "1"\nlibc = "0.2"\nnum_cpus = "1"\n'
_EBPF = {
    "0.1.1": 'aya-ebpf = "=0.1.1"\naya-log-ebpf = "=0.1.0"\nnetwork-types = "=0.0.7"\n',
    "0.2.1": 'aya-ebpf = "=0.2.1"\naya-log-ebpf = "=0.2.0"\nnetwork-types = "=0.0.7"\n',
    "0.3.0": 'aya-ebpf = "=0.3.0"\naya-log-ebpf = "=0.3.0"\nnetwork-types = "=0.0.7"\n',
}
_BUILD_RS = """\
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    for name in ["counter", "demo"] {
        std::fs::write(std::path::Path::new(&out).join(name), b"").unwrap();
    }
}
"""
_PANIC = "\n#[panic_handler]\nfn panic(_info: &core::panic::PanicInfo) -> ! {\n    loop {}\n}\n"
_INCLUDED = re.compile(r'include_bytes(?:_aligned)?!\("([^"]+)"\)')


class Block(NamedTuple):
    """One file to compile. `name` is unique and a crate's name, `more` the files
    beside it, `fails` the error it must be refused with."""

    name: str
    place: str
    side: str
    version: str
    edition: str
    text: str
    more: tuple[tuple[str, str], ...]
    common: str
    fails: str
    skipped: str

    @property
    def member(self) -> str:
        own = f"_{self.name}" if self.common else ""
        return f"{self.side}_{self.version.replace('.', '_')}_{self.edition}{own}"


def blocks(cases: Iterable[Case]) -> list[Block]:
    """Every Rust file of the cases but `common` crates, which go with the kernel crate that names them."""
    out = []
    for case in cases:
        for path, text in case.files.items():
            side = path.split("/", 1)[0]
            if not path.endswith("src/main.rs") or side not in ("user", "ebpf"):
                continue
            package = "aya" if side == "user" else "aya-ebpf"
            version = _locked(case, package) or case.options.get(package) or ("0.14.0" if side == "user" else "0.2.1")
            skipped = ""
            if case.options.get("compile") == "no":
                skipped = case.options.get("reason", "")
                assert skipped, f"{case.file}:{case.line}: `compile=no` wants a reason"
            elif version in TOO_NEW:
                skipped = f"{package} {version} needs rustc 1.98"
            elif version not in (_USER if side == "user" else _EBPF):
                skipped = f"{package} {version} cannot be had"  # yanked, or a git revision
            own = side == case.options.get("crate", "ebpf")
            out.append(
                Block(
                    name=f"{case.code}_{case.kind}_{case.line}_{side}".lower(),
                    place=f"{case.file.name}:{case.line} ({case.kind}, {side})",
                    side=side,
                    version=version,
                    edition=case.options.get("edition", "2024"),
                    text=text,
                    more=tuple(
                        (other.removeprefix(f"{side}/src/"), content)
                        for other, content in case.files.items()
                        if other.startswith(f"{side}/src/") and other != path
                    ),
                    common=case.files.get("common/src/lib.rs", ""),
                    fails=case.options.get("fails", "") if own else "",
                    skipped=skipped,
                )
            )
    return out


def snippets(page: Path) -> list[Block]:
    """The `rust` blocks of a page of prose, framed where they are no whole file."""
    out = []
    fence = re.compile(r"^```rust[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    whole = page.read_text(encoding="utf-8")
    for match in fence.finditer(whole):
        text, line = match[1], whole.count("\n", 0, match.start()) + 1
        side = "ebpf" if re.search(r"\baya_(log_)?ebpf\b", text) else "user"
        if side == "ebpf" and "#![no_std]" not in text:
            text = "#![no_std]\n#![no_main]\n#![allow(dead_code)]\n" + text + _PANIC
        if side == "user" and "fn main(" not in text:
            text = "#![allow(dead_code)]\n" + text + "\nfn main() {}\n"
        out.append(
            Block(
                name=re.sub(r"\W", "_", f"{page.stem}_{line}_{side}").lower(),
                place=f"{page.name}:{line} ({side})",
                side=side,
                version="0.14.0" if side == "user" else "0.2.1",
                edition="2024",
                text=text,
                more=(),
                common="",
                fails="",
                skipped="",
            )
        )
    return out


def _locked(case: Case, package: str) -> str:
    """The version that the case's own lock file has, if there is just one."""
    rows = tomllib.loads(case.files.get("Cargo.lock", "")).get("package", [])
    found = {row["version"] for row in rows if row["name"] == package}
    return found.pop() if len(found) == 1 else ""


def check(folder: Path, side: str, wanted: list[Block], command: list[str], env: dict[str, str]) -> list[str]:
    """Writes and checks one side's workspace; what is not as the blocks say, one line each.

    Files that are already as wanted are left alone, so that Cargo need not compile them again.
    """
    rows = [block for block in wanted if block.side == side and not block.skipped]
    keep: set[Path] = set()

    def put(path: str, text: str) -> None:
        file = folder / path
        keep.add(file)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    members = {block.member: block for block in rows}
    put("Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["*_[0-9]*"]\n')
    for name, block in members.items():
        releases = _USER[block.version] + _USER_ALL if side == "user" else _EBPF[block.version]
        common = f'demo-common = {{ path = "common", package = "common-{name}" }}\n' if block.common else ""
        head = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "{block.edition}"\n'
        put(f"{name}/Cargo.toml", f"{head}\n[dependencies]\n{releases}{common}")
        if side == "user":
            put(f"{name}/build.rs", _BUILD_RS)
        if block.common:
            put(
                f"{name}/common/Cargo.toml",
                f'[package]\nname = "common-{name}"\nversion = "0.1.0"\nedition = "{block.edition}"\n',
            )
            put(f"{name}/common/src/lib.rs", block.common)
    for block in rows:
        base = f"{block.member}/src/bin/{block.name}"
        put(f"{base}/main.rs", block.text)
        for path, text in block.more:
            put(f"{base}/{path}", text)
        for included in _INCLUDED.findall(block.text):
            put(os.path.normpath(f"{base}/{included}"), "")
    for file in folder.glob("*_[0-9]*/**/*.rs"):
        if file not in keep:
            file.unlink()
    for manifest in folder.glob("*/Cargo.toml"):
        if manifest not in keep:
            manifest.unlink()
    done = subprocess.run(
        [*command, "check", "--workspace", "--bins", "--keep-going", "--message-format=json", "--ignore-rust-version"],
        cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return _compare(rows, done.stdout, done.stderr)


def _compare(rows: list[Block], stdout: str, stderr: str) -> list[str]:
    """What the compiler said against what was written."""
    errors: dict[str, list[tuple[str, str]]] = {}
    seen = set()
    for line in stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        name = message.get("target", {}).get("name", "")
        if message.get("reason") == "compiler-artifact":
            seen.add(name)
        elif message.get("reason") == "compiler-message" and message["message"]["level"] == "error":
            seen.add(name)
            code = (message["message"]["code"] or {}).get("code", "")
            errors.setdefault(name, []).append((code, message["message"]["message"]))
    if not seen:
        return [f"nothing was compiled: {stderr[-4000:]}"]
    out = []
    for block in rows:
        said = errors.get(block.name, [])
        if block.name not in seen:
            out.append(f"{block.place}: not compiled: {stderr[-500:]}")
        elif block.fails and not any(block.fails == code or block.fails in text for code, text in said):
            out.append(f"{block.place}: {block.fails} expected, the compiler says {said or 'nothing'}")
        elif said and not block.fails:
            out.append(f"{block.place}: " + "; ".join(f"{code} {text}" for code, text in said))
    return out
