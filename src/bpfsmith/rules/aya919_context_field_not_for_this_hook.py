"""A context field is used that the kernel does not give to this kind of program.

## What it does
Looks up the fields of `bpf_sock_addr`, `__sk_buff`, `bpf_sock`, `bpf_sock_ops`, `sk_msg_md` and `bpf_sk_lookup` that
a program (or a function that only such programs call) reads and writes, and whether the verifier allows that for the
program type and the attach type in the attribute (`#[cgroup_sock_addr(connect4)]`).

## Why is this bad
One structure serves many hooks, and each has its own fields: `user_ip6` only where the address is IPv6, `msg_src_ip4`
only in `sendmsg4`, `remote_ip4` of a socket buffer not for classifiers. The compiler sees a struct with all of them;
the verifier refuses the program: "invalid bpf_context access".

## Example
```rust
#[cgroup_sock_addr(connect4)]
pub fn connect(ctx: SockAddrContext) -> i32 {
    (unsafe { (*ctx.sock_addr).user_ip6[3] } != 0) as i32
}
```

## Use instead
```rust
#[cgroup_sock_addr(connect6)]
pub fn connect(ctx: SockAddrContext) -> i32 {
    (unsafe { (*ctx.sock_addr).user_ip6[3] } != 0) as i32
}
```

## Fix
Display: where the field can be used.

## Kernels
As `bpfsmith facts` has them: tried on each kernel, not read from documentation.

## Source
Linux, `net/core/filter.c`: `sock_addr_is_valid_access`, `tc_cls_act_is_valid_access` and their kin.
"""

from __future__ import annotations

from functools import cache

from bpfsmith.facts import contexts
from bpfsmith.model.finding import Fix
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._meaning import crate_programs
from bpfsmith.rules._rust import covered, kernel_files
from bpfsmith.source._typed import typed
from bpfsmith.source.calls import graph
from bpfsmith.source.wire import CONTEXT_METHODS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.facts.contexts import Field
    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.calls import Program
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, SourceFile

_STRUCTURES = frozenset({"bpf_sock_addr", "__sk_buff", "bpf_sock", "bpf_sock_ops", "sk_msg_md", "bpf_sk_lookup"})
# Aya's macro -> the kernel's name of the program type.
_TYPES = {
    "classifier": "sched_cls",
    "cgroup_skb": "cgroup_skb",
    "cgroup_sock_addr": "cgroup_sock_addr",
    "cgroup_sock": "cgroup_sock",
    "socket_filter": "socket_filter",
    "stream_parser": "sk_skb",
    "stream_verdict": "sk_skb",
    "sock_ops": "sock_ops",
    "sk_msg": "sk_msg",
    "sk_lookup": "sk_lookup",
}
_INET = ("connect", "bind", "getpeername", "getsockname", "post_bind")
_SOCKET = {"sock_create": "cgroup_inet_sock_create", "sock_release": "cgroup_inet_sock_release"}
_METHODS = frozenset(method for _, method in CONTEXT_METHODS)
_NAMES = (*("sock_addr", "ops", "skb", "msg", "lookup", "sock"), "SkBuffContext", "SkBuff")


def _attach_type(program: Program) -> str | None:
    """The kernel's name of what the attribute says; None where it says nothing (or something unknown)."""
    word = program.attr.args.strip().strip("()").strip()
    if program.macro not in ("cgroup_sock_addr", "cgroup_sock"):
        return ""
    if word in _SOCKET:
        return _SOCKET[word]
    if not word or word[-1] not in "46":
        return None
    name, version = word[:-1], word[-1]
    if name in _INET:
        return f"cgroup_inet{version}_{name}"
    return f"cgroup_udp{version}_{name}" if name in ("sendmsg", "recvmsg") else None


@cache
def _field_names() -> tuple[str, ...]:
    found = [field.name.partition("[")[0] for one in contexts.all() if one.name in _STRUCTURES for field in one.fields_]
    return tuple(sorted(set(found)))


class ContextFieldNotForThisHook(SourceRule):
    severity = "error"
    group = "meaning"
    phase = "verify"
    words = (
        "SockAddrContext",
        "SkBuffContext",
        "TcContext",
        "SockContext",
        "SockOpsContext",
        "SkMsgContext",
        "SkLookupContext",
    )

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for file in kernel_files(project):
            if not file.has(*self.words):
                continue
            for expr in [*file.fields_named(*_field_names()), *file.methods(*sorted(_METHODS))]:
                found = self._field(expr)
                if found is not None and not file.in_test(expr.item):
                    yield from self._used(ctx, file, expr, found)

    @staticmethod
    def _field(expr: Expr) -> Field | None:
        if expr.kind == "method":
            if expr.args:
                return None
            owner = typed(expr.receiver)
            known = CONTEXT_METHODS.get((owner.rpartition("::")[2], expr.name)) if owner is not None else None
            return contexts.field(".".join(known)) if known is not None else None
        base = expr.receiver
        while base is not None and base.kind in ("paren", "unary"):
            base = base.inner
        if base is None or base.kind not in ("field", "path"):
            return None
        if base.kind == "field" and base.name not in _NAMES:
            return None
        owner = typed(base)
        if owner is None or not owner.startswith(("aya_ebpf::bindings::", "aya_bpf::bindings::")):
            return None
        structure = owner.rpartition("::")[2]
        return contexts.field(f"{structure}.{expr.name}") if structure in _STRUCTURES else None

    @staticmethod
    def _everywhere(crate: Crate, field: Field) -> bool:
        """Whether all programs of the crate may use it."""
        words = [_TYPES.get(macro) for macro in crate_programs(crate)]
        return all(
            word is not None
            and any(use.program_type == word and not use.attach_types and use.at() for use in field.uses)
            for word in words
        )

    def _used(self, ctx: CheckContext, file: SourceFile, expr: Expr, field: Field) -> Iterator[Finding]:
        item = expr.item
        if item is None or file.crate is None:
            return
        if self._everywhere(file.crate, field):
            return
        programs = graph(file.crate, file).programs_of(item)
        if not programs:
            return
        for program in programs:
            word = _TYPES.get(program.macro)
            attach = _attach_type(program)
            if word is None or attach is None:
                return  # not known what it may use
            if program.item.id != item.id and len(programs) > 1:
                return  # a helper of several programs may tell them apart
            if field.access(word, attach or None):
                continue
            hook = (
                f"`#[{program.macro}({program.attr.args.strip().strip('()')})]`" if attach else f"`#[{program.macro}]`"
            )
            where = sorted({use.program_type for use in field.uses if use.at()})
            others = ", ".join(
                sorted({one for use in field.uses if use.program_type == word for one in use.attach_types})
            )
            yield self.finding(
                ctx,
                f"{hook} programs may not use `{field.struct}.{field.name}`: the verifier refuses the access",
                span=covered(ctx, expr),
                program=program.item.name,
                fixes=[Fix("display", f"the kernel gives it to {others or ', '.join(where) or 'no program'}")],
            )
            return


RULE = ContextFieldNotForThisHook()
