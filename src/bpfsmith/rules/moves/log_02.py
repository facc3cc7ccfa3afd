"""aya-log."""

from __future__ import annotations

from bpfsmith.rules.moves._edit import rename
from bpfsmith.rules.moves._match import Name
from bpfsmith.rules.moves._table import Row

__all__ = ["ROWS"]

ROWS = (
    Row(
        "AYA003",
        "bpf-logger-renamed",
        "`BpfLogger` is the old name of `EbpfLogger`.",
        item="BpfLogger",
        side="user",
        crate="aya-log",
        last="0.2.0",
        first="0.2.1",
        replacement="EbpfLogger",
        match=Name({"aya_log::BpfLogger": "EbpfLogger"}),
        edits=(rename(),),
        message="`{old}` is renamed in aya-log 0.2.1, it is called `{new}` now",
        found="Finds `aya_log::BpfLogger` where aya-log is 0.2.1 or newer.",
        why="The type was renamed in aya-log 0.2.1; the old name does not compile with current releases.",
        old="use aya_log::BpfLogger;",
        new="use aya_log::EbpfLogger;",
        fix="Safe: the new name is the same type.",
        source="aya, `aya-log/CHANGELOG.md` (0.2.1).",
        severity="warning",
    ),
)
