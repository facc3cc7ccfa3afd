"""What people paste: a verifier's log as loaders, loggers, terminals and issue trackers show it."""

from __future__ import annotations

import json
from collections.abc import Callable

__all__ = ["STYLES", "Style"]

Style = Callable[[str], str]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")


def _lines(one: Callable[[int, str], str]) -> Style:
    def style(text: str) -> str:
        return "\n".join(one(at, line) for at, line in enumerate(text.rstrip("\n").split("\n"))) + "\n"

    return style


def _wrapped(width: int) -> Style:
    def style(text: str) -> str:
        out: list[str] = []
        for line in text.split("\n"):
            out += [line[at : at + width] for at in range(0, len(line), width)] or [""]
        return "\n".join(out)

    return style


def _aya(text: str) -> str:
    return f"Error: the BPF_PROG_LOAD syscall returned Permission denied (os error 13). Verifier output: {text}"


def _anyhow(text: str) -> str:
    head = "[2024-05-01T10:00:00Z DEBUG aya::bpf] BPF Feature Detection\nError: loading failed\n\nCaused by:\n"
    output = f"    0: the BPF_PROG_LOAD syscall failed. Verifier output: {text}\n"
    return f"{head}{output}    1: Permission denied (os error 13)\n"


def _aya_debug(text: str) -> str:
    error = 'io_error: Os { code: 13, kind: PermissionDenied, message: "Permission denied" }'
    return f'Error: LoadError {{ {error}, verifier_log: VerifierLog("{_escaped(text)}") }}\n'


def _unwrap(text: str) -> str:
    error = 'io_error: Os { code: 13, kind: PermissionDenied, message: "Permission denied" }'
    head = "thread 'main' panicked at src/main.rs:9:5:\ncalled `Result::unwrap()` on an `Err` value: "
    note = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n"
    body = text.rstrip("\n")
    return f"{head}LoadError {{ {error}, verifier_log: {body} }}\n{note}"


def _libbpf(text: str) -> str:
    name = "libbpf: prog 'handle': "
    begin = f"{name}BPF program load failed: Permission denied\n{name}-- BEGIN PROG LOAD LOG --\n"
    end = f"-- END PROG LOAD LOG --\n{name}failed to load: -13\nlibbpf: failed to load object 'x'\n"
    return f"libbpf: loading object 'x'\n{begin}{text}{end}"


def _libbpf_old(text: str) -> str:
    head = "libbpf: load bpf program failed: Permission denied\nlibbpf: -- BEGIN DUMP LOG ---\nlibbpf: \n"
    return f"{head}{text}\nlibbpf: -- END LOG --\nlibbpf: failed to load program 'handle'\n2021/10/17 17:05:43 error\n"


def _bcc(text: str) -> str:
    end = 'Traceback (most recent call last):\n  File "x.py", line 5, in <module>\n'
    failed = "Exception: Failed to load BPF program b'handle': Permission denied\n"
    return f"bpf: Failed to load program: Permission denied\n{text}\n{end}{failed}"


def _cilium(text: str) -> str:
    body = "".join(f"\t{line}\n" for line in text.rstrip("\n").split("\n"))
    return f"2024/01/01 10:00:00 field Handle: program handle: load program: permission denied:\n{body}exit status 1\n"


def _iproute2(text: str) -> str:
    head = "\nProg section 'handle' rejected: Permission denied (13)!\n - Type:         3\n - License:      GPL\n\n"
    return f"{head}Verifier analysis:\n\n{text}\nError fetching program/map!\nUnable to load program\n"


def _agent(_: int, line: str) -> str:
    return f'level=warning msg="{_escaped(line)}" subsys=loader' if line else "level=warning subsys=loader"


def _go_list(text: str) -> str:
    lines = ", ".join(f'"{_escaped(line)}"' for line in text.rstrip("\n").split("\n"))
    return f"could not start: &internal.VerifierError{{source: load, Log: []string{{{lines}}}, Truncated: false}}\n"


def _json_list(text: str) -> str:
    return json.dumps({"level": "error", "log": text.rstrip("\n").split("\n")}, indent=2) + "\n"


STYLES: dict[str, tuple[Style, str | None]] = {
    "aya": (_aya, "aya"),
    "aya, anyhow": (_anyhow, "aya"),
    "aya, debug": (_aya_debug, "aya"),
    "aya, unwrap": (_unwrap, "aya"),
    "libbpf": (_libbpf, "libbpf"),
    "libbpf before 1.0": (_libbpf_old, "libbpf"),
    "bpftool": (lambda text: _libbpf(text) + "Error: failed to load object file\n", "bpftool"),
    "bcc": (_bcc, "bcc"),
    "cilium/ebpf": (_cilium, "cilium"),
    "iproute2": (_iproute2, "iproute2"),
    "logfmt": (_lines(_agent), None),
    "logfmt in a journal": (
        _lines(lambda at, line: f"May 14 16:21:{at % 60:02d} node1 agent[12]: {_agent(at, line)}"),
        None,
    ),
    "a list of strings": (_go_list, None),
    "a list of strings, one a line": (_json_list, None),
    "an error of Go, escaped": (
        lambda text: f'&fmt.wrapError{{msg:"load program: permission denied: {_escaped(text)}"}}\n',
        "cilium",
    ),
    "fields behind words": (
        _lines(lambda at, line: f"19:51:33.155 ERROR bpf.go:322 rejected {json.dumps({'line': at, 'log': line})}"),
        None,
    ),
    "JSON lines": (_lines(lambda at, line: json.dumps({"level": "error", "time": at, "msg": line})), None),
    "JSON": (lambda text: json.dumps({"error": "load program: permission denied:\n" + text}) + "\n", "cilium"),
    "journal": (_lines(lambda at, line: f"Apr 01 10:41:{at % 60:02d} host.local agent[10491]: {line}"), None),
    "dmesg": (_lines(lambda at, line: f"[{at * 1.3:12.6f}] {line}"), None),
    "env_logger": (_lines(lambda at, line: f"[2024-05-01T10:00:{at % 60:02d}Z ERROR prog] {line}"), None),
    "Go's log": (_lines(lambda at, line: f"2024/05/01 10:00:{at % 60:02d} {line}"), None),
    "quoted": (_lines(lambda _, line: f"> {line}".rstrip()), None),
    "quoted twice": (_lines(lambda _, line: f">> {line}"), None),
    "indented": (_lines(lambda _, line: f"    {line}" if line else ""), None),
    "tabs": (_lines(lambda _, line: f"\t{line}"), None),
    "numbered": (_lines(lambda at, line: f"{at + 1:5d}  {line}"), None),
    "numbered, bar": (_lines(lambda at, line: f"{at + 1:4d} | {line}"), None),
    "docker compose": (_lines(lambda _, line: f"app-1  | {line}"), None),
    "Markdown": (lambda text: f"I get this:\n\n```\n{text}```\n\nAny help is welcome, thanks!\n", None),
    "CRLF": (lambda text: text.replace("\n", "\r\n"), None),
    "colours": (_lines(lambda _, line: f"\x1b[31m{line}\x1b[0m"), None),
    "HTML": (lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), None),
    "typographic": (lambda text: text.replace("'", "\u2019").replace("  ", "\u00a0 "), None),
    "80 columns": (_wrapped(80), None),
    "100 columns": (_wrapped(100), None),
    "120 columns": (_wrapped(120), None),
    "shell": (lambda text: f"$ sudo ./prog eth0\n{text}$ echo $?\n1\n", None),
}
"""Name -> (how it shows a log, the loader that tells it)."""
