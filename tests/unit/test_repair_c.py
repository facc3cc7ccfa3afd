"""The makers of changes of C: where a check stands, what it says, what is given back on which way. No kernels."""

# ruff: noqa: E501 - programs as they are written

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfsmith.repair.c.reader import blanked, bodies, split, tree
from bpfsmith.repair.c.ways import _reach
from bpfsmith.repair.makers import candidates
from unit.test_repair import _ground, _tried

XDP = 'SEC("xdp")\nint prog(struct xdp_md *ctx)\n{\n%s}\n'
PACKET = (
    "\tvoid *end = (void *)(long)ctx->data_end;\n\tvoid *data = (void *)(long)ctx->data;\n"
    "\tstruct ethhdr *eth = data;\n\tstruct tcphdr *tcp = data + 34;\n\n"
)


def _made(tmp_path: Path, body: str, cls: str, use: str, **more: Any) -> list[str]:
    """The texts that are tried, for the line that `use` stands on."""
    text = body if "SEC(" in body else XDP % body
    line = text[: text.index(use)].count("\n") + 1
    return _tried(_ground(tmp_path, "c", text, cls, line, **more))


# ------------------------------------------------------------ reading


def test_functions_of_a_file() -> None:
    text = (
        "static __attribute__((noinline)) int one(int x) { return x; }\nstruct a { int b; };\n"
        'SEC("tc") int two(struct __sk_buff *skb)\n{\n\tif (skb->len) { return 1; }\n\treturn 0;\n}\n'
        'SEC("fentry/f")\nint BPF_PROG(three, int a)\n{\n\treturn 0;\n}\nint four(void) __attribute__((noinline))\n{\n}\n'
    )
    assert [one.name for one in bodies(blanked(text))] == ["one", "two", "three", "four"]


def test_statements() -> None:
    text = blanked(
        "if (a) b(); else if (c) { d(); } else e();\nswitch (x) { case A ? 1 : 2: f(); break; default: g(); }\n"
        "for (;;) if (h) break;\ndo i++; while (i < 3);\nbpf_for(i, 0, 3) { j(); }\nint k[] = { 1, 2 };\nout: return;\n"
        "#define X {\nl(({ int m = 1; m; }));\n"
    )
    kinds = [one.kind for one in tree(text, 0, len(text)).parts]
    assert kinds == ["if", "switch", "for", "do", "loop", "plain", "label", "return", "plain"]


@pytest.mark.parametrize(
    "text", ["if (", "{{{", "a(b", "case", "do", "}", "x ? y :", "for (;;", "if (a) else", "'", '"']
)
def test_any_text_is_read(text: str) -> None:
    top = tree(blanked(text), 0, len(text))
    assert all(one.start <= one.end for one in top.walk())
    list(bodies(blanked(text)))


def test_parts_of_a_list() -> None:
    assert split("a, f(b, c), d[e, 1], (g, h)") == ["a", "f(b, c)", "d[e, 1]", "(g, h)"]


# ------------------------------------------------------------ where a check stands


def test_a_branch_without_braces_gets_them(tmp_path: Path) -> None:
    text = (
        XDP
        % "\tstruct stats *s = find();\n\n\tif (ctx->rx_queue_index) // some\n\t\treturn 1;\n\telse if (ctx->data)\n\t\ts->n++;\n\treturn XDP_PASS;\n"
    )
    tried = _made(tmp_path, text, "missing-null-check", "s->n++", family="V06", variables=["s"])
    assert "\telse if (ctx->data) {\n\t\tif (!s)\n\t\t\treturn XDP_PASS;\n\t\ts->n++;\n\t}\n" in tried[0]


def test_a_check_behind_a_label(tmp_path: Path) -> None:
    body = "\tstruct stats *s = find();\n\n\tswitch (ctx->data) {\n\tcase 1: s->n++; break;\n\t}\n\treturn XDP_PASS;\n"
    tried = _made(tmp_path, body, "missing-null-check", "case 1", family="V06", variables=["s"])
    assert "case 1: \n\tif (!s)\n\t\treturn XDP_PASS;\n\ts->n++; break;" in tried[0]


