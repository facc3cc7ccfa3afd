"""Repair end to end: C programs are copied, changed, built and judged by guests; Rust where its toolchain is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.cli import main
from bpfsmith.lab import store
from bpfsmith.model.kernels import series_key
from bpfsmith.repair import repair

pytestmark = pytest.mark.lab

HEAD = "#include <linux/bpf.h>\n#include <linux/if_ether.h>\n#include <linux/ip.h>\n#include <bpf/bpf_helpers.h>\n"
MAP = """
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[16]);
} table SEC(".maps");
"""
NULL = HEAD + MAP + """
SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *slots = bpf_map_lookup_elem(&table, &zero);

	slots[ctx->ingress_ifindex & 15]++;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
"""  # fmt: skip
PACKET = HEAD + """
SEC("xdp")
int prog(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)(long)ctx->data + sizeof(struct ethhdr);

	if (ip->protocol == 17)
		return XDP_DROP;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
"""  # fmt: skip
TWICE = HEAD + MAP + """
SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	__u8 *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	__u64 *slots;

	if (data[13] > 8)
		return XDP_PASS;
	slots = bpf_map_lookup_elem(&table, &zero);
	slots[1]++;
	return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
"""  # fmt: skip


@pytest.fixture(scope="module")
def kernels() -> list[str]:
    """The oldest and the newest that are prepared."""
    names = sorted((one.name for one in store.all() if one.arch == os.uname().machine and one.name[0].isdigit()
                    and "-" not in one.name), key=series_key)  # fmt: skip
    if not names:
        pytest.skip("no kernel is prepared")
    return list(dict.fromkeys((names[0], names[-1])))


@pytest.fixture
def written(tmp_path: Path, clang: Any) -> Any:
    """Writes a source; what repair makes of it."""

    def write(text: str, kernels: list[str]) -> Any:
        path = tmp_path / "prog.c"
        path.write_text(text)
        command = [str(clang.path), "--target=bpf", "-mcpu=v3", "-O2", "-g", "-I/usr/include/x86_64-linux-gnu"]
        proofs = repair(
            path, kernels, command=[*command, "-c", "{source}", "-o", "{output}"], cache=str(tmp_path / "cache")
        )
        assert path.read_text() == text
        assert sorted(one.name for one in tmp_path.iterdir()) == ["cache", "prog.c"]
        return proofs

    return write


HASH = NULL.replace("TYPE_ARRAY", "TYPE_HASH")


@pytest.mark.parametrize(("text", "added"), [(HASH, "if (!slots)"), (PACKET, "if ((void *)(ip + 1) > end)")])
def test_a_check_is_added_and_proved(written: Any, kernels: list[str], text: str, added: str) -> None:
    (proof,) = written(text, kernels)
    assert proof.proved, proof.why
    assert proof.shown == "only-failing-branch" and proof.ran == ()
    assert proof.kernels == tuple(kernels)
    assert f"+\t{added}\n+\t\treturn XDP_PASS;\n" in proof.diff
    assert kernels[0] in proof.fix.message and proof.refused == tuple(kernels)


SLOT = HEAD + """
struct h { __u64 count; __u64 slots[32]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct h);
} table SEC(".maps");

SEC("raw_tp/sys_exit")
int prog(void *ctx)
{
	__u32 zero = 0;
	__u64 took = bpf_ktime_get_ns();
	struct h *h = bpf_map_lookup_elem(&table, &zero);
	__u64 slot = took >> 8 & 63;

	if (!h)
		return 0;
	h->slots[slot]++;
	return 0;
}
char _license[] SEC("license") = "GPL";
"""  # fmt: skip


def test_a_limit_is_that_of_the_index_which_the_array_tells(written: Any, kernels: list[str]) -> None:
    (proof,) = written(SLOT, kernels)
    assert proof.proved, proof.why
    assert "if (slot >= sizeof(h->slots) / sizeof(h->slots[0]))" in proof.diff
    assert "took >=" not in proof.diff and "32767" not in proof.diff


SOMETIMES = HASH.replace("\tslots[ctx->ingress_ifindex & 15]++;\n", """\
	if (ctx->rx_queue_index)
		slots[0]++;
	bpf_map_update_elem(&table, &zero, &(__u64[16]){}, 0);
	if (!bpf_map_lookup_elem(&table, &(__u32){1}))
		return XDP_ABORTED;
""")  # fmt: skip
MIDDLE = HEAD + """
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[256]);
} bytes SEC(".maps");

