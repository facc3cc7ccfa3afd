"""What an object leaves for the loader to supply: kernel functions and symbols, configuration, what to attach to."""

from __future__ import annotations

from sys import byteorder as _ORDER  # noqa: N812 - a constant here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith._native import Btf, Image
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Extern, Object
    from bpfsmith.run.planned import PlannedProgram

__all__ = ["Externs", "attach_target", "kconfig_data", "old_probe_reads"]

_CALL = 0x85
_PSEUDO_BTF_ID, _PSEUDO_KFUNC_CALL = 3, 2
POISON_KFUNC = 2002000000
"""Number libbpf calls instead of a weak kernel function that is not there; the verifier names it when it is reached."""


def essential(name: str) -> str:
    """The name the kernel knows: `bpf_iter_new___v2` asks for `bpf_iter_new`."""
    at = name.find("___")
    return name[:at] if at > 0 else name


class Externs:
    """The externs of one object against one kernel; each is looked up once, when a program first uses it."""

    def __init__(self, obj: Object, kernel: Kernel, near: bool = True) -> None:
        self.object = obj
        self.kernel = kernel
        self.near = near  # whether errors offer names like the one that is missing, which takes reading every type
        self._known: dict[int, tuple[str, int, str] | None] = {}
        self._typed_ok: list[bool] | None = None

    def fill(self, program: str, image: Image) -> tuple[bytes, list[str], list[tuple[int, str]]]:
        """(instructions with externs filled in, modules whose functions are called in the order of `fd_array` from 1,
        [(byte offset of the u32 a module's types descriptor goes to, module)])."""
        insns = bytearray(image.insns)
        modules: list[str] = []
        variables: list[tuple[int, str]] = []
        externs = self.object.externs
        self._addresses([index for _, index in image.externs])
        for slot, index in image.externs:
            at = slot * 8
            found = self._find(index, program)
            if externs[index].kind == "kfunc" and insns[at] == _CALL:  # else its address, to ask whether it is there
                self._call(insns, at, index, found, modules)
            elif found is None:
                _load(insns, at, 0, 0, 0)
            elif found[0] == "address":
                _load(insns, at, 0, found[1] & 0xFFFFFFFF, found[1] >> 32)
            else:
                _load(insns, at, _PSEUDO_BTF_ID, found[1], 0)
                if found[2]:
                    variables.append((at + 12, found[2]))
        return bytes(insns), modules, variables

    def _call(
        self, insns: bytearray, at: int, index: int, found: tuple[str, int, str] | None, modules: list[str]
    ) -> None:
        offset = 0
        if found is None:
            insns[at] = _CALL
            insns[at + 1] = 0
            number = POISON_KFUNC + index
        else:
            number = found[1]
            insns[at + 1] = _registers(insns[at + 1], _PSEUDO_KFUNC_CALL)
            if found[2]:
                if found[2] not in modules:
                    modules.append(found[2])
                offset = modules.index(found[2]) + 1
        insns[at + 2 : at + 4] = offset.to_bytes(2, _ORDER)
        insns[at + 4 : at + 8] = number.to_bytes(4, _ORDER)

    def check(self) -> None:
        """All of them, whichever program uses them: loaders that take an object as a whole refuse it for any."""
        externs = self.object.externs
        self._addresses(list(range(len(externs))))
        for index, extern in enumerate(externs):
            if extern.kind in ("kfunc", "ksym"):
                self._find(index, "")

    # ------------------------------------------------------------ looking up

    def _addresses(self, indices: list[int]) -> None:
        """All symbols a program needs in one pass over the symbol table."""
        externs = self.object.externs
        wanted = [i for i in dict.fromkeys(indices) if i not in self._known and _is_address(externs[i])]
        if not wanted:
            return
        told = self.kernel.symbols([externs[i].name for i in wanted])
        for i in wanted:
            address = told[externs[i].name]
            self._known[i] = None if address is None else ("address", address, "")

    def _find(self, index: int, program: str) -> tuple[str, int, str] | None:
        """(`address` or `type`, number, module); None: it is weak and not there."""
        extern = self.object.externs[index]
        if index not in self._known:
            self._known[index] = self._find_type(index, extern)
        found = self._known[index]
        if found is None and not extern.weak:
            self._missing(extern, program)
        return found

    def _find_type(self, index: int, extern: Extern) -> tuple[str, int, str] | None:
        if not extern.typed:
            return None
        if not self.kernel.has_btf:
            if extern.weak:
                return None
            _ = self.kernel.btf  # raises what is missing
        kind = "FUNC" if extern.kind == "kfunc" else "VAR"
        name = essential(extern.name)
        number, module = _in_types(self.kernel, name, kind)
        if number is None:
            return None
        if self._typed_ok is None:
            self._typed_ok = self.object.native.resolved_externs(self.kernel.targets)
        if not self._typed_ok[index]:
            if extern.weak:
                return None
            from bpfsmith.model.errors import InputError

            raise InputError(
                f"`{extern.name}` is declared otherwise than in kernel `{self.kernel.name}`",
                where=self.object.path,
                hint="declare it as the kernel does (`bpftool btf dump file /sys/kernel/btf/vmlinux format c`), or "
                "give it a flavour of its own: `name___flavour`",
            ).lacking("kfunc" if extern.kind == "kfunc" else "btf")
        return ("type", number, module)

    def _missing(self, extern: Extern, program: str) -> None:
        from bpfsmith.model.errors import TargetMissing

        what = {"kfunc": "kernel function", "ksym": "kernel symbol"}.get(extern.kind, "extern")
        hint = "declare it `__weak` and ask with `bpf_ksym_exists()` before using it, or leave the program out"
        if extern.typed and self.near:
            near = _near_types(self.kernel.btf, essential(extern.name), "FUNC" if extern.kind == "kfunc" else "VAR")
            hint = near or hint
        who = f"program `{program}`" if program else "another program of the object"
        raise TargetMissing(
            f"{who} needs {what} `{extern.name}`, which kernel `{self.kernel.name}` does not have",
            where=self.object.path,
            hint=hint,
        ).lacking("kfunc" if extern.kind == "kfunc" else "btf")


