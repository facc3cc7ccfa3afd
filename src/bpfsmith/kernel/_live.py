"""The running kernel as a `model.Kernel`: everything is read or probed on first use and kept."""

from __future__ import annotations

import os

from bpfsmith.model.kernel import Kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import Btf

__all__ = ["LiveKernel"]

BTF_FOLDER = "/sys/kernel/btf"


class LiveKernel(Kernel):
    """This machine's kernel.

    `has(feature)` answers True without asking until `settle()` was called: a loader plans for a complete kernel first,
    and only when a command fails asks for the truth and plans again. `probe(feature)` always asks (once per process).
    """

    __slots__ = (
        "_btf_ids",
        "_config",
        "_denied",
        "_known",
        "_module_list",
        "_settled",
        "_symbols",
        "_version_code",
        "_vmlinux",
    )

    def __init__(self) -> None:
        # The parent's fields are never read: each property below answers for itself.
        self._vmlinux: Btf | None = None
        self._module_list: tuple[tuple[str, Btf], ...] | None = None
        self._known: dict[str, bool] = {}
        self._denied: set[str] = set()
        self._settled = False
        self._version_code = 0
        self._config: dict[str, str] | None = None
        self._symbols: dict[str, int | None] = {}
        self._btf_ids: dict[str, int] | None = None

    @property
    def name(self) -> str:
        return "host"

    # ---- types

    @property
    def btf(self) -> Btf:
        """vmlinux BTF, mapped and not copied. `EnvironmentMissing` where the kernel was built without it."""
        if self._vmlinux is None:
            from bpfsmith._native import Btf, ReadError
            from bpfsmith.model.errors import EnvironmentMissing

            path = f"{BTF_FOLDER}/vmlinux"
            try:
                self._vmlinux = Btf.open(path)
            except (OSError, ReadError) as error:
                raise EnvironmentMissing(
                    f"the running kernel tells no types: {error.args[-1] if error.args else error}; "
                    "a kernel built with CONFIG_DEBUG_INFO_BTF=y has them, or give its types with `btf=`",
                    "",
                    where=path,
                ).lacking("btf") from None
        return self._vmlinux

    @property
    def has_btf(self) -> bool:
        """Whether vmlinux BTF is there; nothing is parsed."""
        from bpfsmith import kernel

        return kernel.door().exists(f"{BTF_FOLDER}/vmlinux")

    @property
    def modules(self) -> tuple[tuple[str, Btf], ...]:
        """(name, split BTF) of the loaded modules that have it."""
        if self._module_list is None:
            from bpfsmith import kernel
            from bpfsmith._native import Btf, ReadError

            found = []
            base = self.btf
            try:
                names = sorted(kernel.door().listdir(BTF_FOLDER))
            except OSError:
                names = []
            for name in names:
                if name == "vmlinux":
                    continue
                try:
                    found.append((name, Btf.open(f"{BTF_FOLDER}/{name}", base)))
                except (ReadError, OSError):
                    continue  # unloaded meanwhile, or built against another vmlinux: libbpf skips it too
            self._module_list = tuple(found)
        return self._module_list

    @property
    def targets(self) -> list[Btf]:
        return [self.btf, *(btf for _, btf in self.modules)]

    def module_id(self, name: str) -> int | None:
        """The id of a module's BTF (ids change with every boot); None: no such module, or not permitted to ask."""
        if self._btf_ids is None:
            from .info import kernel_btf_ids

            self._btf_ids = kernel_btf_ids()
        return self._btf_ids.get(name)

    # ---- features

    def settle(self) -> None:
        """From now on `has` probes."""
        self._settled = True

    @property
    def settled(self) -> bool:
        return self._settled

    def has(self, feature: str) -> bool:
        """Optimistic until `settle()`; see `probe.FEATURES` for the names. What may not be asked counts as there: a
        token may allow the command where the question is denied, and a refusal then names the right that is missing."""
        known = self._known.get(feature)
        if known is None:
            known = self.probe(feature) if self._settled else True
        return known or feature in self._denied

    def probe(self, feature: str) -> bool:
        """Whether this kernel has it, asked at most once per process."""
        known = self._known.get(feature)
        if known is None:
            from bpfsmith import kernel

            told = getattr(kernel.door(), "features", None)
            if told is not None:
                known = bool(told.get(feature, True))
            else:
                from .probe import outcome

                answer = outcome(feature)[0]
                known = answer == "yes"
                if answer == "denied":
                    self._denied.add(feature)
            self._known[feature] = known
        return known

    def lacks(self, feature: str) -> bool:
        """Whether it is known not to be there: probed, and refused for another reason than rights."""
        return not self.probe(feature) and feature not in self._denied

    # ---- facts about the machine

    @property
    def version(self) -> str:
        """`6.18.44`: the release without what a distribution adds after the numbers."""
        from bpfsmith import kernel

        release = kernel.door().uname()[0]
        end = 0
        while end < len(release) and (release[end].isdigit() or release[end] == "."):
            end += 1
        return release[:end].rstrip(".")

    @property
    def series(self) -> str:
        """`6.18`: how the facts name kernels."""
        return ".".join(self.version.split(".")[:2])

    @property
    def version_code(self) -> int:
        """KERNEL_VERSION() of it, as kprobe programs of old kernels declare."""
        if not self._version_code:
            numbers = [*(int(part) for part in self.version.split(".") if part), 0, 0, 0][:3]
            self._version_code = (numbers[0] << 16) + (numbers[1] << 8) + min(numbers[2], 255)
        return self._version_code

    @property
    def arch(self) -> str:
        """The machine as `uname -m` says: `x86_64`, `aarch64`."""
        from bpfsmith import kernel

        return kernel.door().uname()[2]

    @property
    def page_size(self) -> int:
        return os.sysconf("SC_PAGE_SIZE")

    @property
    def possible_cpus(self) -> int:
        """How many values a per-CPU map has room for (possible, not online)."""
        from bpfsmith import kernel

        return kernel.door().possible_cpus()

    def config(self, name: str) -> str | None:
        """`y`, `m`, a number or text (unquoted) of `CONFIG_...`; None: not set, or the configuration is not told."""
        if self._config is None:
            self._config = self._read_config()
        return self._config.get(name)

    @property
    def has_config(self) -> bool:
        """Whether this machine tells its configuration at all."""
        self.config("")
        return bool(self._config)

    def _read_config(self) -> dict[str, str]:
        from bpfsmith import kernel

        door = kernel.door()
        release = door.uname()[0]
        for path in ("/proc/config.gz", f"/boot/config-{release}", f"/lib/modules/{release}/config"):
            try:
                data = door.read_bytes(path)
            except OSError:
                continue
            if path.endswith(".gz"):
                import zlib

                data = zlib.decompress(data, 31)
            found = {}
            for line in data.decode("utf-8", "replace").splitlines():
                if line.startswith("CONFIG_"):
                    name, _, value = line.partition("=")
                    found[name] = value.strip('"')
            return found
        return {}

    def symbol(self, name: str) -> int | None:
        """Its address in /proc/kallsyms; None: no such symbol; 0: there, but the address is hidden (kptr_restrict)."""
        return self.symbols((name,))[name]

    def symbols(self, names: tuple[str, ...] | list[str]) -> dict[str, int | None]:
        """Many at once: one pass over the file."""
        from bpfsmith import kernel

        missing = [name for name in names if name not in self._symbols]
        if missing:
            try:
                found = kernel.door().kernel_symbols(missing)
            except OSError:
                found = {}
            for name in missing:
                places = found.get(name)
                self._symbols[name] = places[0][0] if places else None
        return {name: self._symbols[name] for name in names}

    def __repr__(self) -> str:
        return f"<LiveKernel {self.version}>"
