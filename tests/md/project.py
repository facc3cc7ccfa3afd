"""The small Aya project into which the Rust blocks of a Markdown test are put."""

from __future__ import annotations

from pathlib import Path

_TRIPLES = {  # aya-ebpf -> the crates that belong to it
    "0.1.1": {"aya-ebpf-macros": "0.1.1", "aya-ebpf-bindings": "0.1.1", "aya-log-ebpf": "0.1.0"},
    "0.2.1": {"aya-ebpf-macros": "0.2.0", "aya-ebpf-bindings": "0.2.0", "aya-log-ebpf": "0.2.0"},
    "0.3.0": {"aya-ebpf-macros": "0.4.0", "aya-ebpf-bindings": "0.3.0", "aya-log-ebpf": "0.3.0"},
}
_USER = {  # aya -> the crates that belong to it
    "0.11.0": {"aya-log": "0.1.13", "aya-obj": "0.1.0"},
    "0.12.0": {"aya-log": "0.2.0", "aya-obj": "0.1.0"},
    "0.13.1": {"aya-log": "0.2.1", "aya-obj": "0.2.1"},
    "0.14.0": {"aya-log": "0.3.0", "aya-obj": "0.3.0"},
    "0.15.0": {"aya-obj": "0.5.0"},
    "0.16.0": {"aya-log": "0.4.0", "aya-obj": "0.6.0"},
}
_EBPF_MAIN = """\
#![no_std]
#![no_main]

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
"""


def write(folder: Path, files: dict[str, str], options: dict[str, str]) -> None:
    """Writes the project; `files` win over what is made here."""
    aya = options.get("aya", "0.14.0")
    ebpf = options.get("aya-ebpf", "0.2.1")
    edition = options.get("edition", "2024")
    made = {
        "Cargo.toml": '[workspace]\nresolver = "2"\nmembers = ["common", "ebpf", "user"]\n',
        "common/Cargo.toml": _manifest("demo-common", edition, ""),
        "common/src/lib.rs": "#![no_std]\n",
        "ebpf/Cargo.toml": _manifest(
            "demo-ebpf",
            edition,
            f'aya-ebpf = "{ebpf}"\naya-log-ebpf = "*"\nnetwork-types = "=0.0.7"\n'
            'demo-common = { path = "../common" }\n',
            '\n[[bin]]\nname = "demo"\npath = "src/main.rs"\n',
        ),
        "ebpf/src/main.rs": _EBPF_MAIN,
        "user/Cargo.toml": _manifest(
            "demo", edition, f'aya = "{aya}"\naya-log = "*"\nanyhow = "1"\ndemo-common = {{ path = "../common" }}\n'
        ),
        "user/src/main.rs": "fn main() {}\n",
        "Cargo.lock": _lock({"aya": aya, "aya-ebpf": ebpf, **_USER.get(aya, {}), **_TRIPLES.get(ebpf, {})}),
    }
    for path, text in {**made, **files}.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def _manifest(name: str, edition: str, dependencies: str, more: str = "") -> str:
    head = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "{edition}"\n'
    return head + (f"\n[dependencies]\n{dependencies}" if dependencies else "") + more


def _lock(versions: dict[str, str]) -> str:
    out = ["# made by the test\nversion = 4\n"]
    for name, version in sorted(versions.items()):
        out.append(
            f'[[package]]\nname = "{name}"\nversion = "{version}"\n'
            'source = "registry+https://github.com/rust-lang/crates.io-index"\n'
        )
    return "\n".join(out)
