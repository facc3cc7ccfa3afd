"""`inspect prog:ID`: the view of a loaded program is the view of the file it came from, as far as the kernel keeps
it."""

from __future__ import annotations

import json
from typing import Any

import pytest

import bpfsmith
from bpfsmith.kernel import info

pytestmark = [pytest.mark.root, pytest.mark.toolchain]

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct key { __u32 a, b; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, struct key); __type(value, __u64); }
ILFLOWS
    SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } EVENTS SEC(".maps");
const volatile int limit = 3;
int seen;
static __noinline int note(struct xdp_md *ctx, __u32 v) { bpf_printk("%d", v); return bpf_xdp_adjust_head(ctx, v); }
static long step(__u32 i, void *c) { seen++; return 0; }
SEC("xdp") int il_counter(struct xdp_md *ctx) {
    struct key k = {1, ctx->data_end - ctx->data};
    __u64 one = 1, *v = bpf_map_lookup_elem(&ILFLOWS, &k);
    if (v) __sync_fetch_and_add(v, limit);
    else bpf_map_update_elem(&ILFLOWS, &k, &one, 0);
    seen += note(ctx, bpf_get_prandom_u32());
    bpf_loop(seen & 7, step, 0, 0);
    __u32 *e = bpf_ringbuf_reserve(&EVENTS, 4, 0);
    if (e) { *e = 1; bpf_ringbuf_submit(e, 0); }
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""


def test_the_view_is_that_of_the_file(bpf_object: Any) -> None:
    path = bpf_object(SOURCE)
    with bpfsmith.load(path) as bpf:
        number = info.program(bpf.programs["il_counter"].fd)["id"]
        report = bpfsmith.inspect([str(path), f"prog:{number}"])
        assert not report.errors
        file, loaded = report.to_json()["objects"]
        ours, theirs = loaded["programs"][0], file["programs"][0]
        for key in ("name", "section", "type", "subprograms"):
            assert ours[key] == theirs[key], key
        # The loop is inlined by the verifier; every other helper is still called.
        assert set(theirs["helpers"]) - set(ours["helpers"]) <= {"bpf_loop"}
        assert loaded["globals"] == file["globals"]
        assert (loaded["license"], loaded["endianness"], loaded["btf"]) == (file["license"], file["endianness"], True)
        shapes = [{key: one[key] for key in one if key != "name"} for one in file["maps"]]
        assert [{key: one[key] for key in one if key != "name"} for one in loaded["maps"]] == shapes
        assert ours["maps"][:2] == ["ILFLOWS", "EVENTS"]
        assert ours["fingerprint"] is None


def test_source_lines_and_names_in_the_listing(bpf_object: Any, run_cli: Any) -> None:
    with bpfsmith.load(bpf_object(SOURCE)) as bpf:
        number = info.program(bpf.programs["il_counter"].fd)["id"]
        text = run_cli("inspect", f"prog:{number}", "--asm").stdout
        for word in ('SEC("xdp") int il_counter', "call bpf_map_update_elem", "map[ILFLOWS]", "call note", "step:"):
            assert word in text, word
        document = json.loads(run_cli("inspect", f"prog:{number}", "--format", "json").stdout)
        assert document["objects"][0]["path"] == f"prog:{number}"
        assert "note" in run_cli("inspect", f"prog:{number}", "--graph").stdout


def test_by_name_tag_and_map(bpf_object: Any) -> None:
    with bpfsmith.load(bpf_object(SOURCE)) as bpf:
        told = info.program(bpf.programs["il_counter"].fd)
        for word in ("prog:il_counter", f"prog:{told['tag']}", f"prog:{told['id']}"):
            assert bpfsmith.inspect(word).objects[0].programs[0].name == "il_counter"
        one = bpfsmith.inspect("map:ILFLOWS").objects[0].maps[0]
        assert (one.name, one.type_name, one.key_size, one.value_size, one.max_entries) == ("ILFLOWS", "hash", 8, 8, 8)


def test_an_attached_program_tells_where(bpf_object: Any, netns: Any) -> None:
    with bpfsmith.load(bpf_object(SOURCE)) as bpf:
        number = info.program(bpf.programs["il_counter"].fd)["id"]
        with bpf.programs["il_counter"].attach_xdp(netns.device, mode="skb"):
            program = bpfsmith.inspect(f"prog:{number}").objects[0].programs[0]
            assert (program.type, program.attach_to) == ("xdp", netns.device)


def test_what_is_not_there() -> None:
    report = bpfsmith.inspect(["prog:4000000000", "map:no_such_map", "prog:"])
    assert [type(error).__name__ for error in report.errors] == ["UnknownName"] * 3
    assert report.exit_code == 2


def test_without_types(bpf_object: Any) -> None:
    from bpfsmith.kernel import _tiny as tiny

    table = tiny.create(1, 4, 8)
    assert not isinstance(table, int)
    with table:
        # A stack key, a lookup and a subprogram, with no types at all.
        code = (
            tiny.insn(0x62, 10, off=-4) + tiny.insn(tiny.MOV64_REG, 2, 10) + tiny.insn(tiny.ADD64_IMM, 2, imm=-4)
            + tiny.ld_imm64(1, 1, table.fileno()) + tiny.call(1) + tiny.call(1, src=1) + tiny.END + tiny.RETURN_0
        )  # fmt: skip
        program = tiny.load(1, code, prog_name="bare")
        assert not isinstance(program, int), program
        with program:
            number = info.program(program)["id"]
            one = bpfsmith.inspect(f"prog:{number}").objects[0].programs[0]
            assert one.name == "bare"
            assert one.subprograms == ["subprog_1"]
            assert one.helpers == ["bpf_map_lookup_elem"]
            assert len(one.maps) == 1


def test_without_rights(unprivileged: Any) -> None:
    done = unprivileged("-m", "bpfsmith", "inspect", "prog:1")
    assert done.returncode == 3
    assert "CAP_SYS_ADMIN" in done.stderr


@pytest.mark.full
@pytest.mark.corpus
def test_programs_of_the_corpus_are_read_back(corpus: Any) -> None:
    """Whatever the kernel loads can be looked at: linked, listed, with its own name and no functions but its own."""
    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.render.inspect_asm import render

    seen = 0
    for path in corpus.objects("selftests")[::2]:
        try:
            bpf = bpfsmith.load(path)
        except BpfsmithError:
            continue  # another test holds what loads and what does not against libbpf
        with bpf:
            for name, program in bpf.programs.items():
                report = bpfsmith.inspect(f"prog:{info.program(program.fd)['id']}")
                assert not report.errors, (path, name, report.errors)
                (one,) = report.objects[0].programs
                assert (one.name, one.link_error) == (name, None), path
                assert set(one.subprograms) <= set(program.spec.subprograms), path
                assert one.name in render(one)
                seen += 1
        if seen > 100:
            break
    assert seen > 20
