"""Files fetched from an address: resumed where they were left, held against their hash."""

from __future__ import annotations

import os

from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bpfsmith.lab.progress import Progress

__all__ = ["Gone", "Unfit", "fetch_to", "hash_of", "read_all"]

_PIECE = 1 << 18
_TIMEOUT = 30.0  # seconds without a byte


class Gone(EnvironmentMissing):
    """There is no such file at that address."""


class Unfit(EnvironmentMissing):
    """What an address answers is of no use; that of another file may be."""


def hash_of(path: str) -> str:
    """SHA-256 of a file."""
    from hashlib import file_digest

    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def read_all(url: str, limit: int) -> bytes:
    """A small file. `Gone`, or `EnvironmentMissing` when the address does not answer or sends more than `limit`."""
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_TIMEOUT) as answer:
            data: bytes = answer.read(limit + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise _failed(url, error) from None
    if len(data) > limit:
        raise Unfit(f"`{url}` sends more than {limit >> 20} MB", "")
    return data


def _failed(url: str, error: Exception) -> BpfsmithError:
    from urllib.error import HTTPError, URLError

    if isinstance(error, HTTPError) and error.code in (404, 410):
        return Gone(f"there is no `{url}`", "")
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return InputError(f"`{url}` is no address", hint="give one such as `https://HOST/debian` or `file:///FOLDER`")
    reason = error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
    if isinstance(reason, FileNotFoundError) or (isinstance(reason, OSError) and reason.errno == 2):
        return Gone(f"there is no `{url}`", "")
    why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    kind = Unfit if isinstance(error, HTTPError) else EnvironmentMissing
    return kind(f"cannot read `{url}`: {why.lower()}", "")


def fetch_to(
    url: str, path: str, size: int, sha256: str, progress: Progress, what: str,
    transfer: Callable[[str, str, Callable[[int], None]], None] | None = None,
) -> None:  # fmt: skip
    """Makes `path` the file at `url` with that size and hash. What was there of it is kept in `path.part` and resumed.

    `transfer(url, part, told)` brings the bytes into the part (default: urllib); it is called again as long as its
    connection ends early but brought something. A part of several connections that turns out wrong is fetched anew
    once. `Gone`; `EnvironmentMissing` for no network, or bytes that stay wrong."""
    part = f"{path}.part"

    def told(done: int) -> None:
        if done < size:
            progress.amount(what, done, size)

    pieced, anew = os.path.exists(part), False
    while True:
        before = os.path.getsize(part) if os.path.exists(part) else 0
        if not (before == size and hash_of(part) == sha256):
            (transfer or _transfer)(url, part, told)
        got = os.path.getsize(part)
        if got == size and hash_of(part) == sha256:
            progress.amount(what, size, size)
            os.rename(part, path)
            return
        if got < size:
            if got >= before + _PIECE:
                pieced = True
                continue
            # The part stays: the next call goes on with it.
            raise EnvironmentMissing(f"`{url}` ended after {got} of {size} bytes", "", where=what)
        os.unlink(part)
        if anew or not pieced:
            break
        pieced, anew = False, True
    raise EnvironmentMissing(
        f"`{url}` is not what the signed index says (its hash differs); it was thrown away", "", where=what
    )


def _transfer(url: str, part: str, told: Callable[[int], None]) -> None:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    have = os.path.getsize(part) if os.path.exists(part) else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urlopen(request, timeout=_TIMEOUT) as answer:
            partial = answer.status == 206
            if have and not partial and url.startswith("file:"):
                answer.read(have)
                partial = True
            with open(part, "ab" if have and partial else "wb") as out:
                done = have if partial else 0
                while piece := answer.read(_PIECE):
                    out.write(piece)
                    done += len(piece)
                    told(done)
    except HTTPError as error:
        if error.code != 416:  # all of it is here already
            raise _failed(url, error) from None
    except (OSError, HTTPException, ValueError) as error:
        from errno import EDQUOT, ENOSPC

        if getattr(error, "errno", None) in (ENOSPC, EDQUOT):
            from bpfsmith.lab.prepare import no_space

            raise no_space(error, os.path.dirname(part)) from None  # type: ignore[arg-type]
        raise _failed(url, error) from None
