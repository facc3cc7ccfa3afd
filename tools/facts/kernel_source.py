"""Extracts facts (numbers, names, permissions) from an unpacked Linux source tree into one JSON file.

    python tools/facts/kernel_source.py --kernel-source linux-6.12 --version 6.12 > tools/facts/data/kernel-6.12.json

Only facts leave the tree: enum numbers, which helper a program type may call and under which condition, which
helper prototypes are GPL-only, may sleep or move packet data. No text is copied. Preprocessor conditions are
ignored: a fact says what a fully configured kernel offers.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ENUMS = ("bpf_prog_type", "bpf_attach_type", "bpf_map_type")
FOLDERS = ("kernel", "net", "drivers/media/rc", "drivers/hid", "security", "fs", "mm", "io_uring", "lib")

Rules = dict[str, dict[str, Any]]


def strip_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def enum(header: str, name: str) -> dict[str, int]:
    """Enumerators with their numbers; `__` names and aliases defined by another enumerator are left out."""
    body = re.search(rf"enum {name} \{{(.*?)\}};", header, re.S)
    if body is None:
        return {}
    out: dict[str, int] = {}
    following = 0
    for item in body.group(1).split(","):
        word, _, value = (part.strip() for part in item.partition("="))
        if not word or word.startswith("#"):
            word = word.splitlines()[-1].strip() if word else ""
        if not word:
            continue
        if value:
            following = out[value] if value in out else int(value, 0)  # some name an earlier enumerator
        if not word.startswith("__"):
            out[word] = following
        following += 1
    return out


def helper_numbers(header: str) -> dict[str, int]:
    mapper = re.search(r"#define (?:___|__)BPF_FUNC_MAPPER\(FN[^)]*\)(.*?)\n\s*\n", header, re.S)
    assert mapper is not None
    numbered = re.findall(r"FN\((\w+),\s*(\d+)", mapper.group(1))
    if numbered:
        return {name: int(number) for name, number in numbered if name != "unspec"}
    plain = re.findall(r"FN\((\w+)\)", mapper.group(1))
    return {name: number for number, name in enumerate(plain) if name != "unspec"}


def flags(header: str) -> dict[str, int]:
    """Object-like constants `BPF_F_*` and friends with a plain number, wherever the header defines them."""
    out: dict[str, int] = {}
    for name, expr in re.findall(r"\b(BPF_(?:F|ANY|NOEXIST|EXIST)\w*)\s*=\s*([^,}\n]+)", header):
        out[name] = _number(expr)
    for name, expr in re.findall(r"#define\s+(BPF_F_\w+)\s+([^\n]+)", header):
        out.setdefault(name, _number(expr))  # `#define BPF_F_LINK BPF_F_LINK` repeats an enumerator
    return {name: value for name, value in out.items() if value >= 0}


def _number(expr: str) -> int:
    text = expr.strip()
    shift = re.fullmatch(r"\(?\s*(\d+)U?L*\s*<<\s*(\d+)\s*\)?", text)
    if shift:
        return int(shift.group(1)) << int(shift.group(2))
    plain = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)U?L*", text)
    return int(plain.group(1), 0) if plain else -1


def block(text: str, start: int) -> str:
    """The braces block starting at the first `{` after `start`."""
    opening = text.index("{", start)
    depth = 0
    for index in range(opening, len(text)):
        if text[index] == "{":
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return text[opening : index + 1]
    return ""


def prototypes(text: str) -> Rules:
    out: Rules = {}
    for match in re.finditer(r"const struct bpf_func_proto (\w+)\s*=\s*\{(.*?)\};", text, re.S):
        body = match.group(2)
        args = dict(re.findall(r"\.arg(\d)_type\s*=\s*([^,]+),", body))
        ret = re.search(r"\.ret_type\s*=\s*([^,]+),", body)
        out[match.group(1)] = {
            "gpl": bool(re.search(r"\.gpl_only\s*=\s*true", body)),
            "sleeps": bool(re.search(r"\.might_sleep\s*=\s*true", body)),
            "ret": " ".join(ret.group(1).split()) if ret else "",
            "args": [" ".join(args[key].split()) for key in sorted(args)],
        }
    return out


# Prototypes that only a function hands out (a runtime switch or a warning stands before them), where its name
# `bpf_get_X_proto` does not stand for `bpf_X_proto`.
GETTERS = {
    "bpf_get_probe_write_proto": "bpf_probe_write_user_proto",
    "bpf_get_skb_set_tunnel_proto": "bpf_skb_set_tunnel_key_proto",
}
# Callbacks that `bpf_iter` targets register: they add to tracing programs attached as iterators.
ITERATORS = ("bpf_iter_unix_get_func_proto", "bpf_iter_tcp_get_func_proto")

FUNCTION = r"\b(\w+_func_proto)\(enum bpf_func_id \w+(?:,\s*const struct bpf_prog \*\w+)?\)\s*\{"
ATTACH = r"BPF_(?:CGROUP|TRACE|LSM|XDP|SK|MODIFY|FLOW|TCX|NETKIT|LIRC)_?[A-Z0-9_]*"


def attach_conditions(text: str) -> dict[str, list[str]]:
    """`attach`: the only attach types taken; `not_attach`: those refused."""
    nested = re.search(r"switch \(prog->expected_attach_type\)", text)
    if nested is None:
        equal = re.findall(rf"expected_attach_type [!=]= ({ATTACH})", text)
        return {"attach": sorted(set(equal))} if equal and "NULL" in text else {}
    labels: list[str] = []
    answers: dict[str, bool] = {}
    for part in re.finditer(rf"case ({ATTACH}):|(default):|return ([^;]+);", text[nested.end() :]):
        if part.group(3) is None:
            labels.append(part.group(1) or "default")
        else:
            answers.update(dict.fromkeys(labels, "NULL" not in part.group(3)))
            labels = []
    if answers.pop("default", False):
        denied = [label for label, yes in answers.items() if not yes]
        return {"not_attach": denied} if denied else {}
    allowed = [label for label, yes in answers.items() if yes]
    return {"attach": allowed} if allowed else {}


def conditions(text: str) -> dict[str, object]:
    """What the code between a helper's label and the next label asks for, as far as a reader of C text can tell."""
    out: dict[str, object] = {}
    protos = re.findall(r"&(\w+_proto(?:_\w+)?)\b", text)
    for getter in re.findall(r"\b(bpf_get_\w+_proto)\(", text):
        protos.append(GETTERS.get(getter, getter.replace("bpf_get_", "bpf_", 1)))
    if protos:
        out["protos"] = sorted(set(protos))
    out.update(attach_conditions(text))
    if re.search(r"sleepable \?\s*&\w+\s*:\s*NULL", text):
        out["sleepable"] = True
    if "bpf_prog_has_trampoline" in text:
        out["trampoline"] = True
    capability = capability_of(text)
    if capability:
        out["cap"] = capability
    return out


