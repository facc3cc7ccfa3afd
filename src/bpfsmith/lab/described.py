"""A lab kernel as the planner sees it: what its first boot told is kept, so that planning needs no guest."""

from __future__ import annotations

from bpfsmith.model.kernel import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from bpfsmith._native import Btf

    from .store import Prepared

__all__ = ["LabKernel"]


class LabKernel(Kernel):
    """One kernel of the lab. `prepared`: its files; `about`: what `learn.learn` found in its first boot;
    `kept(name)`: the bytes of a larger thing learnt then (`symbols`, `modules`), None when it is not kept.

    Everything is known at once, so the first plan for it is the right one (`settled`). Features nobody asked about then
    are asked of the guest in whose `kernel.through` block the question comes up, and count as there without one."""

    __slots__ = ("_kept", "_known", "_lines", "_names", "about", "prepared")

    def __init__(
        self, prepared: Prepared, about: dict[str, Any], kept: Callable[[str], bytes | None] = lambda _: None
    ) -> None:
        self.prepared = prepared
        self.about = about
        self._kept = kept
        self._known: dict[str, str] = dict(about.get("features") or {})
        self._btf = None
        self._modules: tuple[tuple[str, Btf], ...] = ()
        self._names: list[str] | None = None
        self._lines = b""

    @property
    def name(self) -> str:
        return self.prepared.name

    @property
    def release(self) -> str:
        """What `uname -r` answers in it."""
        return self.prepared.release

    # ------------------------------------------------------------ types

    @property
    def btf(self) -> Btf:
        if self._btf is None:
            self._btf = self.prepared.btf()
        return self._btf

    @property
    def has_btf(self) -> bool:
        return self.prepared.has_btf

    @property
    def modules(self) -> tuple[tuple[str, Btf], ...]:
        """(name, split BTF) of the modules its guests load."""
        if self._names is None:
            from bpfsmith._native import Btf, ReadError

            self._names = []
            found = []
            for name, data in _unpacked(self._kept("modules")):
                try:
                    found.append((name, Btf.parse(data, self.btf)))
                except ReadError:
                    continue  # built against another vmlinux: libbpf skips it too
                self._names.append(name)
            self._modules = tuple(found)
        return self._modules

    def module_id(self, name: str) -> int | None:
        found = (self.about.get("btf_ids") or {}).get(name)
        return int(found) if found is not None else None

    # ------------------------------------------------------------ what it can do

    def has(self, feature: str) -> bool:
        """What may not be asked counts as there, as with a running kernel."""
        return self._known.get(feature, "yes") != "no"

    def probe(self, feature: str) -> bool:
        """Whether it has it: known from its first boot, else asked now, of the guest this thread talks to."""
        return self._answer(feature) == "yes"

    def lacks(self, feature: str) -> bool:
        """Whether it is known not to be there: asked, and refused for another reason than rights."""
        return self._answer(feature) == "no"

    def _answer(self, feature: str) -> str:
        known = self._known.get(feature)
        if known is None:
            if not self._here():
                return "yes"  # no guest to ask: as `has`
            from bpfsmith.kernel.probe import outcome

            known = self._known[feature] = outcome(feature)[0]
        return known

    def _here(self) -> bool:
        """Whether this thread talks to a guest of this kernel."""
        from bpfsmith import kernel

        other: Kernel = kernel.live()
        return other is self

    # ------------------------------------------------------------ facts

    @property
    def version(self) -> str:
        return self.prepared.version

    @property
    def arch(self) -> str:
        return self.prepared.arch

    @property
    def page_size(self) -> int:
        return int((self.about.get("hello") or {}).get("page_size") or 4096)

    @property
    def possible_cpus(self) -> int:
        return int(self.about.get("cpus") or 1)

    def config(self, name: str) -> str | None:
        return self.prepared.config.get(name)

    @property
    def has_config(self) -> bool:
        return self.prepared.has_config

    def symbol(self, name: str) -> int | None:
        return self.symbols((name,))[name]

    def symbols(self, names: tuple[str, ...] | list[str]) -> dict[str, int | None]:
        """Addresses in its guests: they are copies of one boot, so all have the same."""
        if not self._lines:
            packed = self._kept("symbols")
            if packed is not None:
                from zlib import decompress

                self._lines = b"\n" + decompress(packed)
        if not self._lines:
            return self._asked(names)
        return {name: _address(self._lines, name) for name in names}

    def _asked(self, names: tuple[str, ...] | list[str]) -> dict[str, int | None]:
        if not self._here():
            return dict.fromkeys(names)
        from bpfsmith import kernel

        try:
            found = kernel.door().kernel_symbols(list(names))
        except OSError:
            found = {}
        return {name: found[name][0][0] if found.get(name) else None for name in names}

    def __repr__(self) -> str:
        return f"<LabKernel {self.name}: {self.release}>"


def _address(lines: bytes, name: str) -> int | None:
    """The first symbol of that name in /proc/kallsyms: `ffffffff81000000 T _text`, a module's with its name behind."""
    wanted = b" " + name.encode()
    at = -1
    while True:
        at = lines.find(wanted, at + 1)
        if at < 0:
            return None
        end = at + len(wanted)
        # The name is the whole third word, and that is what was found.
        if lines[end : end + 1] in (b"\n", b"\t", b"") and lines[at - 2 : at - 1] == b" ":
            start = lines.rfind(b"\n", 0, at) + 1
            return int(lines[start : at - 2], 16)


def _unpacked(packed: bytes | None) -> list[tuple[str, bytes]]:
    """What `learn.packed` made one of."""
    if packed is None:
        return []
    from zlib import decompress

    data = decompress(packed)
    found = []
    at = 0
    while at < len(data):
        name, size = int.from_bytes(data[at : at + 4], "little"), int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        found.append((data[at : at + name].decode(), data[at + name : at + name + size]))
        at += name + size
    return found
