"""Helper calls of loaded programs: the kernel tells distances between functions, users know names and numbers."""

from __future__ import annotations

from struct import pack, unpack_from
from sys import byteorder

__all__ = ["Calls", "forget_symbols"]

_ORDER = "<" if byteorder == "little" else ">"
_OWN_HELPERS = 1 << 20  # numbers from here on stand for kernel functions that no helper is


class Calls:
    """Helper calls of a loaded program go to addresses; here they get their numbers back."""

    def __init__(self, code: bytearray) -> None:
        self._code = code
        self.functions: dict[int, str] = {}
        self._numbers: dict[str, int] = {}

    def mend(self, at: int) -> None:
        code = self._code
        number = int(unpack_from(f"{_ORDER}i", code, at + 4)[0])
        if 0 < number < 1 << 12 and not code[at + 1]:
            return  # a number already: tail calls
        # Calls of kernel functions (kfuncs) are shown by name like the helpers: what they call is all that is known.
        self.name(at, self._name(number) or "a kernel function")

    def name(self, at: int, name: str) -> None:
        """Makes the call at that offset one of a function by name."""
        self._code[at + 1] = 0
        self._code[at + 2 : at + 4] = bytes(2)
        self._code[at + 4 : at + 8] = pack(f"{_ORDER}i", self._number(name))

    def _number(self, name: str) -> int:
        from bpfsmith.facts import helpers

        if not self._numbers:
            self._numbers = {row.name: row.number for row in helpers.all()}
        known = self._numbers.get(_helper_of(name))
        if known is not None:
            return known
        made = self._numbers[name] = _OWN_HELPERS + len(self.functions)
        self.functions[made] = name
        return made

    @staticmethod
    def _name(distance: int) -> str:
        """The kernel's function that far from where helpers are counted from; "" where addresses are hidden."""
        if distance not in _FUNCTIONS:
            symbols = _kernel_symbols()
            end = symbols.find(b" __bpf_call_base\n")
            line = symbols[symbols.rfind(b"\n", 0, end) + 1 : end] if end >= 0 else b""
            base = int(line.split()[0], 16) if line else 0
            # A search instead of a table of all symbols: a program calls a handful of functions.
            at = symbols.find(b"\n%016x " % ((base + distance) & (1 << 64) - 1)) if base else -1
            _FUNCTIONS[distance] = symbols[at + 1 : at + 200].split(None, 3)[2].decode() if at >= 0 else ""
        return _FUNCTIONS[distance]


_FUNCTIONS: dict[int, str] = {}  # they do not move while the kernel runs


def _kernel_symbols() -> bytes:
    from bpfsmith.kernel import door

    if not _SYMBOLS:
        try:
            _SYMBOLS.append(door().read_bytes("/proc/kallsyms"))
        except OSError:
            _SYMBOLS.append(b"")
    return _SYMBOLS[0]


_SYMBOLS: list[bytes] = []  # 5 MB, kept while one object is made


def forget_symbols() -> None:
    """Lets go of what was read of the kernel's symbols."""
    _SYMBOLS.clear()


# Ends of kernel functions by which a helper is called for some types of maps, and of programs.
_MAP_ENDS = {
    "_map_lookup": "bpf_map_lookup_elem", "_lookup_percpu_elem": "bpf_map_lookup_percpu_elem", "_lookup_elem":
    "bpf_map_lookup_elem", "_update_elem": "bpf_map_update_elem", "_delete_elem": "bpf_map_delete_elem", "_push_elem":
    "bpf_map_push_elem", "_pop_elem": "bpf_map_pop_elem", "_peek_elem": "bpf_map_peek_elem", "_map_redirect":
    "bpf_redirect_map", "_event_output": "bpf_perf_event_output", "_user_rnd_u32": "bpf_get_prandom_u32",
    "_socket_ptr_cookie": "bpf_get_socket_cookie", "_event_output_data": "bpf_perf_event_output",
}  # fmt: skip
_TYPES = (
    "skb_",
    "xdp_",
    "tc_",
    "sk_",
    "sock_addr_",
    "sock_ops_",
    "unlocked_sk_",
    "sk_lookup_",
    "lwt_",
    "msg_",
    "cgroup_",
)
_ENDS = ("_raw_tp", "_tp", "_pe", "_kprobe", "_kprobe_multi", "_uprobe_multi", "_tracing", "_trace", "_cg_sock",
         "_sock_addr", "_sock_ops", "_sock", "_cg_skb", "_sleepable", "_sk_msg", "_sockopt", "_recur")  # fmt: skip


def _helper_of(name: str) -> str:
    """The helper a kernel function is, as its users call it; the name itself when it is none."""
    from bpfsmith.facts import helpers

    tries = [name, *(name.removesuffix(end) for end in _ENDS if name.endswith(end))]
    for kind in _TYPES:
        if name.startswith(f"bpf_{kind}"):
            rest = name.removeprefix(f"bpf_{kind}")
            tries += [f"bpf_{rest}", f"bpf_sk_{rest}"]
    tries.append(f"bpf_{name}")
    for one in tries:
        if (row := helpers.by_name(one)) is not None:
            return row.name
    if "_for_each_" in name:
        return "bpf_for_each_map_elem"
    return next(
        (helper for end, helper in _MAP_ENDS.items() if name.endswith((end, f"{end}_tp", f"{end}_raw_tp"))), name
    )
