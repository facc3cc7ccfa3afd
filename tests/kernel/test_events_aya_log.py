"""Log records of real Aya programs, both generations: perf buffers and a ring buffer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfsmith.model.errors import InputError, UnknownName
from streams import run

pytestmark = pytest.mark.root
OBJECTS = Path(__file__).parents[1] / "data/aya_log"


@pytest.fixture(params=[1, 2])
def bpf(request: pytest.FixtureRequest) -> Iterator[Any]:
    from bpfsmith.run.load import load

    with load(OBJECTS / f"generation{request.param}.bpf.o") as loaded:
        yield loaded


def generation(bpf: Any) -> int:
    return 1 if "generation1" in bpf.object.path else 2


def wanted(number: int) -> list[tuple[str, str, str, str, int]]:
    own = f"logger{number}"
    return [
        ("INFO", own, "packet of 64 bytes", "src/main.rs", 11),
        ("WARN", "addresses", "from 10.0.0.1 at 02:00:00:00:00:01", "src/main.rs", 12),
        ("ERROR", own, "flags beef CAFE", "src/main.rs", 13),
        ("DEBUG", own, "signed -5", "src/main.rs", 14),
        ("TRACE", own, "nothing", "src/main.rs", 15),
    ]


def told(record: Any) -> tuple[str, str, str, str, int]:
    assert not record.malformed
    return record.level, record.target, record.message, record.file, record.line


def test_every_level(bpf: Any) -> None:
    from bpfsmith.run.events import aya_logs

    logs = aya_logs(bpf, timeout=0.0)
    assert logs.generation == generation(bpf) and logs.read(timeout=0.0) is None
    run(bpf.programs["logger"], 20)
    assert [told(record) for record in logs] == wanted(generation(bpf)) * 20 and logs.lost == 0
    run(bpf.programs["logger"])
    assert [record.level for record in aya_logs(bpf, timeout=0.0, level="warn")] == ["WARN", "ERROR"]
    with pytest.raises(InputError, match="no level"):
        aya_logs(bpf, level="loud")


def test_async(bpf: Any) -> None:
    from bpfsmith.run.events import aya_logs

    async def main() -> list[Any]:
        logs = aya_logs(bpf.maps["AYA_LOGS"], timeout=2)
        asyncio.get_running_loop().call_later(0.05, run, bpf.programs["logger"])
        return [told(record) async for record in logs]

    assert asyncio.run(main()) == wanted(generation(bpf))


def test_levels_switched_off_before_loading() -> None:
    from bpfsmith.run.events import aya_logs
    from bpfsmith.run.load import load

    with load(OBJECTS / "generation2.bpf.o", globals={"AYA_LOG_LEVEL": 2}) as bpf:
        logs = aya_logs(bpf, timeout=0.0)
        run(bpf.programs["logger"])
        assert [record.level for record in logs] == ["WARN", "ERROR"]


def test_an_object_that_logs_nothing() -> None:
    from bpfsmith.run.events import aya_logs
    from bpfsmith.run.load import load

    example = Path(__file__).parents[2] / "examples/packet-counter/prebuilt/packet-counter.bpf.o"
    with load(example) as bpf, pytest.raises(UnknownName, match="no map `AYA_LOGS`"):
        aya_logs(bpf)