def capability_of(text: str) -> str:
    found = re.search(r"bpf_token_capable\([^)]*(CAP_\w+)\)|\b(perfmon|bpf)_capable\(\)|\bcapable\((CAP_\w+)\)", text)
    if not found:
        return ""
    return found.group(1) or found.group(3) or f"CAP_{found.group(2).upper()}"


def permission_function(body: str) -> dict[str, object]:
    """The helpers one `*_func_proto` function names and the functions it asks for the rest."""
    helpers: Rules = {}
    guard = ""
    calls: list[dict[str, str]] = []
    for match in re.finditer(r"(\w+_func_proto)\(\w+(?:, ?prog)?\)", body):
        before = body[: match.start()]
        condition = re.search(rf"if \(prog->expected_attach_type == ({ATTACH})\) \{{[^{{}}]*$", before)
        calls.append({"name": match.group(1), **({"attach": condition.group(1)} if condition else {})})
    own = ""
    last: list[str] = []
    pieces = re.split(r"(case BPF_FUNC_\w+:|\bdefault:)", body)
    labels: list[str] = []
    for label, text in zip(pieces[1::2], pieces[2::2], strict=True):
        if label.startswith("case"):
            labels.append(label[len("case BPF_FUNC_") : -1])
        if not text.strip():
            continue
        if label.startswith("case"):
            own = text
            last = labels
        # A default inside a nested switch belongs to the helper before it.
        if label.startswith("default") and own.count("{") > own.count("}"):
            own += label + text
        for name in last if labels or label.startswith("default") else ():
            seen = conditions(own)
            if guard and "cap" not in seen:
                seen["cap"] = guard
            if "protos" in seen:
                helpers[name] = seen
        if label.startswith("case"):
            labels = []
        closing = re.search(r"if \(!\s*(bpf_token_capable\([^)]*\)|\w+_capable\(\))\)\s*return NULL;\s*switch", text)
        if closing:
            guard = capability_of(closing.group(1))
    return {"helpers": helpers, "calls": calls}


