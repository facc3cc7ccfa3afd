"""Debian's archive on any mirror, without apt: its index verified by gpgv, read by our own code."""

from __future__ import annotations

import os

from bpfsmith._native import ReadError, compression, decompress
from bpfsmith.lab.kernels.fetch import Gone, Unfit, _transfer, read_all
from bpfsmith.lab.kernels.index import offers
from bpfsmith.model.errors import EnvironmentMissing, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bpfsmith.lab.kernels.index import File, Offer

__all__ = ["MirrorArchive", "release_fields", "verified"]

# An InRelease has 300 KB, the Packages of a whole suite unpacked 60 MB.
_RELEASE, _PACKAGES = 8 << 20, 512 << 20


class MirrorArchive:
    """Archives at `addresses` (the folder that holds `dists`; security updates usually have one of their own), signed
    by a key in the file `keyring`. A suite is taken from the first address that has it."""

    kind = "mirror"

    def __init__(self, arch: str, addresses: Sequence[str], keyring: str) -> None:
        if not keyring:
            raise InputError(
                "`--mirror` needs `--keyring FILE`: the index is verified",
                hint="Debian's is /usr/share/keyrings/debian-archive-keyring.gpg of the package debian-archive-keyring",
            )
        if not os.path.isfile(keyring):
            raise InputError(f"no such keyring `{keyring}`", where=keyring)
        self.arch = arch
        self.unread: dict[str, str] = {}
        self.keyring = os.path.abspath(keyring)
        self.addresses: list[str] = []
        for address in addresses:
            base = address.rstrip("/")
            self.addresses.append(base)
            if base.endswith("/debian"):
                self.addresses.append(base + "-security")

    def read(self, suites: Sequence[str]) -> dict[str, list[Offer]]:
        """What those suites offer; a suite no address has is not in the answer. Nor is one whose index an address does
        not give out, that is not signed by those keys, too old, or not what its signed list says: why is in `unread`.
        `EnvironmentMissing` when an address does not answer at all."""
        found: dict[str, list[Offer]] = {}
        for suite in suites:
            self.unread.pop(suite, None)
            for address in self.addresses:
                try:
                    found[suite] = self._suite(address, suite)
                except Gone:
                    continue
                except Unfit as error:
                    self.unread.setdefault(suite, error.args[0])
                    continue
                self.unread.pop(suite, None)
                break
        return found

    def _suite(self, address: str, suite: str) -> list[Offer]:
        from hashlib import sha256

        url = f"{address}/dists/{suite}"
        fields, sums = release_fields(
            verified(read_all(f"{url}/InRelease", _RELEASE), self.keyring, f"{url}/InRelease")
        )
        if suite not in (fields.get("Codename"), fields.get("Suite")) and not suite.startswith(
            f"{fields.get('Codename', '?')}-"
        ):
            raise Unfit(f"`{url}` calls itself {fields.get('Codename') or 'nothing'}, not {suite}", "")
        if "Valid-Until" in fields:
            _in_time(fields["Valid-Until"], f"{url}/InRelease")
        for suffix in (".xz", ".gz", ""):
            name = f"main/binary-{self.arch}/Packages{suffix}"
            if name not in sums:
                continue
            digest, size = sums[name]
            data = self._index(url, name, digest, size, fields.get("Acquire-By-Hash") == "yes")
            if sha256(data).hexdigest() != digest:
                raise Unfit(f"`{url}/{name}` is not what the signed index says (its hash differs)", "")
            return offers(_text(data, f"{url}/{name}"), self.arch, suite, address)
        return []

    def _index(self, url: str, name: str, digest: str, size: int, by_hash: bool) -> bytes:
        limit = min(size, _PACKAGES)
        if by_hash:
            # While a mirror is updated, the plain name may already be the next one's.
            try:
                return read_all(f"{url}/{os.path.dirname(name)}/by-hash/SHA256/{digest}", limit)
            except Gone:
                pass
        return read_all(f"{url}/{name}", limit)

    def url(self, offer: Offer, file: File) -> str:
        """Where a package of an offer is."""
        return f"{offer.address}/{file.path}"

    def transfer(self, url: str, part: str, told: Callable[[int], None]) -> None:
        """Brings a file by urllib, which obeys `http_proxy` and the like."""
        _transfer(url, part, told)