def _in_types(kernel: Kernel, name: str, kind: str) -> tuple[int | None, str]:
    """(type id, module or "") of a name in the kernel's types, then in its modules'."""
    number = kernel.btf.find(name, kind)
    if number is not None:
        return number, ""
    for module, btf in kernel.modules:
        number = btf.find(name, kind)
        if number is not None and number >= btf.first_id:
            return number, module
    return None, ""


def _is_address(extern: Extern) -> bool:
    return extern.kind == "ksym" and not extern.typed


def _registers(byte: int, source: int) -> int:
    return (byte & 0x0F) | (source << 4) if _ORDER == "little" else (byte & 0xF0) | source


def _load(insns: bytearray, at: int, source: int, low: int, high: int) -> None:
    """Both halves of an `ld_imm64`."""
    insns[at + 1] = _registers(insns[at + 1], source)
    insns[at + 4 : at + 8] = low.to_bytes(4, _ORDER)
    insns[at + 12 : at + 16] = high.to_bytes(4, _ORDER)


def old_probe_reads(insns: bytes) -> bytes:
    """Calls of the helpers of 5.5 that say whose memory they read become those that guess."""
    older = {112: 4, 113: 4, 114: 45, 115: 45}
    out = bytearray(insns)
    at = 0
    while at < len(out):
        code = out[at]
        if code == _CALL and out[at + 1] == 0:
            number = older.get(int.from_bytes(out[at + 4 : at + 8], _ORDER))
            if number is not None:
                out[at + 4 : at + 8] = number.to_bytes(4, _ORDER)
        at += 16 if code == 0x18 else 8
    return bytes(out)


# ---------------------------------------------------------------- what programs are bound to

_TRACE_RAW_TP, _LSM_MAC, _TRACE_ITER, _LSM_CGROUP = 23, 27, 28, 43
_PREFIXES = {
    _TRACE_RAW_TP: ("btf_trace_", "TYPEDEF"),
    _LSM_MAC: ("bpf_lsm_", "FUNC"),
    _LSM_CGROUP: ("bpf_lsm_", "FUNC"),
    _TRACE_ITER: ("bpf_iter_", "FUNC"),
}
_CALLED = {_TRACE_RAW_TP: "tracepoint", _LSM_MAC: "LSM hook", _LSM_CGROUP: "LSM hook", _TRACE_ITER: "iterator"}


