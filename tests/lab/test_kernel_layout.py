"""What `kernel-layout` says of an offset, seen in kernels: the copied one reads another field where a finding says so,
and the right one where it says nothing; the offset as a global reads the right one everywhere."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

import bpfsmith
from bpfsmith import lab
from bpfsmith.lab import store

pytestmark = [pytest.mark.lab, pytest.mark.toolchain("rust")]
MANIFEST = """\
[package]
name = "layout-ebpf"
version = "0.1.0"
edition = "2024"

[dependencies]
aya-ebpf = "=0.2.1"

[profile.release]
debug = 2
codegen-units = 1
"""
# Offsets as on Debian's 6.12.
SOURCE = r"""
#![no_std]
#![no_main]
#![allow(non_camel_case_types)]
use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel},
    macros::{map, raw_tracepoint, tracepoint},
    maps::Array,
    programs::{RawTracePointContext, TracePointContext},
};

#[repr(C)]
pub struct task_struct {
    _before: [u8; 2436],
    pub tgid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Seen {
    copied: i32,
    by_global: i32,
    right: i32,
    woken: i32,
}

#[unsafe(no_mangle)]
static TASK_STRUCT_TGID: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static TARGET_CPU: Global<u32> = Global::new(0);

#[map]
static TASKS: Array<Seen> = Array::with_max_entries(1, 0);
#[map]
static CPUS: Array<Seen> = Array::with_max_entries(1, 0);

#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn enter(_ctx: RawTracePointContext) -> i32 {
    let task = unsafe { bpf_get_current_task() } as *const task_struct;
    let place = (task as usize + TASK_STRUCT_TGID.load() as usize) as *const i32;
    let seen = Seen {
        copied: unsafe { bpf_probe_read_kernel(&raw const (*task).tgid) }.unwrap_or(-1),
        by_global: unsafe { bpf_probe_read_kernel(place) }.unwrap_or(-1),
        right: (bpf_get_current_pid_tgid() >> 32) as i32,
        woken: 1,
    };
    let _ = TASKS.set(0, &seen, 0);
    0
}

#[tracepoint(category = "sched", name = "sched_wakeup")]
pub fn wakeup(ctx: TracePointContext) -> u32 {
    let target_cpu: i32 = unsafe { ctx.read_at(32) }.unwrap_or(-1);
    let seen = Seen {
        copied: target_cpu,
        by_global: unsafe { ctx.read_at(TARGET_CPU.load() as usize) }.unwrap_or(-1),
        right: 0,
        woken: 1,
    };
    let _ = CPUS.set(0, &seen, 0);
    0
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
"""


@pytest.fixture(scope="module")
def project() -> Path:
    """A kernel crate, built."""
    import bpf_toolchain
    from shell import CACHE

    folder = CACHE / "build" / "lab-layout"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    for name, text in (("Cargo.toml", MANIFEST), ("src/main.rs", SOURCE)):
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            (folder / name).write_text(text, encoding="utf-8")
    own = bpf_toolchain.env()
    command = [own["CARGO"], "build", "--release", "--target", "bpfel-unknown-none", "--ignore-rust-version"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **own}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(params=["5.10", "6.12"])
def one(request: pytest.FixtureRequest, prepared: list[store.Prepared]) -> store.Prepared:
    found = [kernel for kernel in prepared if kernel.series == request.param and kernel.arch == "x86_64"]
    if not found:
        pytest.skip(f"kernel {request.param} is not prepared: `bpfsmith lab get {request.param}`")
    return found[-1]


def _offset(btf: object, struct: str, member: str) -> int:
    return btf.offset_of(btf.find(struct, "STRUCT"), member)[0] // 8  # type: ignore[attr-defined]


def test_a_copied_offset_reads_what_the_finding_says(one: store.Prepared, project: Path, token: str) -> None:
    report = bpfsmith.check(str(project), kernels=one.series, select=["kernel-layout"])
    assert not report.errors
    found = {finding.code: finding for finding in report.findings}
    btf = one.btf()
    task = _offset(btf, "task_struct", "tgid")
    cpu = _offset(btf, "trace_event_raw_sched_wakeup_template", "target_cpu")
    assert ("AYA800" in found) == (task != 2436)
    assert ("AYA801" in found) == (cpu != 32)
    built = project / "target/bpfel-unknown-none/release/layout-ebpf"
    given = {"TASK_STRUCT_TGID": task, "TARGET_CPU": cpu}
    with lab.kernel(one) as k, bpfsmith.load(built, kernel=k.kernel, globals=given) as bpf:
        bpf.programs["enter"].attach_raw_tracepoint("sys_enter")
        bpf.programs["wakeup"].attach_tracepoint("sched", "sched_wakeup")
        tasks, cpus = _seen(bpf, "TASKS"), _seen(bpf, "CPUS")
    assert tasks[1] == tasks[2], "the offset as a global reads the right field"
    assert (tasks[0] == tasks[2]) == ("AYA800" not in found)
    # A guest has one processor; before 5.14 what is at 32 is `success`, always 1.
    assert cpus[1] == 0
    assert cpus[0] == (1 if "AYA801" in found else 0)
    for code, field in (("AYA800", "tgid"), ("AYA801", "target_cpu")):
        if code in found:
            assert field in found[code].evidence[0].text, "the table names the field"


def _seen(bpf: bpfsmith.Loaded, name: str) -> tuple[int, ...]:
    """What the program stored, once it ran."""
    import struct

    for _ in range(200):
        raw = bpf.maps[name][0]
        values = struct.unpack("<4i", raw)
        if values[3]:
            return values
        time.sleep(0.05)
    raise AssertionError(f"`{name}` was never written")
