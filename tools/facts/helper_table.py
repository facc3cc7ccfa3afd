"""Builds the helper table: numbers, versions, and who may call what under which condition."""

from __future__ import annotations

from typing import Any

from common import DOCS, KERNELS, Sources, after, attach_word, later, program_word, since_key, table_text


def docs_permissions(src: Sources) -> dict[str, dict[str, dict[str, Any]]]:
    """program type -> helper -> the docs' rule, groups expanded, exclusions applied."""
    groups = src.docs["groups"]

    def expand(items: list[dict[str, Any]] | None, since: dict[str, Any]) -> dict[str, dict[str, Any]]:
        out: dict[str, dict[str, Any]] = {}
        excluded: list[str] = []
        for item in items or []:
            if "exclude" in item:
                excluded.append(item["exclude"])
            elif "group" in item:
                extra = {k: v for k, v in item.items() if k != "group"}
                for name, rule in expand(groups.get(item["group"]), since).items():
                    out.setdefault(name, {**rule, **extra})
            else:
                known = out.get(item["name"])
                # A plain later entry widens; an entry with its own `since` is the more exact one.
                if known is None or ("since" in item and "since" not in known):
                    out[item["name"]] = {k: v for k, v in item.items() if k != "name"}
        for name in excluded:
            out.pop(name, None)
        return out

    return {program_word(name): expand(items, {}) for name, items in src.docs["programs"].items()}


def excluded_helpers(src: Sources) -> set[tuple[str, str]]:
    return {
        (program_word(program), item["exclude"])
        for program, items in src.docs["programs"].items()
        for item in items
        if "exclude" in item
    }


def permission_overrides(src: Sources) -> dict[tuple[str, str], tuple[str, str]]:
    kinds = {word: row.get("kinds", []) for word, row in src.programs.items()}
    out: dict[tuple[str, str], tuple[str, str]] = {}
    for helper, (targets, since, commit, subject) in src.extra["permissions"].items():
        for target in targets:
            for word in [w for w, k in kinds.items() if target in k] or [target]:
                out[word, helper] = (since, f"knowledge: {commit} {subject}")
    return out


class Permissions:
    """What all sources say about one helper in each program type."""

    def __init__(self, src: Sources) -> None:
        self.src = src
        self.docs = docs_permissions(src)
        self.banned = excluded_helpers(src)
        self.overrides = permission_overrides(src)
        self.mended = src.mends("helper")
        self.never = {(row["name"], word): row["never"] for row in src.mended.get("limit", ()) for word in row["types"]}
        self.born = {program_word(name): since for name, (since, _) in src.features["program_types"].items()}

    def since(self, program: str, name: str, helper_since: str) -> tuple[str, str] | None:
        """(first kernel, kernel it was read in where the first one is not known exactly); None: not allowed."""
        mend = self.mended.get((name, program))
        if mend is not None:
            return (mend["since"], mend.get("known", "")) if mend["since"] else None
        seen = [k["version"] for k in self.src.kernels if name[4:] in k["programs"].get(program, {})]
        rule = self.docs.get(program, {}).get(name)
        if program == "ext" or (program, name) in self.banned or not (seen or rule is not None):
            return None
        lower = later(helper_since, self.born[program])
        exact = str(rule["since"]["version"]) if rule and "since" in rule else ""
        if (program, name) in self.overrides:
            exact = self.overrides[program, name][0]
        if seen and since_key(exact or "0") > since_key(seen[0]):
            exact = ""  # a source shows it earlier than the docs say
        missing = [v for v in KERNELS if seen and since_key(v) < since_key(seen[0])]
        if exact and missing and since_key(exact) <= since_key(missing[-1]):
            exact = ""  # a source of that kernel does not have it
        if not exact and missing and since_key(lower) <= since_key(missing[-1]):
            # Between two kernels read, the commit not known: the earliest it can be, and the kernel that has it.
            return after(missing[-1]), seen[0]
        return later(lower, exact), ""

    def newest(self, program: str, name: str) -> dict[str, Any]:
        """The newest source's rule; empty where only the docs have one."""
        rules: list[dict[str, Any]] = [k["programs"].get(program, {}).get(name[4:]) for k in self.src.kernels]
        return next((rule for rule in reversed(rules) if rule), {})

    def limit(self, program: str, name: str) -> tuple[Any, ...] | None:
        """(only these attach types, not these, sleepable only, capability), None when nothing is asked for."""
        newest = self.newest(program, name)
        rule = self.docs.get(program, {}).get(name, {})
        only = tuple(attach_word(self.src, a) for a in newest.get("attach", ()) or rule.get("attach_type", ()))
        never = tuple(attach_word(self.src, a) for a in newest.get("not_attach", ())) if not only else ()
        if newest.get("trampoline"):
            only = tuple(sorted({*only, *TRAMPOLINE}))
        never = tuple(sorted({*never, *self.never.get((name, program), ())}))
        sleepable = bool(rule.get("sleepable") or newest.get("sleepable"))
        limit = (only, never, sleepable, newest.get("cap", ""))
        return limit if any(limit) else None


