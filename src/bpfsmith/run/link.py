"""What holds a program to what it is attached to.

    with program.attach_xdp("eth0") as link:      # detached at the end of the block
        link.update(other)                        # another program in its place, in one step
        link.pin("/sys/fs/bpf/link")              # now it outlives this process

A loaded object keeps the links its programs made and detaches them when it is closed; a link that nobody holds any more
is detached with a `ResourceWarning`, never silently. Most links are descriptors of the kernel (`bpf_link`, 5.7+) that
end with the process, whatever ends it; those that are not say so in `Link.outlives`.
"""

from __future__ import annotations

from os import fspath, getpid
from sys import is_finalizing

from bpfsmith.model.errors import Closed, InputError, TargetGone, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from os import PathLike
    from typing import Any

    from bpfsmith._native import Fd

__all__ = ["Held", "Link", "LinkFd", "LinkGroup", "duplicate", "from_id", "from_pin", "program_fd"]

_ENOENT, _EBUSY, _EINVAL, _EOPNOTSUPP, _ENOLINK = 2, 16, 22, 95, 67
_F_REPLACE = 4


class Link:
    """One attachment. `family`: the row of the table of families it belongs to (`xdp`, `tc`); `target`: what it is
    attached to, as messages call it; `program`: the loaded program, None for a link found by id or pin or when it is
    gone.

    Not thread-safe; `detach()` may be called twice."""

    __slots__ = ("__weakref__", "_closed", "_maker", "_name", "_program", "family", "place", "target")
    outlives = False
    """Whether the kernel keeps it when the process is killed (then the journal knows it: `bpfsmith doctor --clean`)."""

    def __init__(self, program: Any, family: str, target: str) -> None:
        self.family = family
        self.target = target
        # The network namespace it was made in, for those to interfaces: their names and numbers are its own.
        self.place = 0
        self._closed = False
        self._maker = getpid()
        self._name = getattr(program, "name", "") if program is not None else ""
        self._program: Callable[[], Any] | None = None
        if program is not None:
            from _weakref import ref  # `weakref` itself imports much

            # Weak: the object holds its programs, a program its links; the other way round would be a cycle, and
            # a cycle is detached when the collector happens to run.
            self._program = ref(program)

    @staticmethod
    def from_id(number: int) -> LinkFd:
        """A link of any process by its id; `UnknownName` when there is none. Linux 5.8+; CAP_SYS_ADMIN. Closing it
        leaves the attachment to its owner."""
        return from_id(number)

    @staticmethod
    def from_pin(path: str | PathLike[str]) -> LinkFd:
        """A pinned link; `TargetMissing` when nothing is pinned there, `InputError` when something else is. `close()`
        leaves it pinned and attached, `detach()` ends it."""
        return from_pin(path)

    @property
    def program(self) -> Any:
        return self._program() if self._program is not None else None

    @property
    def closed(self) -> bool:
        """True after `detach()` or `close()`."""
        return self._closed

    @property
    def id(self) -> int:
        """The kernel's number of this link; 0 when the kernel knows no such object (the attachment has no
        `bpf_link`)."""
        return 0

    @property
    def pinned(self) -> str:
        """Where it is pinned, "" when it is not."""
        return ""

    def detach(self) -> None:
        """Ends the attachment, whether pinned or not; what is already gone is no error."""
        if not self._closed:
            self._closed = True
            self._forget()
            self._end()

    def close(self) -> None:
        """Gives the link up: a pinned one stays attached, any other is detached.

        In a process forked from the one that attached only the copy is given up."""
        if self._maker == getpid():
            self.detach()
        else:
            self._closed = True

    def update(self, program: Any, expected: Any = None) -> None:  # noqa: ARG002 - for those that can
        """Puts another program of the same type in its place without a gap. `expected`: only when that program is
        attached now. `TargetGone` when the target is no longer there."""
        raise Unsupported(f"{self} cannot be updated: attach the new program, then detach this", "link update")

    def pin(self, path: str | PathLike[str]) -> None:  # noqa: ARG002
        """Makes the link outlive the process: a file of bpffs holds it. Folders of bpffs that are missing are made."""
        raise Unsupported(f"{self} is no object of the kernel and cannot be pinned", "link pin")

    def unpin(self) -> None:
        """Removes the pin; the link stays attached as long as it is held here."""

    def info(self) -> dict[str, Any]:
        """What the kernel says of it, in bpftool's words: `type`, `target` and more; `gone` when that is no more."""
        self._live()
        return {"type": self.family, "target": self.target}

    def _end(self) -> None:
        raise NotImplementedError

    def _live(self) -> None:
        if self._closed:
            raise Closed(f"{self} is detached already")

    def _forget(self) -> None:
        program = self.program
        if program is not None:
            for holder in (program, program.owner):
                # By identity: links do not compare.
                holder.links[:] = [link for link in holder.links if link is not self]

    def _known(self) -> None:
        """Makes the loaded program and its object hold it."""
        program = self.program
        if program is not None:
            program.links.append(self)
            program.owner.links.append(self)

    def _moved(self, program: Any) -> None:
        """After an update the link belongs to the program that runs now."""
        if hasattr(program, "links"):
            from _weakref import ref

            self._forget()
            self._program = ref(program)
            self._name = program.name
            self._known()

    def __enter__(self) -> Link:
        self._live()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self.pinned or self._maker != getpid():
            return
        if not is_finalizing():  # then nothing can be imported any more, and the kernel ends what is a descriptor
            self._warn()
            self.detach()

    def _warn(self) -> None:
        from warnings import warn

        warn(
            f"{self} was dropped and is detached now: keep the link or the loaded object, or pin it",
            ResourceWarning, stacklevel=3, source=self,
        )  # fmt: skip

    def __str__(self) -> str:
        return (
            f"{self.family} link of `{self._name}` to {self.target}"
            if self._name
            else f"{self.family} link to {self.target}"
        )

    def __repr__(self) -> str:
        return f"<{self}{', detached' if self._closed else ''}>"


