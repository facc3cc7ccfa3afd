#!/usr/bin/env python3
"""How many of the verifier's message formats the table of `bpfsmith.verify.messages` knows, by kernel:
`message_coverage.py [--full] [--write]`.

Formats are read from Debian's kernel sources (Linux 6.1 and 6.12; with `--full` 5.10 and 7.3 too) at every run, and
from the strings of the lab's own kernel images: those that stand among known messages of the verifier. `--write` puts
the table into docs/verifier/measured-messages.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools/facts"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import verifier_messages as extracted
from build_corpus import home
from debian_archive import Archive, Missing

from bpfsmith.verify.messages import classify, rows

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("6.1", "6.12")
MORE = ("5.10", "7.3")  # from other suites: with --full
OTHER_SUITES = (("security", "bullseye-security"), ("main", "trixie-backports"), ("main", "sid"))
IMAGES = ("5.10", "6.1", "6.12", "6.18", "7.3")
PAGE = ROOT / "docs/verifier/measured-messages.md"
MARK = re.compile(r"(<!-- coverage -->\n).*?(<!-- end coverage -->)", re.DOTALL)
_AROUND, _MOST = 4, 7  # a string belongs to the verifier when 7 of the 8 around it do


class Covered(NamedTuple):
    """Formats of one source: how many, and those that the table does not know, each with its place."""

    name: str
    formats: int
    unknown: list[str]

    @property
    def share(self) -> float:
        return 100 * (1 - len(self.unknown) / max(self.formats, 1))

    def __str__(self) -> str:
        return f"{self.name}: {self.formats} formats, {self.share:.1f} % known" + "".join(
            f"\n  not known: {one}" for one in self.unknown
        )


def known(text: str) -> bool:
    """Whether a format is in the table, or what it prints is matched by more than its words."""
    if text.replace("\n", "\\n") in _formats():
        return True
    found = classify(extracted.printed(text))
    return found is not None and found.confidence != "low"


_FORMATS: set[str] = set()


def _formats() -> set[str]:
    if not _FORMATS:
        _FORMATS.update(row.format for row in rows())
    return _FORMATS


def of_tree(tree: Path, name: str) -> Covered:
    """The formats of a source tree."""
    found = extracted.messages(tree)
    return Covered(name, len(found), [f"{one.function}: {text}" for text, one in found.items() if not known(text)])


def of_image(image: Path, name: str) -> Covered:
    """The strings of a kernel image that stand among the verifier's messages; most of them are known, by choice."""
    texts = [one for one in extracted.strings(image.read_bytes()) if re.search("[A-Za-z]{3}", one)]
    ours = [len(one) > 9 and " " in one and one.replace("\n", "\\n") in _formats() for one in texts]
    unknown = []
    for at, text in enumerate(texts):
        near = [*ours[max(0, at - _AROUND) : at], *ours[at + 1 : at + 1 + _AROUND]]
        if not ours[at] and sum(near) >= _MOST and len(re.findall("[A-Za-z]{2,}", text)) > 2 and not known(text):
            unknown.append(text)
    return Covered(name, sum(ours) + len(unknown), unknown)


def tree_of(series: str) -> Path:
    """The folders of a kernel's source that log, unpacked once. Raises `Missing`."""
    tree = home() / "messages" / series
    if (tree / ".done").exists():
        return tree
    suites = () if series in SOURCES else OTHER_SUITES
    archive = Archive(home() / "messages/archive", suites=suites) if suites else Archive(home())
    name = f"linux-source-{series}"
    packed = Path(f"/usr/src/{name}.tar.xz")
    unpacked = archive.home / f"unpacked-messages/{name}"
    if not packed.exists():
        archive.unpack(name, unpacked)
        archive.fetch(name).unlink()
        packed = unpacked / f"usr/src/{name}.tar.xz"
    tree.mkdir(parents=True, exist_ok=True)
    names = [f"{name}/{folder}" for folder in extracted.FOLDERS]
    command = ["tar", "-xf", str(packed), "-C", str(tree), "--strip-components=1", "--ignore-failed-read", *names]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if not (tree / "kernel/bpf/verifier.c").exists():
        raise Missing(f"{packed.name} has no verifier: {done.stderr.decode(errors='replace')[-200:]}")
    (tree / ".done").touch()
    return tree


def images() -> dict[str, Path]:
    """The ELF images of the prepared kernels, by series."""
    from bpfsmith.lab import store

    found = {one.name: one for one in store.all()}
    return {name: Path(found[name].folder) / "vmlinux" for name in IMAGES if name in found}


def measured(full: bool) -> list[Covered]:
    """All that can be had here, sources before images."""
    out = [of_tree(tree_of(series), f"Linux {series}, source") for series in (*SOURCES, *(MORE if full else ()))]
    return out + [of_image(path, f"Linux {name}, image") for name, path in images().items() if path.exists()]


def lines(results: list[Covered]) -> list[str]:
    """The table, and what is not known."""
    out = ["| kernel | formats | known |", "|---|---:|---:|"]
    out += [f"| {one.name} | {one.formats:,} | {one.share:.1f} % |" for one in results]
    missing = [f"* {one.name}: `{text}`" for one in results for text in one.unknown]
    return [*out, "", "Not known:", "", *(missing or ["* none"])]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":", 1)[0])
    parser.add_argument("--full", action="store_true", help="the sources of 5.10 and 7.3 too (300 MB)")
    parser.add_argument("--write", action="store_true", help="writes docs/verifier/measured-messages.md")
    options = parser.parse_args()
    results = measured(options.full)
    print("\n".join(str(one) for one in results))
    if options.write:
        text = "\n".join(lines(results))
        PAGE.write_text(MARK.sub(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text("utf-8")), "utf-8")
    return int(any(one.share < 98 for one in results))


if __name__ == "__main__":
    sys.exit(main())
