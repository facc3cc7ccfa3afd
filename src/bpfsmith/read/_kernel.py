"""Reads descriptions of kernels."""

from __future__ import annotations

import os

from bpfsmith.model.errors import EnvironmentMissing, InputError
from bpfsmith.model.kernel import Kernel

HOST = "/sys/kernel/btf/vmlinux"


def read_kernel(path: str) -> Kernel:
    """`host`, a raw BTF file or an ELF file with `.BTF`."""
    from bpfsmith._native import Btf, ReadError

    host = path == "host"
    file = HOST if host else path
    if not os.path.exists(file):
        if host:
            raise EnvironmentMissing(
                "the running kernel has no BTF: it was built without CONFIG_DEBUG_INFO_BTF", "", where=HOST
            )
        raise InputError(
            f"no such file `{path}`", where=path, hint="name a raw BTF file, a `vmlinux`, or `host` for this machine"
        )
    if os.path.isdir(file):
        raise InputError(
            f"`{path}` is a folder", where=path, hint="name one file, such as /sys/kernel/btf/vmlinux, or `host`"
        )
    try:
        vmlinux = Btf.open(file)
    except (ReadError, OSError) as error:
        raise _no_types(path, error) from None
    if not host:
        return Kernel(path, vmlinux)
    modules = []
    for name in sorted(os.listdir(os.path.dirname(HOST))):
        if name == "vmlinux":
            continue
        try:
            modules.append((name, Btf.open(os.path.join(os.path.dirname(HOST), name), vmlinux)))
        except (ReadError, OSError):
            continue  # a module unloaded meanwhile, or built against another vmlinux: libbpf skips it too
    return Kernel("host", vmlinux, tuple(modules))


def _no_types(path: str, error: Exception) -> InputError:
    if isinstance(error, OSError):
        return InputError(f"cannot read `{path}`: {error.strerror}", where=path, hint="check the file's permissions")
    message, place, hint = error.args
    spot = f" ({place})" if place and place != path else ""
    return InputError(
        f"cannot read kernel types from `{path}`: {message}{spot}",
        where=path,
        hint=hint or "name a raw BTF file (/sys/kernel/btf/vmlinux) or an ELF file with a `.BTF` section",
    )
