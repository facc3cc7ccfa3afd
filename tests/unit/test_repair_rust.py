"""Changes of Rust that the makers think of, not built: where a check stands, who fails, what is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfsmith.repair.makers import candidates, order
from bpfsmith.repair.report import FAILING_BRANCH, NO_NEW_PATH, REWRITE, SAME_WORK, Candidate
from bpfsmith.repair.shape import shape
from bpfsmith.verify.cause import Advice
from unit.test_repair import HEAD, _ground, _tried

MAP = "#[map]\nstatic M: Array<u64> = Array::with_max_entries(1, 0);\n"


def _made(tmp_path: Path, text: str, cls: str, line: int, **more: Any) -> list[tuple[str, Candidate]]:
    ground = _ground(tmp_path, "rust", HEAD + text, cls, line + HEAD.count("\n"), **more)
    return list(zip(_tried(ground), candidates(ground), strict=True))


def _shown(text: str, made: tuple[str, Candidate]) -> str | None:
    return shape({"a.rs": (HEAD + text, made[0])}, [made[1]])


# ------------------------------------------------------------ where a check stands


TEST = "if p.is_null() {\n        return 0;\n    }\n    "
INSIDE = "{\n        if p.is_null() {\n            return 0;\n        }\n        "


@pytest.mark.parametrize(
    ("use", "wanted"),
    [
        ("let x = flag && *p > 2;", f"flag && {INSIDE}*p > 2\n    }}"),
        ("let x = match flag { true => *p, false => 7 };", f"true => {INSIDE}*p\n    }},"),
        ("let x = 1 + unsafe { *p };", f"    {TEST}let x = 1 +"),
        ("match unsafe { *p } { 0 => {}, _ => return 0 }", f"    {TEST}match"),
        ("while *p > 0 { step(); }", f"while {INSIDE}*p > 0\n    }} {{"),
    ],
    ids=["behind &&", "an arm", "unsafe", "what is matched", "a loop's condition"],
)
def test_a_check_stands_on_the_way_to_the_use(tmp_path: Path, use: str, wanted: str) -> None:
    text = f"#[kprobe]\npub fn prog(ctx: ProbeContext) -> u32 {{\n    let (flag, p) = found();\n    {use}\n    0\n}}\n"
    assert any(wanted in changed for changed, _ in _made(tmp_path, text, "missing-null-check", 4, family="V06"))


def test_a_closure_that_gives_nothing_is_left(tmp_path: Path) -> None:
    text = MAP + (
        "#[kprobe]\npub fn prog(ctx: ProbeContext) -> u32 {\n    let add = |n: u64| unsafe {\n"
        "        let p = M.get_ptr_mut(0).unwrap_unchecked();\n        *p += n;\n    };\n    add(1);\n    0\n}\n"
    )
    made = _made(tmp_path, text, "missing-null-check", 6, family="V06")
    wanted = "        let Some(p) = M.get_ptr_mut(0) else {\n            return;\n        };\n"
    assert any(wanted in changed for changed, _ in made)


# ------------------------------------------------------------ who fails


def test_a_function_that_cannot_fail_says_so_by_an_option(tmp_path: Path) -> None:
    text = (
        "struct Average { sum: u64, n: u64 }\nimpl Average {\n    fn mean(&self) -> u64 {\n"
        "        if self.sum > 90 {\n            return 5;\n        }\n        let all = self.sum * 2;\n"
        "        all / self.n\n    }\n}\n"
        "fn tried(a: &Average) -> Result<u64, i64> {\n    let mean = a.mean();\n    let _ = other().ok_or(-1i64)?;\n"
        "    Ok(mean + a.mean().min(3).max(1))\n}\n"
        "#[kprobe]\npub fn prog(ctx: ProbeContext) -> u32 {\n    tried(&found()).unwrap_or(0) as u32\n}\n"
    )
    made = _made(tmp_path, text, "panic-or-unreachable", 8, family="V25")
    one = next(one for one in made if "fn mean(&self) -> Option<u64>" in one[0])
    assert "            return Some(5);\n" in one[0] and "        Some(all / self.n)\n" in one[0]
    assert "if self.n == 0 {\n            return None;\n" in one[0]
    assert "let mean = a.mean().ok_or(-1i64)?;" in one[0] and "a.mean().ok_or(-1i64)?.min(3)" in one[0]
    assert one[1].shape == FAILING_BRANCH and _shown(text, one) is None


@pytest.mark.parametrize(
    "other",
    ["let f = slot;", "impl Slots for u8 {\n    fn slot() -> u64 { 0 }\n}"],
    ids=["handed on", "another one of its name"],
)
def test_a_function_that_others_know_stays(tmp_path: Path, other: str) -> None:
    uses = other if other.startswith("let") else ""
    text = MAP + (
        "fn slot() -> &'static u64 {\n    unsafe { &*M.get_ptr(0).unwrap_unchecked() }\n}\n"
        f"#[kprobe]\npub fn prog(ctx: ProbeContext) -> u32 {{\n    let slot = slot();\n    {uses}\n"
        f"    *slot as u32\n}}\n"
        f"{'' if uses else other}\n"
    )
    assert not any("Option<" in changed for changed, _ in _made(tmp_path, text, "missing-null-check", 9, family="V06"))


def test_the_length_of_a_field_limits_its_index(tmp_path: Path) -> None:
    text = (
        "pub struct Slots<const N: usize> { counts: [u64; N] }\nimpl<const N: usize> Slots<N> {\n"
        "    fn hit(&mut self, n: usize) {\n        debug_assert!(n < N);\n"
        "        unsafe { *self.counts.get_unchecked_mut(n) += 1 };\n    }\n}\n"
    )
    made = [changed for changed, _ in _made(tmp_path, text, "missing-bounds-check", 5, family="V09")]
    assert any("if n >= self.counts.len() {\n            return;\n        }\n        unsafe" in one for one in made)
    assert any("        if !(n < N) {\n            return;\n        }\n" in one for one in made)


# ------------------------------------------------------------ packets


def test_an_address_that_is_handed_on_is_compared(tmp_path: Path) -> None:
    text = (
        "fn target(ctx: &XdpContext) -> Result<u32, ()> {\n    let ip = ctx.data() + 14;\n"
        "    Ok(unsafe { read(ip + 16) })\n}\n"
        "#[xdp]\npub fn prog(ctx: XdpContext) -> u32 {\n    target(&ctx).unwrap_or(2)\n}\n"
    )
    made = [changed for changed, _ in _made(tmp_path, text, "missing-bounds-check", 3, family="V08")]
    assert any("    if ip + 16 + 4 > ctx.data_end() {\n        return Err(());\n    }\n" in one for one in made)


def test_an_end_that_is_a_pointer_is_compared_as_a_number(tmp_path: Path) -> None:
    text = (
        "#[classifier]\npub fn prog(ctx: TcContext) -> i32 {\n    let data = ctx.data() as *const u8;\n"
        "    let end = ctx.data_end() as *const u8;\n    let first = unsafe { *data.add(4) };\n    first as i32\n}\n"
    )
    made = [changed for changed, _ in _made(tmp_path, text, "missing-bounds-check", 5, family="V08")]
    assert any("> end as usize {" in one for one in made)


# ------------------------------------------------------------ what is given back, what is returned


def test_a_guard_is_dropped_and_not_forgotten(tmp_path: Path) -> None:
    text = (
        "#[xdp]\npub fn prog(ctx: XdpContext) -> u32 {\n    let held = Held::of(&ctx);\n    if held.mark() == 0 {\n"
        "        mem::forget(held);\n        return 2;\n    }\n    1\n}\n"
    )
    one = next(one for one in _made(tmp_path, text, "unreleased-reference", 6, family="V29") if "drop(held);" in one[0])
    assert one[1].shape == NO_NEW_PATH and _shown(text, one) is None


@pytest.mark.parametrize(
    ("low", "high", "message", "old", "wanted", "kind"),
    [
        (-4095, 0, "R0 has smin=1 smax=1", "EPERM", "-EPERM", SAME_WORK),
        (0, 1, "R0 has smin=-111 smax=-111", "code()", "return 0;", FAILING_BRANCH),
        (0, 1, "R0 has smin=-1 smax=-1", "-1", " 0 }", REWRITE),
    ],
    ids=["an error without its sign", "an error at a hook that asks", "a constant"],
)
def test_values_out_of_range(
    tmp_path: Path, low: int, high: int, message: str, old: str, wanted: str, kind: str
) -> None:
    text = (
        'const EPERM: i32 = 1;\n#[lsm(hook = "file_open")]\npub fn prog(_ctx: LsmContext) -> i32 {\n'
        f"    if uid() > 5 {{ {old} }} else {{ 0 }}\n}}\n"
    )
    said = f"At program exit the register {message} should have been in [{low}, {high}]"
    made = _made(tmp_path, text, "return-range", 4, family="V40", message=said)
    assert any(wanted in changed and one.shape == kind for changed, one in made)


# ------------------------------------------------------------ declarations


def test_values_and_entries_are_as_large_as_they_are_used(tmp_path: Path) -> None:
    text = (
        "#[repr(C)]\nstruct Session { start: u64, bytes: u64 }\n#[map]\n"
        "static S: HashMap<u32, u64> = HashMap::with_max_entries(8, 0);\n"
        "#[kprobe]\npub fn prog(ctx: ProbeContext) -> u32 {\n    let Some(one) = S.get_ptr_mut(&1) else {\n"
        "        return 0;\n    };\n"
        "    let one = one.cast::<Session>();\n    unsafe { (*one).bytes += 1 };\n    0\n}\n"
    )
    made = _made(tmp_path, text, "missing-bounds-check", 11, family="V09")
    assert any("static S: HashMap<u32, Session> =" in changed and one.shape == SAME_WORK for changed, one in made)


def test_a_map_is_declared_as_what_the_helper_takes(tmp_path: Path) -> None:
    text = (
        "#[map]\nstatic PORTS: Array<u32> = Array::with_max_entries(8, 0);\n#[xdp]\n"
        "pub fn prog(ctx: XdpContext) -> u32 {\n"
        "    unsafe { bpf_redirect_map(&raw const PORTS as *mut _, 1, 2) as u32 }\n}\n"
    )
    said = "cannot pass map_type 2 into func bpf_redirect_map#51"
    made = _made(tmp_path, text, "argument-type", 5, family="V23", message=said)
    assert any(
        "static PORTS: aya_ebpf::maps::DevMap = aya_ebpf::maps::DevMap::with_max_entries(8, 0);" in one
        for one, _ in made
    )


def test_a_large_local_becomes_an_element_of_a_per_cpu_array(tmp_path: Path) -> None:
    text = (
        "#[inline(never)]\nfn far(x: u64) -> u64 {\n    let mut key = [0u8; 300];\n    key[0] = x as u8;\n"
        "    fill(&mut key);\n"
        "    key.len() as u64\n}\n#[kprobe]\npub fn prog(ctx: ProbeContext) -> u32 {\n    far(1) as u32\n}\n"
    )
    made = _made(tmp_path, text, "stack-limit", 3, family="V05")
    one = next(one for one in made if "static KEY: aya_ebpf::maps::PerCpuArray<[u8; 300]>" in one[0])
    assert "    let Some(key) = KEY.get_ptr_mut(0) else {\n        return 0;\n    };\n" in one[0]
    assert "    *key = [0u8; 300];\n    key[0] = x as u8;\n    fill(&mut *key);\n    key.len() as u64\n" in one[0]
    assert one[1].shape == SAME_WORK


# ------------------------------------------------------------ forms of Rust


def test_a_result_by_another_name_has_its_errors(tmp_path: Path) -> None:
    text = MAP + (
        "pub enum Fault { Map }\ntype Res<T> = core::result::Result<T, Fault>;\n"
        "fn saved() -> Res<u64> {\n    if other().is_none() {\n        return Err(Fault::Map);\n    }\n"
        "    let found = unsafe { *M.get_ptr(0).unwrap() };\n    Ok(found)\n}\n"
        "#[kprobe]\npub fn prog(ctx: ProbeContext) -> u32 {\n    saved().is_err() as u32\n}\n"
    )
    made = [changed for changed, _ in _made(tmp_path, text, "panic-or-unreachable", 9, family="V25")]
    assert any("M.get_ptr(0).ok_or(Fault::Map)?" in one for one in made)


def test_a_check_that_reads_through_a_pointer_stays_in_the_unsafe_block(tmp_path: Path) -> None:
    text = (
        "fn hit(hits: *mut [u64; 4], n: usize) -> Option<()> {\n    unsafe { (*hits)[n] += 1 };\n    Some(())\n}\n"
        "#[kprobe]\npub fn prog(ctx: ProbeContext) -> u32 {\n    hit(found(), 9).is_some() as u32\n}\n"
    )
    made = [changed for changed, _ in _made(tmp_path, text, "panic-or-unreachable", 2, family="V25")]
    assert any(
        "unsafe { if n >= (*hits).len() {\n        return None;\n    }\n    (*hits)[n] += 1 };" in one for one in made
    )


def test_elements_of_elements_are_checked_each(tmp_path: Path) -> None:
    text = (
        "pub struct Grid { rows: [[u32; 8]; 4] }\nfn hit(g: &mut Grid, r: usize, c: usize) -> Option<()> {\n"
        "    g.rows[r][c] += 1;\n    Some(())\n}\n"
    )
    made = [changed for changed, _ in _made(tmp_path, text, "panic-or-unreachable", 3, family="V25")]
    assert any("if r >= g.rows.len() {" in one for one in made)
    assert any("if c >= g.rows[r].len() {" in one for one in made)


def test_a_release_put_before_a_way_out_is_in_an_unsafe_block(tmp_path: Path) -> None:
    text = (
        "fn seen(ctx: &TcContext) -> Result<i32, ()> {\n    let sk = unsafe { bpf_sk_lookup_tcp(ctx.skb.skb, 0) };\n"
        "    if sk.is_null() {\n        return Err(());\n    }\n    let known = found().ok_or(())?;\n"
        "    unsafe { bpf_sk_release(sk as *mut _) };\n    Ok(known)\n}\n"
    )
    made = _made(tmp_path, text, "unreleased-reference", 6, family="V29")
    assert any("            unsafe { bpf_sk_release(sk as *mut _) };\n" in changed for changed, _ in made)


def test_a_field_behind_a_reference_is_read_by_a_helper(tmp_path: Path) -> None:
    text = (
        "#[kretprobe]\npub fn prog(ctx: RetProbeContext) -> u32 {\n    let task = found() as *const Task;\n"
        "    let flags = unsafe { &*task }.flags;\n    flags\n}\n"
    )
    made = _made(tmp_path, text, "pointer-to-scalar", 4, family="V07", type="kprobe", section="kretprobe/x")
    assert any("bpf_probe_read_kernel(&raw const (*task).flags)" in changed for changed, _ in made)


# ------------------------------------------------------------ a comparison with the end that asks for too little

PTR_AT = """#[inline(always)]
fn ptr_at<T>(ctx: &XdpContext, offset: usize) -> %s {
    let start = ctx.data();
    let end = ctx.data_end();
    %s
}
fn prog(ctx: XdpContext) -> Option<u32> {
    let proto: *const u16 = ptr_at(&ctx, 12)?;
    Some(unsafe { *proto } as u32)
}
"""
LEFT = "if %s {\n        return None;\n    }\n    Some((start + offset) as *const T)"
METHODS = (
    "if ctx.data() + offset%s > ctx.data_end() {\n        return None;\n    }\n    Some((start + offset) as *const T)"
)
ELSE = "if start + offset%s <= end { Some(unsafe { &*((start + offset) as *const T) }) } else { None }"
SIZE = "core::mem::size_of::<T>()"


@pytest.mark.parametrize(
    ("gives", "body", "wanted"),
    [
        ("Option<*const T>", LEFT % "start + offset > end", LEFT % f"start + offset + {SIZE} > end"),
        ("Option<*const T>", LEFT % "start + offset >= end", LEFT % f"start + offset + {SIZE} > end"),
        ("Option<*const T>", LEFT % "start + offset + 1 > end", LEFT % f"start + offset + {SIZE} > end"),
        ("Option<*const T>", LEFT % "end < start + offset", LEFT % f"end < start + offset + {SIZE}"),
        ("Option<*const T>", METHODS % "", METHODS % f" + {SIZE}"),
        ("Option<&T>", ELSE % "", ELSE % f" + {SIZE}"),
        (
            "Option<u16>", "if start + offset > end {\n        return None;\n    }\n"
            "    Some(unsafe { *((start + offset) as *const u16) })",
            "if start + offset + 2 > end {",
        ),
    ],
    ids=["begins", "not strict", "one byte", "the end first", "methods", "otherwise", "no type parameter"],
)  # fmt: skip
def test_a_comparison_asks_for_the_size_of_what_is_read(tmp_path: Path, gives: str, body: str, wanted: str) -> None:
    text = PTR_AT % (gives, body)
    made = _made(tmp_path, text, "check-wrong", 5)
    assert made[0][1].kind == "tightened"
    assert wanted in made[0][0]
    assert _shown(text, made[0]) is None


def test_a_comparison_asks_for_the_bytes_that_are_needed(tmp_path: Path) -> None:
    text = (
        "pub fn prog(ctx: XdpContext) -> u32 {\n    let start = ctx.data();\n    let end = ctx.data_end();\n"
        "    if start + 14 > end {\n        return 2;\n    }\n    let ttl = (start + 22) as *const u8;\n"
        "    %sunsafe { *ttl } as u32\n}\n"
    )
    ground = _ground(tmp_path, "rust", HEAD + text % "", "check-wrong", 4 + HEAD.count("\n"))
    ground.cause.advice = (Advice("check-packet", "", need=23),)
    first = candidates(ground)[0]
    made = HEAD + (text % "").replace("start + 14 >", "start + 23 >")
    assert _tried(ground)[0] == made
    assert shape({"a.rs": (HEAD + text % "", made)}, [first]) is None
    # A use on some ways only, or fewer bytes than before: the others would leave too.
    some = "if cpu() == 7 { return 1; }\n    "
    assert shape({"a.rs": (HEAD + text % some, HEAD + (text % some).replace("+ 14 >", "+ 23 >"))}, [first]) is not None
    assert shape({"a.rs": (HEAD + text % "", HEAD + (text % "").replace("+ 14 >", "+ 8 >"))}, [first]) is not None
    # What the header says decides before the address is used: short packets of others would leave by another way.
    late = "let ip = (start + 14) as *const Ip;\n    if unsafe { *(start as *const u8) } == 7 { return 1; }\n"
    late = (text % "").replace("let ttl =", f"{late}    let n = unsafe {{ (*ip).n }};\n    let ttl =")
    more = late.replace("+ 14 >", "+ 14 + core::mem::size_of::<Ip>() >")
    assert shape({"a.rs": (HEAD + late, HEAD + more)}, [first]) is not None


def test_limits_that_are_no_size_come_last(tmp_path: Path) -> None:
    text = PTR_AT % ("Option<*const T>", LEFT % "start + offset > end")
    late = [order(one) for _, one in _made(tmp_path, text, "check-wrong", 5)]
    assert late == sorted(late)
    assert late[0] == 0
