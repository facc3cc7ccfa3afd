"""Debian's archive through this machine's apt: its mirror, proxies and keys, but lists and cache of our own.

Nothing of the system's apt is written: every folder it writes to is set to one below the lab's, and the hooks of its
configuration are cleared. No root is needed. Signatures are always checked, whatever the configuration says.
"""

from __future__ import annotations

import os

from bpfsmith.lab import store
from bpfsmith.lab.kernels.fetch import Gone
from bpfsmith.lab.kernels.index import offers
from bpfsmith.model.errors import EnvironmentMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from subprocess import Popen
    from typing import Any

    from bpfsmith.lab.kernels.index import File, Offer

__all__ = ["AptArchive"]

_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
# Names under which Debian's archive calls its suites; what an apt configuration has else is not Debian's.
_DEBIAN = {
    "buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid", "experimental", "rc-buggy",
    "oldoldstable", "oldstable", "stable", "testing", "unstable",
}  # fmt: skip
_MIRROR = "bpfsmith lab get --mirror URL --keyring FILE"


class AptArchive:
    """`EnvironmentMissing` when there is no apt, or when its configuration knows no Debian mirror."""

    kind = "apt"

    def __init__(self, arch: str) -> None:
        from shutil import which

        self.arch = arch
        self.unread: dict[str, str] = {}
        self._get = which("apt-get") or ""
        helper = "/usr/lib/apt/apt-helper"
        if not self._get or not os.access(helper, os.X_OK):
            raise EnvironmentMissing(
                "this machine has no apt; kernels can be read from any Debian mirror", _MIRROR, where="lab get"
            )
        self._helper = helper
        self._folder = store.folder("index", "apt")
        self._conf = os.path.join(self._folder, "apt.conf")
        self._main, self._security = self._mirrors()
        self._configure()

    def _mirrors(self) -> tuple[list[str], list[str]]:
        """The addresses of Debian's archive and of its security updates, as the machine's own apt has them. Others call
        their suites `trixie` or `stable` too: the likeliest first, and the signature decides."""
        main: dict[str, int] = {}
        security: dict[str, int] = {}
        # What it would read, also where it never read anything: `'http://HOST/debian/dists/trixie/InRelease' NAME 0`.
        for line in self._run([self._get, "update", "--print-uris"], fail=False).splitlines():
            address, _, rest = line.removeprefix("'").partition("dists/")
            suite = rest.partition("/InRelease'")[0]
            first, _, word = suite.partition("-")
            if first.partition("/")[0] not in _DEBIAN or not rest.startswith(f"{suite}/InRelease'"):
                continue
            kind = security if word == "security" or suite.endswith("/updates") else main
            name = "/debian-security/" if kind is security else "/debian/"
            kind[address] = kind.get(address, 0) + 1 + (word == "updates") + 2 * address.endswith(name)
        if not main and not security:
            raise EnvironmentMissing(
                "this machine's apt knows no mirror of Debian, whose kernels the lab takes; any mirror will do",
                _MIRROR,
                where="lab get",
            )
        mains = sorted(main, key=main.__getitem__, reverse=True)
        securities = sorted(security, key=security.__getitem__, reverse=True)
        mains = mains or [_sibling(one, "debian-security", "debian") for one in securities]
        return mains, securities or [_sibling(one, "debian", "debian-security") for one in mains]

    def _configure(self) -> None:
        for name in ("lists/partial", "cache/archives/partial", "empty", "log"):
            os.makedirs(os.path.join(self._folder, name), exist_ok=True)
        with open(os.path.join(self._folder, "status"), "a", encoding="utf-8"):
            pass
        base = self._folder
        text = [f"#clear APT::Update::{hook};" for hook in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")]
        for key, value in {
            "Dir::Etc::SourceList": f"{base}/sources.list", "Dir::Etc::SourceParts": f"{base}/empty",
            "Dir::Etc::Preferences": f"{base}/none", "Dir::Etc::PreferencesParts": f"{base}/empty",
            "Dir::State": base, "Dir::State::Lists": f"{base}/lists", "Dir::State::status": f"{base}/status",
            "Dir::State::extended_states": f"{base}/extended", "Dir::Cache": f"{base}/cache", "Dir::Log": f"{base}/log",
            "APT::Architecture": self.arch, "APT::Sandbox::User": "" if os.geteuid() else "root",
            "Acquire::Languages": "none", "Acquire::PDiffs": "false", "Acquire::Retries": "2",
            "Acquire::AllowInsecureRepositories": "false", "Acquire::AllowWeakRepositories": "false",
            "Acquire::AllowDowngradeToInsecureRepositories": "false", "APT::Get::AllowUnauthenticated": "false",
            "Acquire::GzipIndexes": "true",
        }.items():  # fmt: skip
            text.append(f'{key} "{value}";')
        text.append(f'#clear APT::Architectures;\nAPT::Architectures {{ "{self.arch}"; }};')
        with open(self._conf, "w", encoding="utf-8") as out:
            out.write("\n".join(text) + "\n")

    def read(self, suites: Sequence[str]) -> dict[str, list[Offer]]:
        """What those suites offer: nothing where the mirror does not have one. Suites that could not be read are not in
        the answer, and why is in `unread`; `EnvironmentMissing` when that are all."""
        found: dict[str, list[Offer]] = {}
        why: dict[str, str] = {}
        with store.locked("apt"):
            for nth in range(max(len(self._main), len(self._security))):
                places = {}
                for suite in suites:
                    known = self._security if suite.endswith("-security") else self._main
                    if suite not in found and nth < len(known):
                        places[suite] = known[nth]
                said = self._update(places, found) if places else ""
                for suite in places:
                    # A mirror that does not have it is no failure; any other reason is kept.
                    if suite not in found and f" {suite} Release' does not have a Release file" not in said:
                        why[suite] = _why(said)
        self.unread |= {suite: text for suite, text in why.items() if suite not in found}
        if all(suite in self.unread for suite in suites):
            text = next(iter(self.unread.values()))
            raise EnvironmentMissing(f"apt could not read {', '.join(suites)}: {text}", "", where="lab get")
        return {**{suite: [] for suite in suites if suite not in self.unread}, **found}

    def _update(self, places: dict[str, str], found: dict[str, list[Offer]]) -> str:
        """Adds what the suites offer that are at these addresses; what apt said."""
        from shutil import rmtree

        key = next((path for path in _KEYRINGS if os.path.exists(path)), "")
        options = f"arch={self.arch} target=Packages" + (f" signed-by={key}" if key else "")
        with open(os.path.join(self._folder, "sources.list"), "w", encoding="utf-8") as out:
            out.writelines(f"deb [{options}] {address} {suite} main\n" for suite, address in places.items())
        said = self._run([self._get, "-c", self._conf, "-q", "update"], fail=False)
        lists = os.path.join(self._folder, "lists")
        for name in sorted(os.listdir(lists)):
            suite = name.partition("_dists_")[2].partition("_main_")[0]
            if "_Packages" in name and suite in places:
                text = _text(os.path.join(lists, name))
                found[suite] = offers(text, self.arch, suite, places[suite])
        rmtree(lists, ignore_errors=True)  # what is of interest is kept by `lab get`
        os.makedirs(os.path.join(lists, "partial"), exist_ok=True)
        return said

    def transfer(self, url: str, part: str, told: Callable[[int], None]) -> None:
        """Brings a file by apt's own methods; what is there of it is resumed."""
        from errno import ENOSPC
        from subprocess import TimeoutExpired

        child = self._start([self._helper, "-c", self._conf, "download-file", url, part])
        try:
            while True:
                try:
                    said = child.communicate(timeout=0.2)[0]
                    break
                except TimeoutExpired:
                    told(os.path.getsize(part) if os.path.exists(part) else 0)
        finally:
            _end(child)
        if child.returncode:
            why = _why(said)
            if "404" in why or "File not found" in why:
                raise Gone(f"there is no `{url}`", "")
            if "No space left" in said:
                raise OSError(ENOSPC, "no space left on device", part)
            raise EnvironmentMissing(f"apt could not fetch `{url}`: {why}", "")

    def url(self, offer: Offer, file: File) -> str:
        """Where a package of an offer is."""
        return f"{offer.address.rstrip('/')}/{file.path}"

    def _start(self, words: list[str]) -> Popen[str]:
        from subprocess import DEVNULL, PIPE, STDOUT, Popen

        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        return Popen(words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True, errors="replace", env=environment)

    def _run(self, words: list[str], *, fail: bool = True) -> str:
        child = self._start(words)
        try:
            said: Any = child.communicate()[0]
        finally:
            _end(child)
        if fail and child.returncode:
            raise EnvironmentMissing(f"`{os.path.basename(words[0])} {words[1]}` failed: {_why(said)}", "")
        return str(said)


def _end(child: Popen[str]) -> None:
    """Ctrl-C: the child goes before we do, with what it has written kept."""
    if child.poll() is None:
        child.terminate()
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _sibling(address: str, old: str, new: str) -> str:
    """`https://HOST/debian/` -> `https://HOST/debian-security/`: where mirrors have it."""
    base = address.rstrip("/")
    return (base.removesuffix(old) + new if base.endswith(f"/{old}") else base) + "/"


def _text(path: str) -> str:
    from bpfsmith._native import Unpacker, compression

    with open(path, "rb") as file:
        kind = compression(file.read(16)) or ""
    return Unpacker(kind, path).read().decode("utf-8", "replace")


def _why(said: str) -> str:
    """The worst that apt complains about, in one line."""
    lines = [line.strip() for start in ("E:", "W:", "Err:") for line in said.splitlines() if line.startswith(start)]
    lines += [line.strip() for line in said.splitlines() if line.strip()][-1:]
    return lines[0].partition(": ")[2] or lines[0] if lines else "it said nothing"
