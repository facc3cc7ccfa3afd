"""Old projects (`tests/fixtures/migrate`), migrated and built: before, where the registry has what they want; after.

    python tests/md/migrations.py           writes the table of `docs/guide/migrate.md`

Each is built as in its time, but with the compilers of this machine: a `rustup` of our own stands in for the one that
aya-build calls, and leaves out `-Z build-std`, for which Debian's prebuilt `core` stands.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures/migrate"
PAGE = ROOT / "docs/guide/migrate.md"
_BEGIN, _END = "<!-- built: tests/md/migrations.py -->", "<!-- end -->"
TARGETS = ("0.12", "0.13", "0.14", "0.15", "0.16")
# These want a newer compiler: `./dev test --full`.
NEW = ("0.15", "0.16")


class Old(NamedTuple):
    """One project. `pins` are requirements that lead to the releases of its time, `locked` what only a lock file
    held in place, `ebpf` its kernel crate, which has a
    workspace of its own unless a build script compiles it; `objects` what the loader includes."""

    name: str
    since: str
    about: str
    pins: tuple[tuple[str, str, str], ...]
    locked: tuple[tuple[str, str, str], ...]
    ebpf: str
    objects: tuple[str, ...]
    kernel_before: bool
    targets: tuple[str, ...]


PROJECTS = (
    Old(
        "port-guard",
        "0.11",
        "XDP, 2022: `aya-bpf` from the repository, `xtask`",
        (
            ("port-guard/Cargo.toml", '">=0.11"', '"=0.11.0"'),
            ("port-guard-common/Cargo.toml", '">=0.11"', '"=0.11.0"'),
            ("port-guard/Cargo.toml", 'aya-log = "0.1"', 'aya-log = "=0.1.13"'),
        ),
        (),
        "port-guard-ebpf",
        ("target/bpfel-unknown-none/debug/port-guard",),
        False,
        ("0.12", "0.13", "0.14", "0.16"),
    ),
    Old(
        "exec-watch",
        "0.12",
        "tracepoint, kretprobe, uprobe, cgroup, early 2024: perf event arrays in tasks",
        (
            ("Cargo.toml", 'aya-log = "0.2"', 'aya-log = "=0.2.0"'),
            ("exec-watch-ebpf/Cargo.toml", 'aya-ebpf = "0.1.0"', 'aya-ebpf = "=0.1.0"'),
        ),
        (
            (".", "aya-log-common", "0.1.14"),
            ("exec-watch-ebpf", "aya-ebpf-macros", "0.1.0"),
            ("exec-watch-ebpf", "aya-ebpf-bindings", "0.1.0"),
        ),
        "exec-watch-ebpf",
        ("target/bpfel-unknown-none/release/exec-watch",),
        True,
        ("0.13", "0.14", "0.16"),
    ),
    Old(
        "mark-traffic",
        "0.13",
        "tc and LSM, late 2024: `aya-build` in a build script, inherited dependencies",
        (("Cargo.toml", 'aya-build = { version = "0.1.2"', 'aya-build = { version = "=0.1.2"'),),
        (),
        "",
        (),
        True,
        ("0.14", "0.16"),
    ),
)


def copy(old: Old, folder: Path) -> Path:
    """The project as it was, with the releases of its time."""
    place = folder / old.name
    shutil.copytree(FIXTURES / old.name, place, ignore=shutil.ignore_patterns("*.diff"))
    for path, before, after in old.pins:
        file = place / path
        text = file.read_text(encoding="utf-8")
        assert before in text, f"{path} has no {before}"
        file.write_text(text.replace(before, after), encoding="utf-8")
    for path in old.objects:
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).touch()
    return place


def by_hand(old: Old, to: str, place: Path) -> bool:
    """Makes the decisions that a person made for this target; False when there were none to make."""
    patch = FIXTURES / old.name / f"by-hand-{to}.diff"
    if not patch.exists():
        return False
    _run(["git", "apply", str(patch)], place, dict(os.environ))
    return True


class Bench:
    """The compilers: `user` and `kernel` are environments for cargo, `cargo` the program."""

    def __init__(self, folder: Path, to: str = "") -> None:
        sys.path.insert(0, str(ROOT / "tools/dev"))
        import bpf_toolchain
        import rust
        from shell import CACHE

        own = bpf_toolchain.env()
        host = rust.for_host()
        compiler = host.env
        self.cargo = str(host.cargo)
        if to in NEW:
            import new_rust

            new_rust.install()
            compiler = new_rust.env()
        self.kernel_cargo = own["CARGO"]
        target = CACHE / "build" / f"migrate{'-new' if to in NEW else ''}"
        shims = folder / "bin"
        shims.mkdir(exist_ok=True)
        shim = shims / "cargo"  # aya-build 0.1.2 asks for `cargo +nightly build`
        shim.write_text(_CARGO.format(shims=shims, cargo=self.cargo), encoding="utf-8")
        shim.chmod(0o755)
        shim = shims / "rustup"
        words = " ".join(f"{name}='{value}'" for name, value in own.items() if name in ("RUSTC", "RUSTC_BOOTSTRAP"))
        shim.write_text(_RUSTUP.format(words=words, cargo=self.kernel_cargo), encoding="utf-8")
        shim.chmod(0o755)
        path = f"{shims}{os.pathsep}{own['PATH']}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CARGO_", "RUST"))}
        self.user = {**clean, **compiler, "CARGO_TARGET_DIR": str(target / "user"), "PATH": path}
        self.kernel = {**clean, **own, "CARGO_TARGET_DIR": str(target / "ebpf"), "PATH": path}

    def build(self, old: Old, place: Path) -> None:
        """Both sides; the kernel side first, as the loader includes it."""
        if old.ebpf:
            self.build_kernel(old, place)
        self.build_user(place)

    def build_kernel(self, old: Old, place: Path) -> None:
        command = [self.kernel_cargo, "build", "--release", "--target", "bpfel-unknown-none", "--ignore-rust-version"]
        # From outside, so that its `.cargo/config.toml` does not ask for `-Z build-std`.
        _run([*command, "--manifest-path", str(place / old.ebpf / "Cargo.toml")], place.parent, self.kernel)

    def build_user(self, place: Path) -> None:
        _run([self.cargo, "check", "--workspace"] if not (place / "mark-traffic-ebpf").exists() else
             [self.cargo, "check"], place, self.user)  # fmt: skip

    def lock(self, old: Old, place: Path) -> None:
        """What the lock file of that time held."""
        for folder, package, version in old.locked:
            _run([self.cargo, "update", "-p", package, "--precise", version], place / folder, self.user)

    def next(self, commands: tuple[str, ...], place: Path) -> None:
        """The commands a migration ends with, but for the last ones, which build."""
        for command in commands:
            words = command.partition("  #")[0]
            if " update " in words:
                _run(["sh", "-c", words.replace("cargo ", f"'{self.cargo}' ", 1)], place, self.user)


_RUSTUP = """\
#!/bin/sh
# rustup run TOOLCHAIN PROGRAM WORDS..
program=$3
shift 3
[ "$program" = cargo ] || exec env {words} "$(dirname '{cargo}')/$program" "$@"
count=$#
while [ "$count" -gt 0 ]; do
    word=$1
    shift
    count=$((count - 1))
    case $word in
        -Z | build-std=core) ;;
        *) set -- "$@" "$word" ;;
    esac
done
[ "$1" != build ] || set -- "$@" --ignore-rust-version
exec env {words} '{cargo}' "$@"
"""


_CARGO = """\
#!/bin/sh
case $1 in
    +*)
        shift
        exec '{shims}/rustup' run nightly cargo "$@"
        ;;
esac
exec '{cargo}' "$@"
"""


def _run(command: list[str], folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-6000:]}"


# ---------------------------------------------------------------- the page


def table() -> str:
    """What is built, by project and target; the tests hold it."""
    rows = ["| project | before | " + " | ".join(TARGETS) + " |", "|---|---|" + "---|" * len(TARGETS)]
    for old in PROJECTS:
        before = "both sides" if old.kernel_before else "user side"
        cells = []
        for to in TARGETS:
            hand = (FIXTURES / old.name / f"by-hand-{to}.diff").exists()
            cells.append(("by hand" if hand else "yes") + ("*" if to in NEW else "") if to in old.targets else "")
        rows.append(f"| aya {old.since}: {old.about} | {before} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The page with the table as it is by now."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(_BEGIN)
    return f"{head}{_BEGIN}\n{table()}{_END}{rest.partition(_END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
