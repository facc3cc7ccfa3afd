"""`--kernels` of `verify`: words to kernels that can be asked now.

A word is a series (`6.12`), a range (`5.10..6.12`: what is prepared of the default matrix within), `host`, a release,
or a name given to `lab add`.
"""

from __future__ import annotations

from bpfsmith.model.errors import EnvironmentMissing, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from bpfsmith.lab.store import Prepared

__all__ = ["KernelsMissing", "Target", "can_load_here", "targets"]


class KernelsMissing(EnvironmentMissing):
    """There is no kernel to ask, or one that was asked for is not prepared. `wanted`: (series, architecture, flavour)
    of what `lab get` would get, "" for this machine's and the default; `series`: the first of each."""

    def __init__(self, message: str, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.wanted = tuple(_wanted(name) for name in self.names)
        self.series = tuple(one[0] for one in self.wanted)
        command = get_command(self.names)
        super().__init__(message, command, hint=f"get {'them' if len(self.names) > 1 else 'it'} with `{command}`")

    def groups(self) -> list[tuple[list[str], str, str]]:
        """What one `lab get` each gets: (series, architecture, flavour)."""
        return _groups(self.names)


def get_command(names: Iterable[str]) -> str:
    """What a person would type to have these: `6.12-arm64` needs a word more than `6.12`."""
    said = []
    for series, arch, flavour in _groups(names):
        words = ["bpfsmith lab get", *(["--flavour", flavour] if flavour else []), *(["--arch", arch] if arch else [])]
        said.append(" ".join([*words, *series]))
    return " && ".join(said)


def _groups(names: Iterable[str]) -> list[tuple[list[str], str, str]]:
    made: dict[tuple[str, str], list[str]] = {}
    for series, arch, flavour in map(_wanted, names):
        made.setdefault((arch, flavour), []).append(series)
    return [(series, *kind) for kind, series in made.items()]


def _wanted(name: str) -> tuple[str, str, str]:
    """`6.12-full-arm64` -> (`6.12`, `arm64`, `full`)."""
    series, *words = name.split("-")
    return series, next((one for one in words if one != "full"), ""), "full" if "full" in words else ""


class Target:
    """A kernel to ask: `prepared` is None for the running one."""

    __slots__ = ("name", "prepared", "release")

    def __init__(self, name: str, release: str, prepared: Prepared | None) -> None:
        self.name = name
        self.release = release
        self.prepared = prepared

    def __repr__(self) -> str:
        return f"<Target {self.name}>"


def targets(
    wanted: str | Iterable[str] | None, *, complete: bool = False, left: list[str] | None = None
) -> list[Target]:
    """The kernels to ask, oldest first and the running one last, or in the order they were asked for.

    A range means those of the default matrix within that are prepared; `left` is given the others, or with `complete`
    they are missing like any other. `UnknownName` with near names; `KernelsMissing` for those that are to be fetched
    first."""
    if wanted is None:
        return _all()
    if isinstance(wanted, int | float):
        raise InputError(f"`kernels={wanted}` is a number", hint=f'write `"{wanted}"`')
    words = [
        word.strip() for text in ([wanted] if isinstance(wanted, str) else wanted) for word in str(text).split(",")
    ]
    found: dict[str, Target] = {}
    missing: list[str] = []
    for word in words:
        if not word:
            raise InputError(
                "`kernels` (`--kernels`) has an empty part", hint="write series and ranges such as `5.10..,host`"
            )
        others: list[str] = []
        try:
            made = _word(word, others)
        except KernelsMissing as error:
            missing += [one for one in error.names if one not in missing]
            continue
        if complete:
            missing += [one for one in others if one not in missing]
        elif left is not None:
            left += [one for one in others if one not in left]
        for one in made:
            found.setdefault(one.name, one)
    if missing:
        quoted = [f"`{one}`" for one in missing]
        which = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
        said = f"kernel {which} is not" if len(quoted) == 1 else f"kernels {which} are not"
        raise KernelsMissing(f"{said} prepared", missing)
    return list(found.values())


def _all() -> list[Target]:
    from bpfsmith.lab import store

    found = {one.name: Target(one.name, one.release, one) for one in store.all() if one.arch == _machine()}
    made = list(found.values())
    if can_load_here():
        made.append(_host())
    if not made:
        from bpfsmith.lab.kernels.matrix import DEFAULT

        error = KernelsMissing("no kernel is prepared, and this process may not load programs here", DEFAULT)
        error.command = "bpfsmith lab get"
        error.hint = "get the default matrix with `bpfsmith lab get`, or run as root for the running kernel"
        raise error
    return made


def _word(word: str, left: list[str]) -> list[Target]:
    if word == "host":
        if not can_load_here():
            raise EnvironmentMissing(
                "this process may not load programs into the running kernel", "sudo", "host", "run it as root: `sudo`"
            )
        return [_host()]
    if ".." in word:
        return _range(word, left)
    from bpfsmith.lab import store

    try:
        one = store.find(word)
    except EnvironmentMissing as error:
        host = _host()
        if word == host.release and can_load_here():
            return [host]
        raise KernelsMissing(error.message, [word]) from None
    except InputError:
        host = _host()
        if word == host.release and can_load_here():
            return [host]
        raise
    return [Target(_called(word, one), one.release, one)]


def _called(word: str, one: Prepared) -> str:
    """As it was asked for: the series, the release or the name."""
    return word if word in (one.name, one.release, one.series) else one.name


def _range(word: str, left: list[str]) -> list[Target]:
    from bpfsmith.lab import store
    from bpfsmith.lab.kernels.matrix import DEFAULT
    from bpfsmith.model.kernels import parse_kernels

    chosen = parse_kernels(word)
    inside = [one for one in DEFAULT if one in chosen]
    if not inside:
        raise InputError(f"no kernel of the default matrix is in `{word}`", hint=f"it has {', '.join(DEFAULT)}")
    here = {one.name: one for one in store.all()}
    made = [Target(name, here[name].release, here[name]) for name in inside if name in here]
    if not made:
        raise KernelsMissing(f"no kernel of `{word}` is prepared", inside)
    left += [name for name in inside if name not in here]
    return made


def _host() -> Target:
    from os import uname

    return Target("host", uname().release, None)


def _machine() -> str:
    from os import uname

    return uname().machine


def can_load_here() -> bool:
    """Whether this process may load programs of every kind into the running kernel: one small program tells."""
    from bpfsmith.kernel._tiny import loads

    try:
        return loads(_XDP) == 0
    except OSError:
        return False


_XDP = 6