# Attach types whose programs run from a trampoline (`bpf_prog_has_trampoline` in kernel/bpf/trampoline.c).
TRAMPOLINE = (
    "lsm_mac",
    "modify_return",
    "trace_fentry",
    "trace_fentry_multi",
    "trace_fexit",
    "trace_fexit_multi",
    "trace_fsession",
    "trace_fsession_multi",
)


def helpers(src: Sources) -> str:
    permissions = Permissions(src)
    prototypes: dict[str, Any] = {}
    for kernel in src.kernels:
        prototypes.update(kernel["protos"])
    moves = set(src.kernels[-1]["moves_packet"])
    sets: dict[tuple[tuple[str, str], ...], int] = {}
    rows = []
    for short, number in sorted(src.libbpf["helpers"].items(), key=lambda item: item[1]):
        name = f"bpf_{short}"
        since, commit = src.features["helpers"][name]
        pairs: dict[str, str] = {}
        bounds: list[tuple[str, str]] = []
        limits: list[tuple[Any, ...]] = []
        protos: dict[str, list[Any]] = {}
        for program in src.programs:
            found = permissions.since(program, name, since)
            if found is None:
                continue
            pairs[program] = found[0]
            if found[1]:
                bounds.append((program, found[1]))
            limit = permissions.limit(program, name)
            if limit is not None:
                limits.append((program, *limit))
            used = permissions.newest(program, name).get("protos", ())
            protos[program] = [prototypes[p] for p in used if p in prototypes]
        known = {program: entries for program, entries in protos.items() if entries}
        gpl = sorted(program for program, entries in known.items() if any(p["gpl"] for p in entries))
        sleeps = bool(known) and all(p["sleeps"] for entries in known.values() for p in entries)
        first: dict[str, Any] = next((p for entries in known.values() for p in entries), {"args": [], "ret": ""})
        bits = (1 if gpl else 0) | (2 if short in moves else 0) | (4 if sleeps else 0)
        index = sets.setdefault(tuple(sorted(pairs.items())), len(sets))
        read = [k["version"] for k in src.kernels if any(short in p for p in k["programs"].values())]
        notes = sorted({text for (p, n), (_, text) in permissions.overrides.items() if n == name and p in pairs})
        notes += sorted({row["why"] for (n, _), row in permissions.mended.items() if n == name})
        rows.append(
            (number, name, since, commit, bits, () if len(gpl) == len(known) else tuple(gpl),
             plain_args(first["args"]), plain_return(first["ret"]), index, limit_rows(limits), bound_rows(bounds),
             "; ".join([f"{DOCS} {commit}", f"linux {', '.join(read)}", *notes]))
        )  # fmt: skip
    columns = (
        "number, name, since, commit, bits (1 gpl, 2 moves packet, 4 sleeps), gpl only in, arguments, result, "
        "index in programs, limits, bounds, source; limit: program types, only these attach types, not these, "
        "sleepable only, capability; bound: program types whose first kernel is at or before the one named"
    )
    return table_text("helpers by number", columns, programs=list(sets), rows=rows)


def limit_rows(limits: list[tuple[Any, ...]]) -> tuple[tuple[Any, ...], ...]:
    """Program types with the same limit share a row."""
    grouped: dict[tuple[Any, ...], list[str]] = {}
    for program, *rest in limits:
        grouped.setdefault(tuple(rest), []).append(program)
    return tuple((tuple(programs), *rest) for rest, programs in grouped.items())