def test_several_statements_of_a_line(tmp_path: Path) -> None:
    body = "\tstruct stats *s; s = find(); s->n++; ctx->x;\n\treturn XDP_PASS;\n"
    tried = _made(tmp_path, body, "missing-null-check", "s->n++", family="V06", variables=["s"])
    assert "s = find(); \n\tif (!s)\n\t\treturn XDP_PASS;\n\ts->n++; ctx->x;" in tried[0]


def test_a_function_on_one_line(tmp_path: Path) -> None:
    text = "static __always_inline void bump(struct state *c) { c->st->n += 1; }\n" + XDP % "\tbump(0);\n\treturn 0;\n"
    tried = _made(tmp_path, text, "missing-null-check", "c->st", family="V06")
    assert any("{ \nif (!c->st)\n\treturn;\nc->st->n += 1; }" in one for one in tried)


CHECK = "\tif (!s)\n\t\treturn XDP_PASS;\n"


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ("\tstruct st *s = find();\n\n@\ts->n++;\n\ts->last = 1;\n", "s->last"),
        ("\tstruct st *s = find();\n\tnote();\n@\t*&s->n = 3;\n\tint m = 1;\n\ts->last = m;\n", "s->last"),
        # On one way only: before both.
        ("\tstruct st *s = find();\n\n@\tif (ctx->data)\n\t\ts->n++;\n\ts->last = 1;\n", "s->last"),
        # What was used before it got this value does not count.
        ("\tstruct st *s = first();\n\ts->n++;\n\ts = find();\n@\ts->m++;\n\ts->last = 1;\n", "s->last"),
        ("\tstruct st *s = find();\n\tif (s)\n\t\ts->n++;\n@\ts->last = 1;\n", "s->last"),
    ],
)
def test_a_null_check_stands_before_the_first_use(tmp_path: Path, body: str, at: str) -> None:
    text = XDP % (body + "\treturn XDP_PASS;\n")
    wanted = text.replace("@", CHECK)
    tried = _made(tmp_path, text.replace("@", ""), "missing-null-check", at, family="V06", variables=["s"])
    assert wanted == tried[0]


def test_a_null_check_behind_the_lookup_for_uses_on_several_ways(tmp_path: Path) -> None:
    body = "\tstruct st *s = find();\n@\tint m = 1;\n\n\tif (ctx->data)\n\t\ts->n++;\n\telse\n\t\ts->m += m;\n"
    text = XDP % (body + "\treturn XDP_PASS;\n")
    tried = _made(tmp_path, text.replace("@", ""), "missing-null-check", "s->n", family="V06", variables=["s"])
    assert text.replace("@", CHECK) in tried


def test_line_ends_are_kept(tmp_path: Path) -> None:
    text = (XDP % "\tstruct stats *s = find();\n\n\ts->n++;\n\treturn XDP_PASS;\n").replace("\n", "\r\n")
    ground = _ground(tmp_path, "c", "", "missing-null-check", 6, family="V06", variables=["s"])
    Path(ground.files[0]).write_bytes(text.encode())
    edit = candidates(ground)[0].edits[0]
    assert edit.text == "if (!s)\r\n\t\treturn XDP_PASS;\r\n\t"


@pytest.mark.parametrize(
    ("text", "use", "wanted"),
    [
        ("if (a && p->n > 2)", "p->", "a"),
        ("x = a ? p->n : 7;", "p->", "(a)"),
        ("x = a ? 7 : p->n;", "p->", "!(a)"),
        ("if (a || (b && c->d == 3 && p->x))", "p->", "!(a) && b && c->d == 3"),
        ("return f(a, b && p->x)", "p->", "b"),
        ("if (f(a) && p->x)", "p->", ""),
        ("p->x = a && b", "p->", ""),
    ],
)
def test_on_which_ways_a_use_is_come_to(text: str, use: str, wanted: str) -> None:
    assert _reach(text, text.index(use)) == wanted


