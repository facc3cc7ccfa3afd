"""Real kernels on demand: QEMU guests that boot once and are copied in a tenth of a second, without root.

    from bpfsmith import lab
    with lab.kernel("6.1") as k:            # this thread is inside the guest
        print(k.verify("prog.o"))           # name -> verdict
        with k.load("prog.o") as bpf: ...
    guest = lab.open("6.12")                # the same by hand; `guest.close()` ends it
    for at, value in lab.each(["5.10", "6.1", "6.12"], job): ...    # in parallel, a guest each

`bpfsmith lab get` prepares kernels; `lab.describe` answers what one can do without booting it. Importing this opens
nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from .catalogue import Listing
    from .described import LabKernel
    from .guest import Guest
    from .progress import Progress
    from .session import Session
    from .store import Prepared

__all__ = ["add", "describe", "each", "get", "kernel", "listing", "open", "remove"]


def open(  # noqa: A001 - it opens a kernel
    kernel: str | Prepared, *, image: str = "base", memory: int | None = None, timeout: float | None = None,
    fresh: bool = False, report: Callable[[str], None] = lambda _: None,
) -> Guest:  # fmt: skip
    """A guest of a prepared kernel (`6.12`, a release, or an added name): a copy of its template, which is made by the
    first call. Close it, or use it as a context manager.

    image: `base` (the agent alone) or `tools` (busybox, Python, bpftool ...). memory: MiB, 256 unless said. timeout:
    seconds it may take to come up. fresh: boots anew, not from a template. report: told what takes seconds.

    `UnknownName`; `EnvironmentMissing`: the kernel is not prepared, QEMU is missing or too old, no memory;
    `GuestFailed`: it did not come up."""
    from .start import start

    return start(kernel, image=image, memory=memory, timeout=timeout, fresh=fresh, report=report)


def kernel(
    kernel: str | Prepared, *, image: str = "base", memory: int | None = None, timeout: float | None = None,
    fresh: bool = False, report: Callable[[str], None] = lambda _: None,
) -> Session:  # fmt: skip
    """A context manager: inside the block, this thread's loads, maps and links are those of a guest. As `open`."""
    from .session import Session

    return Session(
        kernel, {"image": image, "memory": memory, "timeout": timeout, "fresh": fresh, "report": report}
    )  # fmt: skip


def each(
    kernels: Sequence[str | Prepared], job: Callable[[Guest], Any], *, image: str = "base", memory: int | None = None,
    timeout: float | None = None, at_once: int | None = None, report: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[int, Any]]:  # fmt: skip
    """`job(guest)` for several kernels in parallel, within this machine's cores (`at_once`) and memory, each inside its
    guest: (position, result or the `BpfsmithError` it ended with) as they are ready. A guest that runs out of memory is
    replaced once by a larger one."""
    from .pool import each as run

    return run(kernels, job, image=image, memory=memory, timeout=timeout, at_once=at_once, report=report)


def describe(kernel: str | Prepared, *, image: str = "base") -> LabKernel:
    """A prepared kernel as plans need it, without booting it: types, features, symbols. Before its first boot here its
    features are not known and count as there."""
    from .start import describe as known

    return known(kernel, image=image)


def get(
    names: str | Iterable[str] = (), *, arch: str = "", flavour: str = "cloud", mirror: str | Iterable[str] = (),
    keyring: str = "", suites: Iterable[str] = (), update: bool = False, progress: Progress | None = None,
) -> list[Prepared]:  # fmt: skip
    """Prepares kernels of Debian's archive and answers them in the order asked for; those that are here already cost
    nothing. Needs no root; the system's apt is asked where the archive is, and not changed.

    names: series (`6.12`: the newest build), versions (`6.12.117`) or releases; without any the default matrix. arch:
    as `uname -m` says ("" = this machine's); flavour: `cloud`, `full` (then it is called `6.12-full`). mirror, keyring:
    addresses of a Debian mirror, and the file of keys that sign its index, instead of this machine's apt; suites: only
    these. update: looks for newer builds of what is here. progress: told what happens.

    `UnknownName` for a series nobody has (near ones in the hint); `EnvironmentMissing` without apt, network or space.
    An interrupted download goes on where it was."""
    from .getting import get as run

    return run(
        [names] if isinstance(names, str) else names, arch=arch, flavour=flavour, mirror=mirror, keyring=keyring,
        suites=suites, update=update, progress=progress,
    )  # fmt: skip


def add(
    paths: str | Iterable[str], *, btf: str = "", modules: str | Iterable[str] = (), name: str = "",
    progress: Progress | None = None,
) -> Prepared:  # fmt: skip
    """Prepares a kernel from files and keeps it under `name` (default: its release).

    paths: one image (bzImage, `/boot/vmlinuz-...`, vmlinux ELF file, arm64 Image), all packages of one kernel (`.deb`,
    `.rpm`), or an image and the packages of its modules. btf: types beside it (raw BTF or an ELF file with `.BTF`);
    modules: folders or files of modules, searched before `/lib/modules/RELEASE`.

    What it lacks is in `lacks` of the answer. `InputError` for files that are no kernel, are cut off, are of several
    kernels, or for another machine."""
    from .adding import add as run

    return run(paths, btf=btf, modules=modules, name=name, progress=progress)


def listing(*, refresh: bool = False, progress: Progress | None = None) -> Listing:
    """The kernels here (`kernels`) and those that can be had (`offered`), from the indexes read last; `refresh` reads
    them anew."""
    from .catalogue import listing as run

    return run(refresh=refresh, progress=progress)


def remove(name: str) -> Prepared:
    """Deletes a prepared kernel and the memory of its guests; answers what it was. As `open` for names."""
    from .store import remove as run

    return run(name)
