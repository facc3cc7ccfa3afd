"""Asks real kernels for every row of the facts and keeps what they answer as data: `./dev facts [--kernels 5.10 ...]`.

    ./dev facts                          the default matrix, in guests; writes data/seen-*.json and what follows from it
    ./dev facts --kernels 6.16 --date 2026-11-22
    ./dev facts --compare                asks again and says what is different from the stored data; writes nothing

What an answer means for a claim is decided in `claims.py`, from the data alone. A kernel takes a minute or two."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import features
import probes
import variants
from asking import numbers, ranges
from common import DATA

from bpfsmith import facts, kernel
from bpfsmith.lab.kernels import matrix as lab_matrix

MATRIX = lab_matrix.DEFAULT
# What a claim about a kernel may rest on: these options are kept of its configuration.
OPTIONS = "options.toml"


def survey(only: str = "") -> dict[str, Any]:
    """Everything, of the kernel of this context, or `only` one table. Keys of tables are words of `bpfsmith.facts`."""
    every = variants.all_variants()
    loading = variants.settle(every)
    if only:
        return {only: ALONE[only](loading)}
    found = probes.helpers(loading)
    allowed = {name: numbers(told.get("yes", "")) | numbers(told.get("sleeping", "")) for name, told in found.items()}
    return {
        "program_types": features.types(facts.program_types.all(), "program_type"),
        "map_types": features.types(facts.map_types.all(), "map_type"),
        "attach_types": features.types(facts.attach_types.all(), "attach_type"),
        "features": features.features(),
        "flags": features.program_flags() | features.creation_flags(),
        "map_flags": features.map_flags(),
        "variants": {one.name: one.why or one.result for one in every},
        "helpers": {name: told.get("yes", "") for name, told in found.items()},
        "sleeping_helpers": shared({name: told["sleeping"] for name, told in found.items() if "sleeping" in told}),
        "gpl_helpers": probes.licences(loading, allowed),
        "kfuncs": probes.kfuncs(loading),
        "contexts": compact(probes.contexts(loading)),
        "hooks": probes.hooks(),
        "results": probes.results(loading),
    }


# Tables that can be asked anew by themselves.
ALONE: dict[str, Any] = {
    "kfuncs": probes.kfuncs,
    "hooks": lambda _: probes.hooks(),
    "results": probes.results,
    "features": lambda _: features.features(),
    "map_flags": lambda _: features.map_flags(),
    "attach_types": lambda _: features.types(facts.attach_types.all(), "attach_type"),
    "contexts": lambda loading: compact(probes.contexts(loading)),
}


def shared(table: dict[str, str]) -> dict[str, list[str]]:
    """value -> the names that have it."""
    out: dict[str, list[str]] = {}
    for name, value in table.items():
        out.setdefault(value, []).append(name)
    return out


def compact(found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Without the variants whose fields are those of the first of their program type."""
    out: dict[str, dict[str, str]] = {}
    for name, fields in found.items():
        first = out.get(name.split()[0])
        if first is None:
            out[name.split()[0]] = fields
        elif (other := {k: v for k, v in fields.items() if first.get(k) != v}) or name.split()[0] == name:
            out[name] = other
    return out


def described(prepared: Any, date: str) -> dict[str, str]:
    return {
        "series": prepared.series, "release": prepared.release, "package": prepared.package, "arch": prepared.arch,
        "date": date,
    }  # fmt: skip


def options() -> list[str]:
    import tomllib

    table = tomllib.loads((DATA / OPTIONS).read_text())
    return sorted({name for section in table.values() for found in section.values() for name in found})


def text(data: dict[str, Any]) -> str:
    """JSON, an entry of each table a line."""

    def lines(table: Any) -> str:
        if not isinstance(table, dict) or not table:
            return json.dumps(table)
        return "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(table[key])}" for key in table) + "\n }"

    return "{\n" + ",\n".join(f" {json.dumps(key)}: {lines(value)}" for key, value in data.items()) + "\n}\n"


def path(series: str) -> Path:
    return DATA / f"seen-{series}.json"


def ask(name: str, date: str, only: str = "") -> dict[str, Any]:
    """One kernel, in a guest. `only`: one table anew, the others as stored."""
    from bpfsmith import lab
    from bpfsmith.lab import store

    prepared = store.find(name)
    config = prepared.config
    with lab.open(prepared) as guest, kernel.through(guest.door, guest.kernel):
        told = survey(only)
    known = {option: config[option] for option in options() if option in config} if config else None
    old = json.loads(path(prepared.series).read_text()) if only else {}
    return {**old, "kernel": described(prepared, date), "config": known, **told}


def layouts(name: str) -> dict[str, Any]:
    """structure -> [field, offset, size]: contexts are stable interfaces, so one kernel's types tell all."""
    from bpfsmith.lab import store
    from bpfsmith.model.kernel import Kernel

    prepared = store.find(name)
    with kernel.through(kernel.door(), Kernel(name, prepared.btf())):
        return {struct: probes.fields_of(struct) for struct in dict.fromkeys(probes.STRUCTS.values())}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev facts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kernels", nargs="+", default=list(MATRIX), metavar="NAME")
    parser.add_argument("--date", default="", help="the day the data bears; default: today")
    parser.add_argument("--only", default="", choices=("", *ALONE), help="one table, the others as they are stored")
    parser.add_argument("--compare", action="store_true", help="writes nothing; exit 1 when something is different")
    args = parser.parse_args(words)
    from datetime import date
    from time import monotonic

    different = 0
    for name in args.kernels:
        start = monotonic()
        data = json.loads(text(ask(name, args.date or date.today().isoformat(), args.only)))
        took = f"{monotonic() - start:.0f} s"
        if args.compare:
            found = differences(json.loads(path(data["kernel"]["series"]).read_text()), data)
            different += len(found)
            print(*found, f"{name}: {len(found)} answers are different ({took})", sep="\n", flush=True)
        else:
            path(data["kernel"]["series"]).write_text(text(data))
            if data["kernel"]["series"] == MATRIX[-1]:
                (DATA / "contexts.json").write_text(text(layouts(name)))
            print(f"{name}: {data['kernel']['package']}, {took}", flush=True)
    return 1 if different else 0


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line per answer that is not the same; the kernel's own lines do not count."""
    out = []
    for table in sorted({*old, *new} - {"kernel", "config"}):
        before, after = old.get(table, {}), new.get(table, {})
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                out.append(f"{table} {key}: {before.get(key)} -> {after.get(key)}")
    return out


__all__ = ["ask", "differences", "ranges", "survey"]

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
