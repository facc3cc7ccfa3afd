"""What the table builders share: the committed sources, kernel series, how a table is written."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import miniyaml

HERE = Path(__file__).parent
DATA = HERE / "data"
OUT = HERE.parent.parent / "src/bpfsmith/facts/_generated"
KERNELS = ("5.10", "6.1", "6.12", "7.3")  # the sources read, oldest first
DOCS = "eBPF docs"  # isovalent/ebpf-docs, data/*.yaml, BSD-2-Clause
ATTRIBUTION = (
    "Versions and commits come from the eBPF docs project (isovalent/ebpf-docs, data/*.yaml, BSD-2-Clause; see "
    "docs/attribution.md); numbers and permissions were extracted as facts from Linux 5.10, 6.1, 6.12, 7.3, libbpf 1.7."
)


def since_key(series: str) -> tuple[int, int]:
    major, _, minor = series.partition(".")
    return int(major), int(minor or 0)


def after(series: str) -> str:
    """The series that follows (the last of 5.x is 5.19, of 6.x 6.19)."""
    major, minor = since_key(series)
    return f"{major + 1}.0" if minor == 19 else f"{major}.{minor + 1}"


def later(*series: str) -> str:
    return max((s for s in series if s), key=since_key, default="")


class Sources:
    def __init__(self) -> None:
        self.features: dict[str, dict[str, tuple[str, str]]] = {}
        groups: Any = miniyaml.parse((DATA / "feature-versions.yaml").read_text())
        for group in groups:
            rows: dict[str, tuple[str, str]] = {}
            for row in group["features"]:
                rows.setdefault(row["name"], (str(row["version"]).removeprefix("v"), row["commit"][:12]))
            self.features[group["name"]] = rows
        self.docs: Any = miniyaml.parse((DATA / "helpers-functions.yaml").read_text())
        self.kfuncs: Any = miniyaml.parse((DATA / "kfuncs.yaml").read_text())
        self.kernels: list[Any] = [json.loads((DATA / f"kernel-{v}.json").read_text()) for v in KERNELS]
        self.libbpf: Any = json.loads((DATA / "libbpf-1.7.json").read_text())
        self.programs: Any = tomllib.loads((DATA / "program-types.toml").read_text())
        self.maps: Any = tomllib.loads((DATA / "map-types.toml").read_text())
        self.extra: Any = tomllib.loads((DATA / "extra.toml").read_text())
        self.mended: Any = tomllib.loads((DATA / "mended.toml").read_text())

    def mends(self, kind: str) -> dict[tuple[str, str], dict[str, str]]:
        """(name, program type) -> what real kernels taught: `since` ("" = never), `known`, `why`."""
        return {(row["name"], word): row for row in self.mended.get(kind, ()) for word in row["types"]}

    def numbers(self, enum_name: str) -> list[tuple[str, int]]:
        """Every enumerator of libbpf's header and the newest kernel read, by number."""
        union = {**self.kernels[-1]["enums"][enum_name], **self.libbpf["enums"][enum_name]}
        return sorted(union.items(), key=lambda item: item[1])

    def words(self, table: str) -> dict[str, str]:
        return self.libbpf["names"][table]  # type: ignore[no-any-return]


def program_word(enum_name: str) -> str:
    return enum_name.removeprefix("BPF_PROG_TYPE_").lower()


def attach_word(src: Sources, enum_name: str) -> str:
    return src.words("attach_type").get(enum_name, enum_name.removeprefix("BPF_").lower())


def table_text(what: str, columns: str, **parts: list[Any]) -> str:
    """One table as JSON, a row per line so that changes can be read. `columns` says what a row holds."""
    head = {"generated": "by `python tools/facts/generate.py`; do not edit", "what": what, "attribution": ATTRIBUTION}
    lines = [f"{json.dumps(key)}: {json.dumps(text)}" for key, text in {**head, "columns": columns}.items()]
    for name, rows in parts.items():
        body = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
        lines.append(f"{json.dumps(name)}: [\n{body}\n ]")
    return "{\n " + ",\n ".join(lines) + "\n}\n"
