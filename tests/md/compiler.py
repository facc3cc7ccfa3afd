"""Compiles the C blocks of the Markdown tests; an object is kept in the cache under the hash of all that made it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from harness import Case

_LICENSE = 'char _license[] __attribute__((section("license"), used)) = "GPL";\n'


@cache
def clangs() -> list:
    from toolchain import clangs as found

    return found()


def pick(case: Case) -> object | None:
    """The newest clang, if it is new enough for the case."""
    wanted = int(case.options.get("clang", "0"))
    found = [one for one in clangs() if one.major >= wanted]
    return found[-1] if found else None


def compile_case(case: Case, folder: Path) -> Path:
    """Writes `block.c` into the folder and the object beside it. Raises `AssertionError` with the compiler's words."""
    clang = pick(case)
    assert clang is not None
    text = case.files["block.c"]
    if "license" not in text and case.options.get("license") != "no":
        text += _LICENSE
    (folder / "block.c").write_text(text, encoding="utf-8")
    flags = [
        f"--target={case.options.get('target', 'bpf')}",
        f"-mcpu={case.options.get('mcpu', 'v3')}",
        case.options.get("opt", "-O2"),
        "-fdebug-compilation-dir=.",  # the object is used in another folder the next time
        "-Wall",
        "-Wno-unused-function",
        "-Wno-unused-variable",
        "-Wno-unused-value",
        *([] if case.options.get("debug") == "no" else ["-g"]),
        *(f"-I{path}" for path in _includes()),
        *([] if "#include" in text else ["-include", "linux/bpf.h", "-include", "bpf/bpf_helpers.h"]),
    ]
    key = hashlib.sha256("\0".join([clang.version, *flags, text]).encode()).hexdigest()[:32]
    kept = _cache() / f"{key}.o"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        out = kept.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [clang.path, *flags, "-c", "block.c", "-o", out],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{case.file}:{case.line}: clang {clang.version} refuses the block:\n{done.stderr}"
        out.rename(kept)
    shutil.copyfile(kept, folder / "block.o")
    return folder / "block.o"


_RUST_END = """\
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\\0";
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
"""


def compile_rust_case(case: Case, folder: Path) -> Path:
    """The same for a Rust block that is a whole crate without dependencies: `block.rs`, linked by bpf-linker."""
    import bpf_toolchain

    rust, linker = bpf_toolchain.find(), bpf_toolchain.linker()
    assert rust is not None and linker is not None
    text = case.files["block.rs"] + _RUST_END
    (folder / "block.rs").write_text(text, encoding="utf-8")
    flags = [
        "--edition=2024",
        f"--target={case.options.get('target', 'bpfel')}-unknown-none",
        "--crate-type=cdylib",
        f"-Copt-level={case.options.get('opt', '3')}",
        "-Cdebuginfo=2",
        "-Cpanic=abort",
        "-Clto=fat",
        "-Clink-arg=--btf",
        f"--remap-path-prefix={folder}=.",
    ]
    version = subprocess.run([rust.rustc, "-vV"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256("\0".join([version, *flags[:-1], text]).encode()).hexdigest()[:32]
    kept = _cache() / f"{key}.o"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [rust.rustc, *flags, f"-Clinker={linker}", "block.rs", "-o", "built.o"],
            cwd=folder,
            env={**os.environ, **bpf_toolchain.env()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{case.file}:{case.line}: rustc refuses the block:\n{done.stderr}"
        shutil.move(folder / "built.o", kept)
    shutil.copyfile(kept, folder / "block.o")
    return folder / "block.o"


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "bpfsmith" / "md"


@cache
def _includes() -> list[str]:
    # Debian keeps asm/types.h below the machine's own triplet, which a bpf target does not search.
    return [str(path) for path in sorted(Path("/usr/include").glob("*-linux-gnu")) if (path / "asm").is_dir()]
