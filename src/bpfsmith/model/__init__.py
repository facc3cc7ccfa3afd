"""Floor 0: frozen value types without I/O; lazy views on the native core's columns."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, InputError, ToolError
    from bpfsmith.model.finding import Edit, Evidence, Finding, Fix, Label, Span
    from bpfsmith.model.instruction import Instruction, SourceLine
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.kernels import SERIES, KernelSet, parse_kernels, series_key
    from bpfsmith.model.map import Map
    from bpfsmith.model.object import Extern, Global, Object
    from bpfsmith.model.program import Program

# name -> module that defines it; loaded on first use, so that `import bpfsmith` stays under 25 ms
_HOME = {
    "BpfsmithError": "errors",
    "Edit": "finding",
    "EnvironmentMissing": "errors",
    "Evidence": "finding",
    "Extern": "object",
    "Finding": "finding",
    "Fix": "finding",
    "Global": "object",
    "InputError": "errors",
    "Instruction": "instruction",
    "Kernel": "kernel",
    "KernelSet": "kernels",
    "Label": "finding",
    "Map": "map",
    "Object": "object",
    "Program": "program",
    "SERIES": "kernels",
    "SourceLine": "instruction",
    "Span": "finding",
    "ToolError": "errors",
    "parse_kernels": "kernels",
    "series_key": "kernels",
}

__all__ = [
    "SERIES",
    "BpfsmithError",
    "Edit",
    "EnvironmentMissing",
    "Evidence",
    "Extern",
    "Finding",
    "Fix",
    "Global",
    "InputError",
    "Instruction",
    "Kernel",
    "KernelSet",
    "Label",
    "Map",
    "Object",
    "Program",
    "SourceLine",
    "Span",
    "ToolError",
    "parse_kernels",
    "series_key",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
