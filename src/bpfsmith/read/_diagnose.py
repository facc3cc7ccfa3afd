"""Says what is wrong with a file that is no readable eBPF object: what, where, next step."""

from __future__ import annotations

import os

from bpfsmith.model.errors import BpfsmithError, InputError, ToolError
from bpfsmith.read._find import elf_kind, first_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith._native import ReadError

_BUILD = (
    "build one with `clang --target=bpf -O2 -g -c`, or with `cargo build --target bpfel-unknown-none` and bpf-linker"
)

# ELF e_machine numbers people meet, include/uapi/linux/elf-em.h and the gABI.
_MACHINES = {
    0: "no machine",
    2: "SPARC",
    3: "x86",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC 64",
    22: "s390",
    40: "ARM",
    43: "SPARC 64",
    62: "x86-64",
    183: "AArch64",
    190: "CUDA",
    224: "AMD GPU",
    243: "RISC-V",
    258: "LoongArch",
}
_KINDS = {2: "an executable", 3: "a shared library or position-independent executable", 4: "a core dump"}

# First bytes of what is often passed by mistake: what it is, and the next step.
_MAGICS: tuple[tuple[bytes, str, str], ...] = (
    (b"!<arch>\n", "an archive (`ar`)", "unpack it with `ar x` and pass the objects in it"),
    (b"!<thin>\n", "a thin archive (`ar`)", "pass the objects it lists (`ar t`)"),
    (b"BC\xc0\xde", "LLVM bitcode", "link it with bpf-linker, or compile it with `llc -march=bpf -filetype=obj`"),
    (b"\xde\xc0\x17\x0b", "wrapped LLVM bitcode", "compile it with `llc -march=bpf -filetype=obj`"),
    (b"\x9f\xeb", "raw BTF, types without programs", "pass it as `--btf`; the programs are in an ELF object"),
    (
        b"\xeb\x9f",
        "raw big-endian BTF, types without programs",
        "pass it as `--btf`; the programs are in an ELF object",
    ),
    (b"\x1f\x8b", "gzip-compressed", "unpack it with `gunzip` first"),
    (b"\xfd7zXZ\x00", "xz-compressed", "unpack it with `unxz` first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "unpack it with `unzstd` first"),
    (b"PK\x03\x04", "a zip file", "unpack it with `unzip` first"),
    (b"MZ", "a Windows program", _BUILD),
    (b"\xcf\xfa\xed\xfe", "a Mach-O file", _BUILD),
    (b"#!/", "a script", _BUILD),
    (b"#! /", "a script", _BUILD),
)
_SOURCES = {
    ".c": "a C source file",
    ".h": "a C header",
    ".rs": "a Rust source file",
    ".py": "a Python source file",
    ".ll": "LLVM assembly",
    ".s": "assembly",
    ".toml": "a TOML file",
}


def input_error(path: str, error: ReadError, head: bytes | None = None) -> BpfsmithError:
    """The error to show for `path`; `head` are its first bytes when there is no such file."""
    message, place, hint = (*error.args, "", "", "")[:3]
    if place == "internal":
        return ToolError(f"reading `{path}` failed: {message}", where=path)
    if head is None:
        missing = _file_error(path)
        if missing is not None:
            return missing
        head = first_bytes(path)
    return _content_error(path, head) or InputError(
        f"cannot read `{path}`: {message}" + (f" ({place})" if place and place != path else ""),
        where=path,
        hint=hint or _next_step(message, place),
    )


def _next_step(message: str, place: str) -> str:
    if "BTF" in place and "not known" in message:
        return (
            "the compiler is newer than this bpfsmith, or the file is damaged: get a newer bpfsmith, or build it again"
        )
    return "the file is damaged or cut short: build it again"


def no_program(path: str) -> InputError:
    """For an object that holds no program: readable, but there is nothing to load."""
    return InputError(
        f"`{path}` holds no eBPF program",
        where=path,
        hint='a program is a function in a section of its own: `SEC("xdp")` in C, `#[xdp]` in Rust with Aya',
    )


def _file_error(path: str) -> InputError | None:  # noqa: PLR0911  # one return per thing that can be wrong
    try:
        status = os.stat(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            if os.path.islink(path):
                gone = f"`{path}` is a symbolic link to `{os.readlink(path)}`, which does not exist"
                return InputError(gone, where=path, hint="name the object itself, or mend the link")
            return InputError(f"no such file `{path}`", where=path, hint=_near(path))
        return InputError(
            f"cannot read `{path}`: {_word(error)}", where=path, hint="check the path and its permissions"
        )
    except ValueError:
        return InputError(f"`{path!r}` is no possible path", where=repr(path), hint="paths hold no zero byte")
    from stat import S_ISDIR, S_ISREG

    if S_ISDIR(status.st_mode):
        return InputError(f"`{path}` is a folder", where=path, hint="name an object in it")
    if not S_ISREG(status.st_mode):
        return InputError(f"`{path}` is no regular file", where=path, hint="pass an eBPF object file")
    if not os.access(path, os.R_OK):
        return InputError(f"cannot read `{path}`: permission denied", where=path, hint=f"allow it: `chmod u+r {path}`")
    if status.st_size == 0:
        return InputError(f"`{path}` is empty", where=path, hint="the build that made it was cut short: build it again")
    return None


def _content_error(path: str, head: bytes) -> InputError | None:
    """What the first bytes tell; `None` when they are those of an eBPF object."""
    if head[:4] == b"\x7fELF":
        return _elf_error(path, head)
    for magic, what, step in _MAGICS:
        if head.startswith(magic):
            return InputError(f"`{path}` is {what}, no eBPF object", where=path, hint=step)
    suffix = os.path.splitext(path)[1].lower()
    if suffix in _SOURCES and b"\0" not in head:
        step = "compile it first with `clang --target=bpf -O2 -g -c`, and name the object"
        if suffix in {".rs", ".toml"}:
            step = "name the folder of its crate: `bpfsmith check DIR` reads the sources of an Aya workspace"
        return InputError(f"`{path}` is {_SOURCES[suffix]}, no eBPF object", where=path, hint=step)
    return InputError(f"`{path}` is not an ELF file", where=path, hint=_BUILD)


def _elf_error(path: str, head: bytes) -> InputError | None:
    if len(head) < 20:
        return InputError(
            f"`{path}` is cut short inside the ELF header", where=path, hint="build it again, or copy the whole file"
        )
    kind, machine = elf_kind(head)
    if machine != 247:
        what = _MACHINES.get(machine)
        named = f"{what} (machine {machine})" if what else f"machine {machine}"
        return InputError(f"`{path}` is an ELF file for {named}, not for BPF (machine 247)", where=path, hint=_BUILD)
    if head[4] != 2:
        return InputError(f"`{path}` is a 32-bit ELF file; eBPF objects are 64-bit", where=path, hint=_BUILD)
    if kind != 1:
        what = _KINDS.get(kind, f"of ELF type {kind}")
        return InputError(
            f"`{path}` is {what}; eBPF objects are relocatable (ELF type 1)",
            where=path,
            hint="pass the compiler's `.o`",
        )
    return None


def _near(path: str) -> str:
    from bpfsmith.model.near import did_you_mean

    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return f"the folder `{folder}` does not exist or cannot be read"
    return did_you_mean(name, names, "name an eBPF object, a folder with some, or for `check` an Aya workspace")


def _word(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