def test_a_check_in_the_condition_that_leads_to_the_use(tmp_path: Path) -> None:
    body = PACKET + "\tif (eth->h_proto == 8 && tcp->syn && !tcp->ack)\n\t\treturn XDP_DROP;\n\treturn XDP_PASS;\n"
    tried = _made(tmp_path, body, "check-wrong", "tcp->syn", family="V08", variables=["tcp"])
    assert any("if (eth->h_proto == 8 && (void *)(tcp + 1) <= end && tcp->syn && !tcp->ack)" in one for one in tried)
    assert any(
        "\tif (eth->h_proto == 8 && (void *)(tcp + 1) > end)\n\t\treturn XDP_PASS;\n\tif (" in one for one in tried
    )


def test_a_round_of_a_loop_ends_as_its_other_checks_do(tmp_path: Path) -> None:
    body = "\tfor (int i = 0; i < 4; i++) {\n\t\tstruct stats *s = find(i);\n\n%s\t\ts->n++;\n\t}\n\treturn XDP_PASS;\n"
    tried = _made(tmp_path, body % "", "missing-null-check", "s->n++", family="V06", variables=["s"])
    assert "\t\tif (!s)\n\t\t\tcontinue;\n\t\ts->n++;" in tried[0]
    other = "\t\tif (!find(9))\n\t\t\tbreak;\n"
    tried = _made(tmp_path, body % other, "missing-null-check", "s->n++", family="V06", variables=["s"])
    assert "\t\tif (!s)\n\t\t\tbreak;\n\t\ts->n++;" in tried[0]


def test_what_a_call_gives_gets_a_name(tmp_path: Path) -> None:
    body = "\t*(__u64 *)bpf_map_lookup_elem(&m, &k) += 1;\n\treturn XDP_PASS;\n"
    tried = _made(tmp_path, body, "missing-null-check", "lookup", family="V06")
    assert any(
        "\t__auto_type found = (__u64 *)bpf_map_lookup_elem(&m, &k);\n\tif (!found)\n\t\treturn XDP_PASS;\n\t*found += 1;"
        in one
        for one in tried
    )


def test_the_end_of_a_cursor_is_a_field(tmp_path: Path) -> None:
    text = (
        "struct cursor { void *pos; void *end; };\nstatic __always_inline int parse(struct cursor *c)\n{\n"
        "\tstruct ethhdr *eth = c->pos;\n\n\treturn eth->h_proto;\n}\n"
        + XDP
        % "\tstruct cursor c;\n\n\tif (parse(&c) < 0)\n\t\treturn 1;\n\treturn 0;\n"
    )
    tried = _made(tmp_path, text, "missing-bounds-check", "return eth", family="V08", variables=["eth"])
    assert any("\tif ((void *)(eth + 1) > (void *)c->end)\n\t\treturn -1;\n\treturn eth" in one for one in tried)


# ------------------------------------------------------------ numbers


def test_an_index_that_steps_and_one_that_is_computed(tmp_path: Path) -> None:
    body = "\tfound[n++] = 1;\n\twords[port >> 6]++;\n\treturn XDP_PASS;\n"
    tried = _made(tmp_path, body, "missing-bounds-check", "found[", family="V09")
    assert any("\tif (n >= sizeof(found) / sizeof(found[0]))\n" in one for one in tried)
    tried = _made(tmp_path, body, "missing-bounds-check", "words[", family="V09")
    assert any("if ((unsigned long)(port >> 6) >= sizeof(words) / sizeof(words[0]))" in one for one in tried)
    assert any(
        '\tunsigned long index = port >> 6;\n\tasm volatile("" : "+r"(index));' in one and "words[index]++" in one
        for one in tried
    )


def test_a_length_that_is_computed_in_the_call(tmp_path: Path) -> None:
    text = (
        "struct event { char data[64]; };\n"
        + XDP % "\tstruct event *e;\n\n\tbpf_probe_read_user(e->data, n - 1, p);\n\treturn 0;\n"
    )
    tried = _made(tmp_path, text, "missing-bounds-check", "bpf_probe", family="V10")
    assert any(
        "unsigned long size = n - 1;" in one and "if (size > sizeof(e->data))" in one and "e->data, size, p)" in one
        for one in tried
    )


