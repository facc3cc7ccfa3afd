"""What an archive offers: the kernels in a Debian `Packages` index, each with the files it is made of.

Three layouts: one `linux-image-RELEASE` (signed, or `-unsigned`), and from 6.19 `linux-binary-RELEASE` (or
`linux-binary-unsigned-RELEASE`) with `linux-modules-RELEASE` and `linux-base-RELEASE`, of which old builds lose the
last two when a new one comes.
"""

from __future__ import annotations

from bpfsmith.lab.kernels.versions import numbers, version_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["File", "Offer", "newest_first", "offers"]

_FIELDS = ("Package", "Version", "Architecture", "Filename", "Size", "SHA256")


class File:
    """One package to be fetched. `alternatives`: others that hold the same, when this one is gone."""

    __slots__ = ("alternatives", "name", "path", "sha256", "size", "version")

    def __init__(self, name: str, version: str, path: str, size: int, sha256: str) -> None:
        self.name = name
        self.version = version
        self.path = path  # below the archive's address
        self.size = size
        self.sha256 = sha256
        self.alternatives: list[File] = []

    @property
    def basename(self) -> str:
        """How it is called on disk; the hash in it keeps two archives' files apart."""
        return f"{self.name}_{self.version}_{self.sha256[:12]}.deb".replace("/", "_").replace(":", "%3a")

    def to_json(self) -> dict[str, Any]:
        """For the index kept on disk."""
        return {
            **{key: getattr(self, key) for key in ("name", "version", "path", "size", "sha256")},
            "alternatives": [one.to_json() for one in self.alternatives],
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> File:
        """The same back."""
        one = cls(told["name"], told["version"], told["path"], told["size"], told["sha256"])
        one.alternatives = [cls.from_json(other) for other in told["alternatives"]]
        return one


class Offer:
    """One build of a kernel: `release` (`6.12.117+deb12-cloud-amd64`), `package` (its version), `flavour` (`cloud`, ""
    for the full one), `suite`, `address` of the archive, `files`."""

    __slots__ = ("address", "files", "flavour", "package", "release", "suite")

    def __init__(self, release: str, package: str, flavour: str, suite: str, address: str) -> None:
        self.release = release
        self.package = package
        self.flavour = flavour
        self.suite = suite
        self.address = address
        self.files: list[File] = []

    @property
    def version(self) -> str:
        """`5.10.262`, of the package's version."""
        return ".".join(map(str, numbers(self.package.rpartition(":")[2])))

    @property
    def series(self) -> str:
        """`5.10`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(one.size for one in self.files)

    @property
    def has_modules(self) -> bool:
        """Whether its modules are offered too."""
        return any(one.name.startswith(("linux-image-", "linux-modules-")) for one in self.files)

    def to_json(self) -> dict[str, Any]:
        """For the index kept on disk."""
        words = ("release", "package", "flavour", "suite", "address")
        return {**{key: getattr(self, key) for key in words}, "files": [one.to_json() for one in self.files]}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Offer:
        """The same back."""
        one = cls(told["release"], told["package"], told["flavour"], told["suite"], told["address"])
        one.files = [File.from_json(other) for other in told["files"]]
        return one

    def __repr__(self) -> str:
        return f"<Offer {self.release} ({self.package}) in {self.suite}>"


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The kernel packages of an index, with the fields above."""
    # Found by its first line: an index has 70,000 paragraphs, and a few hundred are of interest.
    at = 0
    while True:
        at = text.find("Package: linux-", at)
        if at < 0:
            return
        end = text.find("\n\n", at)
        part = text[at : end if end >= 0 else len(text)]
        if at == 0 or text[at - 1] == "\n":
            rows = (line.partition(": ") for line in part.split("\n") if line[:1] != " ")
            yield {key: value.strip() for key, _, value in rows if key in _FIELDS}
        at += len(part)


def _split(package: str, arch: str) -> tuple[str, str, bool] | None:
    """`linux-image-6.1.0-56-cloud-amd64-unsigned` -> (`image`, `6.1.0-56-cloud-amd64`, unsigned)."""
    for kind in ("image", "binary-unsigned", "binary", "modules", "base"):
        prefix = f"linux-{kind}-"
        if package.startswith(prefix):
            release = package.removeprefix(prefix)
            unsigned = kind == "binary-unsigned" or release.endswith("-unsigned")
            release = release.removesuffix("-unsigned")
            if release.endswith(f"-{arch}") and release[:1].isdecimal():
                return kind.partition("-")[0], release, unsigned
    return None


def offers(text: str, arch: str, suite: str, address: str) -> list[Offer]:
    """Every kernel in the text of a `Packages` file. `arch`: Debian's word; flavours are `cloud` and ``, others (`rt`)
    are left out."""
    found: dict[tuple[str, str], dict[str, list[File]]] = {}
    for row in _paragraphs(text):
        split = _split(row.get("Package", ""), arch)
        size = row.get("Size", "")
        if split is None or row.get("Architecture") != arch or not size.isdecimal() or len(row.get("SHA256", "")) != 64:
            continue
        kind, release, unsigned = split
        if ".." in row.get("Filename", "..").split("/"):
            continue
        file = File(row["Package"], row["Version"], row["Filename"], int(size), row["SHA256"].lower())
        kinds = found.setdefault((release, row["Version"]), {})
        kinds.setdefault(kind, []).insert(len(kinds.get(kind, [])) if unsigned else 0, file)
    return [
        offer
        for (release, version), kinds in found.items()
        if (offer := _offer(release, version, kinds, arch, suite, address)) is not None
    ]


def _offer(
    release: str, version: str, kinds: dict[str, list[File]], arch: str, suite: str, address: str
) -> Offer | None:
    middle = release.removesuffix(f"-{arch}")
    flavour = "cloud" if middle.endswith("-cloud") else ""
    # `6.12.117+deb12`, `6.1.0-56`: with another word after them it is another flavour.
    if any(part[:1].isalpha() and part not in ("cloud",) for part in middle.split("-")[1:]):
        return None
    parts = ("binary", "modules", "base") if "binary" in kinds else ("image",)
    if parts[0] not in kinds:
        return None
    offer = Offer(release, version, flavour, suite, address)
    for part in parts:
        files = kinds.get(part)
        if files:
            files[0].alternatives = files[1:]
            offer.files.append(files[0])
    return offer


def newest_first(found: list[Offer], series: str, flavour: str) -> list[Offer]:
    """Those of one series, version or release, in the order in which they are to be tried: the newest first, and of
    equal numbers the one with its modules."""
    fitting = [
        one for one in found
        if (one.flavour == flavour and series in (one.series, one.version)) or series in (one.release, one.package)
    ]  # fmt: skip
    return sorted(fitting, key=lambda one: (numbers(one.version), version_key(one.package)), reverse=True)
