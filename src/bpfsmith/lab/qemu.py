"""QEMU: which program, how old, does KVM really work, and the command line of a machine.

Everything that differs between architectures is one row of `ARCHES`. A machine gets what it talks through as inherited
descriptors of fixed numbers (`CHANNEL` .. `STATE`), so its command line is a constant and it leaves no file anywhere.
"""

from __future__ import annotations

import os

from bpfsmith.model.errors import EnvironmentMissing, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ARCHES", "OLDEST", "Arch", "Qemu", "append", "find", "host_arch", "install", "line"]

OLDEST = (5, 2)
"""The oldest QEMU tried for: `-M memory-backend=` is of 5.0, and Debian 11 has 5.2."""

# The descriptors a machine inherits beside 0, 1 (its serial console) and 2 (QEMU's own messages).
CHANNEL, QMP, RAM, STATE, INITRD = 3, 4, 5, 6, 7


class Arch:
    """One architecture: `programs` are QEMU's names for it in order of preference, `package` what Debian calls it,
    `machine` and the CPU models by accelerator, `console` and `options` for the kernel's command line, `bus` how virtio
    devices are named, `memory` in MiB for a small guest, `firmware` the machine code of the KVM probe (`_runs`)."""

    __slots__ = ("bus", "console", "cpus", "firmware", "machine", "memory", "name", "options", "package", "programs")

    def __init__(
        self, name: str, programs: tuple[str, ...], package: str, machine: str, cpus: tuple[tuple[str, str], ...],
        console: str, options: str, bus: str, memory: int, firmware: bytes,
    ) -> None:  # fmt: skip
        self.name = name
        self.programs = programs
        self.package = package
        self.machine = machine
        self.cpus = dict(cpus)
        self.console = console
        self.options = options
        self.bus = bus
        self.memory = memory
        self.firmware = firmware


# `la57=off`: five-level page tables cost an emulated walk a fifth more and BPF nothing. `lsm=` is the kernel's own
# default with `bpf` added: 5.10 has it compiled in and not switched on. `no_timer_check`: on a busy host the emulated
# timer is too slow for the kernel's check of it, which ends in a panic. `pauth-impdef`: a cheap algorithm for signing
# pointers (QEMU 6.0), where emulating the real one takes half of the time.
ARCHES = {
    arch.name: arch
    for arch in (
        Arch(
            "x86_64", ("qemu-system-x86_64", "qemu-kvm", "/usr/libexec/qemu-kvm"), "qemu-system-x86", "q35",
            (("tcg", "max,la57=off"), ("kvm", "host")), "ttyS0",
            "no_timer_check lsm=lockdown,yama,apparmor,bpf", "pci", 256,
            bytes.fromhex("b010e6f4f4f4"),  # at the reset vector: mov al, 0x10; out 0xf4, al; hlt
        ),
        Arch(
            "aarch64", ("qemu-system-aarch64", "qemu-kvm", "/usr/libexec/qemu-kvm"), "qemu-system-arm", "virt",
            (("tcg", "max,pauth-impdef=on"), ("kvm", "host")), "ttyAMA0", "lsm=lockdown,yama,apparmor,bpf", "pci", 384,
            bytes.fromhex("0080b05200018072020000d400000014"),  # PSCI SYSTEM_OFF by hvc; b .
        ),
    )
}  # fmt: skip


def host_arch() -> str:
    """`x86_64`, `aarch64`: as `uname -m` says."""
    return os.uname().machine


