"""User side, gone or changed until aya 0.11: what pages of 2021 and 2022 show."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import display, rewrite
from bpfsmith.rules.moves._edit_items import drop_import, unwrap_block
from bpfsmith.rules.moves._match import Call, Name, Unsafe
from bpfsmith.rules.moves._table import Row
from bpfsmith.rules.moves._where import looked_up_program

__all__ = ["ROWS"]

_ENUM = ("aya::Ebpf", "aya::Bpf")

ROWS = (
    Row(
        "AYA260",
        "load-takes-no-btf",
        "`Bpf::load` takes the object alone: the kernel's BTF is found without being asked for.",
        item="Bpf::load(data, Option<Btf>)",
        side="user",
        crate="aya",
        last="0.10.0",
        first="0.10.5",
        replacement="Bpf::load(data)",
        match=Call(fn=tuple(f"{one}::{name}" for one in _ENUM for name in ("load", "load_file")), args=2, show=1),
        edits=(
            rewrite("$data, None", "$data", "leave it out"),
            rewrite("$data, aya::Btf::from_sys_fs().ok()", "$data", "leave it out"),
            display("call `EbpfLoader::new().btf(..)` for another BTF than the kernel's"),
        ),
        message="`{type}::{name}` takes one argument, the kernel's own BTF is the default",
        found="Finds `load` and `load_file` of `Ebpf` (or `Bpf`) with two arguments where aya is 0.10.5 or newer.",
        why="It does not compile (E0061). A loader of its own takes another BTF, and globals.",
        old="let mut bpf = Bpf::load(data, None)?;",
        new="let mut bpf = Bpf::load(data)?;",
        fix="Safe for `None` and for `Btf::from_sys_fs().ok()`, else display.",
        source="aya 0.10.0 and 0.10.5, `src/bpf.rs`.",
    ),
    Row(
        "AYA261",
        "kprobe-for-one-process",
        "`KProbe::attach` takes no process: kernel functions are everybody's.",
        item="KProbe::attach(function, offset, pid)",
        side="user",
        crate="aya",
        last="0.10.0",
        first="0.10.5",
        replacement="attach(function, offset)",
        match=Call("attach", on=("aya::programs::KProbe",), args=3, show=2),
        edits=(
            rewrite("$f, $o, None", "$f, $o", "leave it out"),
            display("compare `ctx.tgid()` with the process in the program"),
        ),
        message="`KProbe::attach` takes a function and an offset, no process",
        found="Finds `attach` with three arguments on a `KProbe` where aya is 0.10.5 or newer.",
        why="It does not compile (E0061). The kernel takes no process for a kprobe that it makes itself.",
        old='probe.attach("tcp_connect", 0, None)?;',
        new='probe.attach("tcp_connect", 0)?;',
        fix="Safe for `None`, else display.",
        source="aya 0.10.0 and 0.10.5, `src/programs/kprobe.rs`.",
    ),
    Row(
        "AYA262",
        "link-ref-removed",
        "`LinkRef` is gone: each kind of program has links and link numbers of its own.",
        item="LinkRef",
        side="user",
        crate="aya",
        last="0.10.7",
        first="0.11.0",
        replacement="XdpLinkId, KProbeLinkId, ..",
        match=Name(("aya::programs::LinkRef",)),
        edits=(
            drop_import(),
            display("keep what `attach` gives, and call `detach` or `take_link` of the program with it"),
        ),
        message="`LinkRef` does not exist since aya 0.11, `attach` gives the number of a link that the program owns",
        found="Finds `aya::programs::LinkRef` where aya is 0.11.0 or newer.",
        why="It does not compile (E0432). A link belongs to its program, which detaches it when it is dropped.",
        old='let mut link: LinkRef = program.attach("eth0", flags)?;\nlink.detach()?;',
        new='let link = program.attach("eth0", flags)?;\nprogram.detach(link)?;',
        fix="Safe for an import that nothing uses, else display.",
        source="aya 0.10.7 and 0.11.0, `src/programs/mod.rs`.",
    ),
    Row(
        "AYA263",
        "program-loaded-without-its-type",
        "A program is loaded as what it is: `Program` itself has no `load`.",
        item="Program::load",
        side="user",
        crate="aya",
        last="0.10.7",
        first="0.11.0",
        replacement="load of the program's type",
        match=Call("load", args=0, receiver=looked_up_program, show="call"),
        edits=(display("say the type first: `let program: &mut Xdp = ebpf.program_mut(..).unwrap().try_into()?`"),),
        message="`Program` has no `load` since aya 0.11: turn it into its type by `try_into` first",
        found="Finds `load()` on what `program_mut(..)` gave, without a `try_into`, where aya is 0.11.0 or newer.",
        why="It does not compile (E0599). Some kinds need more to be loaded: an LSM program its hook, fentry its "
        "function.",
        old='let program = bpf.program_mut("firewall").unwrap();\nprogram.load()?;',
        new='let program: &mut Xdp = bpf.program_mut("firewall").unwrap().try_into()?;\nprogram.load()?;',
        fix="Display: which type it is, the kernel side says.",
        source="aya 0.10.7 and 0.11.0, `src/programs/mod.rs`.",
    ),
    Row(
        "AYA264",
        "map-read-needs-no-unsafe",
        "`unsafe` around reading a map in user space, which is safe since aya 0.10.7.",
        item="unsafe fn get, iter, keys of maps",
        side="user",
        crate="aya",
        last="0.10.5",
        first="0.10.7",
        replacement="fn get, iter, keys",
        match=Unsafe(
            Call(
                "get",
                "iter",
                "keys",
                on=tuple(f"aya::maps::{name}" for name in ("Array", "HashMap", "PerCpuArray", "PerCpuHashMap")),
            )
        ),
        edits=(unwrap_block("take the call out of the block"),),
        message="`{type}::{name}` is safe since aya 0.10.7, this `unsafe` is for nothing",
        found="Finds `unsafe { map.get(..) }`, and `iter` and `keys`, on arrays and hash maps where aya is 0.11.0 or "
        "newer.",
        why="The compiler warns of an `unsafe` block for nothing, and refuses it under `deny(unused_unsafe)`. Values "
        "are "
        "copied out of the kernel; what is in them, `Pod` promises.",
        old="let hits = unsafe { counts.get(&port, 0)? };",
        new="let hits = counts.get(&port, 0)?;",
        fix="Safe: the block goes, its value stays.",
        source="aya 0.10.5 and 0.10.7, `src/maps/hash_map/hash_map.rs`.",
        severity="warning",
    ),
)
