"""What the modules of the families share."""

from __future__ import annotations

from struct import unpack_from

from bpfsmith import kernel
from bpfsmith.model.errors import Closed, InputError, KernelError, PermissionMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from bpfsmith._native import Fd
    from bpfsmith.model.errors import BpfsmithError

EPERM, ENOENT, EBADF, EACCES, EBUSY, EEXIST, ENODEV, EINVAL = 1, 2, 9, 13, 16, 17, 19, 22
E2BIG, ERANGE, ENOSYS, EOPNOTSUPP, ENOTSUPP, ESTALE = 7, 34, 38, 95, 524, 116
_CGROUP = 3
# An old kernel's answers to a command, attach type or field it does not know.
UNKNOWN = frozenset({-EINVAL, -E2BIG, -EOPNOTSUPP})


def require(program: Any, types: Iterable[str], how: str) -> None:
    """Refuses a program of another type, or one that is closed, before the kernel does."""
    types = tuple(types)
    if program.type not in types:
        wanted = " or ".join(f"`{word}`" for word in types)
        raise InputError(
            f"`{program.name}` is a `{program.type}` program; {how} takes {wanted}",
            "",
            f"`{program.name}.attach()` attaches it as its section says",
        )
    if program.fd.closed:
        raise Closed(f"`{program.name}` is closed: the object it was loaded with was")


def number_of(word: str) -> int:
    """The number of an attach type by libbpf's word."""
    from bpfsmith.facts import attach_types

    row = attach_types.get(word)
    if row is None:
        from bpfsmith.model.near import did_you_mean

        known = [one.name for one in attach_types.all()]
        raise InputError(f"there is no attach type `{word}`", hint=did_you_mean(word, known))
    return row.number


def checked_cookie(value: int) -> int:
    """What `bpf_get_attach_cookie()` answers: 64 bits; negative numbers as their two's complement."""
    if not -(1 << 63) <= value < 1 << 64:
        raise InputError(f"a cookie has 64 bits: {value} does not fit")
    return value & (1 << 64) - 1


def link_create(program: Any, attach_type: int, **fields: Any) -> Fd | int:
    """BPF_LINK_CREATE: the link's descriptor or `-errno`."""
    from bpfsmith.kernel.attrs import encode

    return kernel.door().bpf_fd(*encode("BPF_LINK_CREATE", prog_fd=program.fd, attach_type=attach_type, **fields))


def refusal(
    command: str, errno: int, program: Any, target: str, capability: str = "",
    told: Mapping[int, BpfsmithError] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> BpfsmithError:  # fmt: skip
    """The error for an attach the kernel refused: what this family knows of that number, else what the command
    means."""
    errno = abs(errno)
    if told and errno in told:
        return told[errno]
    where = f"`{program.name}` to {target}"
    if errno in (EPERM, EACCES):
        what = f" needs {capability}" if capability else ""
        return PermissionMissing(
            f"attaching {where}{what or ' is not permitted'}", "sudo", target, capability=capability
        )
    from bpfsmith.kernel.failures import error

    made = error(command, errno, where, fields)
    if isinstance(made, KernelError):
        made.where = made.where or target
    return made


def choice(what: str, given: str, known: Mapping[str, Any]) -> Any:
    """The value a word stands for; an unknown word is refused with those known."""
    if given not in known:
        from bpfsmith.model.near import did_you_mean

        words = ", ".join(f"`{word}`" for word in known if word)
        raise InputError(f"there is no {what} `{given}`", hint=did_you_mean(given, known) or f"one of {words}")
    return known[given]


def needs(program: Any, option: str, example: str) -> InputError:
    """The error for `attach()` by section where the section does not say where to."""
    return InputError(
        f"`{program.name}` (section `{program.section}`) says no target: pass `{option}=`", program.name,
        f"for example `attach({option}={example})`",
    )  # fmt: skip


def program_name(number: int) -> str:
    """`` `name` (program 12) `` of a loaded program, for messages; only the id where it may not be asked."""
    fd = kernel.door().bpf_fd(*_encode("BPF_PROG_GET_FD_BY_ID", prog_id=number))
    if isinstance(fd, int):
        return f"program {number}"
    with fd:
        info = bytearray(232)
        answer = kernel.try_call("BPF_OBJ_GET_INFO_BY_FD", bpf_fd=fd, info_len=len(info), info=info)
    # `name` of `struct bpf_prog_info`
    name = bytes(info[64:80]).rstrip(b"\0").decode("utf-8", "replace") if answer >= 0 else ""
    return f"`{name}` (program {number})" if name else f"program {number}"


def link_ids() -> Iterable[int]:
    """Ids of every link of the machine, ascending; ends early where they may not be asked."""
    number = 0
    while True:
        command, attr, buffers = _encode("BPF_LINK_GET_NEXT_ID", start_id=number)
        if kernel.door().bpf(command, attr, buffers) < 0:
            return
        from bpfsmith.kernel.attrs import output

        number = output("BPF_LINK_GET_NEXT_ID", attr, "next_id")
        yield number


def find_links(kind: int, place: int, attach_type: int | None, prog_id: int) -> Iterator[Fd]:
    """Links of that type (`enum bpf_link_type`) of a program at an interface's number or a cgroup's id, whoever holds
    them; each is valid until the next is asked for. Numbers of interfaces are those of any network namespace."""
    from bpfsmith.run.link import raw_info

    for number in link_ids():
        fd = kernel.door().bpf_fd(*_encode("BPF_LINK_GET_FD_BY_ID", link_id=number))
        if isinstance(fd, int):
            continue
        # type, id, program, padding, then the interface or the wider id of a cgroup, attach type
        told = unpack_from("=IIIIQI" if kind == _CGROUP else "=IIIIII", raw_info(fd))
        if told[0] == kind and told[4] == place and attach_type in (None, told[5]) and prog_id == told[2]:
            yield fd
        fd.close()


def links_are_told() -> bool:
    """Whether this process may ask what links there are (CAP_SYS_ADMIN)."""
    command, attr, buffers = _encode("BPF_LINK_GET_NEXT_ID", start_id=0)
    return kernel.door().bpf(command, attr, buffers) != -EPERM


def netns_here() -> int:
    """The number of the calling thread's network namespace, 0 where it cannot be told."""
    try:
        return int(kernel.door().stat("/proc/thread-self/ns/net").st_ino)
    except OSError:
        return 0


def own_link(replace: Any, family: str, target: str, place: int = 0) -> Any:
    """The link by which a loaded program of ours is attached there, None when it is not."""
    for link in getattr(replace, "links", ()):
        if link.family == family and (link.target, link.place) == (target, place) and not link.closed:
            return link
    return None


def program_id(program: Any) -> int:
    """The kernel's number of a loaded program, or of the one behind a descriptor."""
    from bpfsmith.run.link import program_fd

    if isinstance(program, int) and not isinstance(program, bool):
        return program
    fd, hold = program_fd(program)
    info = bytearray(8)
    kernel.call("BPF_OBJ_GET_INFO_BY_FD", "program", bpf_fd=fd, info_len=len(info), info=info)
    del hold
    return int(unpack_from("=I", info, 4)[0])


def _encode(command: str, **fields: Any) -> Any:
    from bpfsmith.kernel.attrs import encode

    return encode(command, **fields)