class Qemu:
    """One QEMU program: `path`, `version` (three numbers), `told` its version line, `stamp` changes with the file."""

    __slots__ = ("arch", "path", "stamp", "told", "version")

    def __init__(self, arch: Arch, path: str, told: str, version: tuple[int, int, int], stamp: str) -> None:
        self.arch = arch
        self.path = path
        self.told = told
        self.version = version
        self.stamp = stamp

    def accel(self, folder: str) -> str:
        """`kvm` where a guest's code really runs by it (asked once per boot of this machine, the answer kept below
        `folder`), else `tcg`. `$BPFSMITH_ACCEL` decides instead: `InputError` for a word that is neither,
        `EnvironmentMissing` where it says `kvm` and that does not run guests."""
        wish = os.environ.get("BPFSMITH_ACCEL", "")
        if wish and wish not in self.arch.cpus:
            raise InputError(
                f"BPFSMITH_ACCEL is `{wish}`", hint=f"it may be {' or '.join(f'`{one}`' for one in self.arch.cpus)}"
            )
        if wish == "tcg":
            return wish
        found = self._accel(folder)
        if wish and found != wish:
            whose = "" if self.arch.name == host_arch() else f"{self.arch.name} "
            told = f"KVM does not run {whose}guests here (`BPFSMITH_ACCEL=kvm` insists on it)"
            raise EnvironmentMissing(
                told, "unset BPFSMITH_ACCEL", hint="without it guests are emulated where they must be"
            )
        return found

    def _accel(self, folder: str) -> str:
        if self.arch.name != host_arch() or not os.access("/dev/kvm", os.R_OK | os.W_OK):
            return "tcg"
        kept = _recall(folder, "kvm", f"{self.stamp} {boot_id()}")
        if kept is None:
            kept = "kvm" if _runs(self) else "tcg"
            _remember(folder, "kvm", f"{self.stamp} {boot_id()}", kept)
        return kept

    def doubt_kvm(self, folder: str) -> None:
        """A kernel did not come up by KVM although the probe ran: not again until the next boot of this machine."""
        _remember(folder, "kvm", f"{self.stamp} {boot_id()}", "tcg")

    def __repr__(self) -> str:
        return f"<Qemu {'.'.join(map(str, self.version))} {self.path}>"


def find(arch: str = "", folder: str = "") -> Qemu:
    """The QEMU for an architecture ("" = this machine's): `$BPFSMITH_QEMU`, else from PATH. `folder`: where its version
    is kept between calls (asking it costs 50 ms). `EnvironmentMissing`: none, too old, or a program that is no QEMU."""
    name = arch or host_arch()
    row = ARCHES.get(name)
    if row is None:
        raise InputError(f"no machine for the architecture `{name}`", hint=f"known: {', '.join(ARCHES)}")
    given = os.environ.get("BPFSMITH_QEMU", "")
    path = _which(given) if given else next(filter(None, map(_which, row.programs)), "")
    if not path:
        if given:
            raise EnvironmentMissing(f"BPFSMITH_QEMU names no program: `{given}`", install(row))
        raise EnvironmentMissing(f"no `{row.programs[0]}`: the lab boots kernels with QEMU", install(row))
    status = os.stat(path)
    stamp = f"{path} {status.st_size} {status.st_mtime_ns}"
    told = _recall(folder, "version", stamp)
    if told is None:
        told = _ask_version(path)
        version = _version(told)
        if version is None:
            told = told.strip().splitlines()[0][:80] if told.strip() else "nothing"
            raise EnvironmentMissing(f"`{path}` is no QEMU: `--version` says `{told}`", install(row), path)
        if version >= (*OLDEST, 0):
            _remember(folder, "version", stamp, told)
    version = _version(told) or (0, 0, 0)
    if version[:2] < OLDEST:
        raise EnvironmentMissing(
            f"QEMU {'.'.join(map(str, version))} is too old: the lab needs {OLDEST[0]}.{OLDEST[1]} or newer",
            install(row), path,
        )  # fmt: skip
    return Qemu(row, path, told, version, stamp)


def install(row: Arch) -> str:
    """The command that installs it here."""
    for manager, command in (
        ("apt-get", f"apt-get install {row.package}"),
        ("dnf", "dnf install qemu-kvm" if row.name == host_arch() else f"dnf install {row.programs[0]}"),
        ("zypper", f"zypper install {row.package.replace('-system', '')}"),
        ("pacman", f"pacman -S {row.programs[0]}"),
        ("apk", f"apk add {row.programs[0]}"),
    ):
        if _which(manager):
            return command
    return f"apt-get install {row.package}"


def line(
    qemu: Qemu, accel: str, memory: int, *, shared: bool, incoming: bool, kernel: str = "", append: str = "",
    cpus: int = 1, mapped: bool = True,
) -> list[str]:  # fmt: skip
    """The command line of one machine: of a template being made (`shared`), of a clone (`incoming`), or of a guest that
    just boots. `kernel` ("" in a clone: its memory has it) is a path; the initrd is the descriptor `INITRD`. `mapped`:
    a clone's memory is the file `RAM`, not in the state."""
    arch = qemu.arch
    board = arch.machine
    backend: list[str] = []
    if shared or incoming:
        # A clone maps the template's memory privately: pages are shared until they are written.
        board += ",memory-backend=ram"
        own = f"memory-backend-{'file' if mapped else 'ram'},id=ram,size={memory}M"
        file = f",mem-path=/proc/self/fd/{RAM},share={'on' if shared else 'off'}"
        backend = ["-object", own + file * mapped]
    cpu = arch.cpus[accel]
    if qemu.version < (6, 0, 0):
        cpu = cpu.partition(",pauth")[0]
    command = [
        qemu.path, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
        "-accel", accel, "-M", board, "-cpu", cpu, "-smp", str(cpus), "-m", str(memory), *backend,
        "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
        "-chardev", f"socket,id=lab,fd={CHANNEL}",
        "-device", f"virtio-serial-{arch.bus}", "-device", "virtserialport,chardev=lab,name=lab",
    ]  # fmt: skip
    if shared or incoming:
        command += ["-chardev", f"socket,id=qmp,fd={QMP}", "-mon", "chardev=qmp,mode=control"]
    if incoming:
        command += ["-incoming", "defer"]
    if kernel:
        command += ["-kernel", kernel, "-initrd", f"/proc/self/fd/{INITRD}", "-append", append]
    return command


