"""What the kernel may answer when streams are opened: every fall-back, every refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import unpack_from
from typing import Any

import pytest

from bpfsmith import kernel
from bpfsmith.kernel import streams
from bpfsmith.model.errors import KernelError, PermissionMissing

EPERM, ENOMEM, EINVAL, ENODEV, EMFILE = 1, 12, 22, 19, 24


class FakeDoor:
    """Answers what the test says, and notes what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*words: Any) -> Any:
            self.asked.append((name, *words))
            if name not in self.answers:  # what else an error's message looks at
                raise FileNotFoundError(name)
            found = self.answers[name]
            return found(*words) if callable(found) else found

        return ask


@pytest.fixture
def door() -> Iterator[Callable[..., FakeDoor]]:
    old = kernel._install(None)

    def install(**answers: Any) -> FakeDoor:
        made = FakeDoor(**answers)
        kernel._install(made)  # type: ignore[arg-type]
        return made

    yield install
    kernel._install(old)


def test_a_kernel_that_does_not_count_losses(door: Callable[..., FakeDoor]) -> None:
    def open_event(attr: bytes, pid: int, cpu: int) -> Any:
        # Before 6.0 the unknown bit of the read format is refused.
        return -EINVAL if unpack_from("<Q", attr, 32)[0] else "event"

    made = door(perf_event_open=open_event)
    assert streams.open_perf_output(3, "map `M`") == ("event", False)
    assert [words[2:] for words in made.asked] == [(-1, 3)] * 2
    kind, size, config, period, sample, _, flags, wakeup = unpack_from("<IIQQQQQI", made.asked[1][1])
    assert (kind, size, config, period, sample, flags, wakeup) == (1, 128, 10, 1, 1 << 10, 0, 1)


def test_watermarks(door: Callable[..., FakeDoor]) -> None:
    made = door(perf_event_open="event")
    assert streams.open_perf_output(0, "map `M`", watermark=4096) == ("event", True)
    assert unpack_from("<QI", made.asked[0][1], 40) == (1 << 14, 4096)


def test_a_cpu_that_has_gone(door: Callable[..., FakeDoor]) -> None:
    door(perf_event_open=-ENODEV)
    assert streams.open_perf_output(1, "map `M`") is None


def test_refusals(door: Callable[..., FakeDoor]) -> None:
    door(perf_event_open=-EPERM, ring=-EPERM, user_ring=-ENOMEM, poller=-EMFILE, getuid=1000)
    with pytest.raises(PermissionMissing):
        streams.open_perf_output(0, "map `M`")
    with pytest.raises(KernelError, match="frozen or read-only"):
        streams.open_ring(3, 4096, "map `M`")
    with pytest.raises(KernelError, match="map `M`") as caught:
        streams.open_user_ring(3, 4096, "map `M`")
    assert caught.value.errno == ENOMEM
    with pytest.raises(KernelError) as caught:
        streams.open_poller("map `M`")
    assert caught.value.command == "epoll_create1"


def test_online_cpus(door: Callable[..., FakeDoor]) -> None:
    door(read_text="0-2,5,7-8\n")
    assert streams.online_cpus() == [0, 1, 2, 5, 7, 8]


def test_lost_samples(door: Callable[..., FakeDoor]) -> None:
    door(read_fd=bytes(8) + (9).to_bytes(8, "little"))
    assert streams.lost_samples(3) == 9
    door(read_fd=b"")
    assert streams.lost_samples(3) == 0