def test_no_number_of_packets_where_there_is_none(tmp_path: Path) -> None:
    body = "\tint i = ctx->x;\n\n\tif (i >= 32)\n\t\treturn XDP_PASS;\n\thist[i]++;\n\treturn XDP_PASS;\n"
    tried = _made(tmp_path, body, "check-wrong", "hist[", family="V09", variables=["i"])
    assert any("\tif (i < 0)\n" in one for one in tried) and not any("32767" in one for one in tried)


# ------------------------------------------------------------ what is held

RING = "\tstruct event *e = bpf_ringbuf_reserve(&rb, sizeof(*e), 0);\n\n\tif (!e)\n\t\treturn 0;\n"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (RING + "\tif (ctx->x)\n\t\treturn 1;\n\tbpf_ringbuf_submit(e, 0);\n\treturn 0;\n", "\tif (ctx->x) {\n\t\tbpf_ringbuf_discard(e, 0);\n\t\treturn 1;\n\t}\n"),
        (RING + "\tif (ctx->x)\n\t\tbpf_ringbuf_submit(e, 0);\n\treturn 0;\n", "\t\tbpf_ringbuf_submit(e, 0);\n\telse\n\t\tbpf_ringbuf_discard(e, 0);\n"),
        (RING + "\tif (ctx->x)\n\t\tgoto out;\n\tbpf_ringbuf_submit(e, 0);\nout:\n\treturn 0;\n", "{\n\t\tbpf_ringbuf_discard(e, 0);\n\t\tgoto out;\n\t}\n"),
        (RING + "\te->a = 1;\n\treturn 0;\n", "\te->a = 1;\n\tbpf_ringbuf_submit(e, 0);\n\treturn 0;\n"),
        ("\tfor (int i = 0; i < 4; i++) {\n\t\tstruct event *e = bpf_ringbuf_reserve(&rb, 8, 0);\n\n\t\tif (!e)\n\t\t\tbreak;\n\t\tif (i == 2)\n\t\t\tcontinue;\n\t\tbpf_ringbuf_submit(e, 0);\n\t}\n\treturn 0;\n", "\t\tif (i == 2) {\n\t\t\tbpf_ringbuf_discard(e, 0);\n\t\t\tcontinue;\n\t\t}\n"),
        ("\tstruct bpf_sock *sk = bpf_sk_lookup_tcp(ctx, &t, 12, 0, 0);\n\n\tif (!sk)\n\t\treturn 0;\n\treturn sk->state == 1;\n", "\t__auto_type result = sk->state == 1;\n\tbpf_sk_release(sk);\n\treturn result;\n"),
        ("\tbpf_spin_lock(&v->lock);\n\tif (v->n > 10)\n\t\treturn 1;\n\tbpf_spin_unlock(&v->lock);\n\treturn 0;\n", "\tif (v->n > 10) {\n\t\tbpf_spin_unlock(&v->lock);\n\t\treturn 1;\n\t}\n"),
    ],
    ids=["early return", "one branch only", "goto", "never", "continue", "read by the return", "lock"],
)  # fmt: skip
def test_it_is_given_back_on_each_way(tmp_path: Path, body: str, wanted: str) -> None:
    tried = _made(tmp_path, body, "unreleased-reference", "bpf_")
    assert any(wanted in one for one in tried), tried[:1]


