"""Arguments of `load` that cannot be, and objects no loader can read: refused before the kernel is asked."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bpfsmith
from bpfsmith.kernel import fake
from bpfsmith.model.errors import (
    InputError,
)
from bpfsmith.model.object import Object
from bpfsmith.run.load import load
from unit.sample_programs import HEAD, XDP, commands, kernel

pytestmark = pytest.mark.toolchain


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("globals", 5, "`globals=` is 5"), ("globals", [1], "`globals=`"), ("globals", {5: 1}, "5 is no name"),
        ("select", 7, "`select=` is 7"), ("select", [7], "7 is no name"), ("autoload", 5, "`autoload=`"),
        ("autoload", {5: True}, "5 is no name"), ("maps", 3, "`maps=` is 3"), ("maps", {3: 4}, "3 is no name"),
        ("maps", {"table_with_a_long_name": "x"}, "'x'"), ("map_sizes", 5, "`map_sizes=`"),
        ("map_sizes", {5: 5}, "5 is no name"), ("map_sizes", {"table_with_a_long_name": "x"}, "'x'"),
        ("programs", 3, "`programs=`"), ("programs", {"count": 5}, "`programs['count']` is 5"),
        ("programs", {"count": {"type": 5.0}}, "['type']` is 5.0"), ("programs", {"count": {"attach_type": []}}, "[]"),
        ("programs", {"count": {"flags": 5.0}}, "`flags`"), ("programs", {"count": {"flags": [5]}}, "`5` is no flag"),
        ("programs", {"count": {7: 5}}, "`7` is no setting"), ("programs", {"count": {"attach_to": 5}}, "give text"),
        ("programs", {"count": {"attach_prog": "x"}}, "a LoadedProgram"), ("kconfig", 5, "`kconfig=`"),
        ("pins", 5, "`pins=`"), ("pins", {"table_with_a_long_name": 5}, "['table_with_a_long_name']` is 5"),
        ("pin_path", 5, "`pin_path=`"), ("btf", 5, "`btf=`"), ("kernel", 5, "`kernel=`"), ("token", 5, "`token=`"),
        ("log_level", "x", "`log_level=`"),
    ],
)  # fmt: skip
def test_arguments_of_the_wrong_shape(build: Callable[[str], Object], name: str, value: Any, word: str) -> None:
    """Nothing reaches the kernel."""
    with fake.installed(fake.FakeDoor()) as door, pytest.raises(InputError) as caught:
        load(build(XDP), **{name: value})
    assert word in str(caught.value)
    assert not door.commands()


def test_what_is_no_object() -> None:
    with pytest.raises(InputError, match="is no object"):
        load(5)  # type: ignore[arg-type]


def test_the_token_libbpf_would_take(build: Callable[[str], Object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBBPF_BPF_TOKEN_PATH", "/run/web/bpffs")
    with fake.installed(fake.FakeDoor(files={"/run/web/bpffs/": "", "/other/": ""})) as door:
        load(build(XDP)).close()
        assert door.commands()[0] == "BPF_TOKEN_CREATE"
        del door.calls[:]
        load(build(XDP), token="").close()
        assert "BPF_TOKEN_CREATE" not in door.commands()
    assert commands(bpfsmith.plan(build(XDP), kernel=kernel()), "BPF_TOKEN_CREATE")


def test_maps_nobody_can_know(clang: Any, tmp_path: Path) -> None:
    """Without BTF a map of `.maps` is a name; the kernel is not asked."""
    words = [clang.path, "-O2", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-x", "c", "-c", "-"]
    out = tmp_path / "bare.o"
    subprocess.run([*words, "-o", out], input=HEAD + XDP, text=True, check=True)
    with fake.installed(fake.FakeDoor()) as door, pytest.raises(InputError) as caught:
        load(out, map_sizes={"table_with_a_long_name": 4})
    assert "`.maps` has no BTF" in str(caught.value)
    assert "`-g`" in caught.value.hint
    assert not door.commands()
    report = bpfsmith.check(out)
    (finding,) = [one for one in report.findings if one.code == "OBJ023"]
    assert finding.severity == "error"
    assert not report.loads
