"""`bpfsmith explain` of verifier logs: what is said, in three depths and as JSON; what is no log; words stay words."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import bpfsmith
from bpfsmith import cli
from bpfsmith.explain.report import ExplainReport
from bpfsmith.explain.schema import schema
from bpfsmith.model.errors import InputError, UnknownName, VerifierRejected

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/rejected"
OBJECT = EXAMPLE / "prebuilt/dns-guard.bpf.o"
OTHER = ROOT / "examples/toolbox/prebuilt/tc-mark.bpf.o"
SOURCE = EXAMPLE / "src/main.rs"
CHECK = "if transport > ctx.data_end() {"
READ = "if u16::from_be_bytes(unsafe { (*udp).destination }) != DNS_PORT {"

# As 6.12 prints it, of a lookup whose result is read at once.
NULL = """\
0: R1=ctx() R10=fp0
; __u32 key = 0; @ count.c:14
0: (b7) r1 = 0                        ; R1_w=0
1: (63) *(u32 *)(r10 -4) = r1         ; R1_w=0 R10=fp0 fp-8=0000????
2: (bf) r2 = r10                      ; R2_w=fp0 R10=fp0
3: (07) r2 += -4                      ; R2_w=fp-4
; __u64 *value = bpf_map_lookup_elem(&counts, &key); @ count.c:15
4: (18) r1 = 0xffff9a8d05b3ec00       ; R1_w=map_ptr(map=counts,ks=4,vs=8)
6: (85) call bpf_map_lookup_elem#1    ; R0_w=map_value_or_null(id=1,map=counts,ks=4,vs=8)
; *value += 1; @ count.c:16
7: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
# The same of a kernel that does not say files and lines.
OLDER = "".join(line.partition(" @ ")[0] + "\n" if line.startswith(";") else line + "\n" for line in NULL.splitlines())
BARE = "".join(line + "\n" for line in NULL.splitlines() if not line.startswith(";"))
SUCCESS = """\
0: R1=ctx() R10=fp0
0: (b7) r0 = 0                        ; R0_w=0
1: (95) exit
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the engine is a failure of the test, not a smaller explanation."""
    monkeypatch.setenv("BPFSMITH_DEBUG", "1")


def report(data: str | bytes, **options: object) -> ExplainReport:
    made = bpfsmith.explain(data.encode() if isinstance(data, str) else data, **options)  # type: ignore[arg-type]
    assert isinstance(made, ExplainReport)
    Draft202012Validator(schema()).validate(made.to_json())
    return made


def line_of(text: str) -> int:
    return 1 + next(at for at, line in enumerate(SOURCE.read_text().splitlines()) if line.strip() == text)


# ------------------------------------------------------------ what is said


def test_a_log_alone() -> None:
    made = report(NULL)
    one = made.programs[0]
    assert (made.exit_code, one.verdict, one.family, one.cls) == (1, "rejected", "V06", "missing-null-check")
    assert one.line in (("count.c", 15), ("count.c", 16))
    assert one.concise().startswith(f"count.c:{one.line[1]}: missing-null-check: ")
    document = made.to_json()
    assert list(document) == ["version", "program", "kernel", "verdict", "symptom", "cause", "chain", "fixes"]
    symptom = {"message": "R0 invalid mem access 'map_value_or_null'", "family": "V06", "instruction": 7}
    place = {"path": "count.c", "line": 16, "text": "*value += 1;"}
    assert document["symptom"] == symptom | place
    assert (document["program"], document["kernel"], document["version"]) == (None, None, 1)
    assert document["chain"]
    assert all(step["fact"] for step in document["chain"])
    assert document["fixes"]


@pytest.mark.parametrize("log", [OLDER, BARE])
def test_less_in_the_log(log: str) -> None:
    one = report(log).programs[0]
    assert one.cls == "missing-null-check"
    assert one.line == (None, None)
    assert one.to_json()["cause"]["text"] == (None if log == BARE else one.cause and one.cause.place.text)  # type: ignore[union-attr]
    text = str(one)
    assert "instruction" in text.splitlines()[1]
    assert ("*value += 1;" if log == OLDER else "r1 = *(u64 *)(r0 +0)") in text