@pytest.mark.parametrize(
    "body",
    [
        RING + "\tif (ctx->x)\n\t\tgoto out;\n\te->a = 1;\nout:\n\tbpf_ringbuf_submit(e, 0);\n\treturn 0;\n",
        "\tstruct event *e;\n\n\tif ((e = bpf_ringbuf_reserve(&rb, 8, 0)) != NULL) {\n\t\tbpf_ringbuf_submit(e, 0);\n\t}\n\treturn 0;\n",
        RING + "\tswitch (ctx->x) {\n\tcase 1:\n\t\tbpf_ringbuf_discard(e, 0);\n\t\treturn 0;\n\tdefault:\n\t\tbreak;\n\t}\n\tbpf_ringbuf_submit(e, 0);\n\treturn 0;\n",
        "\tstruct bpf_sock *sk = bpf_sk_lookup_tcp(ctx, &t, 12, 0, 0);\n\n\treturn sk;\n",
    ],
    ids=["label that releases", "assigned in the condition", "switch", "given to the caller"],
)  # fmt: skip
def test_what_is_given_back_is_left_alone(tmp_path: Path, body: str) -> None:
    ground = _ground(tmp_path, "c", XDP % body, "unreleased-reference", 5)
    assert not [one for one in candidates(ground) if one.kind == "release"]


def test_what_is_read_behind_the_release_is_read_before(tmp_path: Path) -> None:
    body = "\tstruct tcp *tcp = of(sk);\n\n\tbpf_sk_release(sk);\n\tif (tcp->cwnd < 10)\n\t\tsmall++;\n\treturn 0;\n"
    tried = _made(tmp_path, body, "stale-pointer", "tcp->cwnd")
    assert any("\t__auto_type cwnd2 = tcp->cwnd;\n\tbpf_sk_release(sk);\n\tif (cwnd2 < 10)\n" in one for one in tried)


def test_one_release_too_many(tmp_path: Path) -> None:
    body = "\tif (sk->prio == 6) {\n\t\tbpf_sk_release(sk);\n\t\tact = 2;\n\t}\n\tbpf_sk_release(sk);\n\treturn act;\n"
    text = XDP % body
    ground = _ground(tmp_path, "c", text, "stale-pointer", 8)
    tried = _tried(ground)
    assert any("\tif (sk->prio == 6) {\n\t\tact = 2;\n\t}\n\tbpf_sk_release(sk);\n" in one for one in tried)
    assert any("\t\tbpf_sk_release(sk);\n\t\tact = 2;\n\t}\n\treturn act;\n" in one for one in tried)


def test_the_pointer_as_it_was_taken(tmp_path: Path) -> None:
    body = "\t__u64 *out = bpf_ringbuf_reserve(&rb, 24, 0);\n\n\tif (!out)\n\t\treturn 0;\n\t*out++ = 1;\n\tbpf_ringbuf_submit(out, 0);\n\treturn 0;\n"
    tried = _made(tmp_path, body, "pointer-arithmetic", "submit", family="V13")
    assert any("\t__auto_type whole = out;\n" in one and "bpf_ringbuf_submit(whole, 0);" in one for one in tried)


# ------------------------------------------------------------ bytes and arguments


def test_a_local_among_others_is_set(tmp_path: Path) -> None:
    body = "\tstruct key k, *q = &k;\n\tint act, other = 3;\n\n\tuse(q, &act);\n\treturn 0;\n"
    tried = _made(tmp_path, body, "uninitialised", "use(", variables=["k"])
    assert any("struct key k = {}, *q = &k;" in one for one in tried)
    assert any("int act = 0, other = 3;" in one for one in tried)


def test_padding_of_a_list_of_values(tmp_path: Path) -> None:
    text = (
        "struct key { __u8 a; __u32 b, c; };\n" + XDP % "\tstruct key k = { 1, ctx->x };\n\n\tuse(&k);\n\treturn 0;\n"
    )
    tried = _made(tmp_path, text, "uninitialised", "use(", variables=["k"])
    assert any(
        "\tstruct key k;\n\t__builtin_memset(&k, 0, sizeof(k));\n\tk.a = 1;\n\tk.b = ctx->x;\n" in one for one in tried
    )


