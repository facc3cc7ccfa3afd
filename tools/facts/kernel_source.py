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

ENUMS = ("bpf_prog_type", "bpf_attach_type", "bpf_map_type")
FOLDERS = ("kernel", "net", "drivers/media/rc", "drivers/hid", "security", "fs")


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
            if value in out:  # an alias such as BPF_MAP_TYPE_CGROUP_STORAGE
                following = out[value]
            else:
                following = int(value, 0)
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


def prototypes(text: str) -> dict[str, dict[str, object]]:
    out: dict[str, dict[str, object]] = {}
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


# Prototypes that only a function hands out (a runtime switch or a warning stands before them).
GETTERS = {
    "bpf_get_trace_printk_proto": "bpf_trace_printk_proto",
    "bpf_get_trace_vprintk_proto": "bpf_trace_vprintk_proto",
    "bpf_get_probe_write_proto": "bpf_probe_write_user_proto",
    "bpf_get_skb_set_tunnel_proto": "bpf_skb_set_tunnel_key_proto",
}
# Callbacks that `bpf_iter` targets register: they add to tracing programs attached as iterators.
ITERATORS = ("bpf_iter_unix_get_func_proto", "bpf_iter_tcp_get_func_proto")

ATTACH = r"BPF_(?:CGROUP|TRACE|LSM|XDP|SK|MODIFY|FLOW|TCX|NETKIT|LIRC)_?[A-Z0-9_]*"


def conditions(text: str) -> dict[str, object]:
    """What the code between a helper's label and the next label asks for, as far as a reader of C text can tell."""
    out: dict[str, object] = {}
    protos = re.findall(r"&(\w+_proto(?:_\w+)?)\b", text) + [GETTERS.get(g, "") for g in re.findall(r"\b(bpf_get_\w+)\(", text)]
    protos = [name for name in protos if name]
    if protos:
        out["protos"] = sorted(set(protos))
    nested = re.search(r"switch \(prog->expected_attach_type\)", text)
    if nested:
        labels: list[str] = []
        allowed: list[str] = []
        denied: list[str] = []
        default_allows = False
        for part in re.finditer(rf"case ({ATTACH}):|(default):|return ([^;]+);", text[nested.end() :]):
            if part.group(1):
                labels.append(part.group(1))
            elif part.group(2):
                labels.append("default")
            else:
                yes = "NULL" not in part.group(3)
                for label in labels:
                    if label == "default":
                        default_allows = yes
                    else:
                        (allowed if yes else denied).append(label)
                labels = []
        if default_allows:
            if denied:
                out["not_attach"] = denied
        elif allowed:
            out["attach"] = allowed
    else:
        equal = re.findall(rf"expected_attach_type [!=]= ({ATTACH})", text)
        if equal and "NULL" in text:
            out["attach"] = sorted(set(equal))
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
    helpers: dict[str, dict[str, object]] = {}
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
        closing = re.search(r"if \(!\s*((?:bpf_token_capable\([^)]*\)|\w+_capable\(\)))\)\s*return NULL;\s*switch", text)
        if closing:
            guard = capability_of(closing.group(1))
    return {"helpers": helpers, "calls": calls}


def resolve(name: str, functions: dict[str, dict[str, object]], attach: str = "", seen: tuple[str, ...] = ()) -> dict[str, dict[str, object]]:
    if name in seen or name not in functions:
        return {}
    function = functions[name]
    out: dict[str, dict[str, object]] = {}
    for call in function["calls"]:  # type: ignore[attr-defined]
        for helper, rule in resolve(call["name"], functions, call.get("attach", ""), (*seen, name)).items():
            weaker = out.get(helper)
            if weaker is None or len(rule) < len(weaker):
                out[helper] = rule
    for helper, rule in function["helpers"].items():  # type: ignore[attr-defined]
        inherited = out.get(helper)
        if inherited is None or len(rule) < len(inherited):
            out[helper] = dict(rule)
    if attach:
        out = {helper: {**rule, "attach": rule.get("attach", [attach])} for helper, rule in out.items()}
    return out


def extract(source: Path, version: str) -> dict[str, object]:
    header = strip_comments((source / "include/uapi/linux/bpf.h").read_text())
    sources = [strip_comments(p.read_text(errors="replace")) for f in FOLDERS for p in sorted((source / f).rglob("*.c"))]
    protos: dict[str, dict[str, object]] = {}
    functions: dict[str, dict[str, object]] = {}
    sizes: dict[str, int] = {}
    ops: dict[str, str] = {}
    moves: list[str] = []
    for text in sources:
        if "bpf_func_proto" not in text and "verifier_ops" not in text:
            continue
        protos.update(prototypes(text))
        for match in re.finditer(r"\b(\w+_func_proto)\(enum bpf_func_id \w+(?:,\s*const struct bpf_prog \*\w+)?\)\s*\{", text):
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
    types = re.findall(r"BPF_PROG_TYPE\(BPF_PROG_TYPE_(\w+), (\w+),\s*([^,]+),", strip_comments((source / "include/linux/bpf_types.h").read_text()))
    programs: dict[str, dict[str, object]] = {}
    contexts: dict[str, str] = {}
    for word, op, context in types:
        contexts[word.lower()] = " ".join(context.split())
        programs[word.lower()] = resolve(ops.get(op, ""), functions)
    merged: dict[str, dict[str, object]] = {}
    for op in sorted(set(ops) - {op for _, op, _ in types}):  # every struct_ops kind brings its own
        merged.update(resolve(ops[op], functions))
    programs["struct_ops"] = merged
    for getter in ITERATORS:
        for helper, rule in resolve(getter, functions).items():
            programs["tracing"].setdefault(helper, {**rule, "attach": ["BPF_TRACE_ITER"]})
    used = {name for rules in programs.values() for rule in rules.values() for name in rule["protos"]}  # type: ignore[attr-defined]
    return {
        "version": version,
        "source": f"linux {version}, include/uapi/linux/bpf.h and the `*_func_proto` functions",
        "enums": {name: enum(header, name) for name in ENUMS},
        "helpers": helper_numbers(header),
        "flags": flags(header),
        "contexts": contexts,
        "moves_packet": sorted(set(moves)),
        "programs": programs,
        "protos": {name: protos[name] for name in sorted(used) if name in protos},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel-source", type=Path, required=True)
    parser.add_argument("--version", required=True)
    args = parser.parse_args()
    json.dump(extract(args.kernel_source, args.version), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
