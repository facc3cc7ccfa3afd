"""How a crate attaches its classifiers: by netlink and a qdisc, as TCX links, or as the kernel's version says."""

from __future__ import annotations

from bpfsmith.rules._handles import on, says

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.kernels import KernelSet
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.rust import Expr, SourceFile

__all__ = ["CLASSIFIER", "netlink_possible", "plain_attaches", "tcx_kernels"]

CLASSIFIER = frozenset({"aya::programs::SchedClassifier", "aya::programs::tc::SchedClassifier"})
# Words that stand for an attachment through netlink, chosen by the author.
_NETLINK = ("Netlink", "NlOptions", "TcOptions", "Custom(")


def plain_attaches(file: SourceFile) -> list[Expr]:
    """The `attach` calls on classifiers that leave the way to the kernel's version: TCX from Linux 6.6 on.

    None where Aya is older than 0.13, which knows only netlink.
    """
    if file.crate is None or not file.crate.at_least("aya", "0.13.0"):
        return []
    found = []
    for call in on(file, ("attach",), CLASSIFIER):
        last = call.args[-1] if len(call.args) == 2 else None
        if last is not None and not any(word in last.text for word in _NETLINK):
            found.append(call)
    return found


def netlink_possible(crate: Crate | None) -> bool:
    """Whether the crate may ask for netlink somewhere."""
    return says(crate, *_NETLINK)


def tcx_kernels(kernels: KernelSet) -> bool:
    """Whether one of the kernels asked about attaches by TCX (nothing asked: the newest do)."""
    return len(kernels.missing_before("6.6")) < len(kernels.series)
