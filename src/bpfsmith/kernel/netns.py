"""Network namespaces by inode: finding one that still exists, and working inside it for a moment."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["find", "here", "interface", "others", "within"]

CLONE_NEWNET = 0x40000000


def here() -> int:
    """Inode of the calling thread's network namespace."""
    from bpfsmith import kernel

    return kernel.door().stat("/proc/thread-self/ns/net").st_ino


def find(inode: int) -> str | None:
    """A path that opens the namespace; None when no process, no descriptor and no name of `ip netns` holds it."""
    if inode == here():
        return "/proc/thread-self/ns/net"
    places = [f"/run/netns/{name}" for name in _names("/run/netns")]
    places += [f"/proc/{name}/ns/net" for name in _names("/proc") if name.isdigit()]
    for path in places:
        try:
            if os.stat(path).st_ino == inode:
                return path
        except OSError:
            continue
    # Held open by a descriptor only, as programs do that move between namespaces.
    for name in _names("/proc"):
        for number in _names(f"/proc/{name}/fd") if name.isdigit() else ():
            path = f"/proc/{name}/fd/{number}"
            try:
                if os.readlink(path) == f"net:[{inode}]":
                    return path
            except OSError:
                continue
    return None


def others() -> list[tuple[str, str]]:
    """(path, words for a person) of each other namespace that a name of `ip netns` or a process holds."""
    found = {}
    seen = {here()}
    places = [(f"/run/netns/{name}", name) for name in _names("/run/netns")]
    places += [(f"/proc/{name}/ns/net", "") for name in _names("/proc") if name.isdigit()]
    for path, name in places:
        try:
            inode = os.stat(path).st_ino
        except OSError:
            continue
        if inode not in seen:
            seen.add(inode)
            found[path] = f"network namespace {name or f'net:[{inode}]'}"
    return list(found.items())


def interface(index: int, inode: int) -> str:
    """`eth0`, `eth0 in network namespace blue`: the interface of that index in that namespace; `interface 2`, with what
    is known of where, when its name cannot be told."""
    from _socket import if_indextoname

    from bpfsmith import kernel

    door = kernel.door()
    if inode in (0, here()) or not door.local:
        return dict(door.interfaces()).get(index) or f"interface {index}"
    path = find(inode)
    words = next((words for where, words in others() if where == path), f"network namespace net:[{inode}]")
    if path is not None:
        try:
            return f"{within(path, lambda: if_indextoname(index))} in {words}"
        except OSError:
            pass
    return f"interface {index} in {words}"


def within(path: str, work: Callable[[], Any]) -> Any:
    """`work()` inside that namespace, in a thread of its own, so that nothing else of the process changes places.

    `OSError` when it cannot be entered (CAP_SYS_ADMIN)."""
    from ctypes import CDLL, get_errno
    from threading import Thread

    done: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
                    number = get_errno()
                    raise OSError(number, os.strerror(number), path)
            finally:
                os.close(fd)
            done.append(work())
        except BaseException as error:  # noqa: BLE001, RUF100 - raised again where it was asked for
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