def resolve(name: str, functions: Rules, attach: str = "", seen: tuple[str, ...] = ()) -> Rules:
    if name in seen or name not in functions:
        return {}
    function = functions[name]
    out: Rules = {}
    for call in function["calls"]:
        for helper, rule in resolve(call["name"], functions, call.get("attach", ""), (*seen, name)).items():
            weaker = out.get(helper)
            if weaker is None or len(rule) < len(weaker):
                out[helper] = rule
    for helper, rule in function["helpers"].items():
        inherited = out.get(helper)
        if inherited is None or len(rule) < len(inherited):
            out[helper] = dict(rule)
    if attach:
        out = {helper: {**rule, "attach": rule.get("attach", [attach])} for helper, rule in out.items()}
    return out


def lsm_hooks(source: Path) -> Rules:
    """hook -> what it returns, whether sleepable programs may attach, whether BPF may not."""
    header = strip_comments((source / "include/linux/lsm_hook_defs.h").read_text())
    text = strip_comments((source / "kernel/bpf/bpf_lsm.c").read_text())
    sets = dict(re.findall(r"BTF_SET_START\((\w+)\)(.*?)BTF_SET_END", text, re.S))

    def members(name: str) -> set[str]:
        return set(re.findall(r"bpf_lsm_(\w+)\)", sets.get(name, "")))

    sleepable, disabled, boolean = map(members, ("sleepable_lsm_hooks", "bpf_lsm_disabled_hooks", "bool_lsm_hooks"))
    return {
        name: {
            "result": "bool" if name in boolean else result,
            "sleepable": name in sleepable,
            "disabled": name in disabled,
        }
        for result, name in re.findall(r"LSM_HOOK\((\w+),\s*[^,]+,\s*(\w+)", header)
    }


def kfuncs(sources: list[str]) -> Rules:
    """kernel function -> its `KF_` flags and the program types its sets are registered for."""
    flags_of: dict[str, set[str]] = {}
    sets: dict[str, list[str]] = {}
    types: dict[str, set[str]] = {}
    for text in sources:
        for name, body in re.findall(r"(?:BTF_KFUNCS_START|BTF_SET8_START)\((\w+)\)(.*?)_END\(", text, re.S):
            for function, words in re.findall(r"BTF_ID_FLAGS\(func,\s*(\w+)\s*(?:,\s*([^)]*))?\)", body):
                flags_of.setdefault(function, set()).update(re.findall(r"KF_\w+", words))
                sets.setdefault(name, []).append(function)
        structs = dict(re.findall(r"struct btf_kfunc_id_set (\w+)\s*=\s*\{[^}]*?\.set\s*=\s*&(\w+)", text))
        for program, struct in re.findall(r"register_btf_kfunc_id_set\(BPF_PROG_TYPE_(\w+),\s*&(\w+)\)", text):
            for function in sets.get(structs.get(struct, ""), ()):
                types.setdefault(function, set()).add(program.lower())
    return {
        name: {"flags": sorted(flags_of[name]), "programs": sorted(types.get(name, ()))} for name in sorted(flags_of)
    }