def bound_rows(bounds: list[tuple[str, str]]) -> tuple[tuple[tuple[str, ...], str], ...]:
    return tuple((tuple(p for p, v in bounds if v == by), by) for by in dict.fromkeys(v for _, v in bounds))


ARGUMENT = {
    "ARG_CONST_MAP_PTR": "map",
    "ARG_PTR_TO_CTX": "context",
    "ARG_ANYTHING": "number",
    "ARG_CONST_SIZE": "size",
    "ARG_CONST_SIZE_OR_ZERO": "size or 0",
    "ARG_CONST_ALLOC_SIZE_OR_ZERO": "constant size",
    "ARG_PTR_TO_MAP_KEY": "key pointer",
    "ARG_PTR_TO_MAP_VALUE": "value pointer",
    "ARG_PTR_TO_UNINIT_MAP_VALUE": "value pointer (filled)",
    "ARG_PTR_TO_MEM": "memory",
    "ARG_PTR_TO_UNINIT_MEM": "memory (filled)",
    "ARG_PTR_TO_FUNC": "callback",
    "ARG_PTR_TO_STACK": "stack pointer",
    "ARG_PTR_TO_STACK_OR_NULL": "stack pointer or null",
    "ARG_PTR_TO_SPIN_LOCK": "spin lock",
    "ARG_PTR_TO_TIMER": "timer",
    "ARG_PTR_TO_KPTR": "kptr field",
    "ARG_KPTR_XCHG_DEST": "kptr field",
    "ARG_PTR_TO_DYNPTR": "dynptr",
    "ARG_PTR_TO_CONST_STR": "constant string",
    "ARG_PTR_TO_SOCK_COMMON": "socket",
    "ARG_PTR_TO_SOCKET": "socket",
    "ARG_PTR_TO_BTF_ID": "kernel pointer",
    "ARG_PTR_TO_BTF_ID_SOCK_COMMON": "socket",
    "ARG_PTR_TO_BTF_ID_OR_NULL": "kernel pointer or null",
    "ARG_PTR_TO_PERCPU_BTF_ID": "per-CPU kernel pointer",
    "ARG_PTR_TO_RINGBUF_MEM": "ring buffer record",
    "ARG_PTR_TO_ALLOC_MEM": "ring buffer record",
    "ARG_PTR_TO_FIXED_SIZE_MEM": "memory of fixed size",
    "ARG_PTR_TO_LONG": "pointer to long",
    "ARG_PTR_TO_INT": "pointer to int",
    "ARG_PTR_TO_CTX_OR_NULL": "context or null",
}


def plain_args(args: list[str]) -> tuple[str, ...]:
    out = []
    for arg in args:
        parts = [p.strip() for p in arg.split("|")]
        text = ARGUMENT.get(parts[0], parts[0].removeprefix("ARG_").lower().replace("_", " "))
        if "PTR_MAYBE_NULL" in parts:
            text += " or null"
        if "MEM_UNINIT" in parts and "filled" not in text:
            text += " (filled)"
        out.append(text)
    return tuple(out)


def plain_return(ret: str) -> str:
    parts = [p.strip() for p in ret.split("|")]
    nullable = "PTR_MAYBE_NULL" in parts or ret.endswith("_OR_NULL")
    base = parts[0].removesuffix("_OR_NULL")
    words = {
        "RET_INTEGER": "number (negative errno on failure, where it can fail)",
        "RET_VOID": "nothing",
        "RET_PTR_TO_MAP_VALUE": "pointer to the value",
        "RET_PTR_TO_SOCKET": "socket, to be released",
        "RET_PTR_TO_TCP_SOCK": "TCP socket",
        "RET_PTR_TO_SOCK_COMMON": "socket, to be released",
        "RET_PTR_TO_MEM": "pointer to memory",
        "RET_PTR_TO_ALLOC_MEM": "pointer to a record",
        "RET_PTR_TO_RINGBUF_MEM": "pointer to a record, to be submitted or discarded",
        "RET_PTR_TO_MEM_OR_BTF_ID": "kernel pointer",
        "RET_PTR_TO_BTF_ID": "kernel pointer",
        "RET_PTR_TO_BTF_ID_TRUSTED": "kernel pointer",
        "RET_PTR_TO_DYNPTR_MEM": "pointer to the data",
    }
    return words.get(base, base.lower()) + (" or null" if nullable else "")