def attach_target(planned: PlannedProgram, kernel: Kernel, path: str, near: bool = True) -> tuple[int, str]:
    """(type id, module or "") of what a program is bound to when it is loaded. `module:name` looks in that module only.

    `TargetMissing` with near matches where no such thing exists."""
    from bpfsmith.model.errors import InputError, TargetMissing

    wanted = planned.attach_to
    section = planned.source.native.section
    if not wanted:
        raise InputError(
            f"section `{section}` of program `{planned.name}` does not say what to attach to",
            where=path,
            hint=f"write `{section}/NAME`, or pass `programs={{'{planned.name}': {{'attach_to': 'NAME'}}}}`",
        ).lacking("no-target-given")
    if planned.type == 28:  # ext
        raise InputError(
            f"program `{planned.name}` replaces `{wanted}` of another program, which was not given",
            where=path,
            hint=f"pass `programs={{'{planned.name}': {{'attach_prog': PROGRAM}}}}`",
        ).lacking("no-target-given")
    module, colon, name = wanted.rpartition(":")
    prefix, kind = _PREFIXES.get(planned.attach_type, ("", "FUNC"))
    if not colon or module == "vmlinux":
        number = kernel.btf.find(prefix + name, kind)
        if number is not None:
            return number, ""
    for known, btf in kernel.modules:
        if not colon or known == module:
            number = btf.find(prefix + name, kind)
            if number is not None and number >= btf.first_id:
                return number, known
    called = _CALLED.get(planned.attach_type, "function")
    hint = _near_types(kernel.btf, name, kind, prefix) if near else ""
    if colon and module != "vmlinux" and module not in dict(kernel.modules):
        hint = f"module `{module}` is not loaded or has no types: `modprobe {module}`"
    raise TargetMissing(
        f"program `{planned.name}` attaches to {called} `{wanted}`, which kernel `{kernel.name}` does not have",
        where=path,
        hint=hint or f"its types name no {called} like that; it may be inlined, renamed or built as a module",
    ).lacking("attach-target")


def _near_types(btf: Btf, name: str, kind: str, prefix: str = "") -> str:
    """`did you mean ...` from all names of that kind. Slow (it reads every type), for errors only."""
    from bpfsmith.model.near import did_you_mean

    start = f" {kind} '{prefix}"
    found = []
    for line in btf.dump_raw().splitlines():
        at = line.find(start)
        if at > 0:
            found.append(line[at + len(start) : line.index("'", at + len(start))])
    # Comparing with every function of a kernel takes seconds: those that share a beginning, a part or most letters.
    part = max(name.split("_"), key=len)
    likely = [one for one in found if one[:3] == name[:3] or part in one or abs(len(one) - len(name)) < 2]
    likely.sort(key=lambda one: (one[:3] != name[:3]) + (part not in one))
    return did_you_mean(name, likely[:3000])


# ---------------------------------------------------------------- configuration

_TRISTATE = {"n": 0, "y": 1, "m": 2}


def kconfig_data(obj: Object, kernel: Kernel, size: int, given: dict[str, Any]) -> bytes:
    """The contents of the `.kconfig` map: `LINUX_...` from the kernel, `CONFIG_...` from `given` or its
    configuration."""
    out = bytearray(size)
    btf = obj.btf
    if btf is None:
        return bytes(out)
    end = 0
    for extern in obj.externs:
        if extern.kind != "kconfig":
            continue
        variable = btf.find(extern.name, "VAR")
        if variable is None:
            continue
        kind = _Variable(btf, variable)
        at = end = (end + kind.align - 1) // kind.align * kind.align
        end += kind.size
        name = extern.name
        value = given[name] if name in given else _configured(name, kernel)
        if value is not None:
            out[at : at + kind.size] = kind.encode(name, value, obj.path)
        elif not extern.weak:
            _not_configured(name, kernel, obj.path)
    return bytes(out)


def _configured(name: str, kernel: Kernel) -> str | int | None:
    """What the kernel says of a configuration value; None: nothing."""
    if name == "LINUX_KERNEL_VERSION":
        return kernel.version_code
    if name == "LINUX_HAS_BPF_COOKIE":
        return int(_settled(kernel, "bpf_cookie"))
    if name == "LINUX_HAS_SYSCALL_WRAPPER":
        return int(_has_syscall_wrapper(kernel))
    return kernel.config(name) if name.startswith("CONFIG_") else None


