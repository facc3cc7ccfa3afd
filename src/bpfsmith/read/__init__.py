"""Floor 1: files -> model, pure and deterministic: the same file gives the same `Object` on every machine.

>>> from bpfsmith.read import read, read_many, read_kernel
>>> read("prog.o").programs[0].type                                                        # doctest: +SKIP
'xdp'
"""

from __future__ import annotations

from bpfsmith._verbs import make_callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object

__all__ = ["find_objects", "is_object", "read", "read_bytes", "read_kernel", "read_many"]


def read(path: str | PathLike[str]) -> Object:
    """Reads one eBPF ELF object; a few milliseconds, no privilege, no kernel.

    Raises `InputError` saying what is wrong with the file, where, and what to do.
    """
    from os import fspath

    result = read_many([fspath(path)])[0]
    if isinstance(result, Exception):
        raise result
    return result


def read_many(
    paths: Iterable[str | PathLike[str]], *, threads: int = 0, analyse: bool = False
) -> list[Object | BpfsmithError]:
    """Reads many objects on all cores (or `threads`), one entry per path in order: the object or what is wrong with it.

    With `analyse` every program is linked and analysed on the way, for callers that will ask for it all.
    """
    from os import fspath

    from bpfsmith._native import ReadError, parse_many
    from bpfsmith.model.object import Object
    from bpfsmith.read._join import names

    spelled = [fspath(path) for path in paths]
    known = names()
    results: list[Object | BpfsmithError] = []
    for path, native in zip(spelled, parse_many(spelled, threads, analyse), strict=True):
        if isinstance(native, ReadError):
            from bpfsmith.read._diagnose import input_error

            results.append(input_error(path, native))
        else:
            results.append(Object(native, path, known))
    return results


def read_bytes(data: bytes, name: str = "<bytes>") -> Object:
    """Reads an object from memory; `name` is what messages call it."""
    from bpfsmith import _native
    from bpfsmith.model.object import Object
    from bpfsmith.read._join import names

    try:
        return Object(_native.Object.parse(data, name), name, names())
    except _native.ReadError as error:
        from bpfsmith.read._diagnose import input_error

        raise input_error(name, error, head=data[:64]) from None


def read_kernel(path: str | PathLike[str]) -> Kernel:
    """Reads the types of a kernel: `host`, a raw BTF file, or an ELF file with `.BTF` (`vmlinux`).

    `host` is /sys/kernel/btf/vmlinux and the modules beside it; any other name is that one file.
    """
    from os import fspath

    from bpfsmith.read._kernel import read_kernel as read_it

    return read_it(fspath(path))


def find_objects(folder: str | PathLike[str]) -> list[str]:
    """Paths of the eBPF objects in `folder` and below, sorted; by content, never by suffix; hard links once."""
    from os import fspath

    from bpfsmith.read._find import find

    return find(fspath(folder))


def is_object(path: str | PathLike[str]) -> bool:
    """Whether the file starts like a relocatable ELF object for BPF; reads 20 bytes, never raises."""
    from os import fspath

    from bpfsmith.read._find import starts_like_object

    return starts_like_object(fspath(path))


make_callable(__name__)
