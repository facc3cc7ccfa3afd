"""Event streams: ring, perf and user ring buffers, several at once, and the log records of Aya programs."""

from __future__ import annotations

from .aya_log import LogRecord, aya_logs
from .loop import EventLoop, events
from .perf import PerfBuffer
from .ring import RingBuffer
from .user import UserRingBuffer

__all__ = ["EventLoop", "LogRecord", "PerfBuffer", "RingBuffer", "UserRingBuffer", "aya_logs", "events"]
