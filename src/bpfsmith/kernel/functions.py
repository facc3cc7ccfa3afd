"""Kernel functions: which there are, where they are, which of them can be traced, and why one cannot.

Names may carry their module: `nf_tables:nft_do_chain`. Lists of many functions are read only to match a pattern or to
explain a refusal.
"""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import EnvironmentMissing, TargetMissing

from . import targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Function", "addresses", "like", "places", "size", "split", "untraceable"]

_BLACKLIST = "/sys/kernel/debug/kprobes/blacklist"


class Function:
    """One function of the kernel: `name`, `module` ("" = the kernel itself), `address` (0 = hidden, or not told)."""

    __slots__ = ("address", "module", "name")

    def __init__(self, name: str, module: str = "", address: int = 0) -> None:
        self.name = name
        self.module = module
        self.address = address

    def __repr__(self) -> str:
        return f"<Function {self.module}{':' * bool(self.module)}{self.name} {self.address:#x}>"


def split(name: str) -> tuple[str, str]:
    """(module or "", name) of `name` or `module:name`; `vmlinux:name` is the kernel's own."""
    module, _, bare = name.rpartition(":")
    return ("" if module == "vmlinux" else module), bare


def addresses(name: str) -> list[int]:
    """Where functions of that name (`module:name`: of that module) are; 0 where addresses are hidden. `TargetMissing`
    with near matches when there is none."""
    module, bare = split(name)
    targets.function(bare, module or None)
    found = kernel.door().kernel_symbols([bare], module or None).get(bare, [])
    return [address for address, _ in found]


def size(address: int) -> int:
    """Bytes up to the next symbol: the kernel takes any offset, one into the next function too. 0 where hidden."""
    after = 0
    for line in _kallsyms():
        at = int(line.partition(" ")[0], 16)
        if at > address and (not after or at < after):
            after = at
    return after - address if address and after else 0


def like(pattern: str) -> list[Function]:
    """Traceable functions a glob pattern (`tcp_*`, `nf_tables:nft_*`) matches, by address. `TargetMissing` when there
    is none."""
    from fnmatch import translate
    from re import compile as compile_pattern

    module, bare = split(pattern)
    fits = compile_pattern(translate(bare)).match
    inside = None if ":" not in pattern else module
    found = [one for one in _traceable() if inside in (None, one.module) and fits(one.name)]
    if not found:
        raise TargetMissing(
            f"no kernel function that can be traced matches `{pattern}`", pattern,
            "`*` stands for any text, `?` for a letter",
        )  # fmt: skip
    return sorted(_with_addresses(found), key=lambda one: one.address)


def _traceable() -> Iterator[Function]:
    """Every function ftrace can hook; from all symbols where its list may not be read."""
    door = kernel.door()
    try:
        root = targets.tracefs()
        try:
            text = door.read_text(f"{root}/available_filter_functions_addrs")  # 6.5+
        except OSError:
            text = ""
        for line in text.splitlines():
            address, _, rest = line.partition(" ")
            name, _, module = rest.partition(" ")
            yield Function(name, module.strip("[]\t "), int(address, 16))
        if text:
            return
        for line in door.read_text(f"{root}/available_filter_functions").splitlines():
            name, _, module = line.partition(" ")
            yield Function(name, module.strip("[]\t "))
    except (OSError, EnvironmentMissing):
        for line in _kallsyms():
            address, kind, rest = line.split(None, 2)
            name, _, module = rest.partition("\t")
            if kind in "tTwW":
                yield Function(name, module.strip("[]\t "), int(address, 16))


def _kallsyms() -> list[str]:
    try:
        return kernel.door().read_text("/proc/kallsyms").splitlines()
    except OSError:
        return []


def _with_addresses(found: list[Function]) -> list[Function]:
    """The same with their addresses. Where the list tells none, a name that several functions share is left out unless
    every one of them can be traced: nothing says which is meant."""
    lacking = [one for one in found if not one.address and not one.name.startswith("__ftrace_invalid")]
    if not lacking:
        return [one for one in found if not one.name.startswith("__ftrace_invalid")]
    told = kernel.door().kernel_symbols(sorted({one.name for one in lacking}))
    out, count = [one for one in found if one.address], dict[tuple[str, str], int]()
    for one in lacking:
        count[one.name, one.module] = count.get((one.name, one.module), 0) + 1
    for (name, module), number in count.items():
        places = [address for address, whose in told.get(name, []) if whose == module]
        if len(places) == number:
            out += [Function(name, module, address) for address in places]
    return out


def places(names: list[str]) -> tuple[list[int], list[str]]:
    """(addresses, names) of functions by their exact names, in their order; an address is 0 where it is hidden.
    `TargetMissing` for one that is not there; of several with one name the one that can be traced is taken."""
    found, bare_names = [], []
    for name in names:
        known = addresses(name)
        if len(known) > 1 and any(known):
            module, bare = split(name)
            traced = {one.address for one in _traceable() if one.name == bare and (not module or one.module == module)}
            known = [address for address in known if address in traced] or known
        found.append(known[0] if len(set(known)) == 1 else -1)
        bare_names.append(split(name)[1])
    return found, bare_names


def untraceable(name: str) -> str:
    """Why the kernel lets nobody trace a function it has, as the end of a sentence; "" where nothing tells."""
    module, bare = split(name)
    door = kernel.door()
    try:
        if any(bare in line.split() for line in door.read_text(_BLACKLIST).splitlines() if bare in line):
            return "it is on the kernel's list of functions that must not be probed"
    except OSError:
        pass
    try:
        text = door.read_text(f"{targets.tracefs()}/available_filter_functions")
    except (OSError, EnvironmentMissing):
        return ""
    for line in text.splitlines():
        if line.startswith(bare) and line.partition(" ")[0] == bare and (not module or f"[{module}]" in line):
            return ""
    return "it is compiled without a place to hook it (notrace, assembly, or entry code)"
