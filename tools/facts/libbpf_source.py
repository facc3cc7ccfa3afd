"""Extracts libbpf's section table, names and the newest kernel numbers it carries into one JSON file.

    python tools/facts/libbpf_source.py --libbpf-source .../libbpf --version 1.7 > tools/facts/data/libbpf-1.7.json

`--libbpf-source` holds `src/libbpf.c` and `include/uapi/linux/bpf.h`; the `libbpf-sys` crate vendors such a folder.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from kernel_source import ENUMS, dump, enum, flags, helper_numbers, strip_comments


def sections(text: str) -> list[dict[str, object]]:
    """The rows of `section_defs`, in order (the first match wins)."""
    table = text[text.index("section_defs[] = {") :]
    table = table[: table.index("};")]
    out = []
    for pattern, kind, attach, words in re.findall(r'SEC_DEF\("([^"]+)",\s*(\w+),\s*(\w+),\s*([A-Z_ |]+)', table):
        out.append(
            {
                "pattern": pattern,
                "program_type": kind.lower(),
                "attach_type": "" if attach == "0" else attach,
                "flags": [w.strip().removeprefix("SEC_").lower() for w in words.split("|") if w.strip() != "SEC_NONE"],
            }
        )
    return out


def names(text: str, table: str) -> dict[str, str]:
    body = text[text.index(f"{table}[] = {{") :]
    return dict(re.findall(r'\[(\w+)\]\s*=\s*"([^"]+)"', body[: body.index("};")]))


def extract(source: Path, version: str) -> dict[str, object]:
    text = strip_comments((source / "src/libbpf.c").read_text())
    header = strip_comments((source / "include/uapi/linux/bpf.h").read_text())
    return {
        "version": version,
        "source": f"libbpf {version}, src/libbpf.c and include/uapi/linux/bpf.h",
        "sections": sections(text),
        "names": {t: names(text, f"{t}_name") for t in ("attach_type", "map_type", "prog_type")},
        "enums": {name: enum(header, name) for name in ENUMS},
        "helpers": helper_numbers(header),
        "flags": flags(header),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--libbpf-source", type=Path, required=True)
    parser.add_argument("--version", required=True)
    args = parser.parse_args()
    sys.stdout.write(dump(extract(args.libbpf_source, args.version)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