class LinkFd(Link):
    """A `bpf_link` of the kernel: ends with its last descriptor and pin."""

    __slots__ = ("_fd", "_pin", "_rest")

    def __init__(
        self, program: Any, family: str, target: str, fd: Fd, pin: str = "", rest: Sequence[Callable[[], None]] = ()
    ) -> None:
        """`rest`: what to undo after detaching (entries of maps that only this link uses)."""
        self._fd = fd
        self._pin = pin
        self._rest = list(rest)
        super().__init__(program, family, target)
        self._known()

    def fileno(self) -> int:
        self._live()
        return self._fd.fileno()

    @property
    def id(self) -> int:
        self._live()
        return int.from_bytes(raw_info(self._fd)[4:8], _order())

    @property
    def pinned(self) -> str:
        return self._pin

    @property
    def attached(self) -> bool:
        """Whether its target is still there. Links to interfaces, cgroups and namespaces lose it; others never do."""
        if self._closed:
            return False
        info = raw_info(self._fd)
        # What the kernel answers for a lost target is zero at the place of the ifindex, cgroup id or namespace inode.
        place = {3: (16, 24), 5: (16, 20), 6: (16, 20), 11: (16, 20), 13: (16, 20)}.get(
            int.from_bytes(info[:4], _order())
        )
        return place is None or any(info[slice(*place)])

    def update(self, program: Any, expected: Any = None) -> None:
        from bpfsmith import kernel

        self._live()
        new, hold = program_fd(program)
        old, hold_old = program_fd(expected) if expected is not None else (0, None)
        fields: dict[str, Any] = {"link_fd": self._fd, "new_prog_fd": new}
        if expected is not None:
            fields |= {"flags": _F_REPLACE, "old_prog_fd": old}
        answer = kernel.try_call("BPF_LINK_UPDATE", **fields)
        del hold, hold_old
        if answer == -_ENOLINK:
            raise TargetGone(f"{self.target} is no longer there, so {self} holds nothing", "BPF_LINK_UPDATE", _ENOLINK)
        if answer == -1 and expected is not None:
            raise InputError(
                f"another program than the expected one is attached to {self.target}",
                hint="`info()` of the link names it",
            )
        if answer in {-_EOPNOTSUPP, -_EINVAL} and self.family not in _UPDATABLE:
            raise Unsupported(
                f"links of {self.family} cannot be updated",
                "link update",
                instead="attach the new program, then detach this",
            )
        if answer < 0:
            from bpfsmith.kernel.failures import error

            raise error("BPF_LINK_UPDATE", -answer, str(self), fields)
        self._moved(program)

    def pin(self, path: str | PathLike[str]) -> None:
        from bpfsmith.kernel import pinning

        self._live()
        path = fspath(path)
        if self._pin:
            raise InputError(f"{self} is pinned at `{self._pin}` already", path, "`unpin()` it first")
        pinning.pin(str(self), path, self._fd)
        self._pin = path

    def unpin(self) -> None:
        from bpfsmith.kernel import pinning

        if self._pin:
            pinning.unpin(self._pin)
            self._pin = ""

    def info(self) -> dict[str, Any]:
        from bpfsmith.kernel import info

        self._live()
        told = info.link(self._fd)
        # The kernel keeps the link of an interface that was deleted, and says 0 for it.
        gone = {"gone": True} if told.get("ifindex") == 0 else {}
        return {**told, "type": told["kind"], "target": self.target, **gone}

    def close(self) -> None:
        if not self._closed and (self._pin or self._maker != getpid()):
            self._closed = True
            self._forget()
            self._fd.close()
        else:
            super().close()

    def _end(self) -> None:
        from bpfsmith import kernel

        if self._pin:
            # The pin would keep it: the kernel can end some links by force, for the others it is the last holder that
            # goes.
            kernel.try_call("BPF_LINK_DETACH", link_fd=self._fd)
            self.unpin()
        self._fd.close()
        for undo in self._rest:
            undo()


