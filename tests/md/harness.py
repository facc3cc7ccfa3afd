"""Reads the Markdown tests described in README.md: cases with their files, options and expected findings."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "corpus"))

KINDS = ("bad", "good", "fine")
_INLINE = re.compile(r'(?:(?://|#)\s*|\s)(error|warning|note): \[([A-Z]+\d{3})\](?: "([^"]*)")?')
_EXPECT = re.compile(r"<!--\s*expect:\s*(?P<code>[A-Z]+\d{3})\s*(?P<rest>.*?)\s*-->")
_FENCE = re.compile(r"^(`{3,})\s*(.*)$")


class Expected:
    """One expected finding; None means any."""

    def __init__(
        self,
        code: str,
        severity: str | None = None,
        path: str | None = None,
        line: int | None = None,
        program: str | None = None,
        message: str | None = None,
    ) -> None:
        self.code = code
        self.severity = severity
        self.path = path
        self.line = line
        self.program = program
        self.message = message

    def matches(self, finding: dict) -> bool:
        return (
            finding["code"] == self.code
            and self.severity in {None, finding["severity"]}
            and (self.line is None or (finding["line"] == self.line and (finding["path"] or "").endswith(self.path)))
            and self.program in {None, finding["program"]}
            and (self.message is None or self.message in finding["message"])
        )

    def __repr__(self) -> str:
        shown = {name: value for name, value in vars(self).items() if value is not None and name != "code"}
        return f"{self.code} {shown}"


class Case:
    """One program or project, with what must be found in it."""

    def __init__(self, file: Path, line: int, kind: str, language: str, options: dict[str, str]) -> None:
        self.file = file
        self.line = line
        self.kind = kind
        self.language = language
        self.options = options
        self.files: dict[str, str] = {}
        self.expected: list[Expected] = []

    @property
    def code(self) -> str:
        return self.file.stem

    @property
    def id(self) -> str:
        return f"{self.file.stem}-{self.kind}-{self.line}"

    def add(self, path: str, text: str) -> None:
        self.files[path] = text
        for number, line in enumerate(text.splitlines(), 1):
            for severity, code, message in _INLINE.findall(line):
                self.expected.append(Expected(code, severity, path, number, None, message or None))


def cases(file: Path) -> list[Case]:
    """Every case of one Markdown file, in order."""
    found: list[Case] = []
    current: Case | None = None
    lines = file.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        fence = _FENCE.match(line)
        if fence is None:
            if line.startswith("#"):
                current = None
            match = _EXPECT.search(line)
            if match is not None:
                if not found:
                    raise ValueError(f"{file}:{at + 1}: an expectation before any block")
                found[-1].expected.append(Expected(match["code"], **_words(match["rest"], file, at)))
            at += 1
            continue
        start = at + 1
        end = start
        while end < len(lines) and not re.fullmatch(re.escape(fence[1]) + r"\s*", lines[end]):
            end += 1
        text = "\n".join(lines[start:end]) + "\n"
        words = shlex.split(fence[2])
        language = words[0] if words else ""
        kind = next((word for word in words[1:] if word in KINDS), None)
        options = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        wrong = [word for word in words[1:] if word not in KINDS and "=" not in word]
        if kind and wrong:
            raise ValueError(f"{file}:{at + 1}: unknown word {wrong[0]!r} in the block's first line")
        if kind:
            if options.get("build") == "object":
                language = "rust-object"
            current = Case(file, at + 1, kind, language, options)
            found.append(current)
            current.add({"c": "block.c", "rust-object": "block.rs"}.get(language) or _place(options), text)
        elif current is not None and current.language == "rust" and ("file" in options or "crate" in options):
            current.add(_place(options), text)
        at = end + 1
    return found


def _words(rest: str, file: Path, at: int) -> dict[str, str]:
    words = dict(word.split("=", 1) for word in shlex.split(rest))
    unknown = set(words) - {"program", "message", "severity"}
    if unknown:
        raise ValueError(f"{file}:{at + 1}: unknown word {unknown.pop()!r} in the expectation")
    return words


def _place(options: dict[str, str]) -> str:
    if "file" in options:
        return options["file"]
    crate = options.get("crate", "ebpf")
    return f"{crate}/src/{'lib' if crate == 'common' else 'main'}.rs"


def problems(case: Case, findings: list[dict]) -> list[str]:
    """What differs from the expectation: one line each, empty when all is as written."""
    allowed = {word for word in case.options.get("also", "").split(",") if word}
    expected = list(case.expected)
    out = []
    for finding in findings:
        match = next((one for one in expected if one.matches(finding)), None)
        if match is not None:
            expected.remove(match)
            continue
        if finding["code"] != case.code and (finding["severity"] == "note" or finding["code"] in allowed):
            continue
        place = f"{finding['path']}:{finding['line']}" + (
            f" program {finding['program']}" if finding["program"] else ""
        )
        out.append(f"unexpected {finding['severity']} [{finding['code']}] at {place}: {finding['message']}")
    out.extend(f"missing {one}" for one in expected)
    if case.kind == "bad" and not any(one.code == case.code for one in case.expected):
        out.append(
            f"a bad block must expect {case.code}: write `// error: [{case.code}]` or `<!-- expect: {case.code} -->`"
        )
    if case.kind != "bad" and any(one.code == case.code for one in case.expected):
        out.append(f"a {case.kind} block must not expect {case.code}")
    return out
