"""Uprobes: a program when a function of an executable or library is called or returns.

One probe by a perf event (4.17+), many of one file by one link (uprobe.multi, 6.6+; at entry and return: session,
6.13+).
"""

from __future__ import annotations

from array import array
from functools import partial

from bpfsmith import kernel
from bpfsmith.kernel import elfsym, perf, targets
from bpfsmith.model.errors import InputError, TargetMissing, Unsupported
from bpfsmith.run.link import Link, LinkFd, LinkGroup

from ._base import EINVAL, UNKNOWN, checked_cookie, link_create, needs, refusal, require
from ._perf import all_or_none, attach_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MULTI = {"trace_uprobe_multi": 48, "trace_uprobe_session": 57}
_RETURN, _SESSION = 1, 2


def attach(
    program: Any, binary: str | None = None, symbol: str | None = None, *, offset: int = 0, pid: int = -1,
    ret: bool | None = None, cookie: int = 0, semaphore: int = 0, all_matches: bool = False,
) -> Link:  # fmt: skip
    """See `AttachMethods.attach_uprobe`."""
    require(program, ("kprobe",), "attach_uprobe")
    binary, symbol, extra = _where(program, binary, symbol)
    offset += extra
    ret = _returns(program) if ret is None else ret
    path = elfsym.find_binary(binary, pid)
    if program.attach_type in MULTI:
        offsets = _offsets(path, symbol, offset, all_matches=True)
        return _multi(program, path, offsets, [cookie] * len(offsets) if cookie else [], max(pid, 0), ret, False)
    places = _offsets(path, symbol, offset, all_matches)
    if ret and offset and symbol:
        raise InputError("a probe at a return is set at a function's start: an offset has no meaning", symbol)
    what = "uretprobe" if ret else "uprobe"
    name = f"`{symbol}`" if symbol else f"{offset:#x}"
    target = f"{what} {name} of `{path}`"

    def one(place: int) -> Link:
        event = perf.open_uprobe(path, place, ret=ret, pid=_own(pid), semaphore=semaphore)
        if isinstance(event, int):
            raise _refused(event, target, path, place)
        return attach_event(program, "uprobe", target, event, cookie)

    links = all_or_none([partial(one, place) for place in places])
    if len(links) == 1:
        return links[0]
    return LinkGroup(program, "uprobe", f"{len(links)} functions {name} of `{path}`", links)


def _own(pid: int) -> int:
    """0 is the calling process, as perf has it."""
    if pid == 0:
        from os import getpid

        return getpid()
    return pid


def _returns(program: Any) -> bool:
    return bool((program.section or "").removeprefix("?").startswith("uretprobe"))


def _where(program: Any, binary: str | None, symbol: str | None) -> tuple[str, str | None, int]:
    """(binary, symbol, offset) from arguments, else from `uprobe/PATH:SYMBOL+OFFSET` (aya leaves the binary out)."""
    told = program.attach_to or ""
    path, _, name = told.rpartition(":")
    if binary is None:
        if not path:
            raise needs(program, "binary", '"/usr/bin/bash", symbol="readline"')
        binary = elfsym.from_section(path)
    if symbol is None and told:
        name, plus, number = name.partition("+")
        extra = 0
        if plus:
            try:
                extra = int(number, 0)
            except ValueError:
                raise InputError(f"`{told}` of section `{program.section}` ends with no offset", program.name) from None
        return binary, name or None, extra
    return binary, symbol, 0


def _offsets(path: str, symbol: str | None, offset: int, all_matches: bool) -> list[int]:
    if symbol is None:
        if not offset:
            raise InputError(f"nothing says where in `{path}`", path, "pass a function's name or `offset=`")
        with elfsym.ElfFile(path) as elf:
            if not elf.is_code(offset):
                raise InputError(
                    f"offset {offset:#x} of `{path}` is not in its code", path, "offsets count from the file's start"
                )
        return [offset]
    if all_matches or targets.is_pattern(symbol):
        return [one.offset + offset for one in elfsym.functions(path, symbol)]
    return [elfsym.offset_of(path, symbol) + offset]


def _not_code(path: str, offset: int) -> InputError:
    return InputError(f"offset {offset:#x} of `{path}` is not in its code", path, "offsets count from the file's start")


def _refused(errno: int, target: str, path: str, place: int) -> Exception:
    if -errno == EINVAL:
        # The kernel looks at the instruction there, and at the file: neither may be odd.
        return InputError(
            f"the kernel sets no probe at {place:#x} of `{path}`", path,
            "the offset must be the start of an instruction in a regular file's code",
        )  # fmt: skip
    return perf.refusal(errno, target, uprobe=True)


# ------------------------------------------------------------ many at once


