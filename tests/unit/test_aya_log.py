"""Log records of Aya programs: what the crates themselves wrote, and bytes nobody wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpfsmith.run.events.aya_log import LogRecord, decode

RECORDS = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data/aya_log/records.jsonl").read_text().splitlines()
]
FIELDS = ("level", "target", "message", "module", "file", "line")


def _data(record: dict[str, Any]) -> bytes:
    return bytes.fromhex(record["bytes"])


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["what"])
def test_as_the_crates_wrote_them(record: dict[str, Any]) -> None:
    wanted = {name: record[name] for name in FIELDS}
    generation = 2 if record["what"].startswith("0.3") else 1
    assert decode(_data(record), generation).to_json() == wanted
    assert decode(_data(record)).to_json() == wanted  # told from the bytes alone


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["what"])
def test_cut_anywhere(record: dict[str, Any]) -> None:
    data = _data(record)
    size = len(data) if not record["what"].startswith("0.3") else int.from_bytes(data[:2], "little")
    for end in range(size):
        found = decode(data[:end])
        assert found.malformed and found.message


@given(st.binary(max_size=300), st.sampled_from([None, 1, 2]))
@example(b"", None)
@example(b"\x01\x00\x00", 1)
def test_any_bytes(data: bytes, generation: int | None) -> None:
    found = decode(data, generation)
    assert isinstance(found.text(), str) and json.dumps(found.to_json())


@given(st.sampled_from(RECORDS), st.data())
def test_changed_bytes(record: dict[str, Any], draw: st.DataObject) -> None:
    data = bytearray(_data(record)[:200])
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert isinstance(str(decode(bytes(data))), str)


def test_printed_as_env_logger_does() -> None:
    record = LogRecord("WARN", "flows", "too many", time=1_700_000_000.5)
    assert str(record) == "[2023-11-14T22:13:20Z WARN  flows] too many"
    assert record.text(colour=True) == "[2023-11-14T22:13:20Z \x1b[33mWARN \x1b[0m flows] too many"
    assert repr(record) == "LogRecord('WARN', 'flows', 'too many', file='', line=0)"


def test_a_count_nobody_has_memory_for() -> None:
    data = bytearray(_data(RECORDS[0]))
    at = data.index(b"\x06\x08\x00") + 3
    data[at : at + 8] = b"\xff" * 8
    found = decode(bytes(data), 1)
    assert found.message == "hello" and "arguments are there" in found.malformed
