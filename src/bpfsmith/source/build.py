"""How a project's kernel programs are built, and doing so when the user asks for it (`check --build`)."""

from __future__ import annotations

import os

from bpfsmith.model.errors import EnvironmentMissing, InputError
from bpfsmith.source.cargo import cargo_configs, toolchain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project

__all__ = ["build", "build_command"]

_TARGET = "bpfel-unknown-none"


def _kernel_crates(project: Project) -> list[Crate]:
    return [crate for crate in project.all_crates if crate.role == "kernel"]


def _builder(project: Project) -> Crate | None:
    """The crate whose build script builds the kernel programs with aya-build."""
    for crate in project.all_crates:
        if crate.build_rs is not None and any(
            one.package == "aya-build" and one.kind == "build" for one in crate.dependencies
        ):
            return crate
    return None


def _has_xtask(project: Project) -> bool:
    for _, config in cargo_configs(project.root):
        alias = config.get("alias")
        if isinstance(alias, dict) and "xtask" in alias:
            return True
    return False


def build_command(project: Project) -> str:
    """The command that builds the kernel programs, as a person types it in the project's root; empty without any."""
    kernel = _kernel_crates(project)
    if not kernel:
        return ""
    builder = _builder(project)
    if builder is not None:
        return (
            "cargo build"
            if builder.workspace == project.root
            else f"cargo build --manifest-path {_relative(project, builder)}"
        )
    if _has_xtask(project):
        return "cargo xtask build-ebpf --release"
    folder = os.path.relpath(kernel[0].folder, project.root)
    enter = "" if folder == "." else f"cd {folder} && "
    channel = "" if (toolchain(kernel[0].folder) or "").startswith("nightly") else " +nightly"
    return f"{enter}cargo{channel} build --release --target {_TARGET} -Z build-std=core"


def _relative(project: Project, crate: Crate) -> str:
    return os.path.relpath(crate.manifest, project.root)


def build(
    project: Project,
    environ: Mapping[str, str] | None = None,
    *,
    run: Callable[[list[str], str, Mapping[str, str]], str] | None = None,
    kernel_only: bool = False,
) -> str:
    """Runs the project's own build; returns what it printed. The only thing here that executes code of the project.

    Where the project's nightly toolchain is missing, a stable compiler that has `core` for BPF is used with
    `RUSTC_BOOTSTRAP=1`. `EnvironmentMissing` names what is missing, `InputError` carries the end of a failed build.
    `run`: what runs a command in a folder. `kernel_only`: where aya-build would build the kernel programs in the course
    of the user side's build, Cargo is asked as aya-build asks it, and the user side is left alone.
    """
    import shutil

    run = run or _run
    env = dict(os.environ if environ is None else environ)
    kernel = _kernel_crates(project)
    if not kernel:
        raise InputError("no kernel crate to build", where=project.root)
    env["PATH"] = os.pathsep.join([env.get("PATH") or os.defpath, *_tool_folders(env)])
    if shutil.which("bpf-linker", path=env.get("PATH")) is None:
        raise EnvironmentMissing("`bpf-linker` is not installed", "cargo install bpf-linker", where=project.root)
    if _nightly(kernel[0], env):
        if shutil.which("cargo", path=env.get("PATH")) is None:
            raise EnvironmentMissing("`cargo` is not installed", "https://rustup.rs", where=project.root)
        builder = _builder(project)
        if builder is not None and kernel_only:
            env["CARGO_ENCODED_RUSTFLAGS"] = "-Cdebuginfo=2\x1f-Clink-arg=--btf"
        elif builder is not None or _has_xtask(project):
            return run(build_command(project).split(), project.root, env)
        if not (toolchain(kernel[0].folder) or "").startswith("nightly"):
            env["RUSTUP_TOOLCHAIN"] = "nightly"  # `-Z` needs it; only a toolchain file would have said so
        command = ["cargo", "build", "--release", "--target", _TARGET, "-Z", "build-std=core"]
        return "".join(run([*command, *_package(crate)], crate.folder, env) for crate in kernel)
    compiler = _bpf_rustc(env)
    if compiler is None:
        raise EnvironmentMissing(
            "neither the project's nightly toolchain nor a compiler with `core` for BPF is installed",
            "rustup toolchain install nightly --component rust-src",
            where=project.root,
        )
    rustc, cargo = compiler
    env["RUSTC_BOOTSTRAP"] = "1"
    env["RUSTC"] = rustc
    # Set by rustup's proxies for their own toolchain; the compiler named above is another one.
    env.pop("RUSTUP_TOOLCHAIN", None)
    # What aya-build passes: BTF needs debug info and the linker's switch.
    env["CARGO_ENCODED_RUSTFLAGS"] = "-Cdebuginfo=2\x1f-Clink-arg=--btf"
    command = [cargo, "build", "--release", "--target", _TARGET, "--ignore-rust-version"]
    out = ""
    for crate in kernel:
        out += run([*command, *_package(crate)], crate.folder, env)
    return out


def _package(crate: Crate) -> list[str]:
    return [] if crate.workspace == crate.folder else ["--package", crate.name]


def _tool_folders(env: Mapping[str, str]) -> list[str]:
    """Where `cargo install` and this project's own setup put programs, when the search path does not say."""
    home = env.get("HOME") or os.path.expanduser("~")
    cargo = env.get("CARGO_HOME") or os.path.join(home, ".cargo")
    cache = env.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return [os.path.join(cargo, "bin"), os.path.join(cache, "bpfsmith", "tools", "bin")]


def _nightly(crate: Crate, env: Mapping[str, str]) -> bool:
    """Whether the toolchain the kernel crate asks for (nightly unless it says otherwise) is there with rust-src."""
    import shutil
    import subprocess

    rustup = shutil.which("rustup", path=env.get("PATH"))
    if rustup is None:
        return False
    channel = toolchain(crate.folder) or "nightly"
    if not channel.startswith("nightly"):
        channel = "nightly"  # aya-build asks for it by name
    done = subprocess.run(
        [rustup, "component", "list", "--toolchain", channel, "--installed"],
        check=False, capture_output=True, text=True, env=dict(env),
    )  # fmt: skip
    return done.returncode == 0 and "rust-src" in done.stdout


def _bpf_rustc(env: Mapping[str, str]) -> tuple[str, str] | None:
    """A compiler whose installation holds `core` for BPF, with the cargo beside it."""
    import subprocess

    folders = dict.fromkeys([*env.get("PATH", "").split(os.pathsep), "/usr/bin"])
    for folder in folders:
        rustc, cargo = os.path.join(folder, "rustc"), os.path.join(folder, "cargo")
        if not (os.access(rustc, os.X_OK) and os.access(cargo, os.X_OK)):
            continue
        done = subprocess.run([rustc, "--print", "sysroot"], check=False, capture_output=True, text=True, env=dict(env))
        library = os.path.join(done.stdout.strip(), "lib", "rustlib", _TARGET, "lib")
        if done.returncode == 0 and os.path.isdir(library):
            return rustc, cargo
    return None


def _run(command: list[str], folder: str, env: Mapping[str, str]) -> str:
    import subprocess

    try:
        done = subprocess.run(
            command, cwd=folder, env=dict(env), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot run `{command[0]}`: {error.strerror}", "https://rustup.rs", where=folder
        ) from error
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        failed = InputError(
            f"the build failed: `{' '.join(command)}`\n{tail}", where=folder, hint="build it by hand to see all of it"
        )
        failed.block = True
        raise failed
    return done.stdout