def attach_multi(
    program: Any, binary: str | None = None, pattern: str | None = None, *, symbols: Sequence[str] = (),
    offsets: Sequence[int] = (), cookies: Sequence[int] = (), pid: int = 0, ret: bool | None = None,
    session: bool = False,
) -> Link:  # fmt: skip
    """See `AttachMethods.attach_uprobe_multi`."""
    require(program, ("kprobe",), "attach_uprobe_multi")
    given = [bool(pattern), bool(symbols), bool(offsets)]
    if sum(given) > 1:
        raise InputError("a pattern, `symbols` and `offsets` exclude each other", program.name)
    extra = 0
    if not any(given):
        binary, pattern, extra = _where(program, binary, None)
    if binary is None:
        binary = _where(program, None, "")[0]
    path = elfsym.find_binary(binary, pid)
    places = [offset + extra for offset in offsets]
    if places and cookies and len(cookies) != len(places):
        raise InputError(f"{len(cookies)} cookies for {len(places)} places of `{path}`", program.name)
    if places:
        with elfsym.ElfFile(path) as elf:
            for place in places:
                if not elf.is_code(place):
                    raise _not_code(path, place)
    if pattern:
        places = [one.offset + extra for one in elfsym.functions(path, pattern)]
    elif symbols:
        places = [elfsym.offset_of(path, symbol) for symbol in symbols]
    if cookies and len(cookies) != len(places):
        raise InputError(f"{len(cookies)} cookies for {len(places)} places of `{path}`", program.name)
    if not places:
        raise InputError(f"nothing says where in `{path}`", path, "pass a pattern, `symbols=` or `offsets=`")
    ret = _returns(program) if ret is None else ret
    return _multi(program, path, places, cookies, pid, ret, session)


def _multi(
    program: Any, path: str, places: Sequence[int], cookies: Sequence[int], pid: int, ret: bool, session: bool,
    semaphores: Sequence[int] = (), family: str = "uprobe.multi", target: str = "",
) -> Link:  # fmt: skip
    session = session or program.attach_type == "trace_uprobe_session"
    number = MULTI["trace_uprobe_session" if session else "trace_uprobe_multi"]
    target = target or f"{len(places)} function{'s' if len(places) > 1 else ''} of `{path}`"
    fields: dict[str, Any] = {
        "uprobe_multi_path": path,
        "uprobe_multi_offsets": array("Q", places).tobytes(),
        "uprobe_multi_cnt": len(places),
        "uprobe_multi_flags": _RETURN if ret else 0,
        "uprobe_multi_pid": pid if pid > 0 else 0,
    }
    if cookies:
        cookies = [checked_cookie(cookie) for cookie in cookies]
        fields["uprobe_multi_cookies"] = array("Q", cookies).tobytes()
    if any(semaphores):
        fields["uprobe_multi_ref_ctr_offsets"] = array("Q", semaphores).tobytes()
    fd = link_create(program, number, **fields)
    if isinstance(fd, int):
        feature = "uprobe_session" if session else "uprobe_multi_link"
        if fd in UNKNOWN and not kernel.live().probe(feature):
            since = "6.13" if session else "6.6"
            raise Unsupported("this kernel sets no probes many at once", feature, since, "attach them one by one")
        told: dict[int, Any] = {
            524: InputError(
                f"the kernel sets no probe at one of {target}", path,
                "it starts with an instruction that cannot be probed: narrow the pattern",
            ),
            3: TargetMissing(f"there is no process {pid}", str(pid)),
            EINVAL: InputError(
                f"`{program.name}` cannot be attached to {target} by one link", target,
                "it must be loaded for that (`uprobe.multi` section), and every offset be the start of an instruction",
            ),
        }  # fmt: skip
        raise refusal("BPF_LINK_CREATE", fd, program, target, "CAP_PERFMON", told)
    return LinkFd(program, family, target, fd)


def by_section(program: Any, binary: str | None = None, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    if program.attach_type in MULTI:
        return attach_multi(program, binary, *where, **options)
    return attach(program, binary, *where, **options)


def plan(
    program: Any,
    binary: str | None = None,
    symbol: str | None = None,
    *,
    offset: int = 0,
    pid: int = -1,
    **options: Any,
) -> list[dict[str, Any]]:
    """What attaching would ask of the kernel."""
    binary, symbol, extra = _where(program, binary, symbol)
    where = {"path": binary, "symbol": symbol, "offset": offset + extra or None, "pid": None if pid < 0 else pid}
    cookie = {"cookie": options["cookie"]} if options.get("cookie") else {}
    if program.attach_type in MULTI:
        return [{"command": "BPF_LINK_CREATE", "attach_type": program.attach_type, **where, **cookie}]
    ret = options.get("ret")
    return [
        {"command": "perf_event_open", "type": "uprobe", "return": _returns(program) if ret is None else ret, **where},
        {"command": "BPF_LINK_CREATE", "attach_type": "perf_event", **cookie},
    ]