def extract(source: Path, version: str) -> dict[str, object]:
    header = strip_comments((source / "include/uapi/linux/bpf.h").read_text())
    files = [path for folder in FOLDERS for path in sorted((source / folder).rglob("*.c"))]
    sources = [strip_comments(path.read_text(errors="replace")) for path in files]
    protos: Rules = {}
    functions: Rules = {}
    sizes: dict[str, int] = {}
    ops: dict[str, str] = {}
    moves: list[str] = []
    for text in sources:
        if "bpf_func_proto" not in text and "verifier_ops" not in text:
            continue
        protos.update(prototypes(text))
        for match in re.finditer(FUNCTION, text):
            body = block(text, match.end() - 1)
            if len(body) > sizes.get(match.group(1), 0):  # weak stubs share the name
                sizes[match.group(1)] = len(body)
                functions[match.group(1)] = permission_function(body)
        for match in re.finditer(r"struct bpf_verifier_ops (\w+?)(?:_verifier_ops)?\s*=\s*\{(.*?)\};", text, re.S):
            getter = re.search(r"\.get_func_proto\s*=\s*(\w+)", match.group(2))
            if getter is None:
                continue
            ops[match.group(1)] = getter.group(1)
        packet = re.search(r"bool bpf_helper_changes_pkt_data\([^)]*\)\s*\{", text)
        if packet:
            body = block(text, packet.end() - 1)
            moves = re.findall(r"BPF_FUNC_(\w+)", body)  # before 6.12 C functions are compared instead: none
    table = strip_comments((source / "include/linux/bpf_types.h").read_text())
    types = re.findall(r"BPF_PROG_TYPE\(BPF_PROG_TYPE_(\w+), (\w+),\s*([^,]+),", table)
    programs: Rules = {}
    contexts: dict[str, str] = {}
    for word, op, context in types:
        contexts[word.lower()] = " ".join(context.split())
        programs[word.lower()] = resolve(ops.get(op, ""), functions)
    merged: Rules = {}
    for kind in sorted(set(ops) - {op for _, op, _ in types}):  # every struct_ops kind brings its own
        merged.update(resolve(ops[kind], functions))
    programs["struct_ops"] = merged
    for iterator in ITERATORS:
        for helper, rule in resolve(iterator, functions).items():
            programs["tracing"].setdefault(helper, {**rule, "attach": ["BPF_TRACE_ITER"]})
    used = {name for rules in programs.values() for rule in rules.values() for name in rule["protos"]}
    return {
        "version": version,
        "source": f"linux {version}, include/uapi/linux/bpf.h and the `*_func_proto` functions",
        "enums": {name: enum(header, name) for name in ENUMS},
        "helpers": helper_numbers(header),
        "flags": flags(header),
        "contexts": contexts,
        "lsm_hooks": lsm_hooks(source),
        "kfuncs": kfuncs(sources),
        "moves_packet": sorted(set(moves)),
        "programs": programs,
        "protos": {name: protos[name] for name in sorted(used) if name in protos},
    }


def dump(value: dict[str, object]) -> str:
    """JSON with one line per entry of each table, so that changes can be read."""

    def lines(item: object, depth: int) -> str:
        if not isinstance(item, dict) or depth == 3 or not item:
            return json.dumps(item, sort_keys=True)
        inner = ",\n".join(f"{' ' * depth}{json.dumps(key)}: {lines(item[key], depth + 1)}" for key in sorted(item))
        return f"{{\n{inner}\n{' ' * (depth - 1)}}}"

    return lines(value, 1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel-source", type=Path, required=True)
    parser.add_argument("--version", required=True)
    args = parser.parse_args()
    sys.stdout.write(dump(extract(args.kernel_source, args.version)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
