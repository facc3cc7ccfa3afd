"""One report with everything a renderer meets; its golden texts are in tests/data/golden."""

from __future__ import annotations

from pathlib import Path

from bpfsmith.check.report import Report
from bpfsmith.model.errors import InputError
from bpfsmith.model.finding import Edit, Evidence, Finding, Fix, Label, Span
from bpfsmith.rules._sources import Sources

SOURCE = """\
use aya_ebpf::maps::HashMap;

fn count(名前: u32) -> u32 {
\tlet größe = COUNTS.get(&名前);\tprintk!("a");
    match größe {
        Some(value) =>
            *value,
        None => 0,
    }
}
"""
LONG = "x = " + "very_long_name + " * 20 + "end;\n"


def write_sources(folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src/main.rs").write_text(SOURCE, encoding="utf-8")
    (folder / "long.c").write_text(LONG, encoding="utf-8")


def report() -> Report:
    """To be called in the folder of `write_sources`."""
    main = "src/main.rs"
    findings = [
        Finding(
            "OBJ003",
            "license-missing",
            "warning",
            "the object declares no licence: \x1b[31mred\x1b[0m",
            object="target/demo.o",
        ),
        Finding(
            "AYA900",
            "fake-source",
            "error",
            "`größe` may be None when it is dereferenced",
            Span(main, 4, 6, 4, 11),
            labels=[
                Label(Span(main, 4, 14, 4, 30), "from `COUNTS` here"),
                Label(Span(main, 6, 9, 7, 19), "checked here"),
                Label(Span("long.c", 1, 200, 1, 204), "and far to the right"),
            ],
            evidence=[
                Evidence("fact", "since Linux 4.3\nsee commit abc"),
                Evidence("instruction", "12: r1 = *(u64 *)(r0 + 0)"),
            ],
            fixes=[
                Fix("safe", "check it first", [Edit(Span(main, 4, 14, 4, 20), "COUNTERS")]),
                Fix("display", "or make it an array"),
                Fix("unsafe", "delete the line", [Edit(Span(main, 5, 1, 6, 1), "")]),
            ],
            kernels=["5.10", "5.11", "6.1"],
            see=["OBJ003", "which-map"],
        ),
        Finding("AYA900", "fake-source", "note", "twice", Span(main, 1, 1, 1, 4)),
        Finding(
            "OBJ901",
            "not-installed",
            "error",
            "50% of it, here: x\nand there",
            object="target/demo.o",
            program="count,all",
            evidence=[Evidence("source", "/gone/main.rs:7")],
        ),
        Finding("AYA900", "fake-source", "note", "in a file that is gone", Span("src/gone.rs", 3, 2, 5, 1)),
    ]
    return Report(
        findings,
        files=2,
        suppressed=1,
        notes=["nothing is built"],
        loads=["count: loads from 5.18 (bpf_xdp_load_bytes)"],
        errors=[InputError("`x` is empty", where="x")],
        sources=Sources(),
    )
