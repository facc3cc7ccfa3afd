"""The tree of errors and near matches."""

from __future__ import annotations

import pytest

from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, InputError, ToolError
from bpfsmith.model.near import did_you_mean, near_matches


def test_exit_codes() -> None:
    assert [kind("m").exit_code for kind in (InputError, ToolError)] == [2, 4]
    assert EnvironmentMissing("no clang", "apt-get install clang").exit_code == 3
    assert all(issubclass(kind, BpfsmithError) for kind in (InputError, EnvironmentMissing, ToolError))


def test_texts() -> None:
    assert str(InputError("`a.o` is empty", where="a.o", hint="build it again")) == "`a.o` is empty (build it again)"
    assert str(InputError("it is empty", where="a.o")) == "a.o: it is empty"
    assert "get it with `apt-get install clang`" in str(EnvironmentMissing("no clang", "apt-get install clang"))
    assert "report it" in str(ToolError("oops"))
    assert InputError("m", "w", "h").to_json() == {"kind": "InputError", "message": "m", "where": "w", "hint": "h"}


@pytest.mark.parametrize(
    ("word", "best"),
    [("obj01", "OBJ001"), ("helper_not_alowed", "helper-not-allowed"), ("allowed", "helper-not-allowed")],
)
def test_near_matches(word: str, best: str) -> None:
    assert near_matches(word, ["OBJ001", "helper-not-allowed", "xdp"])[0] == best


def test_hints() -> None:
    assert did_you_mean("xdpp", ["xdp"]) == "did you mean `xdp`?"
    assert did_you_mean("ab", ["ab1", "ab2"]) == "did you mean `ab1` or `ab2`?"
    assert did_you_mean("zzzz", ["xdp"], "try `host`") == "try `host`"
    assert near_matches("", ["a"]) == []
