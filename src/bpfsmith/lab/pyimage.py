"""What the second image adds to the base image: busybox, the Python that runs now, bpfsmith itself and a few tools of
this machine, as an archive that is unpacked after the base image's.

    files = pyimage.collect()      # path in the guest -> (mode, contents); deterministic for the same files
    pyimage.key()                  # changes when any file that goes in changes

Python comes as one stored zip of unchecked byte code (nothing is decompressed, checked or compiled in the guest), its
extension modules and the libraries they need. bpfsmith stands beside the standard library, so that `-S`, `-I` and an
empty environment find it too. `bpftool`, `ip`, `tc`, `setpriv`, `ping`, `strace` and `bash` go in where this machine
has them.
"""

from __future__ import annotations

import os
import sys

from bpfsmith.model.errors import EnvironmentMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Files = dict[str, tuple[int, bytes]]

__all__ = ["ENVIRONMENT", "build", "collect", "key"]

FILE, PROGRAM, LINK = 0o100644, 0o100755, 0o120777
VERSION = 2  # of this recipe: part of the key
# Programs of this machine that are taken along where they are found.
# The shells too: that of busybox prefers its own programs to those in PATH.
EXTRAS = ("sh", "bash", "bpftool", "ip", "tc", "setpriv", "ping", "strace", "taskset")
# Not for a machine without a screen, a network of its own or a package manager; tests of Python itself.
WITHOUT = frozenset({
    "__pycache__", "dist-packages", "site-packages", "lib-dynload", "test", "tests", "idlelib", "tkinter", "lib2to3",
    "ensurepip", "turtledemo", "pydoc_data", "venv", "curses", "dbm", "wsgiref", "xmlrpc", "sqlite3", "distutils",
})  # fmt: skip
# Extension modules left out: those that need big libraries, and those nobody asks for here.
HEAVY = (
    "_ssl", "_hashlib", "_sqlite3", "_tkinter", "_curses", "_codecs_", "_dbm", "_gdbm", "readline", "nis", "_nis",
    "_crypt", "ossaudiodev", "audioop", "xx", "_xx", "_test", "_ctypes_test", "_lsprof", "_uuid", "spwd",
)  # fmt: skip
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def collect() -> Files:
    """Everything the image adds. Needs a static or dynamic `busybox` (`EnvironmentMissing` says how to get it)."""
    from bpfsmith.lab.shared import closure, trimmed

    files: Files = {}
    programs = {"/bin/busybox": _busybox(), **{f"/usr/bin/{name}": path for name, path in _extras().items()}}
    python = _interpreter()
    home = _home()
    modules = dict(_extensions())
    native = next(path for name, path in _package_files().items() if name.endswith(".so"))
    found = closure([*programs.values(), python, *modules.values(), native])
    for place, path in {**programs, home["python"]: python}.items():
        files[place] = (PROGRAM, _read(path))
    for name, path in modules.items():
        files[f"{home['dynload']}/{name}"] = (PROGRAM, trimmed(_read(path)))
    for name, path in found.libraries.items():
        files[f"{found.folder}/{name}"] = (PROGRAM, trimmed(_read(path)))
    for loader in found.loaders:
        files[loader] = (PROGRAM, _read(loader))
    files[home["zip"]] = (FILE, _standard_library())
    files[f"{home['stdlib']}/os.py"] = (FILE, b"")  # what Python knows its home by
    for name, path in _package_files().items():
        place = f"{home['stdlib']}/bpfsmith/{name}"
        data = _read(path)
        files[place] = (PROGRAM if name.endswith(".so") else FILE, data)
        if name.endswith(".py"):
            folder, _, stem = place[:-3].rpartition("/")
            files[f"{folder}/__pycache__/{stem}.{sys.implementation.cache_tag}.pyc"] = (FILE, byte_code(data, place))
    for place in ("/usr/bin/python3", "/usr/bin/python"):
        files[place] = (LINK, home["python"].encode())
    files["/usr/bin/bpfsmith"] = (
        PROGRAM,
        f"#!{home['python']} -S\nimport sys\nfrom bpfsmith.cli import main\nsys.exit(main())\n".encode(),
    )
    if "/usr/bin/sh" in files:
        files["/bin/sh"] = (LINK, b"/usr/bin/sh")
    for applet in _applets(files):
        files[applet] = (LINK, b"/bin/busybox")
    files["/etc/passwd"] = (FILE, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    files["/etc/group"] = (FILE, b"root:x:0:\nnogroup:x:65534:\n")
    files["/etc/hosts"] = (FILE, b"127.0.0.1 localhost\n::1 localhost\n")
    files["/etc/profile"] = (FILE, PROFILE.encode())
    files["/etc/bpfsmith-guest"] = (FILE, b"a guest of bpfsmith's lab\n")  # `doctor` leaves the lab out by it
    files["/usr/bin/peer"] = (PROGRAM, IN_PEER)
    return dict(sorted(files.items()))


# A shell between them: what busybox starts is its own program where it has one of that name.
IN_PEER = b"""#!/bin/sh
exec /bin/busybox nsenter --net=/run/netns/peer -- /bin/sh -c 'exec "$0" "$@"' "$@"
"""
PROFILE = """\
# What `bpfsmith lab shell` reads.
export PS1='\\u@\\h:\\w\\$ '
alias ll='ls -l'
alias prog='bpfsmith ps'
alias log='cat /sys/kernel/tracing/trace_pipe'
"""


def key() -> str:
    """What the image depends on, as text: paths, sizes and times of its parts, the running Python, this recipe."""
    import hashlib

    digest = hashlib.sha256(f"{VERSION}\0{sys.version}\0{sys.implementation.cache_tag}".encode())
    sources = [_interpreter(), _busybox(), *_extras().values(), *dict(_extensions()).values()]
    sources += _package_files().values()
    sources += [os.path.join(folder, name) for folder, name in _sources(_stdlib())]
    for path in sources:
        try:
            told = os.stat(path)
        except PermissionError:
            raise _unreadable(path) from None
        digest.update(f"{path}\0{told.st_size}\0{told.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


# ------------------------------------------------------------ programs of this machine


def _busybox() -> str:
    found = _which("busybox") or _which("busybox.static") or _which("busybox-static")
    if found is None:
        raise EnvironmentMissing(
            "the lab's tools image needs `busybox`, which is not installed", _package("busybox", "busybox-static")
        )
    return found


def _package(plain: str, debian: str) -> str:
    for tool, words in (("apt-get", debian), ("dnf", plain), ("zypper", plain), ("pacman", plain), ("apk", plain)):
        if _which(tool):
            verb = {"pacman": "-S", "apk": "add"}.get(tool, "install")
            return f"sudo {tool} {verb} {words}"
    return f"sudo apt-get install {debian}"


def _which(name: str) -> str | None:
    for folder in (*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin", "/sbin", "/usr/bin", "/bin"):
        path = f"{folder}/{name}"
        if folder.startswith("/") and os.access(path, os.X_OK) and os.path.isfile(path):
            return os.path.realpath(path)
    return None


def _extras() -> dict[str, str]:
    """name -> path of the executables among `EXTRAS` that are here; those that are busybox's or scripts are not."""
    found = {}
    for name in EXTRAS:
        path = _which(name)
        if path is None or "busybox" in os.path.basename(path):
            continue
        with open(path, "rb") as file:
            if file.read(4) == b"\x7fELF":
                found[name] = path
    return found


# Where busybox's programs are linked; it runs any of them as `busybox NAME` too.
APPLETS = """
sh ash mount umount cat echo ls mkdir rmdir rm cp mv ln touch chmod chown poweroff reboot insmod rmmod lsmod modprobe
sleep wc stat uname head tail grep egrep fgrep sed awk cut sort uniq tr tee xargs find dmesg stty ps kill killall
pidof top free df du dd od hexdump xxd env printenv pwd id hostname date time true false test expr seq yes basename
dirname readlink realpath ping ping6 ifconfig route arp netstat nc wget telnet ip tc brctl nslookup unshare nsenter
setsid chroot timeout watch less more vi tar gzip gunzip zcat unzip sha256sum md5sum clear reset which who nproc
uptime sysctl taskset nice renice nohup mktemp sync strings diff cmp patch
""".split()  # noqa: SIM905 - a list of words reads as one


def _applets(files: Files) -> Iterator[str]:
    for name in APPLETS:
        if f"/usr/bin/{name}" not in files:
            yield f"/bin/{name}"


# ------------------------------------------------------------ Python


def _interpreter() -> str:
    """The executable of the Python that runs now: behind virtual environments and wrappers."""
    path = os.path.realpath("/proc/self/exe")
    name = os.path.basename(path)
    if not name.startswith("python"):  # Python inside another program
        path = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    try:
        with open(path, "rb") as file:
            head = file.read(4)
    except PermissionError:
        raise _unreadable(path) from None
    if head != b"\x7fELF":
        raise EnvironmentMissing(f"`{path}` is no executable of Python's that a guest could run", "", path)
    return path


def _home() -> dict[str, str]:
    """Where the parts of Python are in the guest: under /usr, as its start-up looks for them."""
    major, minor = sys.version_info[:2]
    library = getattr(sys, "platlibdir", "lib") or "lib"
    return {
        "python": f"/usr/bin/python{major}.{minor}",
        "zip": f"/usr/{library}/python{major}{minor}.zip",
        "stdlib": f"/usr/{library}/python{major}.{minor}",
        "dynload": f"/usr/{library}/python{major}.{minor}/lib-dynload",
    }


def _stdlib() -> str:
    return os.path.dirname(os.__file__)


def _extensions() -> Iterator[tuple[str, str]]:
    """(file name, path) of the extension modules of the standard library that a guest needs."""
    for folder in dict.fromkeys(
        (f"{_stdlib()}/lib-dynload", *(one for one in sys.path if one.endswith("lib-dynload")))
    ):
        if os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                if name.endswith(".so") and not name.startswith(HEAVY):
                    yield name, f"{folder}/{name}"
            return


def _sources(root: str) -> Iterator[tuple[str, str]]:
    """(folder, name) of the modules that go into the zip, sorted."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(one for one in folders if one not in WITHOUT and not one.startswith("config-"))
        yield from ((folder, name) for name in sorted(names) if name.endswith(".py"))


def _standard_library() -> bytes:
    """The standard library as a stored zip of byte code."""
    from io import BytesIO
    from zipfile import ZIP_STORED, ZipFile, ZipInfo

    root = _stdlib()
    out = BytesIO()
    with ZipFile(out, "w", ZIP_STORED) as archive:
        for folder, name in _sources(root):
            path = os.path.join(folder, name)
            try:
                code = _kept(path) or byte_code(_read(path), path)
            except (SyntaxError, ValueError, OSError):
                continue  # a template, not a module
            # A fixed time: the same files make the same image.
            archive.writestr(ZipInfo(f"{os.path.relpath(path, root)}c", (1980, 1, 1, 0, 0, 0)), code)
    return out.getvalue()


def _kept(path: str) -> bytes | None:
    """The byte code Python keeps of a module where it is up to date, unchecked; compiling all of it takes seconds."""
    from importlib.util import MAGIC_NUMBER, cache_from_source

    try:
        data = _read(cache_from_source(path))
        told = os.stat(path)
    except (OSError, NotImplementedError):  # the latter is importlib's word for a Python that keeps no byte code
        return None
    wanted = MAGIC_NUMBER + bytes(4) + (int(told.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
    if data[:16] != wanted + (told.st_size & 0xFFFFFFFF).to_bytes(4, "little"):
        return None
    return MAGIC_NUMBER + b"\1\0\0\0" + bytes(8) + data[16:]


def byte_code(source: bytes, path: str) -> bytes:
    """The byte code of a module as an unchecked hash-based .pyc: nothing is looked at when it is imported."""
    from importlib.util import MAGIC_NUMBER, source_hash
    from marshal import dumps

    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    return MAGIC_NUMBER + b"\1\0\0\0" + source_hash(source) + dumps(code)


def _package_files() -> dict[str, str]:
    """Name below the package -> path, of the bpfsmith that runs now: installed or a source tree."""
    import bpfsmith

    root = os.path.dirname(os.path.realpath(bpfsmith.__file__ or ""))
    found = {}
    for folder, folders, names in os.walk(root):
        # The guest's own agent is in the base image; folders of tools that run beside come and go.
        folders[:] = sorted(one for one in folders if one not in ("__pycache__", "_agent") and one[0] != ".")
        for name in sorted(names):
            if name.endswith((".pyi", ".pyc")):
                continue
            if name.endswith(".so") and (folder != root or not name.startswith("_native.")):
                continue
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = path
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except PermissionError:
        raise _unreadable(path) from None


def _unreadable(path: str) -> EnvironmentMissing:
    """A Python in somebody's home runs for others too where its folder may be entered only."""
    return EnvironmentMissing(
        f"Python of this machine cannot be read by this user: `{path}`, and guests get a copy",
        _GIVE_WAY,
    )


_GIVE_WAY = "/usr/bin/python3 -m venv ~/.venv && ~/.venv/bin/pip install bpfsmith"


def build(report: Callable[[str], None] = lambda _: None) -> bytes:
    """The archive: unpacked by the kernel after the base image's."""
    from bpfsmith.lab.cpio import archive

    report("packing Python, bpfsmith and tools for the guest")
    return archive(collect())