def _settled(kernel: Kernel, feature: str) -> bool:
    """The truth, where a hopeful answer would be seen by a program and not by the kernel."""
    probe = getattr(kernel, "probe", None)
    return bool(probe(feature) if probe is not None else kernel.has(feature))


def _has_syscall_wrapper(kernel: Kernel) -> bool:
    """Whether system calls take their arguments in a struct: libbpf asks the symbol table for the name that has."""
    prefix = {"x86_64": "__x64", "aarch64": "__arm64", "s390x": "__s390x", "riscv64": "__riscv"}.get(kernel.arch)
    return prefix is not None and kernel.symbol(f"{prefix}_sys_bpf") is not None


def _not_configured(name: str, kernel: Kernel, path: str) -> None:
    from bpfsmith.model.errors import EnvironmentMissing, InputError, TargetMissing

    if not name.startswith("CONFIG_"):
        raise InputError(
            f"`{name}` is no configuration value", where=path, hint="those known start with `CONFIG_` or `LINUX_`"
        ).lacking("config")
    if not kernel.has_config:
        raise EnvironmentMissing(
            f"`{name}` is needed, and this machine does not tell its kernel's configuration: neither /proc/config.gz "
            f"nor /boot/config-* is there; pass `kconfig={{'{name}': ...}}`",
            "modprobe configs",
            where=path,
        ).lacking("config")
    raise TargetMissing(
        f"`{name}` is not set in the configuration of kernel `{kernel.name}`",
        where=path,
        hint=f"declare it `__weak`, or pass `kconfig={{'{name}': ...}}`",
    ).lacking("config")


class _Variable:
    """Type of one configuration variable: how its value is written."""

    def __init__(self, btf: Btf, variable: int) -> None:
        number = int(btf.type(variable)["type"])  # type: ignore[call-overload]  # a VAR has one
        self.size = btf.size_of(number) or 0
        kind: dict[str, Any] = btf.type(btf.resolve(number))
        self.kind = str(kind["kind"])
        element = kind
        while element["kind"] == "ARRAY":
            element = btf.type(btf.resolve(element.get("type", element.get("type_id", 0))))
        self.align = min(max(int(element.get("size", 8) or 8), 1), 8)
        encoding = str(kind.get("encoding", ""))
        self.bool = encoding == "BOOL"
        self.signed = encoding == "SIGNED"
        # libbpf goes by the size: a one-byte integer that is no bool is a character.
        self.char = self.kind == "INT" and not self.bool and self.size == 1
        self.tristate = self.kind == "ENUM" and kind.get("name") == "libbpf_tristate"

    def encode(self, name: str, value: str | int, path: str) -> bytes:
        """Bytes of a value such as `y`, `250` or text."""
        if isinstance(value, bool):
            value = "y" if value else "n"
        if self.kind == "ARRAY":
            text = str(value).strip('"').encode()[: max(self.size - 1, 0)]
            return text + bytes(self.size - len(text))
        if isinstance(value, str) and value in _TRISTATE:
            if self.tristate:
                return _TRISTATE[value].to_bytes(self.size, _ORDER)
            if self.bool and value != "m":
                return int(value == "y").to_bytes(self.size, _ORDER)
            if self.char:
                return value.encode()
            self._wrong(name, value, path)
        try:
            number = int(value, 0) if isinstance(value, str) else value
        except ValueError:
            self._wrong(name, value, path)
        if self.kind != "INT" or (self.bool and number > 1):
            self._wrong(name, value, path)
        # As libbpf: what fits as signed or unsigned number of that size.
        low, high = (
            (-(1 << (self.size * 8 - 1)), 1 << (self.size * 8 - 1)) if self.signed else (0, 1 << (self.size * 8))
        )
        if not low <= number < high:
            self._wrong(name, value, path)
        return number.to_bytes(self.size, _ORDER, signed=self.signed)

    def _wrong(self, name: str, value: str | int, path: str) -> None:
        from bpfsmith.model.errors import ValueMismatch

        wants = "tristate" if self.tristate else "bool" if self.bool else f"{self.size}-byte {self.kind.lower()}"
        raise ValueMismatch(
            f"`{name}` is `{value}` in the kernel's configuration, which does not fit the declared {wants}", where=path
        ).lacking("config")
