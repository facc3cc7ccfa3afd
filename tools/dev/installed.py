"""`.venv`: Python, the build tool, the wheel of this checkout installed as a user would have it, and test tools."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import apt
import guest_agent
import rust
from shell import BIN, BUILD, ROOT, VENV, Stamp, content_hash, fail, run

PIP: list[str | Path] = [BIN / "python", "-m", "pip", "--disable-pip-version-check", "-q"]
# What the wheel is made of: a change in any of it makes a new one.
SOURCES = ("crates", "src", "Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE")


def project() -> dict[str, list[str]]:
    """Requirements by purpose: `build` and each extra of `pyproject.toml`."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {"build": table["build-system"]["requires"], **table["project"]["optional-dependencies"]}


def make() -> None:
    """Makes `.venv` with this Python; anew when it is broken or was made by another one."""
    # `python3` and `python3.11` of one folder are one Python: which name was found first must not make all anew.
    stamp = Stamp("venv", f"{Path(sys.executable).resolve()} {sys.version}")
    if stamp.fresh and (BIN / "python").exists():
        return
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        own = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        apt.install([own], "this Python has no `ensurepip`")
    if VENV.exists():
        shutil.rmtree(VENV)
    run([sys.executable, "-m", "venv", VENV], quiet=True, about="makes `.venv`, some seconds")
    stamp.set()


def require(purpose: str) -> None:
    """Installs one group of requirements, once per wording."""
    wanted = project()[purpose]
    stamp = Stamp(f"pip-{purpose}", "\n".join(wanted))
    if not stamp.fresh:
        about = f"gets the Python packages for `{purpose}`, up to a minute"
        run([*PIP, "install", *wanted], quiet=True, about=about)
        stamp.set()


def wheel_key() -> str:
    """What decides whether the installed wheel is this checkout's."""
    return content_hash(
        *SOURCES, also=f"{sys.version} {[(one, guest_agent.others(one)) for one in rust.toolchains()[:1]]}"
    )


def build_wheel(out: Path, *options: str) -> Path:
    """Builds the wheel into `out`, which then holds only it."""
    compiler = rust.for_host()
    require("build")
    guest_agent.build()
    shutil.rmtree(out, ignore_errors=True)
    words: list[str | Path] = [BIN / "maturin", "build", "--release", "--locked", "--out", out, *options]
    run(words, env=compiler.env, quiet=True, about="compiles bpfsmith, 1 to 2 minutes the first time")
    wheels = sorted(out.glob("*.whl"))
    return wheels[0] if wheels else fail("maturin wrote no wheel")


def install() -> None:
    """Leaves this checkout's bpfsmith in `.venv`: nothing to do when no source changed since."""
    make()
    stamp = Stamp("wheel", wheel_key())
    if stamp.fresh and (BIN / "bpfsmith").exists():
        return
    # Only for this machine: no audit for older C libraries, which `./dev wheel` does.
    wheel = build_wheel(BUILD / "wheel", "--compatibility", "linux", "--auditwheel", "skip")
    run([*PIP, "install", "--no-deps", "--no-index", "--force-reinstall", wheel], quiet=True)
    stamp.set()
