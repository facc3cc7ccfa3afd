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


def _sampled(tools: dict[str, ModuleType], data: dict[str, Any]) -> dict[str, Any]:
    """What this context's kernel answers to the sample, in the form of `_merged`'s `told`."""
    features, probes, variants = tools["features"], tools["probes"], tools["variants"]
    loading = variants.settle(variants.all_variants())
    every = {one.name: one for one in loading}
    rows = [row for row in _helpers(data, tools) if row[0] in every]
    answers = tools["asking"].each([every[name].load(probes.helper_code(every[name], n)) for name, n, _ in rows])
    names = _few(data["kfuncs"], 2, lambda name: data["kfuncs"][name])
    hooks = _few(data["hooks"], SAMPLE, lambda name: data["hooks"][name])
    some = [every[name] for name in ("xdp", "cgroup_sysctl", "sk_msg", "sk_lookup sk_lookup") if name in every]
    shown = [every[name] for name in _few(every, 1, lambda name: name.split()[0])]
    return {
        "whole": {
            "program_types": features.types(facts.program_types.all(), "program_type"),
            "map_types": features.types(facts.map_types.all(), "map_type"),
            "attach_types": features.types(facts.attach_types.all(), "attach_type"),
            "features": features.features(),
            "flags": features.program_flags() | features.creation_flags(),
            "map_flags": features.map_flags(),
        },
        "variants": set(every),
        "helpers": [
            (name, number, probes.judged(*told) == "yes") for (name, number, _), told in zip(rows, answers, strict=True)
        ],
        "kfuncs": (names, probes.kfuncs(loading, names) if names else {}),
        "hooks": (hooks, probes.hooks(hooks) if hooks else {}),
        "results": ([one.name for one in shown], probes.results(shown)),
        "contexts": probes.contexts(some),
    }


def _merged(tools: dict[str, ModuleType], data: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The stored answers with those of a sample in place of what was asked again."""
    numbers, ranges = tools["asking"].numbers, tools["asking"].ranges
    allowed = {name: numbers(text) for name, text in data["helpers"].items() if name in told["variants"]}
    for name, number, may in told["helpers"]:
        if not may and number in allowed[name]:
            # What other variants of the type said before is no answer of this kernel's either.
            for other in (one for one in allowed if one.split()[0] == name.split()[0]):
                allowed[other].discard(number)
    for name, number, may in told["helpers"]:
        if may:
            allowed[name].add(number)
    out = data | told["whole"] | {"helpers": {name: ranges(those) for name, those in allowed.items()}}
    for table in ("kfuncs", "hooks", "results"):
        asked, answers = told[table]
        out[table] = {name: answer for name, answer in data[table].items() if name not in asked} | answers
    contexts = dict(data["contexts"])
    for name, fields in told["contexts"].items():
        first = {} if " " not in name else contexts[name.split()[0]]
        differs = {field: answer for field, answer in fields.items() if first.get(field) != answer}
        if differs or name in contexts:  # those of the first of their program type are not kept twice
            contexts[name] = differs
    return out | {"contexts": contexts}


def test_a_sample_that_contradicts_is_found(tools: dict[str, ModuleType], stored: dict[str, dict[str, Any]]) -> None:
    """Also on a later release than the one whose answers are stored: what was asked again counts, not what was."""
    data = stored["7.3"]
    number = facts.helpers.by_name("bpf_loop").number  # type: ignore[union-attr]
    same: dict[str, Any] = {
        "whole": {}, "variants": set(data["helpers"]), "helpers": [("xdp", number, True)], "contexts": {},
        **{table: ([name], {name: data[table][name]}) for table in ("kfuncs", "hooks", "results")
           for name in list(data[table])[:1]},
    }  # fmt: skip
    assert _merged(tools, data, same) == data
    _no_contradiction(tools, _merged(tools, data, same))
    for table, wrong in (
        ("helpers", [("xdp", number, False)]), ("hooks", (["file_open"], {})),
        ("whole", {"map_types": data["map_types"] | {"ringbuf": 22}}),
        ("kfuncs", (["bpf_cpumask_create"], {})),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            _no_contradiction(tools, _merged(tools, data, same | {table: wrong}))


@pytest.mark.lab
@pytest.mark.parametrize("series", DEFAULT)
def test_a_sample_is_answered_as_stored(
    series: str, tools: dict[str, ModuleType], stored: dict[str, dict[str, Any]]
) -> None:
    """Types, instructions and flags all; helpers, kernel functions, hooks, contexts and results by a sample of each
    program type and answer."""
    prepared = _prepared(series)
    data = stored[series]
    with lab.open(prepared) as guest, kernel.through(guest.door, guest.kernel):
        told = _sampled(tools, data)
    again = _merged(tools, data, told)
    if prepared.package != data["kernel"]["package"]:
        # Another release of the series than the one asked: it may have more, and must not contradict.
        config = prepared.config
        known = {option: config[option] for option in tools["prove"].options() if option in config} if config else None
        _no_contradiction(tools, again | {"config": known})
        return
    assert told["variants"] == set(data["helpers"])
    for table, answers in data.items():
        if isinstance(answers, dict):
            wrong = {key: (answers.get(key), again[table].get(key)) for key in answers.keys() | again[table].keys()}
            assert not {key: pair for key, pair in wrong.items() if pair[0] != pair[1]}, table
        else:
            assert again[table] == answers, table


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
