"""The formats of all messages a kernel's BPF verifier can log, read from an unpacked Linux source tree.

    python tools/facts/verifier_messages.py linux-6.12           # formats, one a line
    python tools/facts/verifier_messages.py linux-6.12 --where   # with the file and function each stands in

Only facts leave the tree: what the kernel prints. `messages()` leaves out what prints instructions, states and types;
`tests/corpus/message_coverage.py` says which of them the table of `bpfsmith.verify.messages` knows.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Where programs are judged: what these folders log goes to the one who loads. Prefixes of paths below the tree.
FOLDERS = ("kernel/bpf", "kernel/sched", "kernel/trace", "net", "drivers/hid/bpf", "include/linux")
# Functions that print to the log of the one who loads: the format is the first string among the arguments.
PRINTERS = (
    "verbose", "verbose_linfo", "bpf_log", "bpf_verifier_log_write", "verifier_bug", "verifier_bug_if",
    "__btf_verifier_log", "btf_verifier_log", "btf_verifier_log_type", "btf_verifier_log_basic",
    "btf_verifier_log_member", "btf_verifier_log_vsi", "verbose_snum", "diag_write",
)  # fmt: skip
# What prints instructions, register states, liveness and types: no messages.
TRACE_FILES = frozenset(
    f"kernel/bpf/{name}.c" for name in ("disasm", "liveness", "log", "diagnostics", "backtrack", "const_fold")
)
_TRACE = re.compile(
    r"print_\w+|\w*btf_\w+_log|btf_verifier_log_hdr|__print_cand_cache|__printf|mark_all_scalars\w*|mark_reg_\w+"
    r"|bpf_update_branch_counts|update_branch_counts|propagate_\w+|\w*_scc|btf_enum_log|add_scc_backedge"
    r"|__?mark_chain_precision|backtrack_insn|push_insn_history|bpf_is_state_visited|bpf_pseudo_kfunc_call"
)
_HOLE = re.compile(r"%[#+0-9\-. ]*\*?(?:\.\*)?(?:hh|h|ll|l|z)?[diuxXcsp]")
_CALL = re.compile(rf"(?<![\w.])({'|'.join(PRINTERS)})\s*\(")
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_MACROS = {"PRIu64": "llu", "PRId64": "lld", "PRIx64": "llx"}
_FUNCTION = re.compile(r"^(?:[A-Za-z_][\w \t*]*?[ \t*])?([A-Za-z_]\w*)\s*\([^;{}]*\)\s*\{", re.M)
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}


class Format:
    """One format as the kernel's source has it: `text` (without its line end), `file`, `function`, `printer`."""

    __slots__ = ("file", "function", "printer", "text")

    def __init__(self, text: str, printer: str, file: str, function: str) -> None:
        self.text = text
        self.printer = printer
        self.file = file
        self.function = function

    def __repr__(self) -> str:
        return f"<Format {self.text!r} of {self.function}>"


def formats(tree: Path) -> list[Format]:
    """Every format below `FOLDERS`, in order; the same one several times where several functions print it."""
    out: list[Format] = []
    for folder in FOLDERS:
        for path in sorted((tree / folder).rglob("*.[ch]")):
            text = path.read_text(errors="replace")
            if _CALL.search(text):
                out.extend(_in_file(text, str(path.relative_to(tree))))
    return out


def messages(tree: Path) -> dict[str, Format]:
    """Format -> where it stands first, without what prints instructions, states and types."""
    out: dict[str, Format] = {}
    for one in formats(tree):
        spoken = one.file not in TRACE_FILES and not _TRACE.fullmatch(one.function)
        if spoken and re.search("[A-Za-z]{2}", _HOLE.sub("", one.text)):
            out.setdefault(one.text.strip(), one)
    return out


def printed(text: str) -> str:
    """What a format prints, with `abc` and 7 as operands; its first line."""
    shown = _HOLE.sub(lambda hole: "abc" if hole.group(0)[-1] in "sc" else "7", text)
    return shown.strip().partition("\n")[0]


def strings(image: bytes) -> list[str]:
    """The zero-ended texts of an image that could be messages, in order."""
    found = re.findall(rb"\x00([\x20-\x7e\t\n]{6,400})(?=\x00)", image)
    return [one.decode("ascii").strip() for one in found]


def _in_file(source: str, file: str) -> Iterator[Format]:
    text = _without_comments(source)
    functions = [(match.start(), match.group(1)) for match in _FUNCTION.finditer(text)]
    for match in _CALL.finditer(text):
        end = _closing(text, match.end())
        if end < 0 or re.match(r"\s*\{", text[end + 1 : end + 40]):
            continue  # a definition
        name = next((word for at, word in reversed(functions) if at < match.start()), "")
        for found in _formats(text[match.end() : end]):
            yield Format(found, match.group(1), file, name)


def _formats(arguments: str) -> Iterator[str]:
    """The format among the arguments; each of several where a condition chooses."""
    for argument in _split(arguments):
        if '"' not in argument:
            continue
        for part in _choices(argument):
            joined = "".join(
                _unescape(piece[1:-1]) if piece.startswith('"') else _MACROS.get(piece, "")
                for piece in re.findall(r'"(?:[^"\\\n]|\\.)*"|\b[A-Za-z_]\w*\b', part)
            )
            if joined.strip():
                yield joined.rstrip("\n")
        return


def _choices(argument: str) -> list[str]:
    """`cond ? "a" : "b"` as its two strings; anything else as it is."""
    found = re.match(r"[^\"]*\?\s*((?:\"(?:[^\"\\]|\\.)*\"\s*)+):\s*((?:\"(?:[^\"\\]|\\.)*\"\s*)+)$", argument, re.S)
    return [found.group(1), found.group(2)] if found else [argument]


def _split(arguments: str) -> list[str]:
    out, depth, start, at = [], 0, 0, 0
    while at < len(arguments):
        char = arguments[at]
        if char == '"':
            found = _STRING.match(arguments, at)
            at = found.end() if found else at + 1
            continue
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0:
            out.append(arguments[start:at])
            start = at + 1
        at += 1
    out.append(arguments[start:])
    return out


def _closing(text: str, at: int) -> int:
    depth = 1
    while at < len(text):
        char = text[at]
        if char == '"':
            found = _STRING.match(text, at)
            at = found.end() if found else at + 1
            continue
        if char == "'":
            found = re.compile(r"'(?:[^'\\]|\\.)+'").match(text, at)
            at = found.end() if found else at + 1
            continue
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return at
        at += 1
    return -1


def _without_comments(text: str) -> str:
    keep = r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\''
    return re.sub(rf"({keep})|/\*.*?\*/|//[^\n]*|\\\n", lambda found: found.group(1) or " ", text, flags=re.S)


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found.group(1), found.group(0)), text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tree", type=Path)
    parser.add_argument("--where", action="store_true")
    args = parser.parse_args()
    seen: set[tuple[str, ...]] = set()
    for one in formats(args.tree):
        key = (one.text, one.file, one.function) if args.where else (one.text,)
        if key not in seen:
            seen.add(key)
            sys.stdout.write("\t".join(repr(word)[1:-1] for word in key) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