def test_arguments_that_the_call_takes(tmp_path: Path) -> None:
    tried = _made(tmp_path, "\tbpf_skb_load_bytes(data, 14, &ip, 20);\n\treturn 0;\n", "argument-type", "bpf_skb")
    assert "bpf_skb_load_bytes(ctx, 14, &ip, 20);" in tried[0]
    maps = 'struct {\n\t__uint(type, BPF_MAP_TYPE_RINGBUF);\n} events SEC(".maps");\nstruct {\n\t__uint(type, BPF_MAP_TYPE_HASH);\n\t__type(key, __u32);\n} ports SEC(".maps");\n'
    text = (
        maps
        + XDP
        % "\t__u16 port = 1, other;\n\n\tbpf_perf_event_output(ctx, &events, 0, &e, sizeof(e));\n\tbpf_map_lookup_elem(&ports, &port);\n\treturn 0;\n"
    )
    tried = _made(tmp_path, text, "argument-type", "bpf_perf")
    assert any("bpf_ringbuf_output(&events, &e, sizeof(e), 0);" in one for one in tried)
    tried = _made(tmp_path, text, "missing-bounds-check", "bpf_map_lookup_elem(&ports", family="V03")
    assert any("\t__u16 other;\n\t__u32 port = 1;\n" in one for one in tried)


def test_a_tail_call_needs_a_number_to_return(tmp_path: Path) -> None:
    text = (
        "static __noinline void next(struct xdp_md *ctx)\n{\n\tbpf_tail_call(ctx, &m, 1);\n}\n\n"
        + XDP % "\tnext(ctx);\n\treturn 0;\n"
    )
    tried = _made(
        tmp_path, text, "return-range", "next(ctx);", message="tail_call is only allowed in functions that return 'int'"
    )
    assert (
        "static __noinline int next(struct xdp_md *ctx)\n{\n\tbpf_tail_call(ctx, &m, 1);\n\treturn 0;\n}\n" in tried[0]
    )


def test_a_value_is_tested_before_it_is_returned(tmp_path: Path) -> None:
    message = "At program exit the register R0 has value (0x0; 0xff) should have been in (0x0; 0x1)"
    body = "\tif (!v)\n\t\treturn 1;\n\treturn v->act;\n"
    tried = _made(tmp_path, body, "return-range", "return v", message=message, type="cgroup_skb")
    assert (
        "\t__auto_type result = v->act;\n\tif ((unsigned long)result > 1)\n\t\treturn 1;\n\treturn result;\n"
        in tried[0]
    )


def test_a_big_local_goes_into_a_map(tmp_path: Path) -> None:
    text = (
        "#define SIZE 288\n"
        + XDP % "\tchar text[SIZE] = {};\n\n\tif (fill(text, sizeof(text)))\n\t\treturn 0;\n\treturn text[0];\n"
    )
    tried = _made(tmp_path, text, "stack-limit", "char text")
    made = next(one for one in tried if "PERCPU_ARRAY" in one)
    assert "struct text_room {\n\tchar text[SIZE];\n};" in made and '} text_rooms SEC(".maps");\n\nSEC("xdp")' in made
    assert "\tif (!room)\n\t\treturn 0;\n" in made and "fill(room->text, sizeof(room->text))" in made


def test_fields_of_the_context_are_read_before_it_is_chosen(tmp_path: Path) -> None:
    body = "\t__u32 v;\n\n\tif (flag)\n\t\tv = ctx->data;\n\telse\n\t\tv = ctx->data_end;\n\treturn v > 3;\n"
    tried = _made(tmp_path, body, "pointer-arithmetic", "v = ctx->data;", family="V13")
    assert any("__u32 data_now = ctx->data;" in one or "__u32 data2 = ctx->data;" in one for one in tried)


def test_assertions_return(tmp_path: Path) -> None:
    text = (
        "#define BUG_ON(c) do { if (c) __builtin_trap(); } while (0)\n"
        + XDP % "\tBUG_ON(slot >= 16);\n\treturn XDP_PASS;\n"
    )
    tried = _made(tmp_path, text, "panic-or-unreachable", "BUG_ON(slot")
    assert any("\tif (slot >= 16)\n\t\treturn XDP_PASS;\n" in one for one in tried)


