"""`main` attaches its programs and ends, which detaches them again.

## What it does
Finds a `main` that attaches a program (itself, or in a function it calls) with nothing after it that waits: no loop, no
`await`, no call that is not known to return at once. Programs, links or maps that are pinned, forgotten or taken out of
the process leave it alone.

## Why is this bad
Links belong to the process. When `main` returns, `Ebpf` is dropped and every program is detached: it ran for some
microseconds. Nothing fails, the exit status is 0, and nothing was seen.

## Example
```rust
fn main() -> anyhow::Result<()> {
    let mut ebpf = Ebpf::load(BYTES)?;
    let filter: &mut Xdp = ebpf.program_mut("filter").unwrap().try_into()?;
    filter.load()?;
    filter.attach("eth0", XdpMode::default())?;
    println!("filtering");
    Ok(())
}
```

## Use instead
```rust
    println!("filtering, Ctrl-C ends it");
    signal::ctrl_c().await?;
    Ok(())
```

## Fix
Display: wait for a signal, or pin the link.

## Kernels
All. `bpftool link` lists what is attached.

## Source
aya, `Links` in `aya/src/programs/links.rs`: detached when dropped.
"""

from __future__ import annotations

from bpfsmith.model.finding import Fix, Label
from bpfsmith.rules._base import SourceRule
from bpfsmith.rules._rust import covered
from bpfsmith.source.aya import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.model.finding import Finding
    from bpfsmith.rules._context import CheckContext
    from bpfsmith.source.aya import ProgramUse, UserSide
    from bpfsmith.source.project import Project
    from bpfsmith.source.rust import Expr, Item

# What returns at once and keeps nothing alive.
_CALLS = frozenset({"Ok", "Some", "drop", "new", "default", "from", "init", "qdisc_add_clsact"})
_METHODS = frozenset(
    {
        *("unwrap", "expect", "context", "with_context", "map_err", "ok", "ok_or", "ok_or_else", "try_into", "into"),
        *("program_mut", "program", "load", "attach", "attach_to_if_index", "map", "map_mut", "clone", "to_string"),
        *("as_str", "as_ref", "is_ok", "is_err", "len", "iter", "unwrap_or_default", "unwrap_or"),
    }
)
_MACROS = frozenset(
    {"println", "eprintln", "print", "eprint", "info", "debug", "warn", "trace", "error", "format", "vec", "anyhow"}
)
# Words that say that something outlives the process, or that it is kept in a way we do not follow.
_KEEPS = ("pin(", "pin_link", "forget", "leak", "into_raw_fd", "daemon", "spawn", "fork", "exec(", "static ", "park")
# Sockets keep these.
_OTHERS = frozenset({"SocketFilter", "ReusePortSocketFilter", "SkReuseport", "Extension"})


class EndsRightAfterAttach(SourceRule):
    severity = "warning"
    group = "cross"
    phase = "silent"
    words = ("attach",)

    def check(self, project: Project, ctx: CheckContext) -> Iterator[Finding]:
        for user in model(project).users:
            if user.crate not in project.crates or not user.loaded:
                continue
            attached = [use for use in user.programs if use.attaches and use.cast and use.cast not in _OTHERS]
            mains: dict[int, tuple[Item, list[ProgramUse]]] = {}
            for use in attached:
                main = use.fn
                if main is not None and main.name == "main" and main.parent is None and self._loads(user, main):
                    mains.setdefault(id(main.file) ^ main.id, (main, []))[1].append(use)
            for main, uses in mains.values():
                if any(word in main.file.text for word in _KEEPS):
                    continue
                last = max((call for use in uses for call in use.attaches), key=lambda call: call.start)
                if last.item != main or last.file is not main.file or not _only_returns(main, last):
                    continue
                yield self.finding(
                    ctx,
                    "`main` ends right after this, and what it attached is detached again",
                    span=covered(ctx, last),
                    labels=[Label(covered(ctx, one), "attached here") for one in uses[0].attaches[:1] if one != last],
                    fixes=[Fix("display", "wait for a signal before `main` returns, or pin the link")],
                )

    def _loads(self, user: UserSide, main: Item) -> bool:
        """An object that is written out is loaded in this `main`, so that it is dropped with it."""
        return any(one.fn == main and one.file is main.file and one.names for one in user.loaded)


def _only_returns(main: Item, last: Expr) -> bool:
    """Whether nothing after the call waits or may wait."""
    body = main.expr
    if body is None or any(one.kind in ("loop", "while", "closure") for one in last.ancestors()):
        return False
    for expr in body.within():
        if expr.end <= last.end:
            continue
        if expr.start < last.end and expr.start <= last.start:
            continue  # around the call itself
        if expr.kind in ("loop", "while", "for", "await", "closure", "tokens", "other"):
            return False
        if expr.kind == "call":
            callee = expr.callee
            if callee is None or callee.kind != "path" or callee.path.rpartition("::")[2] not in _CALLS:
                return False
        if expr.kind == "method" and expr.name not in _METHODS:
            return False
        if expr.kind == "macro" and expr.path.rpartition("::")[2] not in _MACROS:
            return False
    # Values that wait when they are dropped: guards of threads and runtimes.
    return not any(word in body.text for word in ("thread", "Runtime", "block_on", "scope("))


RULE = EndsRightAfterAttach()
