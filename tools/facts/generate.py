"""Writes `src/bpfsmith/facts/_generated/*.json` from the committed data: `python tools/facts/generate.py [--check]`.

The data files say where each comes from; the extractors beside this file make the JSON ones from a kernel tree and
from libbpf. Every generated row ends with its provenance.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
# The facts of this checkout, whatever else is installed: claims are judged by the tables just written.
sys.path.insert(1, str(Path(__file__).parents[2] / "src"))
from aya_sections import AYA_SECTIONS
from common import (
    DOCS,
    KERNELS,
    OUT,
    Sources,
    after,
    attach_word,
    later,
    program_word,
    since_key,
    table_text,
)
from helper_table import helpers

# ---------------------------------------------------------------- program, attach and map types


def attach_table(src: Sources) -> dict[str, set[str]]:
    """attach type -> program types that declare it."""
    out: dict[str, set[str]] = {}
    for row in src.libbpf["sections"]:
        if row["attach_type"]:
            out.setdefault(attach_word(src, row["attach_type"]), set()).add(row["program_type"])
    for word, programs in src.extra["attach_programs"].items():
        out.setdefault(word, set()).update(programs)
    return out


def program_types(src: Sources) -> str:
    rows = []
    attach = attach_table(src)
    for enum_name, number in src.numbers("bpf_prog_type"):
        word = src.words("prog_type")[enum_name]
        if word == "unspec":
            continue
        hand = src.programs[word]
        since, commit = src.features["program_types"][enum_name]
        returns = tuple(
            (
                tuple(r.get("attach", ())),
                r.get("low"),
                r.get("high"),
                r["enforced"],
                r.get("deny"),
                tuple((k if k == "n" else int(k), v) for k, v in r["values"].items()),
                r.get("widened", ""),
                r.get("before_high"),
                r["source"],
            )
            for r in hand.get("returns", ())
        )
        types = tuple(sorted((a for a, programs in attach.items() if word in programs)))
        struct = src.kernels[-1]["contexts"].get(word, "")
        rows.append(
            (number, word, enum_name, since, commit, hand["what"], hand["context"], struct, tuple(hand["kinds"]),
             hand.get("sleepable", ""), hand.get("sleepable_note", ""), bool(hand.get("gpl_required")), types, returns,
             f"{DOCS} {commit}; linux 7.3; libbpf 1.7")
        )  # fmt: skip
    columns = (
        "number, word, kernel name, since, commit, what, context, kernel's context type, kinds, sleepable since, note, "
        "needs GPL, attach types, returns, source; return: attach types, low, high, enforced since, deny value, "
        "meanings, widened in, high before, source"
    )
    return table_text("program types by number", columns, rows=rows)


def attach_types(src: Sources) -> str:
    rows = []
    programs = attach_table(src)
    for enum_name, number in src.numbers("bpf_attach_type"):
        word = attach_word(src, enum_name)
        if word in src.extra["attach_types"]:
            since, commit, subject = src.extra["attach_types"][word]
            source = known(commit, subject)
        else:
            since, commit = src.features["attach_types"][enum_name]
            source = f"{DOCS} {commit}; libbpf 1.7"
        rows.append((number, word, enum_name, since, commit, tuple(sorted(programs.get(word, ()))), source))
    return table_text(
        "attach types by number", "number, word, kernel name, since, commit, program types, source", rows=rows
    )


def map_types(src: Sources) -> str:
    rows = []
    words = src.words("map_type")
    numbers = dict(src.numbers("bpf_map_type"))
    words = {name: words.get(name, name.removeprefix("BPF_MAP_TYPE_").lower()) for name in {**words, **numbers}}
    for word, hand in src.maps.items():
        enum_name = next(name for name, w in words.items() if w == word)
        number = numbers.get(enum_name)
        if number is None:  # two names were deprecated but keep their number
            number = numbers[f"{enum_name}_DEPRECATED"]
        since, commit = src.features["map_types"].get(enum_name) or hand["since"]
        used = tuple(item["name"] for item in src.docs["maps"].get(enum_name) or ())
        rows.append(
            (number, word, enum_name, since, commit, hand["what"], hand.get("key", "any"), hand.get("value", "any"),
             hand.get("entries", "any"), bool(hand.get("per_cpu")), hand.get("value_max", 0),
             tuple(hand.get("flags", ())), tuple(hand.get("required", ())), bool(hand.get("needs_btf")),
             tuple(hand.get("programs", ())), used,
             f"{DOCS} {commit}; libbpf 1.7; shape rules: kernel/bpf, net/core" if commit else "linux 7.3")
        )  # fmt: skip
    rows.sort()
    columns = (
        "number, word, kernel name, since, commit, what, key, value, entries, per CPU, largest value, flags, "
        "required flags, needs BTF, program types, helpers, source"
    )
    return table_text("map types by number", columns, rows=rows)


# ---------------------------------------------------------------- flags, features, kfuncs, sections


def known(commit: str, subject: str) -> str:
    return f"knowledge: {commit} {subject}".replace(":  ", ": ")


def flag_rows(src: Sources) -> str:
    rows = []
    numbers = src.kernels[-1]["flags"] | src.libbpf["flags"]
    users: dict[str, list[str]] = {}
    for word, hand in src.maps.items():
        for flag in hand.get("flags", ()):
            users.setdefault(flag, []).append(word)
    for kind in ("map", "prog"):
        for name, hand in src.extra["flags"][kind].items():
            own = (hand.get("since", ""), hand.get("commit", ""))
            since, commit = own if "since" in hand else src.features["flags"][name]
            source = known(commit, hand["subject"]) if "since" in hand else f"{DOCS} {commit}; libbpf 1.7"
            rows.append((kind, name, numbers[name], since, commit, hand["what"], tuple(users.get(name, ())), source))
    columns = "scope, name, value, since, commit, what, map types, source"
    return table_text("map creation and program load flags", columns, rows=rows)


def features(src: Sources) -> str:
    rows = [
        (name, since, commit, what, known(commit, subject))
        for name, (since, commit, subject, what) in src.extra["features"].items()
    ]
    return table_text("instruction and program features", "name, since, commit, what, source", rows=rows)


def kfunc_rows(src: Sources) -> str:
    born = src.features["kfuncs"]
    rows: dict[str, dict[str, Any]] = {}

    def row_of(name: str) -> dict[str, Any]:
        return rows.setdefault(name, {"flags": set(), "programs": {}, "sets": set(), "seen": []})

    refused: dict[str, set[str]] = {}
    for set_name, item in src.kfuncs["sets"].items():
        for func in item.get("funcs") or ():
            row = row_of(func["name"])
            row["flags"].update(func.get("flags", ()))
            row["sets"].add(set_name)
            banned = {plain(p) for p in ((func.get("except") or {}).get("program_types") or ())}
            refused.setdefault(func["name"], set()).update(banned)
            for program in item.get("program_types") or ():
                if plain(program) in banned:
                    continue
                since = str((program.get("since") or {}).get("version", "")) if isinstance(program, dict) else ""
                row["programs"][plain(program)] = later(since, row["programs"].get(plain(program), ""))
    for kernel in src.kernels:
        for name, found in kernel["kfuncs"].items():
            row = row_of(name)
            row["seen"].append(kernel["version"])
            row["flags"].update(found["flags"])
            for word in found["programs"]:
                # `unspec` registers for every program type.
                if word not in refused.get(name, ()):
                    row["programs"].setdefault(word, "")
    for name in born:
        row_of(name)
    rows.pop("name", None)  # a placeholder of one of the sources
    mends = src.mends("kfunc")
    told_born = {row["name"]: (row["since"], row["commit"]) for row in src.mended.get("born", ())}
    told_born_why = {row["name"]: row["why"] for row in src.mended.get("born", ())}
    gone = {name: row for row in src.mended.get("gone", ()) for name in row["names"]}
    out = []
    for name in sorted(rows):
        since, commit = told_born.get(name) or born.get(name, ("", ""))
        row = rows[name]
        notes = mend_kfunc(name, row["programs"], mends)
        seen = row["seen"]
        # A source that lists it, and a later one that does not: it is gone (or moved to a test module).
        later_sources = [k for k in KERNELS if seen and since_key(k) > since_key(seen[-1])]
        by = ""
        if not since and seen:
            before = [k for k in KERNELS if since_key(k) < since_key(seen[0])]
            since, by = (after(before[-1]) if before else ""), seen[0]
        programs = tuple(sorted((p, later(since, v)) for p, v in row["programs"].items()))
        last = gone.get(name, {"since": later_sources[0] if later_sources else "", "why": ""})
        if name in told_born:
            notes.append(told_born_why[name])
        told = [f"{DOCS} {commit}" if commit else "", f"linux {', '.join(seen)}" if seen else "", *notes, last["why"]]
        source = "; ".join(text for text in told if text)
        words, sets = tuple(sorted(row["flags"])), tuple(sorted(row["sets"]))
        out.append((name, since, commit, by, words, programs, sets, last["since"], source or DOCS))
    columns = "name, since, commit, known at the latest in, flags, program types with since, sets, gone since, source"
    return table_text("kernel functions", columns, rows=out)


def mend_kfunc(name: str, programs: dict[str, str], mends: dict[tuple[str, str], dict[str, str]]) -> list[str]:
    """Puts right what real kernels contradicted; answers why."""
    notes = set()
    for (mended, word), mend in mends.items():
        if mended == name:
            programs.pop(word, None)
            if mend["since"]:
                programs[word] = mend["since"]
            notes.add(mend["why"])
    return sorted(notes)


def plain(program: Any) -> str:
    return program_word(program["name"] if isinstance(program, dict) else program)


def lsm_rows(src: Sources) -> str:
    hooks: dict[str, dict[str, Any]] = {}
    for kernel in src.kernels:
        for name, found in kernel["lsm_hooks"].items():
            row = hooks.setdefault(name, {"result": found["result"], "sleepable": False, "disabled": False, "seen": []})
            row["sleepable"] = found["sleepable"]
            row["disabled"] = found["disabled"]
            row["result"] = found["result"] if found["result"] != "int" or row["result"] != "bool" else "bool"
            row["seen"].append(kernel["version"])
    rows = [
        (name, r["result"], r["sleepable"], r["disabled"], tuple(r["seen"]), f"linux {', '.join(r['seen'])}, bpf_lsm.c")
        for name, r in sorted(hooks.items())
    ]
    return table_text("security hooks", "name, result, sleepable, disabled, kernels, source", rows=rows)


def section_rows(src: Sources) -> str:
    libbpf = [
        (row["pattern"], row["program_type"], attach and attach_word(src, attach), tuple(row["flags"]))
        for row in src.libbpf["sections"]
        for attach in [row["attach_type"]]
    ]
    columns = "pattern, program type, attach type, flags, first aya-obj release (aya only); in the loader's order"
    return table_text("section names of loaders", columns, libbpf=libbpf, aya=list(AYA_SECTIONS))


def build() -> dict[str, str]:
    """The tables of claims; what kernels answered about them is `seen.json`, made from these."""
    src = Sources()
    return {
        "helpers.json": helpers(src),
        "program_types.json": program_types(src),
        "attach_types.json": attach_types(src),
        "map_types.json": map_types(src),
        "flags.json": flag_rows(src),
        "features.json": features(src),
        "kfuncs.json": kfunc_rows(src),
        "sections.json": section_rows(src),
        "lsm_hooks.json": lsm_rows(src),
    }


def stale(tables: dict[str, str]) -> list[str]:
    return [name for name, text in tables.items() if not (OUT / name).exists() or (OUT / name).read_text() != text]


def seen_tables() -> dict[str, str]:
    """What real kernels answered, judged by the tables of claims as they are written."""
    from seen_table import contexts, seen

    return {"contexts.json": contexts(), "seen.json": seen()}


def main() -> int:
    check = "--check" in sys.argv[1:]
    wrong = []
    OUT.mkdir(parents=True, exist_ok=True)
    for make in (build, seen_tables):
        tables = make()
        wrong += stale(tables)
        for name, text in () if check else tables.items():
            (OUT / name).write_text(text)
    if check:
        for name in wrong:
            print(f"stale: {OUT / name}")
        return 1 if wrong else 0
    print(f"wrote {len(wrong)} changed files to {OUT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