def test_a_denial_is_no_failure(tmp_path: Path) -> None:
    message = "At program exit the register R0 has smin=1000 smax=1000 should have been in [-4095, 0]"
    body = "\t__u32 uid = now();\n\n\tif (!uid)\n\t\treturn 0;\n\treturn uid;\n"
    assert not _made(tmp_path, body, "return-range", "return uid", message=message, type="lsm")
    message = "At program exit the register R0 has value (0x0; 0xff) should have been in (0x0; 0x1)"
    body = "\tint err = bpf_skb_load_bytes(ctx, 0, b, 4);\n\n\tif (!ctx->x)\n\t\treturn 1;\n\treturn err;\n"
    assert not _made(tmp_path, body, "return-range", "return err", message=message, type="cgroup_skb")


def test_fields_that_the_hook_has(tmp_path: Path) -> None:
    body = "\t__u32 a = ctx->user_ip6[3];\n\n\treturn a;\n"
    tried = _made(tmp_path, body, "context-access", "user_ip6", section="cgroup/connect4", type="cgroup_sock_addr")
    assert any("__u32 a = ctx->user_ip4;" in one for one in tried)
    body = "\t__u8 *bytes = (__u8 *)&ctx->mark;\n\n\tbytes[1] = ID;\n\treturn 0;\n"
    tried = _made(tmp_path, body, "context-access", "bytes[1]")
    assert any("ctx->mark = (whole & ~0xff00U) | (__u32)(__u8)(ID) << 8;" in one for one in tried)
    text = (
        "struct value { __u64 n; struct bpf_timer t; char c[4]; };\n"
        + XDP % "\tstruct value *v = find();\n\n\t__builtin_memset(v, 0, sizeof(*v));\n\treturn 0;\n"
    )
    tried = _made(tmp_path, text, "context-access", "__builtin_memset")
    assert any(
        "memset(&v->n, 0, sizeof(v->n));\n\t__builtin_memset(&v->c, 0, sizeof(v->c));\n\treturn" in one for one in tried
    )


def test_a_map_of_the_type_that_the_call_works_on(tmp_path: Path) -> None:
    text = (
        'struct {\n\t__uint(type, BPF_MAP_TYPE_PROG_ARRAY);\n} stages SEC(".maps");\n%s'
        + XDP % "\treturn bpf_map_lookup_elem(&stages, &k) != 0;\n"
    )
    said = "cannot pass map_type 3 into func bpf_map_lookup_elem#1"
    tried = _made(tmp_path, text % "", "argument-type", "bpf_map_lookup", message=said)
    assert any("BPF_MAP_TYPE_ARRAY" in one for one in tried)
    other = "static void go(void *c) { bpf_tail_call(c, &stages, 1); }\n"
    tried = _made(tmp_path, text % other, "argument-type", "bpf_map_lookup", message=said)
    assert not any("BPF_MAP_TYPE_ARRAY" in one for one in tried)
    tried = _made(tmp_path, text % "", "argument-type", "bpf_map_lookup", message="R2 type=scalar expected=fp")
    assert not any("BPF_MAP_TYPE_ARRAY" in one for one in tried)


def test_a_struct_that_points_to_its_own_kind_has_a_size() -> None:
    from types import SimpleNamespace

    from bpfsmith.repair.c.scratch import _bytes

    text = "#define OCTAL 010\nstruct node { struct node *next; struct node* back; char name[16]; };\n"
    function: Any = SimpleNamespace(plain=text, text=text)
    assert _bytes(function, "struct node", "") == 32
    assert _bytes(function, "char", "[OCTAL]") == 1


def test_fields_of_a_value_that_is_cleared_around_its_lock() -> None:
    from bpfsmith.repair.c.context import _members

    assert _members(" struct bpf_spin_lock l; __u64 a, b; char name[16]; struct x *next; unsigned int c; ") == [
        *("a", "b", "name", "next", "c"),
    ]
    assert _members("struct bpf_timer t; int (*call)(int); __u32 d;") == []
    assert _members("struct bpf_timer t; __u32 few : 3; __u32 d;") == []