# What BPF_LINK_UPDATE works for (struct_ops takes another map: see its own class).
_UPDATABLE = {"xdp", "tc", "cgroup", "lsm_cgroup", "netkit", "sk_lookup", "flow_dissector", "iter", "sockmap"}


class Held(Link):
    """An attachment without a `bpf_link`: what made it knows how to end it and how to put another program in its
    place."""

    __slots__ = ("_info", "_replace", "_undo", "outlives")

    def __init__(
        self,
        program: Any,
        family: str,
        target: str,
        undo: Callable[[], None],
        replace: Callable[[int, int | None], None] | None = None,
        info: Callable[[], dict[str, Any]] | None = None,
        outlives: bool = False,
    ) -> None:
        """`replace(new descriptor, expected descriptor or None)`."""
        self._undo = undo
        self._replace = replace
        self._info = info
        self.outlives = outlives
        super().__init__(program, family, target)
        self._known()
        if outlives:
            _at_exit(self)

    def update(self, program: Any, expected: Any = None) -> None:
        self._live()
        if self._replace is None:
            super().update(program, expected)
            return
        new, hold = program_fd(program)
        old, hold_old = program_fd(expected) if expected is not None else (None, None)
        self._replace(new, old)
        del hold, hold_old
        self._moved(program)

    def info(self) -> dict[str, Any]:
        told = super().info()
        return told | self._info() if self._info is not None else told

    def _end(self) -> None:
        self._undo()