def _text(data: bytes, where: str) -> str:
    kind = compression(data)
    try:
        return (decompress(kind, data, _PACKAGES) if kind else data).decode("utf-8", "replace")
    except ReadError as error:
        raise Unfit(f"cannot read `{where}`: {error.args[0]}", "") from None


def _in_time(until: str, where: str) -> None:
    """Refuses an index past its date: one replayed would offer for ever what has known faults."""
    from email.utils import mktime_tz, parsedate_tz
    from time import time

    parts = parsedate_tz(until)
    try:
        end = None if parts is None else mktime_tz(parts)
    except (ValueError, OverflowError):
        end = None
    if end is None:
        raise Unfit(f"`{where}` does not say until when it is good: `{until}`", "", where=where)
    if end < time():
        raise Unfit(
            f"`{where}` was good until {until}: the mirror is out of date, or the clock of this machine is wrong",
            "", where=where,
        )  # fmt: skip


def verified(signed: bytes, keyring: str, where: str) -> str:
    """The text that was signed, as gpgv gives it back. `EnvironmentMissing` without gpgv, and when no key of `keyring`
    made a good signature."""
    from subprocess import run
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="bpfsmith-") as folder:
        message, out = os.path.join(folder, "InRelease"), os.path.join(folder, "Release")
        with open(message, "wb") as file:
            file.write(signed)
        keys = _binary_keys(keyring, folder)
        words = ["gpgv", "--status-fd", "1", "--homedir", folder, "--keyring", keys, "--output", out, message]
        try:
            done = run(words, capture_output=True, timeout=60, check=False)
        except FileNotFoundError:
            raise EnvironmentMissing("no `gpgv` to verify the index with", "apt-get install gpgv") from None
        status = done.stdout.decode("utf-8", "replace").split("\n")
        if done.returncode or not any(line.startswith("[GNUPG:] VALIDSIG ") for line in status):
            said = [line for line in done.stderr.decode("utf-8", "replace").split("\n") if line.startswith("gpgv:")]
            why = said[-1].removeprefix("gpgv: ").strip() if said else "no good signature"
            raise Unfit(f"`{where}` is not signed by a key of `{keyring}`: {why}", "", where=where)
        with open(out, encoding="utf-8", errors="replace") as text:
            return text.read()


def _binary_keys(keyring: str, folder: str) -> str:
    """gpgv takes no armoured keys (`.asc`)."""
    with open(keyring, "rb") as file:
        data = file.read()
    if not data.lstrip().startswith(b"-----BEGIN PGP"):
        return keyring
    from base64 import b64decode

    lines = data.decode("ascii", "replace").splitlines()
    blocks: list[str] = []
    inside = False
    for line in lines:
        if line.startswith("-----"):
            inside = False
        elif not line.strip():
            inside = True  # after the header's empty line
        elif inside and not line.startswith("="):
            blocks.append(line)
    path = os.path.join(folder, "keys.gpg")
    try:
        with open(path, "wb") as out:
            out.write(b64decode("".join(blocks)))
    except ValueError:
        raise InputError(f"the keyring `{keyring}` is damaged", where=keyring) from None
    return path


def release_fields(text: str) -> tuple[dict[str, str], dict[str, tuple[str, int]]]:
    """The fields of a Release file, and path -> (SHA-256, size) of its files."""
    fields: dict[str, str] = {}
    sums: dict[str, tuple[str, int]] = {}
    field = ""
    for line in text.split("\n"):
        if line[:1] == " ":
            words = line.split()
            if field == "SHA256" and len(words) == 3 and words[1].isdecimal():
                sums[words[2]] = (words[0].lower(), int(words[1]))
        else:
            field, _, value = line.partition(":")
            fields[field] = value.strip()
    return fields, sums
