"""Which modules a guest needs, with what they depend on, in the order in which they can be loaded."""

from __future__ import annotations

import os

from bpfsmith._native import ReadError, compression, decompress
from bpfsmith.lab.kernels import elf
from bpfsmith.model.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["CHANNEL", "NEEDLESS", "TRAFFIC", "WANTED", "base_name", "closure", "depends", "plain", "stem"]

# Without these there is no talking to a guest.
CHANNEL = ("virtio_pci", "virtio_console")
# Without these there is no classic tc and no pair of interfaces.
TRAFFIC = ("veth", "sch_ingress", "cls_bpf")
# What programs are attached to, what they are run by, and whose kfuncs and types they use; the rest is left out.
WANTED: tuple[str, ...] = (
    *CHANNEL, "virtio_mmio", "virtio_net", *TRAFFIC, "act_bpf", "dummy", "tun", "ifb", "netkit", "bridge", "macvlan",
    "ipvlan", "vrf", "vxlan", "geneve", "ip_gre", "ip6_gre", "sit", "ipip", "ip6_tunnel", "fou", "xfrm_interface",
    "nf_conntrack", "nf_nat", "nf_flow_table", "xt_bpf", "act_mirred", "cls_u32", "cls_matchall", "sch_fq", "sch_htb",
    "tcp_bbr", "tcp_dctcp", "tcp_diag", "udp_diag", "tls", "af_packet", "unix", "ipv6", "overlay", "fuse", "rc_core",
    "bpf_crypto_skcipher", "vsock", "vsock_loopback", "seg6_local", "netdevsim",
)  # fmt: skip
# Folders below `kernel/` that are large and that nothing above ever needed; read only when a dependency says so.
NEEDLESS: tuple[str, ...] = (
    "sound/", "drivers/gpu/", "drivers/infiniband/", "drivers/net/wireless/", "drivers/net/ethernet/", "drivers/scsi/",
    "drivers/staging/", "drivers/usb/", "drivers/media/usb/", "drivers/media/pci/", "drivers/media/dvb-frontends/",
    "drivers/media/tuners/", "drivers/media/i2c/", "drivers/iio/", "drivers/hwmon/", "drivers/input/", "drivers/ata/",
    "drivers/mtd/", "drivers/md/", "drivers/video/", "drivers/hwtracing/", "drivers/isdn/", "drivers/bluetooth/",
    "drivers/platform/", "drivers/power/", "drivers/mfd/", "drivers/regulator/", "drivers/comedi/", "drivers/accel/",
    "fs/xfs/", "fs/btrfs/", "fs/ocfs2/", "fs/gfs2/", "fs/nfs/", "fs/nfsd/", "fs/cifs/", "fs/smb/", "fs/ceph/",
    "fs/f2fs/", "fs/bcachefs/", "fs/jfs/", "fs/reiserfs/", "fs/ntfs3/",
)  # fmt: skip
# A module unpacked; amdgpu with everything in it has 30 MB.
_LIMIT = 256 << 20


def stem(path: str) -> str:
    """`kernel/net/sched/sch-ingress.ko.xz` -> `sch_ingress`: as lsmod says."""
    return base_name(path).replace("-", "_")


def base_name(path: str) -> str:
    """The file's name up to `.ko`."""
    return os.path.basename(path).partition(".ko")[0]


def plain(data: bytes, where: str) -> bytes:
    """A module as an ELF file: `.ko`, `.ko.xz`, `.ko.zst`, `.ko.gz`. `InputError` when it cannot be unpacked."""
    if data[:4] == b"\x7fELF":
        return data
    try:
        return decompress(compression(data) or "gzip", data, _LIMIT)
    except ReadError as error:
        raise InputError(f"cannot read the module `{where}`: {error.args[0]}", where=where) from None


def depends(module: bytes) -> list[str]:
    """What `modinfo -F depends` says, as lsmod spells it."""
    for line in _modinfo(module):
        if line.startswith(b"depends="):
            return [name.decode("ascii", "replace").replace("-", "_") for name in line[8:].split(b",") if name]
    return []


def vermagic(module: bytes) -> str:
    """The release it was built for."""
    for line in _modinfo(module):
        if line.startswith(b"vermagic="):
            return line[9:].split(b" ")[0].decode("ascii", "replace")
    return ""


def _modinfo(module: bytes) -> Iterator[bytes]:
    yield from (elf.section(module, ".modinfo") or b"").split(b"\0")


def closure(
    wanted: Iterable[str], paths: dict[str, str], read: Callable[[str], bytes]
) -> tuple[list[tuple[str, bytes]], list[str]]:
    """((name, ELF file) in load order, names some of them depend on that are not among `paths`).

    `paths`: name as of lsmod -> file; `read` gives a file's bytes. A module whose dependency is missing is left out."""
    order: dict[str, bytes] = {}
    state: dict[str, bool] = {}  # can be loaded, once known
    missing: list[str] = []
    for first in wanted:
        # (name, its dependencies looked at already): a chain of modules may be longer than Python's stack.
        todo = [(first, False)]
        content: dict[str, tuple[bytes, list[str]]] = {}
        while todo:
            name, seen = todo.pop()
            if name in state:
                continue
            if name not in paths:
                state[name] = False
                continue
            if not seen:
                if name in content:
                    continue  # a circle: the kernel would not load it
                data = plain(read(paths[name]), paths[name])
                content[name] = (data, depends(data))
                todo.append((name, True))
                todo.extend((one, False) for one in reversed(content[name][1]))
                continue
            data, needs = content[name]
            absent = [one for one in needs if one not in paths]
            missing.extend(one for one in absent if one not in missing)
            state[name] = all(state.get(one, False) for one in needs)
            if state[name]:
                order[name] = data
    return list(order.items()), missing
