"""Variables of programs, from the DWARF of their objects."""

from __future__ import annotations

from pathlib import Path

import bpfsmith
from bpfsmith._native import VerifierLog
from bpfsmith.verify.cause import Trace
from bpfsmith.verify.cause.locals import at_stack, declared, function_line, in_register, variables

ROOT = Path(__file__).resolve().parents[2]
OBJECT = ROOT / "examples/toolbox/prebuilt/tc-mark.bpf.o"


def trace() -> Trace:
    program = next(one for one in bpfsmith.read(OBJECT).programs if one.name == "mark_egress")
    return Trace(VerifierLog("0: R1=ctx() R10=fp0\n"), program)


def test_declarations_and_registers() -> None:
    found = trace()
    context = in_register(found, 0, "r1")
    assert context is not None
    assert (context.name, context.parameter) == ("ctx", True)
    assert context.path.endswith("tc-mark/src/main.rs")
    line = function_line(found, "mark_egress")
    assert line is not None
    assert line.line == context.line
    assert in_register(found, 0, "r9") is None


def test_fields_and_stack() -> None:
    found = trace()
    struct = next(one for one in variables(found) if one.fields)
    assert struct.size >= max(first + size for _, first, size in struct.fields)
    assert at_stack(found, 0, -4096) is None
    assert declared(found, "no_such_variable", 0) is None


def test_without_an_object() -> None:
    found = Trace(VerifierLog("0: R1=ctx() R10=fp0\n"))
    assert variables(found) == []
    assert in_register(found, 0, "r1") is None