SEC("tc")
int prog(struct __sk_buff *skb)
{
	__u32 zero = 0;
	char *middle = bpf_map_lookup_elem(&bytes, &zero);
	__s64 step;

	if (!middle)
		return 0;
	step = (__s64)(skb->mark & 31) - 16;
	asm volatile("" : "+r"(step));
	middle += 128;
	asm volatile("" : "+r"(middle));
	return middle[step];
}
char _license[] SEC("license") = "GPL";
"""  # fmt: skip


def test_a_check_stands_only_where_the_use_is_and_is_tried_out(written: Any, kernels: list[str]) -> None:
    (proof,) = written(SOMETIMES, kernels[:1])
    assert proof.proved, proof.why
    assert "+\tif (ctx->rx_queue_index) {\n+\t\tif (!slots)\n+\t\t\treturn XDP_ABORTED;\n" in proof.diff
    assert f"test runs on {kernels[0]} " in proof.why  # of a copy that counts


def test_a_limit_that_cuts_what_is_right_is_not_proved(written: Any, kernels: list[str]) -> None:
    """The index may be below 0: no kernel before 7.3 says so, and every limit it takes leaves half of it out."""
    if series_key(kernels[0]) >= series_key("7.3"):
        pytest.skip("wants a kernel before 7.3")
    (proof,) = written(MIDDLE, kernels[:1])
    assert not proof.proved, proof.diff


def test_two_rejections_take_two_checks(written: Any, kernels: list[str]) -> None:
    (proof,) = written(TWICE, kernels)
    assert proof.proved, proof.why
    assert "if (!slots)" in proof.diff and "> (void *)end" in proof.diff


def test_where_a_kernel_accepts_the_original_both_are_run(written: Any, kernels: list[str]) -> None:
    """A lookup in an array at a constant index needs no test since 6.18."""
    if series_key(kernels[0]) >= series_key("6.18") or series_key(kernels[-1]) < series_key("6.18"):
        pytest.skip("wants a kernel before 6.18 and one from there on")
    (proof,) = written(NULL, kernels)
    assert proof.proved and proof.shown == "same-output" and proof.ran == (kernels[-1],)
    assert f"test runs on {kernels[-1]}" in proof.fix.message


def test_what_is_accepted_needs_no_repair(written: Any, kernels: list[str]) -> None:
    assert written(NULL.replace("\tslots[", "\tif (slots)\n\t\tslots["), kernels) == []


def test_programs_that_do_not_agree_are_told_apart(written: Any, kernels: list[str]) -> None:
    from bpfsmith.repair.behaviour import compare
    from bpfsmith.repair.cfiles import CProject
    from bpfsmith.repair.judged import Built
    from bpfsmith.repair.tools import Runner

    assert written is not None
    same = PACKET.replace("\tif (ip->", "\tif ((void *)(ip + 1) > end)\n\t\treturn XDP_PASS;\n\tif (ip->")
    other = same.replace("== 17", "== 6")

    def built(text: str, folder: Path) -> Any:
        folder.mkdir()
        (folder / "prog.c").write_text(text)
        project = CProject(str(folder / "prog.c"), cache=str(folder / "cache"))
        with project.copy() as copy:
            return Built(project.build(copy, Runner(60)), str(folder / "objects")).objects["prog.bpf.o"]

    import tempfile

    with tempfile.TemporaryDirectory() as name:
        one, two, three = (built(text, Path(name) / str(at)) for at, text in enumerate((same, same + "\n", other)))
        assert compare(kernels[-1], one, two, "prog").agree is True
        told = compare(kernels[-1], one, three, "prog")
        assert told.agree is False and "returns 2 instead of 1" in told.why


def test_check_writes_the_proved_fix(
    tmp_path: Path, kernels: list[str], clang: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import subprocess

    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prog.c").write_text(NULL)
    words = [clang.path, "--target=bpf", "-O2", "-g", "-I/usr/include/x86_64-linux-gnu", "-c", "prog.c", "-o", "prog.o"]
    subprocess.run(words, check=True, cwd=tmp_path)
    assert main(["check", "prog.o", "--prove", "--diff", "--kernels", ",".join(kernels)]) == 1
    assert "+\tif (!slots)" in capsys.readouterr().out
    assert (tmp_path / "prog.c").read_text() == NULL
    main(["check", "prog.o", "--prove", "--fix", "--kernels", ",".join(kernels)])
    assert "\tif (!slots)\n\t\treturn XDP_PASS;\n" in (tmp_path / "prog.c").read_text()


def test_a_folder_without_an_object_is_mended_without_an_error(
    tmp_path: Path, kernels: list[str], clang: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prog.c").write_text(HASH)
    assert main(["check", ".", "--prove", "--fix", "--kernels", kernels[-1]]) == 0
    assert "error" not in capsys.readouterr().err
    assert "\tif (!slots)\n" in (tmp_path / "prog.c").read_text()
