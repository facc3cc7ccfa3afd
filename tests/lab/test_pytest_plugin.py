"""The fixture `kernel`: the guide's example as a user has it, the choice of kernels, and machines without any."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

import guide
from bpfsmith.lab import store

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = any(one.value == "bpfsmith.pytest_plugin" for one in importlib.metadata.entry_points(group="pytest11"))
WORDS = ("-p", "no:cacheprovider", *(() if INSTALLED else ("-p", "bpfsmith.pytest_plugin")))


@pytest.fixture(autouse=True)
def kernels_of_this_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pytester` gives its tests a home of their own, and a user's cache is in the home."""
    monkeypatch.setenv("BPFSMITH_CACHE", os.path.dirname(store.folder()))


def outcomes(pytester: pytest.Pytester, *words: str) -> tuple[dict[str, int], str]:
    done = pytester.runpytest_subprocess(*WORDS, "-rs", *words)
    return done.parseoutcomes(), done.stdout.str()


COUNTER = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} PACKETS SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
    __u32 zero = 0;
    __u64 *packets = bpf_map_lookup_elem(&PACKETS, &zero);
    if (packets)
        *packets += 1;
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture
def example(pytester: pytest.Pytester, clang: Any) -> pytest.Pytester:
    """The guide's test file beside an object called `prog.o`."""
    page = ROOT / "docs/guide/lab.md"
    block = next(one for one in guide.blocks(page) if "test_pytest_plugin" in one.mark)
    pytester.makepyfile(test_example=block.code)
    source = pytester.path / "prog.c"
    source.write_text(COUNTER)
    asm = f"/usr/include/{os.uname().machine}-linux-gnu"
    words = [clang.path, "-g", "-O2", "-target", "bpf", "-mcpu=v2", "-I", asm, "-c", source, "-o"]
    subprocess.run([*words, pytester.path / "prog.o"], check=True)
    return pytester


@pytest.mark.toolchain
def test_the_example_of_the_guide(example: pytest.Pytester, middle: store.Prepared) -> None:
    found, text = outcomes(example, "--bpf-kernels", middle.name)
    assert found == {"passed": 4}, text


@pytest.mark.toolchain
def test_the_example_of_its_own_words(example: pytest.Pytester, middle: store.Prepared) -> None:
    """What the plugin's own text shows, to the letter."""
    from bpfsmith import pytest_plugin

    told = [line for line in (pytest_plugin.__doc__ or "").splitlines() if line.startswith("    ")]
    example.makepyfile(test_words=textwrap.dedent("\n".join(told)))
    found, text = outcomes(example, "--bpf-kernels", middle.name, "test_words.py")
    assert found == {"passed": 1}, text


def test_kernels_are_chosen_by_option_and_configuration(
    pytester: pytest.Pytester, prepared: list[store.Prepared]
) -> None:
    pytester.makepyfile(
        """
        import pytest
        def test_one(kernel): ...
        @pytest.mark.parametrize("kernel", ["own"])
        def test_a_word_of_its_own(kernel): assert kernel == "own"
        """
    )
    names = list(dict.fromkeys(one.name for one in prepared))
    for words, wanted in (
        ((), names),
        (("--bpf-kernels", "all"), names),
        (("--bpf-kernels", f"{names[0]}, {names[-1]}"), [names[0], names[-1]]),
        (("-o", f"bpf_kernels={names[0]}"), [names[0]]),
    ):
        _, text = outcomes(pytester, "--collect-only", "-q", *words)
        listed = [line.partition("[")[2].rstrip("]") for line in text.splitlines() if "test_one[" in line]
        assert listed == wanted
        assert "test_a_word_of_its_own[own]" in text


def test_without_kernels_tests_are_skipped_and_told_why(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path))
    pytester.makepyfile("def test_one(kernel): ...")
    found, text = outcomes(pytester)
    assert found == {"skipped": 1}
    assert "`bpfsmith lab get`" in text
    found, text = outcomes(pytester, "--bpf-kernels", "6.12")
    assert found == {"errors": 1}
    assert "bpfsmith lab get 6.12" in text
    assert "Traceback" not in text and "store.py" not in text


def test_kernels_nobody_has_are_said_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(kernel): ...\ndef test_two(kernel): ...")
    done = pytester.runpytest_subprocess(*WORDS, "--bpf-kernels", "banana")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    told = [line for line in done.stderr.lines if line.startswith("ERROR")]
    assert len(told) == 1 and told[0].startswith("ERROR: --bpf-kernels: unknown kernel `banana`")
    assert "Traceback" not in done.stdout.str() + done.stderr.str()


def test_nothing_is_imported_before_a_test_asks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        def test_one():
            assert "bpfsmith.pytest_plugin" in sys.modules
            heavy = ("bpfsmith.lab", "bpfsmith.run", "bpfsmith._native")
            assert not [name for name in sys.modules if name.startswith(heavy)]
        """
    )
    found, text = outcomes(pytester)
    assert found == {"passed": 1}, text


def test_a_fixture_of_that_name_of_a_users_own_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.fixture
        def kernel(): return "mine"
        def test_one(kernel): assert kernel == "mine"
        """
    )
    found, text = outcomes(pytester)
    assert found == {"passed": 1}, text
