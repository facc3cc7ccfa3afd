"""kprobe.multi: a program at many kernel functions by one link (5.18+), also at entry and return (session, 6.10+).

Functions are given to the kernel by address; by name only where addresses are hidden (kptr_restrict).
"""

from __future__ import annotations

from array import array

from bpfsmith import kernel
from bpfsmith.kernel import functions, targets
from bpfsmith.model.errors import InputError, TargetMissing, Unsupported
from bpfsmith.run.link import Link, LinkFd

from ._base import E2BIG, EINVAL, ENOENT, EOPNOTSUPP, UNKNOWN, checked_cookie, link_create, refusal, require
from .kprobe import returns, where

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MULTI = {"trace_kprobe_multi": 42, "trace_kprobe_session": 56}
MOST = 1 << 20
_RETURN = 1
_EAGAIN, _ESRCH = 11, 3
_INSTEAD = "`kprobe` programs, one function each, need no fprobe"


def attach(
    program: Any, pattern: str | None = None, *, symbols: Sequence[str] = (), addresses: Sequence[int] = (),
    cookies: Sequence[int] = (), ret: bool | None = None, session: bool = False,
) -> Link:  # fmt: skip
    """See `AttachMethods.attach_kprobe_multi`."""
    require(program, ("kprobe",), "attach_kprobe_multi")
    given = [bool(pattern), bool(symbols), bool(addresses)]
    if sum(given) > 1:
        raise InputError("a pattern, `symbols` and `addresses` exclude each other", program.name)
    session = session or program.attach_type == "trace_kprobe_session"
    word = "trace_kprobe_session" if session else "trace_kprobe_multi"
    if program.attach_type != word:
        raise InputError(
            f"`{program.name}` is loaded for {program.attach_type or 'single kprobes'}, not for {word}", program.name,
            f"section `{'kprobe.session' if session else 'kprobe.multi'}/PATTERN`, or "
            f"`programs={{'{program.name}': {{'attach_type': '{word}'}}}}` when loading",
        )  # fmt: skip
    if not any(given):
        pattern, offset = where(program, None)
        if offset:
            raise InputError("kprobe.multi is set at the start of functions: an offset has no meaning", program.name)
    ret = False if session else returns(program) if ret is None else ret
    places, names = _resolve(pattern, symbols, addresses)
    if cookies and len(cookies) != len(places):
        raise InputError(f"{len(cookies)} cookies for {len(places)} functions", program.name)
    if len(places) > MOST:
        raise InputError(f"{len(places)} functions are more than one link takes ({MOST})", program.name,
                         "narrow the pattern")  # fmt: skip
    if len(places) == 1 and names:
        target = f"`{names[0]}`"
    else:
        target = f"{len(places)} functions" + (f" like `{pattern}`" if pattern else "")
    return _create(program, word, target, places, names, cookies, ret)


def _resolve(pattern: str | None, symbols: Sequence[str], addresses: Sequence[int]) -> tuple[list[int], list[str]]:
    """(addresses, names); an address is 0 or below where it cannot be told."""
    if addresses:
        return [int(one) for one in addresses], []
    if pattern and targets.is_pattern(pattern):
        found = functions.like(pattern)
        return [one.address for one in found], [one.name for one in found]
    return functions.places([pattern] if pattern else list(symbols))


def _create(
    program: Any, word: str, target: str, places: list[int], names: list[str], cookies: Sequence[int], ret: bool
) -> Link:
    number = MULTI[word]
    fields: dict[str, Any] = {"kprobe_multi_cnt": len(places), "kprobe_multi_flags": _RETURN if ret else 0}
    if cookies:
        fields["kprobe_multi_cookies"] = array("Q", [checked_cookie(one) for one in cookies]).tobytes()
    if all(place > 0 for place in places):
        fields["kprobe_multi_addrs"] = array("Q", places).tobytes()
    else:
        if any(place < 0 for place in places):
            name = names[next(at for at, place in enumerate(places) if place < 0)]
            raise InputError(f"several kernel functions are called `{name}`", name, "pass `addresses=`")
        fields["kprobe_multi_syms"] = _pointers(names)
    fd = link_create(program, number, **fields)
    if isinstance(fd, int):
        raise _refused(program, word, fd, target, names)
    return LinkFd(program, word.removeprefix("trace_").replace("_", "."), target, fd)


def _pointers(names: list[str]) -> Any:
    """An array of pointers to names, as the door makes it (a guest's names lie there)."""
    return kernel.door().pointers([name.encode("utf-8", "surrogateescape") for name in names])


def _refused(program: Any, word: str, errno: int, target: str, names: list[str]) -> Exception:
    family = word.removeprefix("trace_").replace("_", ".")
    if errno == -EOPNOTSUPP or (errno in UNKNOWN and not kernel.live().probe(family.replace(".", "_"))):
        told = lacking(family, program.name)
        if told is not None:
            return told
    # The kernel names none of them; the list of what can be traced is read only now.
    odd, why = "", ""
    if -errno in {EINVAL, ENOENT, _EAGAIN, _ESRCH} and len(names) <= 64:
        odd, why = next(((name, why) for name in names if (why := functions.untraceable(name))), ("", ""))
    wrong = InputError(
        f"the kernel sets no {family} at `{odd}`: {why}" if odd else f"the kernel sets no {family} at one of {target}",
        odd or target, "leave it out, or attach to a function that calls it",
    )  # fmt: skip
    errors: dict[int, Any] = {
        EINVAL: wrong,
        ENOENT: wrong,
        _EAGAIN: wrong,
        _ESRCH: TargetMissing(f"a kernel function of {target} is not there, or cannot be traced", target),
        E2BIG: InputError(f"{target} are more than one link takes", target, "narrow the pattern"),
    }
    return refusal("BPF_LINK_CREATE", errno, program, target, "CAP_PERFMON", errors)


def lacking(family: str, name: str) -> Unsupported | None:
    """What is told where this kernel sets no probes many at once; None where it does."""
    live = kernel.live()
    feature = family.replace(".", "_")
    if not live.lacks(feature):
        return None
    since = "6.10" if family == "kprobe.session" else "5.18"
    start = f"`{name}` cannot be attached: this kernel "
    if not live.lacks("kprobe_multi"):
        return Unsupported(f"{start}has no probes at entry and return at once", family, since,
                           "a `kprobe.multi` and a `kretprobe.multi` program")  # fmt: skip
    configured = live.has_config and live.config("CONFIG_FPROBE") is None
    from bpfsmith.facts import series_key

    if configured or series_key(live.series) >= series_key("5.18"):
        return Unsupported(f"{start}is built without fprobe (CONFIG_FPROBE)", family, since, _INSTEAD)
    return Unsupported(f"{start}sets no probes many at once", family, since, _INSTEAD)


def by_section(program: Any, *where: Any, **options: Any) -> Link:
    """Attaches as the section says."""
    return attach(program, *where, **options)


def plan(
    program: Any, pattern: str | None = None, *, symbols: Sequence[str] = (), addresses: Sequence[int] = (),
    cookies: Sequence[int] = (), ret: bool | None = None, **_: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """What attaching would ask of the kernel."""
    told: Any = list(symbols) or [hex(one) for one in addresses] or where(program, pattern)[0]
    end = {"cookies": list(cookies)} if cookies else {}
    flag = {"return": True} if (returns(program) if ret is None else ret) else {}
    return [{"command": "BPF_LINK_CREATE", "attach_type": program.attach_type, "functions": told, **flag, **end}]
