"""Every refusal of the kernel says what, where and the next step; no command's errno is left bare."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from bpfsmith import kernel
from bpfsmith.kernel import attrs, failures
from bpfsmith.kernel.fake import FakeDoor, installed
from bpfsmith.model import errors

ROOT = {"/proc/self/status": "CapEff:\t000001ffffffffff\nSeccomp:\t0\n", "/proc/self/uid_map": "0 0 4294967295\n"}
NOBODY = {**ROOT, "/proc/self/status": "CapEff:\t0000000000000000\n", "/proc/sys/kernel/perf_event_paranoid": "2\n",
          "/proc/sys/kernel/unprivileged_bpf_disabled": "2\n"}  # fmt: skip


def told(command: str, number: int, where: str = "", files: Any = None, features: Any = None, **fields: Any) -> Any:
    with installed(FakeDoor(files=files or ROOT, features=features)):
        return failures.error(command, number, where, fields)


@pytest.mark.parametrize(
    ("command", "fields", "lacks"),
    [
        ("BPF_MAP_CREATE", {"map_type": 1}, ["CAP_BPF"]),
        ("BPF_MAP_CREATE", {"map_type": 14}, ["CAP_BPF", "CAP_NET_ADMIN"]),
        ("BPF_PROG_LOAD", {"prog_type": 6}, ["CAP_BPF", "CAP_NET_ADMIN"]),
        ("BPF_PROG_LOAD", {"prog_type": 5}, ["CAP_BPF", "CAP_PERFMON"]),
        ("BPF_BTF_LOAD", {}, ["CAP_BPF"]),
        ("BPF_PROG_GET_NEXT_ID", {}, ["CAP_SYS_ADMIN"]),
        ("BPF_LINK_CREATE", {"attach_type": 37}, ["CAP_NET_ADMIN"]),
        ("BPF_LINK_CREATE", {"attach_type": 41}, ["CAP_PERFMON"]),
        ("perf_event_open", {}, ["CAP_PERFMON", "kernel.perf_event_paranoid is 2"]),
        ("netlink", {}, ["CAP_NET_ADMIN"]),
    ],
)
def test_a_missing_right_is_named(command: str, fields: dict[str, int], lacks: list[str]) -> None:
    error = told(command, errno.EPERM, "`it`", NOBODY, **fields)
    assert isinstance(error, errors.PermissionMissing)
    assert error.capability == lacks[0]
    for word in lacks:
        assert word in str(error)
    assert "sudo" in str(error)


def test_the_setting_that_would_allow_it_is_named() -> None:
    assert "unprivileged_bpf_disabled" in str(told("BPF_PROG_LOAD", 1, "p", NOBODY, prog_type=1))
    free = {**NOBODY, "/proc/sys/kernel/unprivileged_bpf_disabled": "0\n"}
    assert "has no CAP" not in str(told("BPF_PROG_LOAD", 1, "p", free, prog_type=1))


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"/sys/kernel/security/lockdown": "none integrity [confidentiality]\n"}, "locked down (confidentiality)"),
        ({"/proc/self/status": "CapEff:\t000001ffffffffff\nSeccomp:\t2\n"}, "seccomp"),
        ({"/proc/self/uid_map": "0 100000 65536\n"}, "user namespace"),
        ({"/sys/kernel/security/lsm": "capability,selinux,bpf\n"}, "selinux"),
    ],
)
def test_with_every_capability_something_else_is_named(files: dict[str, str], word: str) -> None:
    error = told("BPF_PROG_LOAD", errno.EPERM, "program `p`", {**ROOT, **files}, prog_type=6)
    assert isinstance(error, errors.PermissionMissing)
    assert word in str(error)


def test_an_old_kernels_memory_limit() -> None:
    error = told("BPF_MAP_CREATE", errno.EPERM, "map `M`", features={"memcg_account": False}, map_type=2)
    assert "ulimit -l unlimited" in str(error)


@pytest.mark.parametrize(("kind", "word"), [(26, "fentry"), (28, "freplace"), (29, "LSM")])
def test_a_refused_family_says_what_instead(kind: int, word: str) -> None:
    error = told("BPF_PROG_LOAD", errno.EPERM, "program `p`", prog_type=kind)
    assert isinstance(error, errors.Unsupported)
    assert word in str(error)
    assert error.instead


def test_a_kernel_without_it_says_since_when() -> None:
    lacking = {"map_type:arena": False, "program_type:netfilter": False, "attach_type:tcx_ingress": False,
               "command:BPF_TOKEN_CREATE": False}  # fmt: skip
    with installed(FakeDoor(version="5.10.3", files=ROOT, features=lacking)):
        for command, fields, since in (
            ("BPF_MAP_CREATE", {"map_type": 33}, "6.9"),
            ("BPF_PROG_LOAD", {"prog_type": 32}, "6.4"),
            ("BPF_LINK_CREATE", {"attach_type": 46}, "6.6"),
            ("BPF_TOKEN_CREATE", {}, "6.9"),
        ):
            error = failures.error(command, errno.EINVAL, "it", fields)
            assert isinstance(error, errors.Unsupported)
            assert error.since == since
    with installed(FakeDoor(version="6.18.1", files=ROOT, features=lacking)):
        error = failures.error("BPF_MAP_CREATE", errno.EINVAL, "it", {"map_type": 33})
        assert "built without it" in str(error)


@pytest.mark.parametrize(
    ("fields", "number", "word"),
    [
        ({"map_type": 2, "key_size": 8, "value_size": 4, "max_entries": 1}, 22, "keys have 4 bytes, not 8"),
        ({"map_type": 27, "max_entries": 5000}, 22, "power of two"),
        ({"map_type": 11, "key_size": 8, "value_size": 4, "max_entries": 1}, 22, "BPF_F_NO_PREALLOC is required"),
        ({"map_type": 1, "key_size": 4, "value_size": 4, "max_entries": 1, "map_flags": 1 << 10}, 22, "BPF_F_MMAPABLE"),
        ({"map_type": 6, "key_size": 4, "value_size": 65536, "max_entries": 1}, 7, "at most 32768 bytes"),
        ({"map_type": 1, "key_size": 4, "value_size": 1020, "max_entries": 1 << 20}, 12, "1024 MiB"),
    ],
)
def test_what_is_wrong_with_a_map(fields: dict[str, int], number: int, word: str) -> None:
    error = told("BPF_MAP_CREATE", number, "map `M`", **fields)
    assert word in str(error)
    assert "map `M`" in str(error)


def test_places_for_pins() -> None:
    assert "mount -t bpf" in str(told("BPF_OBJ_PIN", 1, "map `M` at `/tmp/x`", pathname="/tmp/x"))
    assert "no dot" in str(told("BPF_OBJ_PIN", 1, "map", pathname="/sys/fs/bpf/a.b"))
    assert isinstance(told("BPF_OBJ_PIN", errno.EEXIST, "map", pathname="/sys/fs/bpf/a"), errors.InputError)
    assert isinstance(told("BPF_OBJ_GET", errno.ENOENT, "`/sys/fs/bpf/a`"), errors.InputError)


def test_what_is_no_pin_is_no_matter_of_rights() -> None:
    """The kernel says EACCES for every file that is not of a bpffs, and for its folders."""
    files = {"/proc/self/mounts": "none /run/web/bpf bpf rw 0 0\n", "/run/web/bpf/folder/pin": ""}
    for path, word in (
        ("/tmp", "not lie in a bpffs"),
        ("/run/web/bpf", "a folder"),
        ("/run/web/bpf/folder", "a folder"),
    ):
        error = told("BPF_OBJ_GET", errno.EACCES, f"`{path}`", files, pathname=path)
        assert type(error) is errors.InputError
        assert word in str(error)
    error = told("BPF_OBJ_GET", errno.EACCES, "`x`", files, pathname="/run/web/bpf/folder/pin")
    assert isinstance(error, errors.PermissionMissing)


@pytest.mark.parametrize(
    ("command", "number", "kind"),
    [
        ("BPF_MAP_UPDATE_ELEM", errno.E2BIG, errors.MapFull),
        ("BPF_MAP_UPDATE_BATCH", errno.ENOSPC, errors.MapFull),
        ("BPF_MAP_LOOKUP_BATCH", 524, errors.Unsupported),
        ("BPF_PROG_TEST_RUN", 524, errors.Unsupported),
        ("BPF_RAW_TRACEPOINT_OPEN", errno.ENOENT, errors.TargetMissing),
        ("BPF_LINK_CREATE", errno.ENODEV, errors.TargetMissing),
        ("BPF_LINK_UPDATE", errno.ENOLINK, errors.TargetGone),
        ("BPF_MAP_LOOKUP_ELEM", errno.EFAULT, errors.ToolError),
        ("BPF_MAP_UPDATE_ELEM", errno.EPERM, errors.KernelError),
        ("BPF_MAP_CREATE", errno.ENOSYS, errors.Unsupported),
    ],
)
def test_the_type_of_the_error(command: str, number: int, kind: type) -> None:
    assert type(told(command, number, "it")) is kind


@pytest.mark.parametrize("command", [name for name, _ in attrs.COMMANDS])
def test_every_command_reads_as_a_sentence(command: str) -> None:
    for number in (*range(1, 40), 95, 116, 524):
        for files in (ROOT, NOBODY):
            error = told(command, number, "map `M`", files)
            text = str(error)
            assert isinstance(error, errors.BpfsmithError)
            assert text[0].islower() or text.startswith("map")
            assert not error.message.endswith(".")
            assert "{}" not in text


def test_call_raises_and_try_call_answers() -> None:
    door = FakeDoor(files=ROOT)
    door.fail("BPF_MAP_FREEZE", errno.EBUSY)
    with installed(door):
        assert kernel.try_call("BPF_MAP_FREEZE", map_fd=3) == -errno.EBUSY
        with pytest.raises(errors.KernelError, match="cannot freeze map `M`"):
            kernel.call("BPF_MAP_FREEZE", "map `M`", map_fd=3)
    assert door.of("BPF_MAP_FREEZE") == [{"map_fd": 3}, {"map_fd": 3}]
