"""What the stored answers of real kernels say about the facts' claims. Pure: nothing is asked here.

A claim names a thing and the first kernel that has it. Judged for one kernel it is

    present       claimed and there
    absent        not claimed for this kernel, and not there
    backport      there though the kernel is older than the claim
    config        claimed, not there, and an option that it needs is not set: `without` names it
    withdrawn     was there, and a later release of the same kernels refuses it (`mended.toml` says which)
    contradicted  claimed, not there, and nothing excuses it; or there where no kernel is claimed to have it
    unasked       this kernel cannot be asked
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import probes
from asking import numbers
from common import DATA, KERNELS, after

from bpfsmith import facts
from bpfsmith.facts import series_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Of the sources the facts were read from.
NEWEST = KERNELS[-1]
STATES = ("present", "absent", "backport", "config", "withdrawn", "contradicted", "unasked")


class Judged:
    """One claim on one kernel. `kind`: the table; `name`: the row; `where`: what narrows it (a program type, a map
    type, an attach type) or ""; `since`: the claim ("" = never)."""

    __slots__ = ("kind", "name", "series", "since", "state", "where", "without")

    def __init__(self, kind: str, name: str, where: str, since: str, series: str, state: str, without: str) -> None:
        self.kind = kind
        self.name = name
        self.where = where
        self.since = since
        self.series = series
        self.state = state
        self.without = without

    def __repr__(self) -> str:
        place = f" in {self.where}" if self.where else ""
        lack = f" ({self.without})" if self.without else ""
        return f"{self.series} {self.state}: {self.kind} {self.name}{place}, since {self.since or 'never'}{lack}"


@cache
def stored() -> tuple[dict[str, Any], ...]:
    """The data of every kernel asked, oldest first."""
    found = [json.loads(path.read_text()) for path in DATA.glob("seen-*.json")]
    return tuple(sorted(found, key=lambda data: series_key(data["kernel"]["series"])))


@cache
def _options() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((DATA / "options.toml").read_text())


@cache
def needs(table: str, name: str) -> tuple[str, ...]:
    """The options a row needs."""
    return tuple(
        option
        for pattern, options in _options().get(table, {}).items()
        if fnmatchcase(name, pattern)
        for option in options
    )


@cache
def first_kernels() -> dict[str, str]:
    """`__sk_buff.mark` -> its first kernel, or that of its structure."""
    told = tomllib.loads((DATA / "contexts.toml").read_text())["fields"]
    out: dict[str, str] = {}
    for struct, fields in json.loads((DATA / "contexts.json").read_text()).items():
        users = [facts.program_types.get(word) for word, name in probes.STRUCTS.items() if name == struct]
        born = min((row.since for row in users if row is not None), key=series_key)
        for field, _, _ in fields:
            name = f"{struct}.{field.partition('[')[0]}"
            out[name] = told[name][0] if name in told else born
    return out


@cache
def _hooks() -> dict[str, dict[str, str]]:
    rows = tomllib.loads((DATA / "mended.toml").read_text()).get("hook", ())
    return {name: row for row in rows for name in row["names"]}


@cache
def _withdrawn() -> set[tuple[str, str]]:
    rows = tomllib.loads((DATA / "mended.toml").read_text()).get("withdrawn", ())
    return {(row["name"], word) for row in rows for word in row["types"]}


@cache
def _mended() -> dict[tuple[str, str], str]:
    """(kernel function, program type) -> the series from which on it is certain."""
    rows = tomllib.loads((DATA / "mended.toml").read_text()).get("kfunc", ())
    return {(row["name"], word): row.get("known", "") for row in rows for word in row["types"]}


class Kernel:
    """The answers of one kernel, and how claims are judged by them."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.series: str = data["kernel"]["series"]
        self.config: dict[str, str] | None = data["config"]
        self.helpers = {variant: numbers(told) for variant, told in data["helpers"].items()}
        self.sleeping: dict[str, set[int]] = {}
        for told, names in data["sleeping_helpers"].items():
            for name in names:
                self.sleeping[name] = numbers(told)

    def lacks(self, options: tuple[str, ...]) -> str:
        """The first option that is not built in: "" = none, or the configuration is not known."""
        if self.config is None:
            return ""
        return next((f"{one}={self.config.get(one, 'n')}" for one in options if self.config.get(one) != "y"), "")

    def judge(
        self, kind: str, name: str, where: str, since: str, present: bool | None, options: tuple[str, ...] = (),
        known: str = "",
    ) -> Judged:  # fmt: skip
        """`known`: the kernel from which on it is certain, where `since` is only the earliest it can be."""
        here = series_key(self.series)
        without = ""
        if present is None:
            state = "unasked"
        elif not since:
            state = "contradicted" if present else "absent"
        elif present:
            state = "present" if here >= series_key(since) else "backport"
        elif here < series_key(known or since):
            state = "absent"
        else:
            without = self.lacks(options)
            if (name, where) in _withdrawn():
                return Judged(kind, name, where, since, self.series, "withdrawn", "")
            state = "config" if without else "contradicted"
            if self.config is None and options:
                state = "unasked"  # nobody tells what it was built with
        return Judged(kind, name, where, since, self.series, state, without)

    # ------------------------------------------------------------ the tables

    def types(self) -> Iterator[Judged]:
        for table, kind in (
            ("program_types", "program type"),
            ("map_types", "map type"),
            ("attach_types", "attach type"),
        ):
            for row in getattr(facts, table).all():
                answer = self.data[table].get(row.name)
                present = None if answer is None else answer == 0
                yield self.judge(kind, row.name, "", row.since, present, needs(table, row.name))

    def features(self) -> Iterator[Judged]:
        for row in facts.insn_features.all():
            present = self.data["features"].get(row.name)
            yield self.judge("feature", row.name, "", row.since, present, needs("features", row.name))

    def flags(self) -> Iterator[Judged]:
        for row in facts.flags.all():
            if row.name in self.data["flags"]:
                present = self.data["flags"][row.name]
                yield self.judge("flag", row.name, "", row.since, present, needs("flags", row.name))
        for row in facts.map_types.all():
            if self.data["map_types"].get(row.name):
                continue  # no such map here
            for flag in facts.flags.all("map"):
                if flag.name in self.data["flags"]:
                    continue
                since = row.flag_since(flag.name) or ""
                present = flag.name in self.data["map_flags"][row.name]
                yield self.judge("flag", flag.name, row.name, since, present)

    def variants(self, word: str) -> list[str]:
        return [name for name in self.helpers if name.split()[0] == word]

    def known(self, variant: str) -> bool:
        """Whether this kernel has the attach type: some do not look at it when they load."""
        attach = _parts(variant)[1]
        return not attach or self.data["attach_types"].get(attach) == 0

    def helper_rows(self) -> Iterator[Judged]:
        for kind in facts.program_types.all():
            if kind.name == "ext":
                continue
            variants = self.variants(kind.name)
            options = needs("program_types", kind.name)
            sleeps = any(_parts(one)[2] for one in variants)
            for row in facts.helpers.all():
                since = row.since_in(kind.name)
                limit = row.limit(kind.name)
                seen: bool | None = any(row.number in self.helpers[one] for one in variants)
                if not seen and any(row.number in self.sleeping.get(one, ()) for one in variants):
                    seen = row.sleeps or (limit is not None and limit.sleepable)
                if not seen and limit is not None and limit.sleepable and not sleeps and variants:
                    seen = None  # for programs that sleep only, and this kernel has none of that type
                known = row.known_in(kind.name) or ""
                needed = (*options, *needs("helpers", row.name), *needs("helpers", f"{kind.name}:{row.name}"))
                yield self.judge("helper", row.name, kind.name, since or "", seen, needed, known)

    def conditions(self) -> Iterator[Judged]:
        """Licences, and limits by attach type and sleep, of helpers the type may call at all. Limits are those of the
        newest source read, and operations tables have rules of their own."""
        groups: dict[tuple[str, str, bool], set[int]] = {}
        for variant, there in self.helpers.items():
            if self.known(variant) and not variant.startswith("struct_ops"):
                groups.setdefault(_parts(variant), set()).update(there)
        for (word, attach, sleeps), there in groups.items() if self.series == NEWEST else ():
            kind = facts.program_types.get(word)
            if not attach and kind is not None and kind.attach_types:
                continue  # 0, which is an attach type of others
            for row in facts.helpers.all():
                since = row.since_in(word)
                if since is None or not any(row.number in self.helpers[one] for one in self.variants(word)):
                    continue
                claimed = row.allowed(word, attach, sleeps)
                state = "present" if claimed else "absent"
                if claimed != (row.number in there):
                    state = "contradicted"
                where = f"{word} {attach}{' sleepable' if sleeps else ''}"
                yield Judged("limit", row.name, where, since if claimed else "", self.series, state, "")
        for variant, told in self.data["gpl_helpers"].items():
            word = variant.split()[0]
            seen = numbers(told)
            for row in facts.helpers.all():
                if row.number not in self.helpers[variant]:
                    continue
                claimed = row.gpl_only_in(word)
                state = "present" if claimed else "absent"
                if claimed != (row.number in seen):
                    state = "contradicted"
                yield Judged("licence", row.name, word, row.since if claimed else "", self.series, state, "")

    def kfunc_rows(self) -> Iterator[Judged]:
        for row in facts.kfuncs.all():
            seen = self.data["kfuncs"].get(row.name)
            options = needs("kfuncs", row.name)
            types = row.program_types
            if row.name.startswith("bpf_qdisc_") and not seen:
                # Their callers are members of a table that no empty program can stand for.
                yield self.judge("kfunc", row.name, "struct_ops", row.since, None)
                continue
            if row.gone and series_key(self.series) >= series_key(row.gone):
                if seen:
                    yield self.judge("kfunc", row.name, "", "", True)
                continue
            if not types:  # to attach to, not to call; a function may be older than that
                if row.since:
                    there = seen is not None and series_key(self.series) >= series_key(row.since)
                    yield self.judge("kfunc", row.name, "", row.since, there, options, row.known)
                continue
            for word, since in types.items():
                known = _mended().get((row.name, word)) or row.known
                if word == "unspec":
                    yield self.judge("kfunc", row.name, "any", since or row.since, bool(seen), options, known)
                    continue
                present: bool | None = seen is not None and word in seen
                if not present and word == "struct_ops" and seen is not None:
                    present = None  # a table that was not asked of may allow it
                needed = (*options, *needs("program_types", word))
                yield self.judge("kfunc", row.name, word, since or row.since, present, needed, known)
            for word in seen or ():
                if not row.allowed(word):
                    yield self.judge("kfunc", row.name, word, "", True)
                elif word not in types and "unspec" not in types:  # of a set that types share
                    yield self.judge("kfunc", row.name, word, row.since or self.series, True)

    def hooks(self) -> Iterator[Judged]:
        for row in facts.lsm_hooks.all():
            seen = self.data["hooks"].get(row.name)
            if not row.kernels:
                continue
            mend = _hooks().get(row.name, {})
            last, known = row.kernels[-1], mend.get("known") or row.kernels[0]
            # Sources tell the first kernel read that has it: it can be any after the one read before.
            before = KERNELS[: KERNELS.index(row.kernels[0])]
            first = mend.get("since") or (after(before[-1]) if before else row.kernels[0])
            if series_key(self.series) > series_key(last) and last != "7.3":
                continue  # it is gone
            options = needs("hooks", row.name)
            yield self.judge("security hook", row.name, "", first, seen is not None, options, known)
            if seen is None or series_key(self.series) < series_key("7.3"):
                continue
            for what, claimed, letter in (
                ("loads", not row.disabled, "p"),
                ("sleeps", row.sleepable and not row.disabled, "s"),
            ):
                if claimed != (letter in seen):
                    yield Judged("security hook", row.name, what, first, self.series, "contradicted", "")
            if "p" in seen and (row.result == "int") == ("1" in seen):
                yield Judged("security hook", row.name, f"returns {row.result}", first, self.series, "contradicted", "")

    def results(self) -> Iterator[Judged]:
        """What programs may return, where the type says it (of hooks that return nothing the verifier asks nothing)."""
        for variant in self.helpers:
            word, attach, sleeps = _parts(variant)
            row = facts.program_types.get(word)
            hook = facts.lsm_hooks.get(variant.split()[2]) if word == "lsm" else None
            entry = row.return_range(attach or None) if row is not None else None
            if entry is None or sleeps or not self.known(variant) or (hook is not None and hook.result != "int"):
                continue
            told = self.data["results"].get(variant)
            accepted = range(-2, 6) if told is None else [int(one) for one in told.split()]
            for value in range(-2, 6):
                refused = entry.rejected(value, self.series)
                state = "absent" if refused else "present"
                if refused == (value in accepted):
                    state = "contradicted"
                yield Judged("result", str(value), variant, entry.enforced, self.series, state, "")

    def fields(self) -> Iterator[Judged]:
        """Fields of contexts: there when any program may read or write it. Where nothing says since when, a field is at
        most as old as its structure and on every kernel asked. Their widths are the data itself."""
        seen: dict[str, bool] = {}
        for variant, fields in self.data["contexts"].items():
            for field, widths in fields.items():
                name = f"{probes.STRUCTS[variant.split()[0]]}.{field.partition('[')[0]}"
                seen[name] = seen.get(name, False) or bool(widths)
        for name, since in first_kernels().items():
            struct = name.partition(".")[0]
            if any(one.startswith(f"{struct}.") for one in seen):
                yield self.judge("context field", name, "", since, seen.get(name, False))

    def rows(self) -> Iterator[Judged]:
        """Claims that a thing is there from some kernel on."""
        yield from self.types()
        yield from self.features()
        yield from self.flags()
        yield from self.helper_rows()
        yield from self.kfunc_rows()
        yield from self.hooks()
        yield from self.fields()

    def all(self) -> Iterator[Judged]:
        yield from self.rows()
        yield from self.conditions()
        yield from self.results()


