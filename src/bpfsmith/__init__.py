"""bpfsmith: the forge for eBPF. It checks, explains and inspects eBPF programs written in Rust/Aya and C.

    >>> import bpfsmith
    >>> report = bpfsmith.check("target/bpfel-unknown-none/release/counter", kernels="5.10..")  # doctest: +SKIP
    >>> for finding in report.findings: print(finding.code, finding.message)                   # doctest: +SKIP

Nothing is imported before it is used; `import bpfsmith` costs a few milliseconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.check import check as check
    from bpfsmith.check.report import Report as Report
    from bpfsmith.explain import explain as explain
    from bpfsmith.inspect import inspect as inspect
    from bpfsmith.model.errors import BpfsmithError as BpfsmithError
    from bpfsmith.model.errors import EnvironmentMissing as EnvironmentMissing
    from bpfsmith.model.errors import InputError as InputError
    from bpfsmith.model.errors import ToolError as ToolError
    from bpfsmith.model.finding import Edit as Edit
    from bpfsmith.model.finding import Evidence as Evidence
    from bpfsmith.model.finding import Finding as Finding
    from bpfsmith.model.finding import Fix as Fix
    from bpfsmith.model.finding import Label as Label
    from bpfsmith.model.finding import Span as Span
    from bpfsmith.model.kernels import KernelSet as KernelSet
    from bpfsmith.model.kernels import parse_kernels as parse_kernels
    from bpfsmith.model.object import Object as Object
    from bpfsmith.read import read as read
    from bpfsmith.read import read_many as read_many
    from bpfsmith.skill import skill as skill

__version__ = "0.1.0"

# Public name -> module that defines it. The verbs are callable packages (see `_verbs`).
_PUBLIC = {
    "BpfsmithError": "model.errors",
    "Edit": "model.finding",
    "EnvironmentMissing": "model.errors",
    "Evidence": "model.finding",
    "Finding": "model.finding",
    "Fix": "model.finding",
    "InputError": "model.errors",
    "KernelSet": "model.kernels",
    "Label": "model.finding",
    "Object": "model.object",
    "Report": "check.report",
    "Span": "model.finding",
    "ToolError": "model.errors",
    "check": "check",
    "explain": "explain",
    "inspect": "inspect",
    "parse_kernels": "model.kernels",
    "read": "read",
    "read_many": "read",
    "skill": "skill",
}

__all__ = [
    "BpfsmithError",
    "Edit",
    "EnvironmentMissing",
    "Evidence",
    "Finding",
    "Fix",
    "InputError",
    "KernelSet",
    "Label",
    "Object",
    "Report",
    "Span",
    "ToolError",
    "__version__",
    "check",
    "explain",
    "inspect",
    "parse_kernels",
    "read",
    "read_many",
    "skill",
]


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module `bpfsmith` has no attribute `{name}`")
    from importlib import import_module

    loaded = import_module(f"bpfsmith.{module}")
    value = loaded if module == name else getattr(loaded, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
