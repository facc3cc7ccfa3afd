"""Messages in words around a log: titles, sentences, quotes; the log itself is missing, or stops before its end."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfsmith
from bpfsmith.model.errors import InputError
from bpfsmith.verify.messages import quoted

PROSE = {
    "# combined stack size of 3 calls is 544. Too large\n\nSince the last update.": "V05",
    "It builds, but I get `R2 min value is negative, either use unsigned or 'var &= const'`. What is it?": "V10",
    "[15:44:13.162] R9 !read_ok\n": "V01",
    "the verifier says: ' calling kernel function bpf_strnlen is not allowed'.": "V35",
    "# Cannot load: program of this type cannot use helper bpf_probe_read_str": "V22",
    'ERROR with "invalid func unknown#114" on 5.4': "V22",
    "# back-edge from insn 517 to 486 -- it used to work": "V28",
    "The log has `The sequence of 8193 jumps is too complex.`, what now?": "V27",
    "The error:\n\nR2 invalid mem access 'inv'.   <-----\n": "V07",
}


@pytest.mark.parametrize("text", PROSE)
def test_families(text: str) -> None:
    found = quoted(text)
    assert found is not None and found.family == PROSE[text]


@pytest.mark.parametrize(
    "text",
    [
        "I cannot read the packet in my program, it is invalid. See `man bpf`.",
        "error: expected `;` found `}`\n --> src/main.rs:3:4\n",
        "the helper is called with R1 and R2, which point to the stack",
        "R: I tried 'unknown' and \"invalid\".",
    ],
)
def test_words_that_are_no_message(text: str, tmp_path: Path) -> None:
    assert quoted(text) is None
    path = tmp_path / "words.txt"
    path.write_text(text)
    with pytest.raises(InputError, match="no verifier's log"):
        bpfsmith.explain(str(path))


def test_a_title_and_a_log_that_stops(tmp_path: Path) -> None:
    """The instruction is not in the log: nothing is said about the last one that is."""
    path = tmp_path / "issue.txt"
    log = "0: R1=ctx() R10=fp0\n0: (b7) r1 = 0                        ; R1_w=0\n1: (63) *(u32 *)(r10 -4) = r1\n2: (b"
    path.write_text(f"# `invalid read from stack off -110+0 size 2`\n\n```\n{log}\n```\n")
    one = bpfsmith.explain(str(path)).programs[0]
    assert (one.verdict, one.family, one.instruction) == ("rejected", "V02", None)
    assert one.message == "invalid read from stack off -110+0 size 2"
    assert any("apart" in note for note in one.notes)


def test_what_is_said_behind_the_message_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "cut.log"
    path.write_text("0: (b7) r1 = 0\n1: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\nprocessed")
    one = bpfsmith.explain(str(path)).programs[0]
    assert (one.message, one.instruction) == ("R1 invalid mem access 'scalar'", 1)


def test_a_message_that_no_row_knows(tmp_path: Path) -> None:
    """The kernel's own words, and no code that would say more of it."""
    path = tmp_path / "new.log"
    path.write_text("0: (b7) r0 = 0\n1: (95) exit\nfrobnicator 7 misfits the whatsit\n")
    text = str(bpfsmith.explain(str(path)).programs[0])
    assert text.startswith("error[unknown]: the verifier rejects the program: frobnicator 7 misfits the whatsit\n")
    assert "explain:" not in text


def test_a_message_alone_is_put_into_words(tmp_path: Path) -> None:
    path = tmp_path / "line.log"
    path.write_text("load program: permission denied: R4 offset is outside of the packet (200 line(s) omitted)\n")
    one = bpfsmith.explain(str(path)).programs[0]
    assert one.headline == "packet bytes are accessed that no check covers"
    assert "R4 offset is outside of the packet" in str(one)


def test_code_that_was_never_followed_lacks_no_instructions(tmp_path: Path) -> None:
    path = tmp_path / "shape.log"
    path.write_text("last insn is not an exit or jmp\nprocessed 0 insns (limit 1000000) max_states_per_insn 0\n")
    assert bpfsmith.explain(str(path)).programs[0].notes == []


def test_a_loaders_reason_and_its_general_words(tmp_path: Path) -> None:
    path = tmp_path / "load.log"
    path.write_text(
        "libbpf: failed to find valid kernel BTF\nlibbpf: failed to load object 'x'\nFailed to open BPF skeleton\n"
    )
    assert bpfsmith.explain(str(path)).programs[0].family == "V61"


def test_an_excerpt_and_the_whole_log(tmp_path: Path) -> None:
    insn = "; x = skops->remote_ip4, @ main.c:29\n7: (79) r2 = *(u64 *)(r1 +24)\n"
    log = f"6: (b7) r0 = 0\n{insn}invalid bpf_context access off=24 size=8\nprocessed 7 insns (limit 1000000)\n"
    path = tmp_path / "both.md"
    path.write_text(
        f"This line:\n\n    {insn.replace(chr(10), chr(10) + '    ')}\n\nbpf: Failed to load program:\n{log}"
    )
    report = bpfsmith.explain(str(path))
    assert [one.family for one in report.programs] == ["V14"]


def test_two_logs_in_blocks_of_their_own(tmp_path: Path) -> None:
    first = "; a = data[0];\n165: (71) r5 = *(u8 *)(r6 +0)\nR6 offset is outside of the packet\n"
    path = tmp_path / "two.md"
    path.write_text(
        f"For A:\n```\n{first}```\nand for B:\n```\n{first.replace('165', '443').replace('a =', 'b =')}```\n"
    )
    report = bpfsmith.explain(str(path))
    assert [(one.instruction, one.cause.place.text) for one in report.programs if one.cause and one.cause.place] == [
        (165, "a = data[0];"), (443, "b = data[0];"),
    ]  # fmt: skip


def test_a_note_before_the_instructions_is_not_why_it_stops(tmp_path: Path) -> None:
    path = tmp_path / "large.log"
    note = "arg#0 reference type('UNKNOWN ') size cannot be determined: -22"
    path.write_text(f"load program: argument list too long:\n\t{note}\n\t0: R1=ctx() R10=fp0\n\t0: (bf) r6 = r1\n")
    one = bpfsmith.explain(str(path)).programs[0]
    assert (one.family, one.cls) == ("V27", "complexity")


def test_an_old_kernels_stack_message_alone(tmp_path: Path) -> None:
    path = tmp_path / "stack.log"
    path.write_text("bpf: Failed to load program: Permission denied\ninvalid stack off=-520 size=8\n")
    assert bpfsmith.explain(str(path)).programs[0].cls == "stack-limit"


def test_a_message_in_a_line_of_its_own_above_a_log_that_stops(tmp_path: Path) -> None:
    path = tmp_path / "above.md"
    path.write_text("R2 invalid mem access 'inv'.  <------\n\n386: (07) r1 += -40\n387: (b7) r2 = 8\n388: (85) ca")
    assert bpfsmith.explain(str(path)).programs[0].family == "V07"