def _parts(variant: str) -> tuple[str, str, bool]:
    """(program type, attach type or "", whether it sleeps) of a variant's name."""
    words = variant.split()
    sleeps = words[-1] == "sleepable"
    words = words[: -1 if sleeps else None]
    return words[0], words[1] if len(words) > 1 else "", sleeps


def judged() -> Iterator[Judged]:
    for data in stored():
        yield from Kernel(data).all()


def summary() -> str:
    """The table of `docs/exactness.md`: how many claims were asked on which kernel, and what became of them."""
    columns = ("present", "absent", "backport", "config", "withdrawn", "unasked", "contradicted")
    lines = [
        "| kernel | package | asked | claims | " + " | ".join(TITLES.get(one, one) for one in columns) + " |",
        "|---" * (len(columns) + 4) + "|",
    ]
    for data in stored():
        counts = Counter(one.state for one in Kernel(data).all())
        told = data["kernel"]
        cells = [told["series"], told["package"], told["date"], f"{counts.total():,}"]
        lines.append("| " + " | ".join([*cells, *(f"{counts[one]:,}" for one in columns)]) + " |")
    return "\n".join(lines)


TITLES = {"present": "there as claimed", "absent": "not there, as claimed", "config": "by configuration"}


if __name__ == "__main__":
    import sys

    counts: Counter[tuple[str, str, str]] = Counter()
    wanted = sys.argv[1:] or ["contradicted"]
    for one in judged():
        counts[one.series, one.kind, one.state] += 1
        if one.state in wanted:
            print(one)
    for key, count in sorted(counts.items()):
        print(*key, count)