def append(arch: Arch, more: str = "") -> str:
    """The kernel's command line. A panic and an oops end the machine at once (`-no-reboot`): nothing waits for a guest
    that is lost."""
    return f"console={arch.console} panic=-1 oops=panic quiet {arch.options}{' ' + more if more else ''}"


# ------------------------------------------------------------ inside


def _which(name: str) -> str:
    if "/" in name:
        return name if os.path.isfile(name) and os.access(name, os.X_OK) else ""
    for folder in os.get_exec_path():
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def _ask_version(path: str) -> str:
    return _run([path, "--version"], 10)[1]


def _version(told: str) -> tuple[int, int, int] | None:
    """`QEMU emulator version 7.2.22 (Debian ...)` -> (7, 2, 22); RHEL's `qemu-kvm version` too."""
    for text in told.splitlines():
        if "QEMU" not in text or " version " not in text:
            continue
        parts = text.partition(" version ")[2].split(" ")[0].split("(")[0].split(".")
        numbers = []
        for part in (*parts, "0", "0")[:3]:
            digits = part[: next((at for at, char in enumerate(part) if not char.isdigit()), len(part))]
            numbers.append(int(digits or 0))
        if numbers[0]:
            return numbers[0], numbers[1], numbers[2]
    return None


def _runs(qemu: Qemu) -> bool:
    """A few instructions run by KVM: `/dev/kvm` may be there and refuse, or QEMU fail on a register of this host's."""
    from tempfile import NamedTemporaryFile

    code = qemu.arch.firmware
    with NamedTemporaryFile(prefix="bpfsmith-") as file:
        if qemu.arch.name == "x86_64":
            file.write(b"\xf4" * 0xFFF0 + code.ljust(16, b"\xf4"))
            how, wanted = ["-bios", file.name, "-device", "isa-debug-exit,iobase=0xf4,iosize=1"], 0x21
        else:
            file.write(code.ljust(4096, b"\0"))
            how, wanted = ["-kernel", file.name], 0
        file.flush()
        command = [
            qemu.path, "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-accel", "kvm",
            "-M", qemu.arch.machine, "-cpu", qemu.arch.cpus["kvm"], "-m", "16", *how,
        ]  # fmt: skip
        return _run(command, 5)[0] == wanted


def _run(command: Sequence[str], limit: float) -> tuple[int, str]:
    """(exit status or -1, standard output) of a short command."""
    import subprocess

    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=limit,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return -1, ""
    return done.returncode, done.stdout.decode("utf-8", "replace")


def boot_id() -> str:
    """Changes with every boot of this machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def _recall(folder: str, what: str, key: str) -> str | None:
    """What was learnt before about the same thing: the file holds the key, a newline, the answer."""
    if not folder:
        return None
    try:
        with open(os.path.join(folder, f"qemu-{what}")) as file:
            told, _, answer = file.read().partition("\n")
    except (OSError, ValueError):
        return None
    return answer if told == key and answer else None


def _remember(folder: str, what: str, key: str, answer: str) -> None:
    """Kept when it can be: a full disk costs the next call 50 ms and nothing else."""
    if not folder:
        return
    try:
        os.makedirs(folder, exist_ok=True)
        write_file(os.path.join(folder, f"qemu-{what}"), f"{key}\n{answer}".encode())
    except OSError:
        return


def write_file(path: str, data: bytes) -> None:
    """All of it or, when it raises `OSError`, nothing."""
    new = f"{path}.{os.urandom(8).hex()}"
    try:
        with open(new, "wb") as file:
            file.write(data)
        os.replace(new, path)
    except OSError:
        unlink(new)
        raise


def unlink(path: str) -> None:
    """Gone, or was not there, or may not be removed: all the same."""
    try:
        os.unlink(path)
    except OSError:
        return
