"""The project model: kernel side, user side, and which user code loads which kernel crate."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfsmith.source.aya import AyaModel, MapUse, Pair, ProgramUse, model
from bpfsmith.source.project import find_project

_KERNEL = """
#![no_std]
#![no_main]
use aya_ebpf::{Global, btf_maps::RingBuf, macros::{btf_map, kprobe, map, xdp}, maps::HashMap, programs::*};
use common::{Flow, SLOTS};
const EXTRA: u32 = 8;
#[map(name = "FLOW_TABLE")]
static FLOWS: HashMap<u32, Flow> = HashMap::with_max_entries(SLOTS * EXTRA, 1);
#[btf_map]
static EVENTS: RingBuf<Flow, { 4 * 1024 }> = RingBuf::new();
#[unsafe(no_mangle)]
static TARGET: Global<u64> = Global::new(0);
#[xdp(frags)]
pub fn filter(ctx: XdpContext) -> u32 { EVENTS.reserve(0); 2 }
#[kprobe(function = "tcp_connect", offset = "4")]
pub fn connect(ctx: ProbeContext) -> u32 { 0 }
"""
_COMMON = """
#![no_std]
mod types;
pub use types::*;
pub const SLOTS: u32 = 4;
"""
_TYPES = "#[repr(C)] #[derive(Clone, Copy)] pub struct Flow { pub a: u32, pub b: u16 }"
_LOAD = 'Ebpf::load(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/kernel")))?'


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _manifest(name: str, dependencies: str, more: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n{more}[dependencies]\n{dependencies}'


def _project(root: Path, user: str, kernel: str = _KERNEL, more: dict[str, str] | None = None) -> AyaModel:
    _write(
        root,
        {
            "Cargo.toml": '[workspace]\nmembers = ["*"]\n',
            "kernel/Cargo.toml": _manifest("kernel", 'aya-ebpf = "0.2"\ncommon = { path = "../common" }\n'),
            "kernel/src/main.rs": kernel,
            "common/Cargo.toml": _manifest("common", ""),
            "common/src/lib.rs": _COMMON,
            "common/src/types.rs": _TYPES,
            "user/Cargo.toml": _manifest("user", 'aya = "0.14"\ncommon = { path = "../common" }\n'),
            "user/src/main.rs": user,
            **(more or {}),
        },
    )
    project = find_project(str(root))
    assert project is not None
    return model(project)


def _pair(made: AyaModel) -> Pair:
    assert len(made.pairs) == 1
    return made.pairs[0]


def test_the_kernel_side(tmp_path: Path) -> None:
    made = _project(tmp_path, "fn main() {}")
    flows, events = made.maps
    assert (flows.name, flows.kind, flows.btf, flows.max_entries, flows.flags) == (
        "FLOW_TABLE",
        "HashMap",
        False,
        32,
        1,
    )
    assert flows.value_layout is not None
    assert (flows.value_layout.size, flows.value_layout.padding) == (8, [(6, 2)])
    assert (events.name, events.kind, events.btf, events.event, events.max_entries) == (
        "EVENTS", "RingBuf", True, "Flow", 4096,
    )  # fmt: skip
    assert [call.name for call in events.calls() or ()] == ["reserve"]
    filtered, connect = made.programs
    assert (filtered.macro, filtered.kinds, filtered.attach_hint, filtered.context) == (
        "xdp",
        ("Xdp",),
        "",
        "XdpContext",
    )
    assert (connect.kind, connect.attach_hint, connect.attrs["offset"]) == ("KProbe", "tcp_connect", "4")
    (target,) = made.globals
    assert (target.name, target.kind, target.type, target.exported) == ("TARGET", "Global", "u64", True)
    assert made.kernels[0].complete


@pytest.mark.parametrize(
    "more",
    ["made!(other);", "#[my_probe] pub fn other() {}", '#[link_section = "strange"] pub fn other() {}'],
)
def test_what_macros_make_is_not_known(tmp_path: Path, more: str) -> None:
    assert not _project(tmp_path, "fn main() {}", _KERNEL + more).kernels[0].complete


_RUN = 'p.load()?; p.attach("lo", m)?;'
_PROGRAM_WAYS = {
    "let": 'let p: &mut Xdp = ebpf.program_mut("filter").unwrap().try_into()?; ' + _RUN,
    "two lets": 'let p = ebpf.program_mut("filter").unwrap(); let p: &mut Xdp = p.try_into()?; ' + _RUN,
    "into": 'let p: &mut Xdp = TryInto::<&mut Xdp>::try_into(ebpf.program_mut("filter").unwrap())?; ' + _RUN,
    "from": 'let p = <&mut Xdp>::try_from(ebpf.program_mut("filter").unwrap())?; ' + _RUN,
    "helper": 'start(ebpf.program_mut("filter").unwrap())?;',
    "typed helper": 'run(ebpf.program_mut("filter").context("x")?.try_into()?)?;',
    "by name": 'named(&mut ebpf, "filter")?;',
    "const": 'let p: &mut Xdp = ebpf.program_mut(NAME).unwrap().try_into()?; ' + _RUN,
    "loop": 'for (name, _) in [("filter", 1)] { named(&mut ebpf, name)?; }',
    "if let": 'if let Some(p) = ebpf.program_mut("filter") { let p: &mut Xdp = p.try_into()?; ' + _RUN + " }",
    "let else": 'let Some(p) = ebpf.program_mut("filter") else { return }; let p: &mut Xdp = p.try_into()?; ' + _RUN,
    "match": 'let p = match ebpf.program_mut("filter") { Some(p) => p, None => return }; '
    + "let p: &mut Xdp = p.try_into()?; "
    + _RUN,
    "variant": 'if let Some(Program::Xdp(p)) = ebpf.program_mut("filter") { ' + _RUN + " }",
    "method": "Loader { ebpf }.start()?;",
}  # fmt: skip
_AROUND = """
use aya::{Ebpf, programs::{Program, Xdp}};
const NAME: &str = "filter";
struct Loader { ebpf: Ebpf }
impl Loader {
    fn start(&mut self) -> Result<()> { self.run("filter") }
    fn run(&mut self, name: &str) -> Result<()> {
        let p: &mut Xdp = self.ebpf.program_mut(name).unwrap().try_into()?; p.load()?; p.attach("lo", m)?; Ok(())
    }
}
fn start(p: &mut Program) -> Result<()> { let p: &mut Xdp = p.try_into()?; run(p) }
fn run(p: &mut Xdp) -> Result<()> { p.load()?; p.attach("lo", m)?; Ok(()) }
fn named(ebpf: &mut Ebpf, name: &str) -> Result<()> {
    let p: &mut Xdp = ebpf.program_mut(name).unwrap().try_into()?; p.load()?; p.attach("lo", m)?; Ok(())
}
"""


@pytest.mark.parametrize("way", _PROGRAM_WAYS)
def test_a_program_is_followed(tmp_path: Path, way: str) -> None:
    user = f"{_AROUND}\nfn main() -> Result<()> {{ let mut ebpf = {_LOAD}; {_PROGRAM_WAYS[way]} Ok(()) }}"
    pair = _pair(_project(tmp_path, user))
    uses = [use for use in pair.program_uses if use.names == {"filter"}]
    assert uses, pair.program_uses
    assert all(isinstance(use, ProgramUse) for use in uses)
    found = [(use.cast, [call.name for call in use.calls]) for use in uses]
    assert ("Xdp", ["load", "attach"]) in found
    assert pair.kernel_complete


_MAP_WAYS = {
    "let": 'let m: HashMap<_, u32, u64> = HashMap::try_from(ebpf.map_mut("FLOW_TABLE").unwrap())?; m.insert(1, 2, 0)?;',
    "into": 'let m: HashMap<_, u32, u64> = ebpf.take_map("FLOW_TABLE").unwrap().try_into()?; m.insert(1, 2, 0)?;',
    "generic": 'let m = HashMap::<_, u32, u64>::try_from(ebpf.map_mut("FLOW_TABLE").unwrap())?; m.insert(1, 2, 0)?;',
    "returned": "let m = opened(&mut ebpf)?;",
    "field": "let m = Kept::new(&mut ebpf)?;",
    "helper": 'filled(ebpf.map_mut("FLOW_TABLE").unwrap().try_into()?)?;',
    "if let": 'if let Some(map) = ebpf.map_mut("FLOW_TABLE") { '
    + "let m: HashMap<_, u32, u64> = HashMap::try_from(map)?; }",
    "alias": 'let m: Table = ebpf.take_map("FLOW_TABLE").unwrap().try_into()?;',
}
_MAP_AROUND = """
use aya::{Ebpf, maps::{HashMap, MapData}};
type Table = HashMap<MapData, u32, u64>;
struct Kept { map: HashMap<MapData, u32, u64> }
impl Kept {
    fn new(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self { map: HashMap::try_from(ebpf.take_map("FLOW_TABLE").unwrap())? })
    }
}
fn opened(ebpf: &mut Ebpf) -> Result<HashMap<MapData, u32, u64>> {
    let map = ebpf.take_map("FLOW_TABLE").ok_or_else(|| anyhow!("none"))?;
    Ok(map.try_into()?)
}
fn filled(map: HashMap<&mut MapData, u32, u64>) -> Result<()> { map.insert(1, 2, 0) }
"""


@pytest.mark.parametrize("way", _MAP_WAYS)
def test_a_map_is_followed(tmp_path: Path, way: str) -> None:
    user = f"{_MAP_AROUND}\nfn main() -> Result<()> {{ let mut ebpf = {_LOAD}; {_MAP_WAYS[way]} Ok(()) }}"
    pair = _pair(_project(tmp_path, user))
    found = [
        use for use in pair.map_uses if use.names == {"FLOW_TABLE"} and use.type == "HashMap" and use.value == "u64"
    ]
    assert found
    assert all(isinstance(use, MapUse) and use.key == "u32" for use in found)


@pytest.mark.parametrize(
    "statement",
    [
        "let p = ebpf.program_mut(&name());",
        "for (_, p) in ebpf.programs_mut() { p.unload(); }",
        "let m = ebpf.take_map(&args.map);",
    ],
)
def test_computed_names_are_not_complete(tmp_path: Path, statement: str) -> None:
    user = f"use aya::Ebpf;\nfn main() {{ let mut ebpf = {_LOAD}; {statement} }}"
    assert not _pair(_project(tmp_path, user)).user_complete


def test_another_object_is_not_ours(tmp_path: Path) -> None:
    pair = _pair(_project(tmp_path, 'use aya::Ebpf;\nfn main() { let mut ebpf = Ebpf::load_file("/usr/lib/x.o")?; }'))
    assert not pair.kernel_complete


def test_several_kernel_crates_are_told_apart(tmp_path: Path) -> None:
    more = {
        "kernel2/Cargo.toml": _manifest("kernel2", 'aya-ebpf = "0.2"\n'),
        "kernel2/src/main.rs": "#![no_std]\nuse aya_ebpf::macros::xdp;\n#[xdp] pub fn second(c: X) -> u32 { 2 }",
        "user2/Cargo.toml": _manifest(
            "user2", 'aya = "0.14"\n', '[build-dependencies]\nkernel2 = { path = "../kernel2" }\n'
        ),
        "user2/src/main.rs": "use aya::Ebpf;\nfn main() { let mut ebpf = Ebpf::load(BYTES)?; }",
    }
    made = _project(tmp_path, f"use aya::Ebpf;\nfn main() {{ let mut ebpf = {_LOAD}; }}", more=more)
    found = sorted(
        ([kernel.crate.name for kernel in pair.kernels], [user.crate.name for user in pair.users])
        for pair in made.pairs
    )
    assert found == [(["kernel"], ["user"]), (["kernel2"], ["user2"])]


def test_loader_calls_and_globals(tmp_path: Path) -> None:
    user = """
    use aya::EbpfLoader;
    fn main() {
        let mut loader = EbpfLoader::new();
        loader.map_max_entries("FLOW_TABLE", 4).override_global("TARGET", &1u64, true);
        let ebpf = loader.extension("filter").load_file("x.o")?;
    }
    """
    made = _project(tmp_path, user)
    shown = [(type(use).__name__, sorted(use.names or ())) for use in made.uses]
    assert sorted(shown) == [
        ("GlobalSet", ["TARGET"]),
        ("Loaded", ["x.o"]),
        ("LoaderCall", ["FLOW_TABLE"]),
        ("LoaderCall", ["filter"]),
    ]


def test_a_computed_name_on_what_may_be_an_ebpf_is_not_complete(tmp_path: Path) -> None:
    user = f"use aya::Ebpf;\nfn main() {{ let mut ebpf = {_LOAD}; other(ebpf).program_mut(&name()); }}"
    assert not _pair(_project(tmp_path, user)).user_complete


def test_tests_say_names_too(tmp_path: Path) -> None:
    user = f"use aya::Ebpf;\nfn main() {{ let mut ebpf = {_LOAD}; }}"
    pair = _pair(_project(tmp_path, user, more={"user/tests/all.rs": 'fn t() { start("filter"); }'}))
    assert pair.user_complete
    assert pair.says("filter")
    assert not pair.says("connect")


def test_what_macros_made_is_known_from_the_built_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)

    example = Path(__file__).resolve().parents[2] / "examples/packet-counter/prebuilt/packet-counter.bpf.o"
    user = f"use aya::Ebpf;\nfn main() {{ let mut ebpf = {_LOAD}; }}"
    more = {"target/bpfel-unknown-none/release/kernel": ""}
    kernel = _KERNEL + "made!(more); #[map] static COUNTERS: HashMap<u32, made!()> = HashMap::with_max_entries(1, 0);"
    pair = _pair(_project(tmp_path, user, kernel, more))
    assert not pair.named
    shutil.copyfile(example, tmp_path / "target/bpfel-unknown-none/release/kernel")
    project = find_project(str(tmp_path))
    assert project is not None
    pair = _pair(model(project))
    assert pair.named
    assert pair.kernel_complete
    assert {"filter", "packet_parser"} <= pair.program_names
    assert "BLOCKED" in pair.map_names
    assert pair.built is not None
    assert pair.built.maps["BLOCKED"] == (1, 4, 4)
