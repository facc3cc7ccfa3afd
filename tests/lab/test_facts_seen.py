"""Facts proved: what the stored answers of real kernels say about the claims, and whether the kernels still say so.

`./dev facts` asks kernels for every row and stores the answers in `tools/facts/data/seen-*.json`; `claims.py` beside it
judges. The always part compares the stored answers with the claims and asks a fixed, stratified sample again on each
kernel that is prepared; with `--full` everything is asked again.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bpfsmith import facts, kernel, lab
from bpfsmith.facts import seen
from bpfsmith.lab import store
from bpfsmith.lab.kernels.matrix import DEFAULT

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tools/facts"
SAMPLE = 8  # of each program type and answer


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, ModuleType]]:
    """The modules of `tools/facts`: they are the repository's, not the wheel's."""
    if not TOOLS.is_dir():
        pytest.skip("needs the repository's tools/facts")
    names = [path.stem for path in TOOLS.glob("*.py")]
    others = {name: sys.modules.pop(name) for name in names if name in sys.modules}  # of other folders
    sys.path.insert(0, str(TOOLS))
    try:
        yield {name: import_module(name) for name in ("asking", "claims", "features", "probes", "prove", "variants")}
    finally:
        sys.path.remove(str(TOOLS))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(others)


@pytest.fixture(scope="module")
def stored(tools: dict[str, ModuleType]) -> dict[str, dict[str, Any]]:
    return {data["kernel"]["series"]: data for data in tools["claims"].stored()}


# ---------------------------------------------------------------- the stored answers, and the claims


def test_no_claim_is_contradicted(tools: dict[str, ModuleType]) -> None:
    wrong = [str(one) for one in tools["claims"].judged() if one.state == "contradicted"]
    assert not wrong, "\n".join(wrong[:40])


def test_every_kernel_of_the_matrix_was_asked(stored: dict[str, dict[str, Any]]) -> None:
    assert set(DEFAULT) <= set(stored)
    for series, data in stored.items():
        told = data["kernel"]
        assert told["series"] == series
        assert told["package"] and told["release"].startswith(series) and len(told["date"]) == 10, told
        assert [one for one in seen.kernels() if one.series == series and one.package == told["package"]]


def test_every_row_of_the_facts_was_asked(tools: dict[str, ModuleType], stored: dict[str, dict[str, Any]]) -> None:
    """A row that no kernel was asked for would never be contradicted."""
    claims = tools["claims"]
    asked = {(one.kind, one.name) for one in claims.judged()}
    helpers = {name for kind, name in asked if kind == "helper"}
    assert helpers == {row.name for row in facts.helpers.all()}
    for table, kind in (
        ("program_types", "program type"), ("map_types", "map type"), ("attach_types", "attach type"),
        ("insn_features", "feature"), ("flags", "flag"),
    ):  # fmt: skip
        missing = [row.name for row in getattr(facts, table).all() if (kind, row.name) not in asked]
        assert not missing, (table, missing)
    hooks = {name for kind, name in asked if kind == "security hook"}
    assert not {row.name for row in facts.lsm_hooks.all() if row.kernels} - hooks
    # Kernel functions whose first kernel no source tells claim nothing.
    silent = {row.name for row in facts.kfuncs.all() if not row.since and not row.program_types}
    assert not {row.name for row in facts.kfuncs.all()} - silent - {name for kind, name in asked if kind == "kfunc"}


def test_what_is_excused_has_its_reason(tools: dict[str, ModuleType]) -> None:
    claims = tools["claims"]
    counts: Counter[str] = Counter()
    for one in claims.judged():
        counts[one.state] += 1
        if one.state == "config":
            assert one.without.startswith("CONFIG_"), one
    assert set(counts) <= set(claims.STATES)
    # Excuses are few, or they would hide what is wrong.
    assert counts["config"] + counts["withdrawn"] + counts["unasked"] < counts["present"] / 20, counts


def test_a_wrong_claim_is_found(tools: dict[str, ModuleType], stored: dict[str, dict[str, Any]]) -> None:
    """Answers that were otherwise would be contradictions, of each kind."""
    claims = tools["claims"]
    data = json.loads(json.dumps(stored["7.3"]))
    data["program_types"]["xdp"] = 22
    data["map_types"]["ringbuf"] = 22
    data["attach_types"]["tcx_ingress"] = 22
    data["features"]["may_goto"] = False
    data["flags"]["BPF_F_SLEEPABLE"] = False
    data["map_flags"]["hash"].remove("BPF_F_NO_PREALLOC")
    data["map_flags"]["array"].append("BPF_F_LINK")
    data["hooks"].pop("file_open")
    data["kfuncs"]["bpf_cpumask_create"].remove("syscall")
    data["contexts"] = {
        name: {field: "" if field == "mark" else told for field, told in fields.items()}
        for name, fields in data["contexts"].items()
    }
    number = facts.helpers.by_name("bpf_loop").number  # type: ignore[union-attr]
    for name, told in data["helpers"].items():
        if name.split()[0] == "xdp":
            data["helpers"][name] = tools["asking"].ranges(tools["asking"].numbers(told) - {number})
    found = {(one.kind, one.name, one.where) for one in claims.Kernel(data).all() if one.state == "contradicted"}
    expected = {
        ("program type", "xdp", ""), ("map type", "ringbuf", ""), ("attach type", "tcx_ingress", ""),
        ("feature", "may_goto", ""), ("flag", "BPF_F_SLEEPABLE", ""), ("flag", "BPF_F_NO_PREALLOC", "hash"),
        ("flag", "BPF_F_LINK", "array"), ("security hook", "file_open", ""), ("kfunc", "bpf_cpumask_create", "syscall"),
        ("helper", "bpf_loop", "xdp"),
    }  # fmt: skip
    assert expected <= found, expected - found


def test_an_option_excuses_and_a_backport_is_no_contradiction(tools: dict[str, ModuleType]) -> None:
    claims = tools["claims"]
    data = {
        "kernel": {"series": "6.1"}, "config": {"CONFIG_FPROBE": "y"}, "helpers": {}, "sleeping_helpers": {},
    }  # fmt: skip
    judge = claims.Kernel(data).judge
    assert judge("x", "a", "", "5.10", False).state == "contradicted"
    assert judge("x", "a", "", "5.10", False, ("CONFIG_FPROBE",)).state == "contradicted"
    lacking = judge("x", "a", "", "5.10", False, ("CONFIG_FPROBE", "CONFIG_NETKIT"))
    assert (lacking.state, lacking.without) == ("config", "CONFIG_NETKIT=n")
    assert judge("x", "a", "", "6.2", True).state == "backport"
    assert judge("x", "a", "", "6.2", False).state == "absent"
    assert judge("x", "a", "", "", True).state == "contradicted"
    assert judge("x", "a", "", "5.10", None).state == "unasked"
    # Between the earliest it can be and the kernel from which on it is certain, both are right.
    assert judge("x", "a", "", "5.11", False, known="6.12").state == "absent"


# ---------------------------------------------------------------- what users see of it


def test_explain_tells_what_was_seen(run_cli: Any) -> None:
    ran = run_cli("explain", "bpf_loop")
    assert "since: Linux 5.17 (e6f2dd0f8067) (first seen here: 6.1)" in ran.stdout
    assert "program types seen on 6.1:" in ran.stdout
    told = json.loads(run_cli("explain", "bpf_loop", "--format", "json").stdout)["pages"][0]["facts"]
    assert told["since"] == "5.17"
    by_kernel = {one["kernel"]: one for one in told["seen"]}
    assert by_kernel["5.10"]["state"] == "absent" and by_kernel["6.1"]["state"] == "present"
    assert "xdp" in by_kernel["6.1"]["types"] and by_kernel["5.10"]["types"] == []
    assert by_kernel["6.1"]["package"] and by_kernel["6.1"]["date"]


@pytest.mark.parametrize(
    "word", ["ringbuf", "netfilter", "bpf_cpumask_create", "tcx_ingress", "BPF_F_LINK", "may_goto"]
)
def test_explain_knows_every_kind(run_cli: Any, word: str) -> None:
    assert "first seen here: " in run_cli("explain", word).stdout


def test_an_option_that_takes_a_thing_away_is_named(run_cli: Any) -> None:
    assert "built with CONFIG_BPF_LIRC_MODE2=n" in run_cli("explain", "lirc_mode2").stdout.replace("\n", " ")


def test_contexts_are_explained(run_cli: Any) -> None:
    mark = facts.contexts.field("__sk_buff.mark")
    assert mark is not None and (mark.offset, mark.size) == (8, 4)
    assert mark.access("sched_cls") == "r124 w4"
    assert mark.access("flow_dissector") == ""
    assert "egress_ifindex" in run_cli("explain", "xdp_md").stdout


def test_the_numbers_of_the_document_are_those_of_the_data(tools: dict[str, ModuleType]) -> None:
    text = (ROOT / "docs/exactness.md").read_text()
    assert tools["claims"].summary() in text, "`./dev docs` writes it"


# ---------------------------------------------------------------- asked again


def _prepared(series: str) -> store.Prepared:
    for one in store.all():
        if one.name == series:
            return one
    pytest.skip(f"kernel {series} is not prepared: bpfsmith lab get {series}")


def _few(names: Iterable[str], count: int, key: Callable[[str], object]) -> list[str]:
    """The same ones every time: of the names that share a key, so many."""
    strata: dict[str, list[str]] = {}
    for name in sorted(names):
        strata.setdefault(str(key(name)), []).append(name)
    return [
        name
        for text, those in sorted(strata.items())
        for name in random.Random(text).sample(those, min(count, len(those)))
    ]


def _helpers(data: dict[str, Any], tools: dict[str, ModuleType]) -> list[tuple[str, int, bool]]:
    """(variant, helper, whether it may call it): of each program type and answer, a few."""
    numbers = tools["asking"].numbers
    held = {number for those in tools["probes"].WITH_MAP.values() for number in those}
    rows = {
        f"{variant}|{number}": (variant, number, number in there)
        for variant, told in data["helpers"].items()
        for there in [numbers(told)]
        for number in range(1, 212)
        if number not in held
    }
    return [rows[key] for key in _few(rows, SAMPLE, lambda key: (rows[key][0].split()[0], rows[key][2]))]


def _no_contradiction(tools: dict[str, ModuleType], data: dict[str, Any]) -> None:
    wrong = [str(one) for one in tools["claims"].Kernel(data).all() if one.state == "contradicted"]
    assert not wrong, "\n".join(wrong[:40])


@pytest.mark.lab
@pytest.mark.parametrize("series", DEFAULT)
def test_a_sample_is_answered_as_stored(
    series: str, tools: dict[str, ModuleType], stored: dict[str, dict[str, Any]]
) -> None:
    """Types, instructions and flags all; helpers, kernel functions, hooks, contexts and results by a sample of each
    program type and answer."""
    prepared = _prepared(series)
    data = stored[series]
    features, probes, variants = tools["features"], tools["probes"], tools["variants"]
    with lab.open(prepared) as guest, kernel.through(guest.door, guest.kernel):
        again = {
            "program_types": features.types(facts.program_types.all(), "program_type"),
            "map_types": features.types(facts.map_types.all(), "map_type"),
            "attach_types": features.types(facts.attach_types.all(), "attach_type"),
            "features": features.features(),
            "flags": features.program_flags() | features.creation_flags(),
            "map_flags": features.map_flags(),
        }
        if prepared.package != data["kernel"]["package"]:
            # A later release of the series than the one asked: it may have more, and must not contradict.
            _no_contradiction(tools, data | again)
            return
        assert {table: data[table] for table in again} == again
        loading = variants.settle(variants.all_variants())
        every = {one.name: one for one in loading}
        assert set(every) == set(data["helpers"])
        rows = _helpers(data, tools)
        answers = tools["asking"].each([every[name].load(probes.helper_code(every[name], n)) for name, n, _ in rows])
        for (name, number, may), (answer, log) in zip(rows, answers, strict=True):
            assert (probes.judged(answer, log) == "yes") == may, (name, number, log)
        names = _few(data["kfuncs"], 2, lambda name: data["kfuncs"][name])
        assert not names or probes.kfuncs(loading, names) == {name: data["kfuncs"][name] for name in sorted(names)}
        hooks = _few(data["hooks"], SAMPLE, lambda name: data["hooks"][name])
        assert probes.hooks(hooks) == {name: data["hooks"][name] for name in hooks}
        some = [every[name] for name in ("xdp", "cgroup_sysctl", "sk_msg", "sk_lookup sk_lookup") if name in every]
        for name, fields in probes.contexts(some).items():
            stored_fields = data["contexts"][name.split()[0]] | data["contexts"].get(name, {})
            assert fields == stored_fields, name
        shown = [every[name] for name in _few(every, 1, lambda name: name.split()[0])]
        results = probes.results(shown)
        assert results == {one.name: data["results"][one.name] for one in shown if one.name in data["results"]}


@pytest.mark.lab
@pytest.mark.full
@pytest.mark.parametrize("series", DEFAULT)
def test_everything_is_answered_as_stored(
    series: str, tools: dict[str, ModuleType], stored: dict[str, dict[str, Any]]
) -> None:
    data = stored[series]
    prepared = _prepared(series)
    prove = tools["prove"]
    again = json.loads(prove.text(prove.ask(prepared.name, data["kernel"]["date"])))
    if prepared.package != data["kernel"]["package"]:
        _no_contradiction(tools, again)
        return
    assert not prove.differences(data, again)
