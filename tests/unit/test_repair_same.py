"""Changes that say the same in other words: what the makers think of, and what both objects must have in common."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bpfsmith.repair.makers import candidates
from bpfsmith.repair.report import REWRITE, SAME_WORK, Candidate
from bpfsmith.repair.shape import shape
from bpfsmith.repair.work import argued, changed
from unit.test_repair import HEAD, _ground, _tried


def _c(tmp_path: Path, text: str, cls: str, line: int, **more: Any) -> tuple[list[str], list[Candidate]]:
    ground = _ground(tmp_path, "c", text, cls, line, **more)
    return _tried(ground), [one for one in candidates(ground) if one.shape in (SAME_WORK, REWRITE)]


# ------------------------------------------------------------ C


def test_a_function_becomes_part_of_its_callers(tmp_path: Path) -> None:
    text = (
        "static __noinline int far(int x)\n{\n\tchar big[300] = {};\n\treturn big[x & 7];\n}\n\n"
        'SEC("tc")\nint prog(struct __sk_buff *skb)\n{\n\treturn far(skb->mark);\n}\n'
    )
    tried, found = _c(tmp_path, text, "stack-limit", 4)
    assert "static __always_inline int far" in tried[0] and found[0].shape == SAME_WORK


@pytest.mark.parametrize(
    "body",
    ["\tbpf_tail_call(skb, &stages, 1);\n\treturn 0;\n", "\tint x = skb->mark;\n\n\treturn &x;\n"],
    ids=["a tail call whose result is used", "an address of its own"],
)
def test_what_is_not_the_same_when_inlined_is_not_said_to_be(tmp_path: Path, body: str) -> None:
    text = (
        f"static __noinline int next(struct __sk_buff *skb)\n{{\n{body}}}\n\n"
        'SEC("tc")\nint prog(struct __sk_buff *skb)\n{\n\tnext(skb);\n\treturn 2;\n}\n'
    )
    _, found = _c(tmp_path, text, "stack-limit", 3)
    assert found and all(one.shape == REWRITE for one in found)


def test_declarations_in_c(tmp_path: Path) -> None:
    text = (
        "const volatile __u32 limit = 100;\n\nstruct {\n\t__uint(type, BPF_MAP_TYPE_ARRAY);\n"
        '\t__uint(map_flags, BPF_F_RDONLY_PROG | BPF_F_MMAPABLE);\n} rules SEC(".maps");\n\n'
        'SEC("xdp")\nint prog(struct xdp_md *ctx)\n{\n\t*(volatile __u32 *)&limit = 7;\n\treturn XDP_PASS;\n}\n'
    )
    tried, _ = _c(tmp_path, text, "context-access", 11, family="V17")
    assert any(one.startswith("volatile __u32 limit") for one in tried)
    assert any("__uint(map_flags, BPF_F_MMAPABLE);" in one for one in tried)


def test_a_use_behind_the_release_moves_before_it(tmp_path: Path) -> None:
    head = 'SEC("xdp")\nint prog(struct xdp_md *ctx)\n{\n\tstruct event *e = reserve();\n\n\tif (!e)\n\t\treturn 0;\n'
    text = head + "\tbpf_ringbuf_submit(e, 0);\n\te->when = 1;\n\treturn 0;\n}\n"
    tried, found = _c(tmp_path, text, "stale-pointer", 9)
    assert "\te->when = 1;\n\tbpf_ringbuf_submit(e, 0);\n\treturn 0;" in tried[0] and found[0].kind == "order"
    # Not over a way out: the release would be forgotten on it.
    text = (
        head
        + "\tbpf_ringbuf_submit(e, 0);\n\tif (ctx->rx_queue_index)\n\t\treturn 1;\n\te->when = 1;\n\treturn 0;\n}\n"
    )
    assert not [one for one in _c(tmp_path, text, "stale-pointer", 11)[1] if one.kind == "order"]


def test_a_macro_is_computed_once_only_where_nothing_changes_in_between(tmp_path: Path) -> None:
    text = (
        "#define AT(p) ((struct tcphdr *)((void *)(p) + *(__u8 *)(p)))\n\n"
        'SEC("xdp")\nint prog(struct xdp_md *ctx)\n{\n\tvoid *end = (void *)(long)ctx->data_end;\n'
        "\tstruct iphdr *ip = (void *)(long)ctx->data;\n\n\tif ((void *)(AT(ip) + 1) > end)\n\t\treturn 2;\n%s"
        "\treturn AT(ip)->syn;\n}\n"
    )
    found = [one for one in _c(tmp_path, text % "", "check-on-copy", 11)[1] if one.kind == "once"]
    assert len(found) == 1 and len(found[0].edits) == 3
    changing = text % "\tip->ihl = 5;\n"
    assert not [one for one in _c(tmp_path, changing, "check-on-copy", 12)[1] if one.kind == "once"]


def test_packet_pointers_are_made_anew_in_c(tmp_path: Path) -> None:
    text = (
        'SEC("tc")\nint prog(struct __sk_buff *skb)\n{\n\tvoid *data = (void *)(long)skb->data;\n'
        "\tvoid *end = (void *)(long)skb->data_end;\n\tstruct iphdr *ip = data + 14;\n\n"
        "\tif ((void *)(ip + 1) > end)\n\t\treturn 0;\n\tbpf_skb_pull_data(skb, 100);\n\tskb->mark = ip->ttl;\n"
        "\treturn 0;\n}\n"
    )
    tried, _ = _c(tmp_path, text, "stale-pointer", 11, type="sched_cls")
    wanted = "\tdata = (void *)(long)skb->data;\n\tip = data + 14;\n\tend = (void *)(long)skb->data_end;\n\tif ("
    assert any(wanted in one for one in tried)


def test_an_index_into_the_context_must_be_masked_to_be_the_same(tmp_path: Path) -> None:
    text = 'SEC("tc")\nint prog(struct __sk_buff *skb)\n{\n\t__u32 at = skb->mark;\n\n'
    text += "\tif (skb->cb[%s] == 7)\n\t\treturn 2;\n\treturn 0;\n}\n"
    for index, wanted in (("at & 3", SAME_WORK), ("at", REWRITE), ("at & 7", REWRITE)):
        found = [one for one in _c(tmp_path, text % index, "pointer-arithmetic", 6)[1] if one.kind == "split-read"]
        assert [one.shape for one in found] == [wanted], index


# ------------------------------------------------------------ Rust


def test_the_same_in_rust(tmp_path: Path) -> None:
    text = HEAD + (
        "#[xdp]\npub fn prog(ctx: XdpContext) -> u32 {\n"
        "    let cut = unsafe { bpf_xdp_adjust_tail(&raw const ctx as *mut _, -4) };\n"
        "    let both = unsafe { ctx.ctx.cast::<u64>().read() };\n    cut as u32\n}\n"
    )
    tried = _tried(_ground(tmp_path, "rust", text, "argument-type", 6))
    assert "bpf_xdp_adjust_tail(aya_ebpf::EbpfContext::as_ptr(&ctx).cast(), -4)" in tried[0]
    tried = _tried(_ground(tmp_path, "rust", text, "context-access", 7))
    assert any("half.read_volatile() as u64 | (half.add(1).read_volatile() as u64) << 32" in one for one in tried)


def test_a_submit_moves_behind_the_last_use_in_rust(tmp_path: Path) -> None:
    text = HEAD + (
        "#[xdp]\npub fn prog(ctx: XdpContext) -> u32 {\n    let event = entry.as_mut_ptr();\n    entry.submit(0);\n"
        "    unsafe { event.write(1) };\n    0\n}\n"
    )
    tried = _tried(_ground(tmp_path, "rust", text, "stale-pointer", 8))
    assert "    unsafe { event.write(1) };\n    entry.submit(0);\n    0\n" in tried[0]


# ------------------------------------------------------------ what both objects have in common


def _program(calls: list[str], insns: list[tuple[int, int, int, int, int]] | None = None) -> Any:
    rows = [
        SimpleNamespace(slot=at, code=a, dst=b, src=c, off=d, imm=e) for at, (a, b, c, d, e) in enumerate(insns or [])
    ]
    return SimpleNamespace(
        unreachable=list,
        type="xdp",
        name="prog",
        calls=lambda: [(at, "helper", 1, name) for at, name in enumerate(calls)],
        instruction_view=lambda: rows,
    )


def _done(kind: str) -> list[Candidate]:
    return [Candidate(kind, (), "x", SAME_WORK, why="reason")]


@pytest.mark.parametrize(
    ("kind", "old", "new", "wrong"),
    [
        ("order", ["a", "b"], ["b", "a"], False),
        ("order", ["a", "b"], ["a"], True),
        ("order", ["a"], ["a", "a"], True),
        ("inline", ["a"], ["a", "a"], False),
        ("inline", ["a"], ["a", "b"], True),
        ("typed-task", ["bpf_get_current_task"], ["bpf_get_current_task_btf"], False),
        ("order", ["bpf_get_current_task"], ["bpf_get_current_task_btf"], True),
    ],
)
def test_calls_must_be_the_same(kind: str, old: list[str], new: list[str], wrong: bool) -> None:
    assert (changed(_program(old), _program(new), {}, _done(kind)) is not None) is wrong


def test_another_declaration_leaves_every_instruction() -> None:
    load, move, leave = (0x18, 1, 2, 0, 0), (0xB7, 0, 0, 0, 1), (0x95, 0, 0, 0, 0)
    before = _program([], [load, move, leave])
    assert changed(before, _program([], [(0x18, 1, 1, 0, 9), move, leave]), {}, _done("declaration")) is None
    assert changed(before, _program([], [load, (0xB7, 0, 0, 0, 2), leave]), {}, _done("declaration")) is not None
    assert changed(before, _program([], [load, leave]), {}, _done("declaration")) is not None


def test_same_work_is_shown_only_by_itself() -> None:
    check = Candidate("null-check", (), "x", "failing-branch", "0")
    # Together with an added check the texts have more new than a failing branch.
    assert shape({}, [check, *_done("order")]) is not None
    assert argued(_program([]), _program([]), {}, _done("order"))[0] == "same-work"
    assert argued(_program([]), _program([]), {}, [check, *_done("order")])[0] is None


# ------------------------------------------------------------ a function that promises


def test_a_function_that_promises_gives_an_option_and_its_callers_fail(tmp_path: Path) -> None:
    text = HEAD + (
        "#[map]\nstatic M: Array<u64> = Array::with_max_entries(1, 0);\n"
        "fn slot() -> &'static mut u64 {\n    unsafe { &mut *M.get_ptr_mut(0).unwrap_unchecked() }\n}\n"
        "#[xdp]\npub fn prog(ctx: XdpContext) -> u32 {\n    let slot = slot();\n    *slot += 1;\n"
        "    xdp_action::XDP_PASS\n}\n"
    )
    ground = _ground(tmp_path, "rust", text, "missing-null-check", 12, family="V06")
    tried = _tried(ground)
    wanted = "fn slot() -> Option<&'static mut u64> {\n    Some(unsafe { &mut *M.get_ptr_mut(0)? })\n}\n"
    changed_text = next(one for one in tried if wanted in one)
    assert "    let Some(slot) = slot() else {\n        return xdp_action::XDP_PASS;\n    };\n" in changed_text
    done = [one for one in candidates(ground) if any("Option<" in edit.text for edit in one.edits)]
    assert shape({"a.rs": (text, changed_text)}, done) is None
    # Another type than that is no added check.
    other = changed_text.replace("Option<&'static mut u64>", "Option<&'static u64>")
    assert shape({"a.rs": (text, other)}, done) is not None


def test_two_calls_that_say_the_same_may_be_one_now() -> None:
    from collections import Counter

    from bpfsmith.repair.kept import Moved, _missed

    old = "a\n\tif (x)\n\t\treturn 1;\n1\n2\n3\n4\n5\n\tunlock(p);\n"
    put = old.replace("\t\treturn 1;", "\t\tunlock(p);\n\t\treturn 1;")
    one: Any = Counter({("f", 1): 1})  # merged by the compiler, and counted to the function
    there: Any = Counter({("f", 9): 1})
    assert _missed(there, one, Moved({"f": (old, put)})) is None
    # Where nothing that says the same was put in, the call is gone.
    other = old.replace("\t\treturn 1;", "\t\tx++;\n\t\treturn 1;")
    assert _missed(there, one, Moved({"f": (old, other)})) == ("f", 9)
