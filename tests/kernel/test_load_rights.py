"""Loading with less than root: capabilities one by one, and a BPF token in a user namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bpfsmith import kernel

pytestmark = [pytest.mark.root, pytest.mark.toolchain]

COUNTER = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, __u64); }
    counts SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx) {
    __u32 key = 0; __u64 *value = bpf_map_lookup_elem(&counts, &key);
    if (value) *value += ctx->data_end - ctx->data;
    return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
"""

LOAD = """
import sys, bpfsmith
try:
    with bpfsmith.load(sys.stdin.buffer.read()) as bpf:
        print("loaded", *bpf.programs)
except bpfsmith.BpfsmithError as error:
    print(type(error).__name__, getattr(error, "capability", ""), error)
"""

# Of a process that makes a user namespace of its own: its bpffs, delegated by the one that has the rights.
TOKEN = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
FSOPEN, FSCONFIG, FSMOUNT, SET_STRING, CREATE = 430, 431, 432, 1, 6
NEWUSER, NEWNS = 0x10000000, 0x20000

def system(*words):
    answer = libc.syscall(*words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer

data = sys.stdin.buffer.read()
parent, child = socket.socketpair()
pid = os.fork()
if pid == 0:
    parent.close()
    libc.unshare(NEWUSER | NEWNS)
    child.send(b"in")
    child.recv(1)
    context = system(FSOPEN, b"bpf", 1)
    socket.send_fds(child, [b"x"], [context])
    child.recv(1)
    mount = system(FSMOUNT, context, 1, 0)
    import bpfsmith
    for token in (None, f"/proc/self/fd/{mount}", "/", "/there/is/none"):
        try:
            with bpfsmith.load(data, token=token) as bpf:
                print("loaded", bpf.plan.commands[0].name)
        except bpfsmith.BpfsmithError as error:
            print(type(error).__name__, error)
    sys.stdout.flush()
    os._exit(0)
child.close()
parent.recv(2)
for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
    with open(f"/proc/{pid}/{name}", "w") as file:
        file.write(text)
parent.send(b"1")
_, (context,), _, _ = socket.recv_fds(parent, 1, 1)
for what in (b"cmds", b"maps", b"progs", b"attachs"):
    system(FSCONFIG, context, SET_STRING, b"delegate_" + what, b"any", 0)
system(FSCONFIG, context, CREATE, None, None, 0)
parent.send(b"1")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def run(code: str, data: bytes, *prefix: str) -> list[str]:
    source = str(Path(sys.modules["bpfsmith"].__file__ or "").parents[1])
    words = [*prefix, sys.executable, "-c", code]
    done = subprocess.run(words, input=data, capture_output=True, check=False, env=os.environ | {"PYTHONPATH": source})
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


@pytest.mark.parametrize(
    ("capabilities", "answer"),
    [
        ("", "PermissionMissing CAP_BPF"),
        ("bpf", "PermissionMissing CAP_NET_ADMIN"),
        ("bpf net_admin", "VerifierRejected"),
        ("bpf net_admin perfmon", "loaded count"),
        ("sys_admin", "loaded count"),
    ],
)
def test_capabilities(bpf_object: Callable[..., Path], capabilities: str, answer: str) -> None:
    """What is missing is named; CAP_BPF and its companions are enough without any other right."""
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("no `setpriv` (util-linux)")
    wanted = ",".join(["-all", *(f"+{word}" for word in capabilities.split())])
    # The identity stays root's: this is about capabilities, and files of the test are root's to read.
    prefix = [tool, f"--bounding-set={wanted}", f"--inh-caps={wanted}", "--securebits=+noroot,+no_setuid_fixup"]
    prefix += [f"--ambient-caps={wanted}"] if capabilities else []
    said = run(LOAD, bpf_object(COUNTER).read_bytes(), *prefix)
    assert said[0].startswith(answer)
    if answer == "VerifierRejected":
        assert "without CAP_PERFMON" in said[0]


def test_a_token_lends_rights(bpf_object: Callable[..., Path]) -> None:
    if not kernel.live().probe("command:BPF_TOKEN_CREATE"):
        pytest.skip("kernel: no BPF tokens (Linux 6.9)")
    if os.uname().machine not in ("x86_64", "aarch64"):
        pytest.skip("the numbers of system calls are those of other machines")
    said = run(TOKEN, bpf_object(COUNTER).read_bytes())
    assert said[0].startswith("PermissionMissing")
    assert said[1] == "loaded BPF_TOKEN_CREATE"
    assert said[2].startswith("KernelError cannot create a BPF token")
    assert said[3].startswith("TargetMissing no token can be had")
