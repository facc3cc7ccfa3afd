"""Edits that a verifier accepts and that change more than they say: none is shown; what each stands for is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bpfsmith.repair.conventions import neutral
from bpfsmith.repair.report import FAILING_BRANCH, NO_NEW_PATH, SAME_WORK, UNSURE_BRANCH, Candidate
from bpfsmith.repair.shape import by_convention, rust
from bpfsmith.repair.shape_c import c, guards
from bpfsmith.repair.work import changed, giving_back, second_release

C = """\
#define NEXT(i) (i++ & 63)
#define LAST 63
struct val { __u32 n; __u8 slots[64]; };

static int each(__u32 i, void *data)
{
	struct val *e = bpf_map_lookup_elem(&h, &i);

	e->n++;
	return 0;
}

static int count(struct val *v, __u32 at)
{
	if (!v)
		return -22;
	if (v->n == 7)
		return 1;
	v->slots[at]++;
	return 0;
}

static int sum(struct val *s)
{
	__u32 all = 0;

	for (int i = 0; i < 8; i++) {
		all += s->slots[i];
	}
	return all;
}

static void last(struct val *l)
{
	if (bpf_get_prandom_u32())
		return;
	l->n++;
}

SEC("xdp") int prog(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u32 key = 1, flag = ctx->rx_queue_index;
	struct val *p = bpf_map_lookup_elem(&h, &key);
	struct event *ev;

	if (flag == 3)
		p->n++;
	if (flag && p->n > 2)
		return XDP_DROP;
	key = flag ? p->n : 7;
	bpf_map_update_elem(&seen, &key, &key, 0);
	p->n = sum(p);
	last(p);
	if ((void *)(eth + 1) > end)
		return XDP_ABORTED;
	bpf_loop(4, each, 0, 0);
	ev = bpf_ringbuf_reserve(&rb, 8, 0);
	if (!ev)
		return XDP_ABORTED;
	ev->at = key;
	if (flag > 9)
		return XDP_TX;
	bpf_ringbuf_submit(ev, 0);
	return XDP_PASS;
}
"""
CHECK = Candidate("null-check", (), "", FAILING_BRANCH, "XDP_ABORTED")
RELEASE = Candidate("release", (), "", NO_NEW_PATH)


def put(before: str, text: str, done: Candidate = CHECK) -> str | None:
    """What is wrong with text put before a line."""
    assert C.count(before) == 1
    return c(C, C.replace(before, text + before), [done], "xdp", "prog")


WRITE = "\tp->n = sum(p);\n"


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (WRITE, "\tif (!p)\n\t\treturn XDP_ABORTED;\n"),
        (WRITE, "\tif (p == NULL) {\n\t\treturn XDP_ABORTED;\n\t}\n"),
        ("\tv->slots[at]++;\n", "\tif (at >= 64)\n\t\treturn -22;\n"),
        ("\tv->slots[at]++;\n", '\tasm volatile("" : "+r"(at));\n\tif ((unsigned long)at > LAST)\n\t\treturn -22;\n'),
        ("\te->n++;\n", "\tif (!e)\n\t\treturn 0;\n"),  # of a callback: the next one
        ("\t\tall += s->slots[i];\n", "\t\tif (!s)\n\t\t\tcontinue;\n"),
        ("\tp->n = sum(p);\n", "\tif ((void *)(p + 1) > end)\n\t\treturn XDP_ABORTED;\n"),
        # a test that asks only where the use asks
        ("\tkey = flag ? p->n : 7;\n", "\tif (flag && !p)\n\t\treturn XDP_ABORTED;\n"),
        ("\tif (flag && p->n > 2)\n", "\tif (flag && !p)\n\t\treturn XDP_ABORTED;\n"),
    ],
)
def test_failing_branches_are_seen(before: str, text: str) -> None:
    assert put(before, text) is None


@pytest.mark.parametrize(
    ("before", "text"),
    [
        # the use is only on one way: on the other the program went on
        ("\tif (flag == 3)\n", "\tif (!p)\n\t\treturn XDP_ABORTED;\n"),
        ("\tif (flag && p->n > 2)\n", "\tif (!p->n)\n\t\treturn XDP_ABORTED;\n"),
        ("\tif (flag && p->n > 2)\n", "\tif (key && !p)\n\t\treturn XDP_ABORTED;\n"),
        ("\tif (flag && p->n > 2)\n", "\tif (!p || flag)\n\t\treturn XDP_ABORTED;\n"),
        ("\tkey = flag ? p->n : 7;\n", "\tif (!p)\n\t\treturn XDP_ABORTED;\n"),
        ("\tif (flag && p->n > 2)\n", "\tif ((void *)(p + 1) > end)\n\t\treturn XDP_ABORTED;\n"),
        (WRITE, "\tif (!p || !eth)\n\t\treturn XDP_ABORTED;\n"),  # only one of both is used
        ("\tlast(p);\n", "\tif (!p)\n\t\treturn XDP_ABORTED;\n"),  # what is called may not follow it
        # an early way out before a side effect that does not need it
        ("\tbpf_map_update_elem(&seen, &key, &key, 0);\n", "\tif (!p)\n\t\treturn XDP_ABORTED;\n"),
        ("\tbpf_loop(4, each, 0, 0);\n", "\tif (!p)\n\t\treturn XDP_ABORTED;\n"),
        ("\tif (v->n == 7)\n", "\tif (at >= 64)\n\t\treturn -22;\n"),
        # the value of another branch, of another function, or one that nothing returns
        (WRITE, "\tif (!p)\n\t\treturn XDP_DROP;\n"),
        (WRITE, "\tif (!p)\n\t\treturn XDP_PASS;\n"),
        ("\tv->slots[at]++;\n", "\tif (at >= 64)\n\t\treturn 1;\n"),
        ("\tv->slots[at]++;\n", "\tif (at >= 64)\n\t\treturn XDP_ABORTED;\n"),
        ("\te->n++;\n", "\tif (!e)\n\t\treturn 1;\n"),  # ends the loop
        # later rounds are dropped
        ("\t\tall += s->slots[i];\n", "\t\tif (!s)\n\t\t\treturn 0;\n"),
        ("\t\tall += s->slots[i];\n", "\t\tif (!s)\n\t\t\tbreak;\n"),
        # tests that change something, or compute a macro once more
        ("\tv->slots[at]++;\n", "\tif (NEXT(at) >= 64)\n\t\treturn -22;\n"),
        ("\tv->slots[at]++;\n", "\tif (at++ >= 64)\n\t\treturn -22;\n"),
        ("\tv->slots[at]++;\n", "\tif ((at = 70) >= 64)\n\t\treturn -22;\n"),
        (WRITE, "\tif (!p || bpf_get_prandom_u32() > 3)\n\t\treturn XDP_ABORTED;\n"),
        # always so, never so, something else
        (WRITE, "\tif (p)\n\t\treturn XDP_ABORTED;\n"),
        (WRITE, "\tif (key >= 0)\n\t\treturn XDP_ABORTED;\n"),
        (WRITE, "\tif (key == 1)\n\t\treturn XDP_ABORTED;\n"),
        (WRITE, "\tif (!p || 1)\n\t\treturn XDP_ABORTED;\n"),
        (WRITE, "\tif (!(p || key))\n\t\treturn XDP_ABORTED;\n"),
        # more than a test
        (WRITE, "\tif (!p) {\n\t\tkey = 2;\n\t\treturn XDP_ABORTED;\n\t}\n"),
        (WRITE, "\tif (!p)\n\t\tp = &other;\n"),
        (WRITE, "\tkey &= 63;\n"),
        (WRITE, "\treturn XDP_ABORTED;\n"),
        (WRITE, "\t__builtin_memset(&key, 0, sizeof(key));\n"),  # what was set is no new local
        (WRITE, "\tunsigned long whole = bpf_ktime_get_ns();\n"),
        (WRITE, "\tkey = sum(p);\n"),
    ],
)
def test_what_only_looks_like_a_failing_branch_is_not(before: str, text: str) -> None:
    assert put(before, text) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("key = flag ? p->n : 7;", "key = flag ? 7 : p->n;"),  # the same words
        ("if (flag > 9)", "if (flag < 9)"),
        ("\tp->n = sum(p);\n", ""),
        ("i < 8", "i < 4"),
        ("&seen, &key, &key", "&key, &seen, &key"),
        ("\tif (flag == 3)\n\t\tp->n++;\n", "\tif (flag == 3) {\n\t\tp->n++;\n\t\tkey = 1;\n\t}\n"),
    ],
)
def test_what_stood_there_stays_as_it_was(old: str, new: str) -> None:
    assert old in C
    assert c(C, C.replace(old, new), [CHECK], "xdp", "prog") is not None


def test_a_branch_gets_braces_for_one_statement_only() -> None:
    bare = "\tif (flag == 3)\n\t\tp->n++;\n"
    inside = "\tif (flag == 3) {\n\t\tif (!p)\n\t\t\treturn XDP_ABORTED;\n\t\tp->n++;\n\t}\n"
    assert c(C, C.replace(bare, inside), [CHECK], "xdp", "prog") is None
    more = inside.replace("\t}\n", "\tif (flag && p->n > 2)\n\t\treturn XDP_DROP;\n\t}\n")
    assert (
        c(C, C.replace(bare + "\tif (flag && p->n > 2)\n\t\treturn XDP_DROP;\n", more), [CHECK], "xdp", "prog")
        is not None
    )


@pytest.mark.parametrize(
    ("old", "new", "right"),
    [
        ("flag && p->n > 2", "flag && p && p->n > 2", True),
        ("flag && p->n > 2", "flag && p != NULL && p->n > 2", True),
        ("flag && p->n > 2", "flag && key < 64 && p->n > 2", False),  # of something else
        ("flag && p->n > 2", "p && flag && p->n > 2", False),  # not only where it is used
        ("flag && p->n > 2", "flag && !p || p->n > 2", False),
        ("flag && p->n > 2", "flag && p && 0 && p->n > 2", False),
        ("flag && p->n > 2", "flag && sum(p) && p->n > 2", False),
        ("flag && p->n > 2", "flag && key++ && p->n > 2", False),
        ("flag && p->n > 2", "flag && p->n > 2 && p", False),
        ("v->n == 7", "v && v->n == 7", True),
        ("v->n == 7", "!v || v->n == 7", True),
    ],
)
def test_a_part_of_a_condition_stands_right_before_the_use(old: str, new: str, right: bool) -> None:
    assert C.count(old) == 1
    said = c(C, C.replace(old, new), [Candidate("conjunct", (), "", FAILING_BRANCH)], "xdp", "prog")
    assert (said is None) is right, said
    assert c(C, C.replace(old, new), [CHECK], "xdp", "prog") is not None


TX = "\tif (flag > 9)\n\t\treturn XDP_TX;\n"


def released(text: str, done: Candidate = RELEASE, whole: str = C) -> str | None:
    assert TX in whole
    return c(whole, whole.replace(TX, text), [done], "xdp", "prog")


def test_what_is_given_back_is_given_back_right_before_the_way_out() -> None:
    right = "\tif (flag > 9) {\n\t\tbpf_ringbuf_discard(ev, 0);\n\t\treturn XDP_TX;\n\t}\n"
    assert released(right) is None
    assert released(right, CHECK) is not None  # nothing was asked to be given back
    assert released(right.replace("\t\treturn XDP_TX;\n", "")) is not None  # the way out is gone
    assert put("\tev->at = key;\n", "\tbpf_spin_unlock(&p->lock);\n", RELEASE) is not None  # what follows needs it
    assert released(right.replace("bpf_ringbuf_discard(ev, 0)", "bpf_map_delete_elem(&h, &key)")) is not None
    assert released(right.replace("bpf_ringbuf_discard(ev, 0)", "bpf_ringbuf_output(&rb, ev, 8, 0)")) is not None
    assert released(TX + "\telse {\n\t\tbpf_sk_release(ev);\n\t}\n") is None
    assert released(TX + "\telse {\n\t\tbpf_sk_release(ev);\n\t\tkey = 1;\n\t}\n") is not None
    # Nothing else submits it: thrown away it would never have been worth reserving.
    alone = C.replace("\tbpf_ringbuf_submit(ev, 0);\n", "")
    last = "\treturn XDP_PASS;\n"
    assert c(alone, alone.replace(last, "\tbpf_ringbuf_discard(ev, 0);\n" + last), [RELEASE]) is not None
    assert c(alone, alone.replace(last, "\tbpf_ringbuf_submit(ev, 0);\n" + last), [RELEASE]) is None


def test_a_fresh_local_stands_in_the_next_statement_only() -> None:
    old = C.replace(WRITE, "\tlookup(&key)->n = 1;\n")
    new = "\t__auto_type found = lookup(&key);\n\tif (!found)\n\t\treturn XDP_ABORTED;\n\tfound->n = 1;\n"
    assert c(old, old.replace("\tlookup(&key)->n = 1;\n", new), [CHECK], "xdp", "prog") is None
    # Called earlier than it was.
    first = "\t__auto_type found = lookup(&key);\n\tkey = 4;\n\tif (!found)\n\t\treturn XDP_ABORTED;\n\tfound->n = 1;\n"
    other = old.replace("\tlookup(&key)->n = 1;\n", "\tkey = 4;\n\tlookup(&key)->n = 1;\n")
    assert c(other, old.replace("\tlookup(&key)->n = 1;\n", first), [CHECK], "xdp", "prog") is not None
    # Called once where it was called twice.
    twice = old.replace("lookup(&key)->n = 1;", "lookup(&key)->n = lookup(&key)->n;")
    once = new.replace("found->n = 1", "found->n = found->n")
    assert c(twice, old.replace("\tlookup(&key)->n = 1;\n", once), [CHECK], "xdp", "prog") is not None


GOTO = """\
int prog(struct xdp_md *ctx)
{
	int ret = 2;

	if (!v)
		goto out;
%s	w->n = 1;
	if (w->n > 7)
		ret = 1;
out:
	return ret;
}
"""


def test_what_is_returned_behind_a_label_is_what_other_failures_return() -> None:
    for before, right in (("", True), ("\tret = 0;\n", False), ("\tother = 0;\n", True)):
        new = GOTO % f"{before}\tif (!w)\n\t\tgoto out;\n"
        assert (c(GOTO % before, new, [CHECK], "xdp", "prog") is None) is right, before


ANSWER = """\
static %s
{
	if (skb->len < 60)
		return %s;
	return v->n == 0;
}
int prog(struct __sk_buff *skb)
{
	%s
	return 0;
}
"""


@pytest.mark.parametrize(
    ("head", "value", "caller", "right"),
    [
        ("int is(struct v *v)", "0", "if (is(v))\n\t\treturn 2;", True),  # not so: the program goes on
        ("bool is(struct v *v)", "false", "if (is(v))\n\t\treturn 2;", True),
        ("int is(struct v *v)", "0", "if (!is(v))\n\t\treturn 2;", False),  # the packet would be dropped
        ("bool is(struct v *v)", "false", "if (!is(v))\n\t\treturn 2;", False),
        ("int is(struct v *v)", "0", "if (!is(v))\n\t\treturn 0;", True),  # what takes no part
        ("int is(struct v *v)", "0", "n += is(v);", False),
        ("int is(struct v *v)", "0", "if (is(v))\n\t\treturn 2;\n\tif (!is(w))\n\t\treturn 2;", False),
        ("int is(struct v *v)", "1", "if (is(v))\n\t\treturn 2;", False),
    ],
)
def test_an_answer_is_a_failure_where_its_callers_do_nothing_for_it(
    head: str, value: str, caller: str, right: bool
) -> None:
    old = ANSWER % (head, "1" if value != "false" else "true", caller)
    new = old.replace("\treturn v->n", f"\tif (!v)\n\t\treturn {value};\n\treturn v->n")
    assert (c(old, new, [CHECK], "sched_cls", "prog") is None) is right


def test_what_trapped_leaves_instead() -> None:
    old = "#define BUG_ON(c) do { if (c) __builtin_trap(); } while (0)\n"
    old += "static int f(int i)\n{\n\tif (!p)\n\t\treturn 0;\n\tBUG_ON(i >= 16);\n\ta[i]++;\n\treturn 1;\n}\n"
    done = [Candidate("unreachable", (), "", FAILING_BRANCH)]
    assert c(old, old.replace("BUG_ON(i >= 16);", "if (i >= 16)\n\t\treturn 0;"), done) is None
    assert c(old, old.replace("BUG_ON(i >= 16);", "if (i >= 16)\n\t\treturn 1;"), done) is not None
    assert c(old, old.replace("BUG_ON(i >= 16);", "if (i >= 8)\n\t\treturn 0;"), done) is not None
    assert c(old, old.replace("BUG_ON(i >= 16);", "if (i >= 16)\n\t\treturn 0;"), [CHECK]) is not None


def test_what_takes_no_part_is_a_convention_of_the_hook() -> None:
    plain = 'SEC("xdp") int prog(struct xdp_md *ctx)\n{\n\tif (ctx->a)\n\t\treturn XDP_TX;\n\tp->n = 1;\n'
    plain += "\treturn go(p);\n}\n"
    for value, type_, entry, right in (
        ("XDP_PASS", "xdp", "prog", True), ("XDP_DROP", "xdp", "prog", False), ("XDP_PASS", "xdp", "other", False),
        ("0", "sched_cls", "prog", True), ("TC_ACT_SHOT", "sched_cls", "prog", False), ("0", "kprobe", "prog", True),
        ("1", "kprobe", "prog", False), ("0", "struct_ops", "prog", False),
    ):  # fmt: skip
        new = plain.replace("\tp->n", f"\tif (!p)\n\t\treturn {value};\n\tp->n")
        found, wrong = guards(plain, new, [CHECK], type_, entry)
        assert (wrong is None) is right, (value, type_, wrong)
        assert wrong is not None or found[0].convention
    assert neutral("xdp", "aya_ebpf::bindings::xdp_action::XDP_PASS") and neutral("sched_cls", "TC_ACT_OK as i32")
    unsure = Candidate("null-check", (), "", UNSURE_BRANCH, "XDP_PASS")
    assert by_convention([unsure], "xdp") and not by_convention([unsure], "sched_cls")
    # What was returned out of range meant something.
    assert not by_convention([Candidate("return-range", (), "", UNSURE_BRANCH, "1")], "cgroup_sock_addr")


# ------------------------------------------------------------ Rust

RUST = """\
fn prog(ctx: Ctx) -> u32 {
    let p = lookup(&ctx);
    if ctx.bad() == 0 {
        return 9;
    }
    if p.is_null() && ctx.other() {
        return 9;
    }
    update(&ctx);
    if ctx.flag() {
        unsafe { *p += 1 };
    }
    if ctx.flag() && unsafe { *p } > 2 {
        return 1;
    }
    match ctx.kind() {
        1 => unsafe { *p = 1 },
        _ => {}
    }
    let number = p as usize;
    let at = ctx.at();
    for i in 0..4 {
        table[i] = at;
    }
    slots[at] += 1;
    0
}
"""


@pytest.mark.parametrize(
    ("before", "test", "right"),
    [
        ("        unsafe { *p += 1 };\n", "p.is_null()", True),
        ("    slots[at] += 1;\n", "at >= 64", True),
        ("    if ctx.flag() {\n", "p.is_null()", False),
        ("    if ctx.flag() && unsafe", "p.is_null()", False),
        ("    match ctx.kind() {\n", "p.is_null()", False),
        ("    update(&ctx);\n", "p.is_null()", False),
        ("    update(&ctx);\n", "at >= 64", False),
        ("    let number = p as usize;\n", "p.is_null()", False),  # only looked at, not followed
        ("    slots[at] += 1;\n", "p.is_null()", False),
        ("    0\n", "at >= 64", False),
    ],
)
def test_a_use_on_some_ways_only_is_no_reason_to_leave_in_rust(before: str, test: str, right: bool) -> None:
    new = RUST.replace(before, f"    if {test} {{\n        return 9;\n    }}\n{before}", 1)
    said = rust(RUST, new, [Candidate("null-check", (), "", FAILING_BRANCH, "9")])
    assert (said is None) is right, said


@pytest.mark.parametrize(
    ("old", "new"), [("0..4", "0..2"), ("*p } > 2", "*p } > 3"), ("p.is_null() &&", "!p.is_null() &&")]
)
def test_what_stood_there_stays_as_it_was_in_rust(old: str, new: str) -> None:
    guard = "    if at >= 64 {\n        return 9;\n    }\n    slots[at] += 1;\n"
    changed_text = RUST.replace("    slots[at] += 1;\n", guard)
    check = [Candidate("bounds-check", (), "", FAILING_BRANCH, "9")]
    assert rust(RUST, changed_text, check) is None
    assert rust(RUST, changed_text.replace(old, new), check) is not None
    swapped = RUST.replace("= at;", "= at - i;")
    assert rust(swapped, changed_text.replace("= at;", "= i - at;"), check) is not None


# ------------------------------------------------------------ other words


def _program(calls: list[str]) -> Any:
    return SimpleNamespace(
        unreachable=list, type="xdp", name="prog", instruction_view=list,
        calls=lambda: [(at, "helper", 1, name) for at, name in enumerate(calls)],
    )  # fmt: skip


def _kind(kind: str) -> list[Candidate]:
    return [Candidate(kind, (), "", SAME_WORK, why="reason")]


def test_a_kind_that_the_proof_does_not_know_is_not_shown() -> None:
    assert changed(_program(["a"]), _program(["a"]), {}, _kind("mask")) is not None
    assert changed(_program(["a"]), _program(["a"]), {}, _kind("order")) is None


@pytest.mark.parametrize(
    ("old", "new", "right"),
    [
        ("return EPERM;", "return -EPERM;", True),
        ("return a ? EPERM : 0;", "return a ? -EPERM : 0;", True),
        ("return 3 EPERM;", "return 3 - EPERM;", False),
        ("return EPERM;", "return -EACCES;", False),
        ("return EPERM;", "return -1;", False),
        ("return a;", "return -a;", False),
        ("return EPERM;", "{ work(); return -EPERM; }", False),
    ],
)
def test_only_a_sign_is_another(old: str, new: str, right: bool) -> None:
    said = changed(_program([]), _program([]), {"a.c": (old, new)}, _kind("negative-errno"))
    assert (said is None) is right, said


@pytest.mark.parametrize(
    ("value", "right"),
    [
        *[("bpf_ntohs(udp->dest)", True), ("7", True), ("skb->mark", False), ("a + b", False)],
        *[("(__u16)skb->mark", True), ("70000", False), ("udp->dest", True), ("request->dest", False)],
    ],
)
def test_a_wider_number_holds_what_it_held(value: str, right: bool) -> None:
    old = f"\tstruct udphdr *udp = data;\n\t__u16 port;\n\tport = {value};\n\tlook(&port);\n"
    texts = {"a.c": (old, old.replace("__u16 port;", "__u32 port;"))}
    assert (changed(_program([]), _program([]), texts, _kind("larger-local")) is None) is right
    counted = f"\t__u16 port = 0;\n\tport{'++' if right else '--'};\n\tlook(&port);\n"
    texts = {"a.c": (counted, counted.replace("__u16", "__u32"))}
    assert changed(_program([]), _program([]), texts, _kind("larger-local")) is not None
    array = {"a.c": ("\tchar a[4];\n\tx = y;\n", "\tchar a[8];\n\tx = y;\n")}
    assert changed(_program([]), _program([]), array, _kind("larger-local")) is None


def test_two_tests_of_opposite_directions_leave_hardly_a_packet() -> None:
    old = "int prog(struct xdp_md *ctx)\n{\n\tif (data + 22 %s end)\n\t\treturn XDP_PASS;\n\tn = data[12];\n"
    old += "\treturn XDP_DROP;\n}\n"
    put = "\tif (data + 22 > end)\n\t\treturn XDP_PASS;\n\tn = data[12];\n"
    for op, right in (("<", False), ("<=", False), (">", True)):
        text = old % op
        said = c(text, text.replace("\tn = data[12];\n", put), [CHECK], "xdp", "prog")
        assert (said is None) is right, said
    text = "fn f(p: *const u8) -> u32 {\n    if p.wrapping_add(8) as usize < end {\n        return 2;\n    }\n"
    text += "    unsafe { *p as u32 }\n}\n"
    guard = "    if p.wrapping_add(8) as usize > end {\n        return 2;\n    }\n    unsafe"
    done = [Candidate("bounds-check", (), "", FAILING_BRANCH, "2")]
    assert rust(text, text.replace("    unsafe", guard), done) is not None
    other = text.replace("< end", "> limit")
    assert rust(other, other.replace("    unsafe", guard), done) is None


def test_what_is_written_as_often_may_be_one_call_now() -> None:
    old, new = "unlock();\nuse(p);\n", "use(p);\nunlock();\n"
    before, after = _program(["unlock", "unlock"]), _program(["unlock"])
    assert changed(before, after, {"a.c": (old, new)}, _kind("order")) is None
    assert changed(before, after, {"a.c": (old, "use(p);\n")}, _kind("order")) is not None
    assert changed(before, _program([]), {"a.c": (old, new)}, _kind("order")) is not None
    assert changed(before, after, {"a.c": (old, new)}, _kind("once")) is not None


@pytest.mark.parametrize(
    ("section", "old", "new", "right"),
    [
        ("kprobe/x", "char a[400];", "room->a", True),
        ("kprobe/x", "char a[400] = {};", "__builtin_memset(room->a, 0, sizeof(room->a));", True),
        ("kprobe/x", "char a[400] = {};", "room->a", False),
        ("fentry.s/x", "char a[400];", "room->a", False),
        ("lsm/file_open", "char a[400];", "room->a", False),
        ("xdp", "char a[400];", "room->a", True),
        ("tcp_like", "char a[400];", "room->a", False),
    ],
)
def test_memory_of_a_processor_keeps_what_the_last_run_left(section: str, old: str, new: str, right: bool) -> None:
    before, after = _program(["a"]), _program(["bpf_map_lookup_elem", "a"])
    before.section = section
    said = changed(before, after, {"a.c": (old, new)}, _kind("per-cpu-scratch"))
    assert (said is None) is right, said


def test_only_a_second_release_may_go() -> None:
    old = "a();\nbpf_sk_release(sk);\nb();\nbpf_sk_release(sk);\n"
    done = _kind("released-twice")
    new = "a();\nbpf_sk_release(sk);\nb();\n"
    before, after = _program(["bpf_sk_release"] * 2), _program(["bpf_sk_release"])
    assert second_release({"a.c": (old, new)}, done) == "bpf_sk_release"
    assert changed(before, after, {"a.c": (old, new)}, done) is None
    assert second_release({"a.c": (old, old.replace("b();\n", ""))}, done) == ""
    branch = old.replace("b();\n", "b();\nif (sk != other)\n")
    assert second_release({"a.c": (branch, new)}, done) == "bpf_sk_release"
    pushed = "bpf_list_push_front(&l, &n->node);\nbpf_obj_drop(n);\n"
    queued = {"a.c": (pushed, pushed.replace("bpf_obj_drop(n);\n", ""))}
    assert changed(_program(["push", "bpf_obj_drop"]), _program(["push"]), queued, done) is None
    alone = {"a.c": ("use(n);\nbpf_obj_drop(n);\n", "use(n);\n")}
    assert changed(_program(["push", "bpf_obj_drop"]), _program(["push"]), alone, done) is not None
    assert second_release({"a.c": (old, "a();\nb();\n")}, done) == ""
    assert changed(before, _program([]), {"a.c": (old, new)}, done) is not None


def test_what_hands_data_out_gives_nothing_back() -> None:
    names = ["bpf_perf_event_output", "bpf_ringbuf_output", "bpf_sk_release", "bpf_key_put", "bpf_spin_unlock"]
    assert giving_back(_program(names)) == {"bpf_sk_release", "bpf_key_put", "bpf_spin_unlock"}
    old = "int prog(struct xdp_md *ctx)\n{\n\twork();\n\treturn 0;\n}\n"
    new = old.replace("\treturn", "\tbpf_perf_event_output(ctx, &m, 0, &a, 4);\n\treturn")
    assert c(old, new, [Candidate("release", (), "", NO_NEW_PATH)]) is not None


def test_functions_that_call_themselves_and_octal_numbers_are_read() -> None:
    old = (
        "static int walk(struct v *v)\n{\n\treturn walk(v);\n}\n"
        "int prog(void *ctx)\n{\n\tstruct v *v = bpf_map_lookup_elem(&m, &k);\n\twalk(v);\n\treturn 0;\n}\n"
    )
    assert c(old, old.replace("\twalk(v);", "\tif (!v)\n\t\treturn 0;\n\twalk(v);"), (), "xdp", "prog") is not None
    old = "int f(int *a, int i)\n{\n\tif (i < 0)\n\t\treturn 0;\n\treturn a[i];\n}\n"
    assert c(old, old.replace("\treturn a", "\tif (i > 010)\n\t\treturn 0;\n\treturn a")) is None
    assert c(old, old.replace("\treturn a", "\tif (i < 010)\n\t\treturn 0;\n\treturn a")) is not None