class LinkGroup(Link):
    """Several links made by one attach (a uprobe on every match, a perf event on every CPU): a sequence of them,
    detached and updated together."""

    __slots__ = ("_links",)

    def __init__(self, program: Any, family: str, target: str, links: Sequence[Link]) -> None:
        self._links = list(links)
        super().__init__(program, family, target)
        for link in links:
            link._forget()
        self._known()

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links)

    def __getitem__(self, at: int) -> Link:
        return self._links[at]

    def info(self) -> dict[str, Any]:
        return {**super().info(), "links": [link.info() for link in self._links]}

    def update(self, program: Any, expected: Any = None) -> None:
        self._live()
        for link in self._links:
            link.update(program, expected)
            link._forget()
        self._moved(program)

    def _end(self) -> None:
        for link in reversed(self._links):
            link.detach()


_outliving: list[Any] = []


def _at_exit(link: Held) -> None:
    """A process that ends in order leaves nothing behind that it did not pin, though nobody detached it."""
    from _weakref import ref

    if not _outliving:
        import atexit

        atexit.register(_detach_all)
    _outliving[:] = [one for one in _outliving if one() is not None and not one().closed]
    _outliving.append(ref(link))


def _detach_all() -> None:
    for one in _outliving:
        link = one()
        if link is not None and not link.closed and link._maker == getpid():
            link._warn()
            link.detach()


# ------------------------------------------------------------ found, not made


def from_id(number: int) -> LinkFd:
    """A link of any process by its id. Linux 5.8+; CAP_SYS_ADMIN. Closing it leaves the attachment to its owner."""
    from bpfsmith.kernel.info import open_id

    return _found(open_id("link", number), f"link {number}", "")


def from_pin(path: str | PathLike[str]) -> LinkFd:
    """A pinned link; `TargetMissing` when nothing is pinned there, `InputError` when something else is. `close()`
    leaves it pinned and attached, `detach()` ends it."""
    from bpfsmith.kernel.info import open_pin

    path = fspath(path)
    return _found(open_pin("link", path), f"`{path}`", path)


class _Found(LinkFd):
    """A link another holder keeps: closing the descriptor is no detaching."""

    __slots__ = ()

    def _end(self) -> None:
        from bpfsmith import kernel

        if not self._pin:
            answer = kernel.try_call("BPF_LINK_DETACH", link_fd=self._fd)
            if answer == -_EOPNOTSUPP:
                self._fd.close()
                raise Unsupported(f"links of type {self.family} end only with their last holder", "link detach")
        super()._end()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._fd.close()

    def __del__(self) -> None:
        return


def _found(fd: Fd, what: str, pin: str) -> LinkFd:
    number = int.from_bytes(raw_info(fd)[:4], _order())
    names = ("unknown", "raw_tracepoint", "tracing", "cgroup", "iter", "netns", "xdp", "perf_event", "kprobe_multi",
             "struct_ops", "netfilter", "tcx", "uprobe_multi", "netkit", "sockmap", "tracing_multi")  # fmt: skip
    return _Found(None, names[number] if number < len(names) else f"type {number}", what, fd, pin)


# ------------------------------------------------------------ helpers


def raw_info(fd: Fd) -> bytearray:
    """`struct bpf_link_info`, 72 bytes: type, id and program id first."""
    from bpfsmith import kernel

    buffer = bytearray(72)
    kernel.call("BPF_OBJ_GET_INFO_BY_FD", "link", bpf_fd=fd, info_len=len(buffer), info=buffer)
    return buffer


def program_fd(program: Any) -> tuple[int, Any]:
    """(descriptor, what keeps it open) of a loaded program, an `Fd`, or a program id."""
    if isinstance(program, int) and not isinstance(program, bool):
        from bpfsmith.kernel import info

        fd = info.open_id("prog", program)
        return fd.fileno(), fd
    fd = getattr(program, "fd", program)
    if not hasattr(fd, "fileno"):
        raise InputError(f"a program is a loaded program or a program id, not {type(program).__name__}")
    return fd.fileno(), program


def duplicate(fd: int) -> Fd:
    """Another descriptor of the same thing."""
    from bpfsmith import kernel

    return kernel.door().dup(fd)


def _order() -> Any:
    from sys import byteorder

    return byteorder
