"""Trampolines: programs at the entry and return of functions of the kernel, of modules and of other programs (`fentry`,
`fexit`, `fmod_ret`, `fsession`), many functions by one link (7.2+), and functions put in the place of others
(`freplace`).

What they are attached to is chosen when they are loaded, except for `fentry.multi` and a second target of `freplace`.
"""

from __future__ import annotations

from array import array

from bpfsmith import kernel
from bpfsmith.kernel import privilege, targets
from bpfsmith.model.errors import InputError, KernelError, TargetMissing, Unsupported
from bpfsmith.run.link import Link, LinkFd

from ._base import (
    E2BIG,
    EBUSY,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOTSUPP,
    UNKNOWN,
    checked_cookie,
    link_create,
    needs,
    refusal,
    require,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bpfsmith._native import Fd

# attach type -> (number, family)
KINDS = {
    "trace_fentry": (24, "fentry"),
    "trace_fexit": (25, "fexit"),
    "modify_return": (26, "fmod_ret"),
    "trace_fsession": (58, "fsession"),
}
MULTI = {"trace_fentry_multi": 59, "trace_fexit_multi": 60, "trace_fsession_multi": 61}
_INSTEAD = {
    "freplace": "load the program with the function changed",
    "fsession": "an `fentry` and an `fexit` program of the same function",
    "fentry.multi": "`fentry` programs, one function each, or `kprobe.multi`",
}
_TRACEPOINT = "a `tp_btf` program sees typed arguments of a tracepoint"


def attach(program: Any, *, cookie: int = 0) -> Link:
    """See `AttachMethods.attach_trace`."""
    require(program, ("tracing",), "attach_trace")
    if program.attach_type in MULTI:
        return attach_multi(program, cookies=[cookie] if cookie else ())
    if program.attach_type not in KINDS:
        raise InputError(
            f"`{program.name}` (section `{program.section}`) is at no function", program.name,
            f"`{program.name}.attach()` attaches it as its section says",
        )  # fmt: skip
    number, family = KINDS[program.attach_type]
    target = f"{family} `{program.attach_to}`"
    fd = open_bound(program, number, cookie)
    if isinstance(fd, int):
        raise refused(program, family, target, fd, bool(cookie))
    return LinkFd(program, family, target, fd)


def open_bound(program: Any, attach_type: int, cookie: int) -> Fd | int:
    """A link to what the program was bound to when it was loaded, or `-errno`."""
    if cookie:
        return link_create(program, attach_type, tracing_cookie=checked_cookie(cookie))
    from bpfsmith.kernel.attrs import encode

    # The older command takes no cookie; every kernel with trampolines has it.
    return kernel.door().bpf_fd(*encode("BPF_RAW_TRACEPOINT_OPEN", name=None, prog_fd=program.fd))


def refused(program: Any, family: str, target: str, errno: int, cookie: bool = False) -> Exception:
    """The error for a trampoline the kernel did not make."""
    command = "BPF_LINK_CREATE" if cookie else "BPF_RAW_TRACEPOINT_OPEN"
    if cookie and errno in UNKNOWN and not _has_cookies():
        return Unsupported(f"this kernel passes no cookie to {family} programs", "tracing_cookie", "5.19",
                           "write it into a global variable")  # fmt: skip
    told: dict[int, Any] = {
        EBUSY: KernelError(
            f"{target} is taken: another program or a live patch changes what it returns, or replaces it", command,
            EBUSY, target, "`bpfsmith ps` names programs there",
        ),
        E2BIG: KernelError(f"{target} has as many programs as fit", command, E2BIG, target, "detach one of them"),
        ENODEV: TargetMissing(f"the module with {target} is no longer loaded", target),
        ENOENT: InputError(f"{target} is gone, or `{program.name}` was attached to it before", target,
                           "load the program again"),
        EINVAL: InputError(f"the kernel cannot hook {target}", target, "attach to a function that calls it"),
        ENOTSUPP: Unsupported(f"this kernel has no trampolines for {target}", family, "", _TRACEPOINT),
    }  # fmt: skip
    return refusal(command, errno, program, target, "CAP_PERFMON", told)


def _has_cookies() -> bool:
    from bpfsmith.facts import series_key

    return series_key(kernel.live().series) >= series_key("5.19")


# ------------------------------------------------------------ many functions


def attach_multi(
    program: Any, pattern: str | None = None, *, symbols: Sequence[str] = (), cookies: Sequence[int] = ()
) -> Link:
    """See `AttachMethods.attach_trace_multi`."""
    require(program, ("tracing",), "attach_trace_multi")
    if program.attach_type not in MULTI:
        raise InputError(
            f"`{program.name}` is loaded for one function", program.name, "section `fentry.multi/PATTERN` is for many"
        )
    if pattern and symbols:
        raise InputError("a pattern and `symbols` exclude each other", program.name)
    wanted = pattern or program.attach_to
    if not wanted and not symbols:
        raise needs(program, "pattern", '"tcp_v4_*"')
    ids = _ids(list(symbols) or [str(wanted)])
    if cookies and len(cookies) != len(ids):
        raise InputError(f"{len(cookies)} cookies for {len(ids)} functions", program.name)
    what = f" like `{wanted}`" if not symbols and targets.is_pattern(str(wanted)) else ""
    target = f"`{symbols[0] if symbols else wanted}`" if len(ids) == 1 else f"{len(ids)} functions{what}"
    fields: dict[str, Any] = {"tracing_multi_ids": array("I", ids).tobytes(), "tracing_multi_cnt": len(ids)}
    if cookies:
        fields["tracing_multi_cookies"] = array("Q", [checked_cookie(one) for one in cookies]).tobytes()
    fd = link_create(program, MULTI[program.attach_type], **fields)
    if isinstance(fd, int):
        if fd in UNKNOWN and (told := lacking("fentry.multi", program.name)) is not None:
            raise told
        raise refused(program, "fentry.multi", target, fd)
    return LinkFd(program, "fentry.multi", target, fd)


def _ids(names: list[str]) -> list[int]:
    """Type ids of kernel functions, ascending; patterns stand for those of them that can be traced."""
    from bpfsmith.kernel import functions

    btf = kernel.live().btf
    found: set[int] = set()
    for name in names:
        if targets.is_pattern(name):
            every = {one.name for one in functions.like(name) if not one.module}
            ids = [btf.find(one, "FUNC") for one in sorted(every)]
            found.update(one for one in ids if one is not None)
        else:
            number = btf.find(name, "FUNC")
            if number is None:
                targets.function(name)  # the near matches
                raise TargetMissing(f"the kernel's types have no function `{name}`", name, "it may be inlined")
            found.add(number)
    if not found:
        raise TargetMissing(f"no kernel function with types matches `{names[0]}`", names[0])
    return sorted(found)


# ------------------------------------------------------------ functions of other programs


def attach_freplace(program: Any, target: Any = None, function: str | None = None, *, cookie: int = 0) -> Link:
    """See `AttachMethods.attach_freplace`."""
    require(program, ("ext",), "attach_freplace")
    if target is None:
        told = f"freplace `{function or program.attach_to}`"
        fd = open_bound(program, 0, cookie)
    else:
        from bpfsmith.run.pins import program_function

        name = function or program.attach_to or ""
        other, number = program_function(program.name, target, name)
        whose = getattr(target, "name", "")
        told = f"freplace `{name or whose}`{f' of `{whose}`' if whose else ''}"
        fields: dict[str, Any] = {"tracing_cookie": checked_cookie(cookie)} if cookie else {}
        fd = link_create(program, 0, target_fd=other, tracing_target_btf_id=number, **fields)
        if isinstance(fd, int) and fd in UNKNOWN and not cookie and _before("5.10"):
            raise Unsupported("this kernel attaches such a program to the target it was loaded for only", "freplace",
                              "5.10", "leave the target out")  # fmt: skip
    if isinstance(fd, int):
        if fd in (-ENOENT, -EINVAL) and target is None:
            raise InputError(
                f"`{program.name}` was attached to its target before: the kernel forgets it then", program.name,
                "pass the target program: `attach_freplace(TARGET)`",
            )  # fmt: skip
        if fd in (-EINVAL, -ENOENT):
            raise InputError(
                f"`{program.name}` cannot take the place of {told}", told,
                "only a global function with the same types is replaced, of a program of the type it was loaded for",
            )  # fmt: skip
        raise refused(program, "freplace", told, fd, bool(cookie))
    return LinkFd(program, "freplace", told, fd)


def _before(series: str) -> bool:
    from bpfsmith.facts import series_key

    return series_key(kernel.live().series) < series_key(series)


# ------------------------------------------------------------ the rows


def lacking(family: str, name: str) -> Unsupported | None:
    """What is told where this kernel has or allows no such programs; None where it does."""
    from . import family as row_of

    live = kernel.live()
    row = row_of(family)
    feature = "program_type:ext" if family == "freplace" else f"attach_type:{row.attach_types[0]}"
    if live.probe(feature) or not (live.lacks(feature) or _forbidden(row)):
        return None
    instead = _INSTEAD.get(family, _TRACEPOINT)
    level = privilege.lockdown()
    locked = f"; it is locked down ({level})" if level in ("integrity", "confidentiality") else ""
    return Unsupported(
        f"`{name}` cannot be attached: this kernel has or allows no {family} programs{locked}", family, row.since,
        instead,
    )  # fmt: skip


def _forbidden(row: Any) -> bool:
    """Whether it is refused though every capability is there."""
    numbers = {"tracing": 26, "ext": 28, "lsm": 29}
    return not privilege.missing("BPF_PROG_LOAD", {"prog_type": numbers[row.types[0]]})


def by_section(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    if program.type == "ext":
        return attach_freplace(program, *where, **options)
    if program.attach_type in MULTI:
        return attach_multi(program, *where, **options)
    return attach(program, *where, **options)


def plan(program: Any, *where: Any, cookie: int = 0, **_: Any) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    end = {"cookie": cookie} if cookie else {}
    if program.type == "ext" and where:
        target = getattr(where[0], "name", str(where[0]))
        return [{"command": "BPF_LINK_CREATE", "attach_type": "ext", "target": target,
                 "function": (where[1] if len(where) > 1 else program.attach_to), **end}]  # fmt: skip
    if program.attach_type in MULTI:
        functions = where[0] if where else program.attach_to
        return [{"command": "BPF_LINK_CREATE", "attach_type": program.attach_type, "functions": functions, **end}]
    if cookie:
        return [{"command": "BPF_LINK_CREATE", "attach_type": program.attach_type, "target": program.attach_to, **end}]
    return [{"command": "BPF_RAW_TRACEPOINT_OPEN", "target": program.attach_to}]
