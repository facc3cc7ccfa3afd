"""Replaces a file so that nobody ever sees half of it, or says why it must not be replaced."""

from __future__ import annotations

import os
from contextlib import suppress
from stat import S_IMODE, S_ISREG

from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["changed_meanwhile", "refusal", "replace_file"]


def refusal(path: str, real: str, roots: Collection[str]) -> InputError | None:
    """Why a file is not to be edited; None when it may be."""
    inside = any(real.startswith(os.path.join(os.path.realpath(root), "")) for root in roots)
    if not inside:
        linked = os.path.normpath(os.path.abspath(path)) != real
        hint = f"it is a link to `{real}`; mend it there" if linked else "give the folder of that project"
        return InputError("not mended: it lies outside the project", where=path, hint=hint)
    try:
        state = os.stat(real)
    except OSError as error:
        return InputError(f"not mended: {_said(error)}", where=path)
    if not S_ISREG(state.st_mode):
        return InputError("not mended: it is no regular file", where=path)
    # Root may write everything; that somebody took the permission away is a word to be heard all the same.
    if not state.st_mode & 0o222 or not os.access(real, os.W_OK):
        return InputError("not mended: the file is read-only", where=path, hint=f"`chmod u+w {path}`, then again")
    folder = os.path.dirname(real)
    if not os.access(folder, os.W_OK | os.X_OK):
        return InputError(
            "not mended: its folder is read-only", where=path, hint="files are replaced as a whole; `chmod u+w` it"
        )
    return None


def changed_meanwhile(path: str, expected: bytes) -> InputError | None:
    """Whether the file is no longer what was checked."""
    try:
        with open(path, "rb") as file:
            same = file.read(len(expected) + 1) == expected
    except OSError as error:
        return InputError(f"not mended: {_said(error)}", where=path)
    if same:
        return None
    return InputError("not mended: the file has changed since it was read", where=path, hint="run it again")


def replace_file(path: str, real: str, old: bytes, new: bytes) -> None:
    """Writes beside the file and renames: permissions, owner and extended attributes are the old ones.

    `InputError` when that cannot be; then nothing has changed.
    """
    folder, name = os.path.split(real)
    beside = os.path.join(folder, f".{name}.{os.getpid():x}{os.urandom(4).hex()}")
    try:
        state = os.stat(real)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InputError(f"not mended: {_said(error)}", where=path) from error
    try:
        with open(handle, "wb") as file:
            file.write(new)
            own = os.fstat(handle)
            if (own.st_uid, own.st_gid) != (state.st_uid, state.st_gid):
                os.fchown(handle, state.st_uid, state.st_gid)
            os.fchmod(handle, S_IMODE(state.st_mode))
            _attributes(real, handle)
            file.flush()
            os.fsync(handle)
        if (changed := changed_meanwhile(path, old)) is not None:
            raise changed  # noqa: TRY301 - what lies beside is removed below
        os.rename(beside, real)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(beside)
        if isinstance(error, PermissionError):
            raise InputError(
                "not mended: the file belongs to somebody else, and would not any more", where=path
            ) from error
        if isinstance(error, OSError):
            raise InputError(f"not mended: {_said(error)}", where=path) from error
        raise


def _attributes(real: str, handle: int) -> None:
    """Extended attributes (access control lists are some), as far as they may be copied."""
    with suppress(OSError):
        for name in os.listxattr(real):
            os.setxattr(handle, name, os.getxattr(real, name))


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
