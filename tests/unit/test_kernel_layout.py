"""`kernel-layout`: which kernels are asked, what is said when there is none, and the records of tracepoints."""

from __future__ import annotations

from pathlib import Path

import pytest

import bpfsmith
from bpfsmith.rules import _kernel_events, _kernel_types

SOURCE = """\
#![no_std]
#![no_main]
use aya_ebpf::{macros::fentry, programs::FEntryContext};
#[fentry(function = "tcp_connect")]
pub fn connect(_ctx: FEntryContext) -> u32 { 0 }
"""
FORMAT = """\
name: sched_wakeup
ID: 314
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:__data_loc char[] name;\toffset:28;\tsize:4;\tsigned:0;
\tfield:const void * skbaddr;\toffset:32;\tsize:8;\tsigned:0;

print fmt: "comm=%s", REC->comm
"""


def _project(folder: Path, source: str) -> str:
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "demo-ebpf"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\naya-ebpf = "0.2.1"\n'
    )
    (folder / "src/main.rs").write_text(source)
    return str(folder)


@pytest.fixture(autouse=True)
def _no_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_kernel_types, "RUNNING", str(tmp_path / "none"))
    monkeypatch.setenv("BPFSMITH_CACHE", str(tmp_path / "cache"))


def test_without_a_kernel_one_note_says_so(tmp_path: Path) -> None:
    path = _project(tmp_path, SOURCE)
    for kernels, words in ((None, "no types of a kernel are here"), ("5.10", "no types of kernel 5.10 are here")):
        report = bpfsmith.check(path, kernels=kernels, select=["kernel-layout"])
        assert not report.findings
        assert not report.errors
        assert sum(words in note for note in report.notes) == 1


def test_without_anything_to_compare_nothing_is_said(tmp_path: Path) -> None:
    path = _project(tmp_path, SOURCE.replace("fentry", "xdp").replace("FEntryContext", "XdpContext"))
    report = bpfsmith.check(path, select=["kernel-layout"])
    assert not any("no types" in note for note in report.notes)


def test_the_fields_of_a_format_file() -> None:
    fields = {one.name: one for one in _kernel_events._parsed(FORMAT)}
    assert list(fields) == ["comm", "pid", "__data_loc_name", "skbaddr"]
    assert (fields["comm"].offset, fields["comm"].size, fields["comm"].element) == (8, 16, 1)
    assert fields["__data_loc_name"].dynamic
    assert (fields["skbaddr"].offset, fields["skbaddr"].size) == (32, 8)


def test_columns_stand_under_each_other() -> None:
    told = _kernel_types.table(["field", "5.10"], [["pid", "2232"], ["real_parent", "-"]])
    assert told == "field        5.10\npid          2232\nreal_parent  -"