def test_the_example_of_the_repository() -> None:
    """The check that is not enough is the cause, the read behind it the symptom."""
    alone = report((EXAMPLE / "aya.log").read_bytes()).programs[0]
    helped = report((EXAMPLE / "aya.log").read_bytes(), object=OBJECT).programs[0]
    for one in (alone, helped):
        assert (one.family, one.verdict) == ("V08", "rejected")
        assert one.cls == "check-wrong"
        assert one.to_json()["cause"]["text"] == CHECK
        assert one.to_json()["symptom"]["text"] == READ
    assert alone.line == ("main.rs", line_of(CHECK))
    assert helped.line == ("src/main.rs", line_of(CHECK))
    assert helped.program == "dns_guard"


def test_depths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "verifier.log"
    log.write_text(NULL)
    assert cli.main(["explain", str(log)]) == 1
    normal = capsys.readouterr().out
    assert normal.startswith("error[V06 missing-null-check]: ")
    assert "= verifier: R0 invalid mem access 'map_value_or_null' (instruction 7)" in normal
    assert "= explain: bpfsmith explain V06" in normal
    assert 8 <= len(normal.splitlines()) <= 16
    assert cli.main(["explain", str(log), "--concise"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert cli.main(["explain", str(log), "--full"]) == 1
    full = capsys.readouterr().out
    assert full.startswith(normal)
    assert "6: (85) call bpf_map_lookup_elem#1" in full
    assert "*r0=map_value_or_null(" in full
    assert cli.main(["explain", str(log), "--format", "markdown"]) == 1
    assert capsys.readouterr().out == f"```text\n{normal}```\n"
    assert cli.main(["explain", str(log), "--color", "always"]) == 1
    assert "\x1b[1;31merror" in capsys.readouterr().out


def test_json_of_several(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "verifier.log"
    log.write_text(NULL + SUCCESS)
    code = cli.main(["explain", str(log), "--format", "json"])
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert code == 1
    assert [one["verdict"] for one in document["programs"]] == ["rejected", "accepted"]
    assert out.err == "note: 2 loads in one paste, each explained alone\n"


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(NULL.encode())))
    assert cli.main(["explain", "-", "--concise"]) == 1
    assert "missing-null-check" in capsys.readouterr().out


def test_python(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(NULL)
    error = VerifierRejected("the verifier rejects program `count`: ..", "count", NULL, "R0 invalid mem access")
    for what in (path, str(path), NULL, NULL.encode(), error):
        made = bpfsmith.explain(what)
        assert [one.cls for one in made.programs] == ["missing-null-check"], what
        assert not made.pages
    assert "missing-null-check" in str(made)
    assert made.markdown.startswith("```text\nerror[V06")
    assert not bpfsmith.explain("ringbuf").programs


def test_other_encodings() -> None:
    assert [one.cls for one in report(NULL.encode("utf-16")).programs] == ["missing-null-check"]
    assert [one.cls for one in report(b"\xef\xbb\xbf" + NULL.encode()).programs] == ["missing-null-check"]
    assert [one.cls for one in report(NULL.replace("\n", "\r\n")).programs] == ["missing-null-check"]


def test_a_large_log(tmp_path: Path) -> None:
    """More than is read at once: in pieces, and only what is on the path is kept."""
    path = tmp_path / "large.log"
    lines = NULL.splitlines(keepends=True)
    with path.open("w") as file:
        file.writelines(lines[:8])
        middle = "".join(f"from 8 to 9: safe\n{at}: (bf) r2 = r10\n" for at in range(8, 5000))
        for _ in range(300):
            file.write(middle)
        file.writelines(lines[8:])
    assert path.stat().st_size > 40 << 20
    made = bpfsmith.explain(path)
    assert made.programs[0].family == "V06"
    assert str(made)


def test_an_error_carries_its_cause() -> None:
    error = VerifierRejected("the verifier rejects program `count`: ..", "count", NULL, "R0 invalid mem access")
    assert error.cause is not None
    assert error.cause.cls == "missing-null-check"
    assert "error[V06 missing-null-check]" in str(error)
    wordless = VerifierRejected("the verifier rejects program `count`", "count", "")
    assert wordless.cause is None
    assert str(wordless) == "the verifier rejects program `count`"


def test_a_log_and_its_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is here: lines are the file's, columns too; elsewhere those the object or the log quotes."""
    log = (EXAMPLE / "aya.log").read_bytes()
    monkeypatch.chdir(EXAMPLE)
    here = str(report(log, object=OBJECT))
    assert f"src/main.rs:{line_of(CHECK)}:" in here
    assert f"    {READ}" in here, "with its indentation"
    monkeypatch.chdir(tmp_path)
    shutil.copy(OBJECT, tmp_path)
    away = str(report(log, object=str(tmp_path / OBJECT.name), programs="dns_guard"))
    assert READ in away


def test_a_log_and_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log names files by their last part: the one that has these lines is meant, and none where two have them."""
    log = (EXAMPLE / "aya.log").read_bytes()
    monkeypatch.chdir(tmp_path)
    assert report(log).programs[0].line == ("main.rs", line_of(CHECK))
    given = report(log, sources=EXAMPLE)
    assert given.programs[0].line[0] == str(SOURCE)
    assert f"     {CHECK}" in str(given), "with its indentation"
    monkeypatch.chdir(EXAMPLE)
    assert report(log).programs[0].line[0] == "src/main.rs"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(SOURCE, tmp_path / name)
    assert report(log, sources=tmp_path).programs[0].line[0] == "main.rs"


# ------------------------------------------------------------ what is no rejection


def test_a_success_log() -> None:
    made = report(SUCCESS)
    assert made.exit_code == 0
    document = made.to_json()
    assert document["verdict"] == "accepted"
    assert document["cause"]["class"] is None
    assert document["chain"] == document["fixes"] == []
    assert str(made).startswith("accepted: the program is accepted: 2 instructions processed")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "compressed"),
        (b"\x00\x01\x02" * 100, "binary data"),
        (b"Hello,\nthis is a letter.\n", "no verifier's log"),
    ],
)
def test_no_log(data: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"no verifier's log|empty") as caught:
        bpfsmith.explain(data)
    assert said in caught.value.message
    assert caught.value.hint
    path = tmp_path / "x.log"
    path.write_bytes(data)
    assert cli.main(["explain", str(path)]) == 2
    assert said in capsys.readouterr().err


def test_the_loaders_words_alone() -> None:
    one = report(
        "Error: the BPF_PROG_LOAD syscall returned Permission denied (os error 13). Verifier output: \n"
    ).programs[0]
    assert (one.verdict, one.message) == ("rejected", "")
    assert "EACCES" in one.headline
    assert "is not in this log" in one.headline
    assert any("no instructions" in note for note in one.notes)


def test_a_log_that_is_printed_twice() -> None:
    """As `anyhow` does: the error, and below it what caused it, with the log once more."""
    said = f"the BPF_PROG_LOAD syscall failed. Verifier output: {NULL}"
    indented = "".join(f"       {line}\n" for line in said.splitlines()).strip()
    twice = f"Error: {said}\n\nCaused by:\n    0: {indented}\n       \n    1: Invalid argument (os error 22)\n"
    assert [one.cls for one in report(twice).programs] == ["missing-null-check"]
    other = NULL.replace("r0 +0", "r0 +4")
    assert len(report(NULL + other.replace("R0 invalid mem access", "R0 !read_ok")).programs) == 2


def test_cut(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = NULL.splitlines(keepends=True)
    tail = tmp_path / "tail.log"
    tail.write_text("".join(lines[:-3]))
    assert cli.main(["explain", str(tail)]) == 2
    out = capsys.readouterr().out
    assert out.startswith("unknown: no verdict")
    assert "ends before the kernel's verdict" in out
    head = report("".join(lines[5:])).programs[0]
    assert head.cls == "missing-null-check"
    assert any("does not begin" in note for note in head.notes)
    counts = "processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0"
    message = report(f"R0 invalid mem access 'map_value_or_null'\n{counts}\n").programs[0]
    assert (message.family, message.verdict) == ("V06", "rejected")
    assert any("no instructions" in note for note in message.notes)


def test_an_object_of_another_program() -> None:
    log = (EXAMPLE / "aya.log").read_bytes()
    one = report(log, object=OTHER).programs[0]
    assert one.source is None
    assert "is not of any program of" in one.notes[0]
    assert one.to_json()["symptom"]["text"] == READ, "the log alone is explained"
    with pytest.raises(UnknownName, match="no program `nobody`"):
        bpfsmith.explain(log, object=OBJECT, programs="nobody")


def test_words_stay_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maps").mkdir()
    (tmp_path / "ringbuf").write_text(NULL)
    (tmp_path / "paste").write_text(NULL)
    assert bpfsmith.explain("maps").pages
    assert bpfsmith.explain("ringbuf").pages
    assert bpfsmith.explain("./ringbuf").programs
    assert bpfsmith.explain("paste").programs
    assert cli.main(["explain", "OBJ001"]) == 0
    for words in (["explain", "nowhere.log"], ["explain", "./maps"], ["explain", "ringbuff"], ["explain", "/dev/nul"]):
        assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "there is no file `nowhere.log`" in said
    assert "no object and no `Cargo.toml` in `./maps`" in said
    assert "did you mean" in said
    assert "`ringbuf`" in said
    assert cli.main(["explain", "ringbuf", "--object", str(OBJECT)]) == 2
    assert cli.main(["explain", "./ringbuf", "--kernels", "6.12"]) == 2
    assert cli.main(["explain", str(OBJECT), "--object", str(OBJECT)]) == 2


# ------------------------------------------------------------ hostile


def explained(data: bytes) -> None:
    """Whatever it is: explained, or said what it is."""
    try:
        made = bpfsmith.explain(data)
    except InputError as error:
        assert error.message
        return
    Draft202012Validator(schema()).validate(made.to_json())
    assert str(made)
    from bpfsmith.render.explain_text import render

    assert render(made, depth="full")
    assert render(made, depth="concise")


def test_cut_at_any_byte() -> None:
    data = NULL.encode()
    for at in range(len(data)):
        explained(data[:at])
        explained(data[at:])


def test_shuffled_and_noise() -> None:
    rng = random.Random(7)
    lines = (EXAMPLE / "aya.log").read_bytes().splitlines(keepends=True)
    for _ in range(60):
        some = lines[:]
        rng.shuffle(some)
        explained(b"".join(some))
        at = rng.randrange(len(lines))
        explained(b"".join([*lines[:at], *lines[at + rng.randrange(20) :]]))
    whole = b"".join(lines)
    for _ in range(200):
        broken = bytearray(whole)
        for _ in range(rng.randrange(1, 40)):
            broken[rng.randrange(len(broken))] = rng.randrange(1, 256)
        explained(bytes(broken))
    for _ in range(20):
        explained(rng.randbytes(rng.randrange(5000)).replace(b"\0", b""))


def test_cut_with_its_object() -> None:
    data = (EXAMPLE / "aya.log").read_bytes()
    for at in range(0, len(data), 211):
        try:
            made = bpfsmith.explain(data[:at] + b"\nR3 offset is outside of the packet\n", object=OBJECT)
        except InputError:
            continue
        assert made.to_json()


def test_noise_is_no_log() -> None:
    rng = random.Random(11)
    for size in (100, 5000, 300_000):
        with pytest.raises(InputError, match="no verifier's log"):
            bpfsmith.explain(rng.randbytes(size).replace(b"\0", b"x"))
    assert bpfsmith.explain("\nR0 invalid mem access 'map_value_or_null'\n").programs[0].family == "V06"


def test_nothing_of_a_log_drives_a_terminal() -> None:
    made = report(NULL.replace("*value += 1;", "*value\x1b]0;owned\x07 += 1;\u202e").replace("'map", "'\x1b[31mmap"))
    assert "\x1b" not in str(made)
    assert "\u202e" not in str(made)


@pytest.mark.skipif(os.name != "posix", reason="named pipes")
def test_a_named_pipe_is_read(tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe.log"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(NULL,))
    writer.start()
    assert bpfsmith.explain(str(pipe)).programs[0].cls == "missing-null-check"
    writer.join()


@pytest.mark.parametrize(
    "words",
    [
        [], ["OBJ001"], ["a.log", "--concise"], ["-", "--full"], ["a.log", "--object", "x.o", "--format", "json"],
        ["a", "b", "--sources", ".", "--format", "markdown"],
    ],
)  # fmt: skip
def test_plain_arguments_are_what_the_parser_makes_of_them(words: list[str]) -> None:
    from bpfsmith.cli._parser import parser_for
    from bpfsmith.cli.explain import plain

    made = plain(words)
    assert made is not None
    assert vars(made) == vars(parser_for("explain")[0].parse_args(words))


def test_other_arguments_are_left_to_the_parser() -> None:
    from bpfsmith.cli.explain import plain

    for words in ("--help", "a --format yaml", "a --full --concise", "a --object", "a --color=never", "a --prove"):
        assert plain(words.split()) is None


def test_several_files_are_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    for path in (one, two):
        path.write_text(NULL)
    assert cli.main(["explain", str(one), str(two)]) == 2
    assert "one log or object at a time" in capsys.readouterr().err
    assert cli.main(["explain", str(one), str(OBJECT)]) == 2
    assert f"bpfsmith explain {one} --object {OBJECT}" in capsys.readouterr().err
    assert cli.main(["explain", "ring", "buffer"]) in (0, 2)
    assert "at a time" not in capsys.readouterr().err


def test_a_load_that_failed_is_rejected_whatever_its_log_ends_with() -> None:
    from bpfsmith.verify.explained import explained, parsed

    assert explained(parsed(SUCCESS)).verdict == "accepted"
    one = explained(parsed(SUCCESS), rejected=True)
    assert one.verdict == "rejected"
    assert one.cause is not None


def test_what_a_detector_cannot_follow_is_told_to_developers(monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfsmith.verify.cause import nulls

    def fails(*_: object) -> None:
        raise RuntimeError("not followed")

    monkeypatch.setattr(nulls, "find", fails)
    with pytest.raises(RuntimeError, match="not followed"):
        bpfsmith.explain(NULL)
    monkeypatch.delenv("BPFSMITH_DEBUG")
    assert bpfsmith.explain(NULL).programs[0].verdict == "rejected"


def test_of_programs_that_are_alike_the_nearest_is_meant() -> None:
    from types import SimpleNamespace

    from bpfsmith._native import VerifierLog
    from bpfsmith.explain import _logs

    nearest: Any = _logs._nearest

    def program(name: str, number: int, line: int) -> Any:
        code = bytes((0xB7, 0, 0, 0)) + number.to_bytes(4, "little") + bytes((0x95, 0, 0, 0, 0, 0, 0, 0))
        return SimpleNamespace(name=name, insns=lambda: code, source_line=lambda slot: SimpleNamespace(line=line))

    text = "0: R1=ctx() R10=fp0\n; return 7; @ p.c:20\n0: (b7) r0 = 7                        ; R0_w=7\n1: (95) exit\n"
    log = VerifierLog(text)
    rows = [program("one", 3, 20), program("two", 7, 9), program("three", 7, 20), program("four", 7, 20)]
    assert nearest(log, rows).name == "three"
    assert nearest(log, rows[:2]).name in ("one", "two")
    assert nearest(log, [SimpleNamespace(name="no", insns=lambda: bytes(16), source_line=lambda slot: None)]) is None
