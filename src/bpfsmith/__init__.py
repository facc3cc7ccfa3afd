"""bpfsmith: the forge for eBPF. It checks, explains, inspects, loads and runs eBPF programs written in Rust/Aya and C.

    >>> import bpfsmith
    >>> report = bpfsmith.check("target/bpfel-unknown-none/release/counter", kernels="5.10..")  # doctest: +SKIP
    >>> for finding in report.findings: print(finding.code, finding.message)                   # doctest: +SKIP
    >>> with bpfsmith.load("counter", globals={"LIMIT": 10}) as bpf:                           # doctest: +SKIP
    ...     bpf.programs["count"].attach_xdp("eth0")

Nothing is imported before it is used; `import bpfsmith` costs a few milliseconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.check import check as check
    from bpfsmith.check.report import Report as Report
    from bpfsmith.doctor import doctor as doctor
    from bpfsmith.doctor.report import DoctorReport as DoctorReport
    from bpfsmith.explain import explain as explain
    from bpfsmith.explain.report import ExplainReport as ExplainReport
    from bpfsmith.inspect import inspect as inspect
    from bpfsmith.migrate import migrate as migrate
    from bpfsmith.migrate.report import MigrateReport as MigrateReport
    from bpfsmith.model.errors import BadRecord as BadRecord
    from bpfsmith.model.errors import BpfsmithError as BpfsmithError
    from bpfsmith.model.errors import Closed as Closed
    from bpfsmith.model.errors import EnvironmentMissing as EnvironmentMissing
    from bpfsmith.model.errors import InputError as InputError
    from bpfsmith.model.errors import KernelError as KernelError
    from bpfsmith.model.errors import KeyMissing as KeyMissing
    from bpfsmith.model.errors import MapFull as MapFull
    from bpfsmith.model.errors import PermissionMissing as PermissionMissing
    from bpfsmith.model.errors import PinMismatch as PinMismatch
    from bpfsmith.model.errors import TargetGone as TargetGone
    from bpfsmith.model.errors import TargetMissing as TargetMissing
    from bpfsmith.model.errors import ToolError as ToolError
    from bpfsmith.model.errors import UnknownName as UnknownName
    from bpfsmith.model.errors import Unsupported as Unsupported
    from bpfsmith.model.errors import ValueMismatch as ValueMismatch
    from bpfsmith.model.errors import VerifierRejected as VerifierRejected
    from bpfsmith.model.finding import Edit as Edit
    from bpfsmith.model.finding import Evidence as Evidence
    from bpfsmith.model.finding import Finding as Finding
    from bpfsmith.model.finding import Fix as Fix
    from bpfsmith.model.finding import Label as Label
    from bpfsmith.model.finding import Span as Span
    from bpfsmith.model.kernel import Kernel as Kernel
    from bpfsmith.model.kernels import KernelSet as KernelSet
    from bpfsmith.model.kernels import parse_kernels as parse_kernels
    from bpfsmith.model.object import Object as Object
    from bpfsmith.ps import ps as ps
    from bpfsmith.ps.report import PsReport as PsReport
    from bpfsmith.read import read as read
    from bpfsmith.read import read_kernel as read_kernel
    from bpfsmith.read import read_many as read_many
    from bpfsmith.run import run as run
    from bpfsmith.run.address import ip as ip
    from bpfsmith.run.address import mac as mac
    from bpfsmith.run.address import prefix as prefix
    from bpfsmith.run.events import aya_logs as aya_logs
    from bpfsmith.run.events import events as events
    from bpfsmith.run.link import Link as Link
    from bpfsmith.run.load import load as load
    from bpfsmith.run.load import plan as plan
    from bpfsmith.run.loaded import Loaded as Loaded
    from bpfsmith.run.loaded import LoadedProgram as LoadedProgram
    from bpfsmith.run.maps import Map as Map
    from bpfsmith.run.measure import stats_enabled as stats_enabled
    from bpfsmith.run.plan import Plan as Plan
    from bpfsmith.run.runreport import RunReport as RunReport
    from bpfsmith.skill import skill as skill
    from bpfsmith.verify import verify as verify
    from bpfsmith.verify.report import VerifyReport as VerifyReport

__version__ = "0.1.0"

# Public name -> module that defines it. The verbs are callable packages (see `_verbs`).
_PUBLIC = {
    "BadRecord": "model.errors",
    "BpfsmithError": "model.errors",
    "Closed": "model.errors",
    "Edit": "model.finding",
    "EnvironmentMissing": "model.errors",
    "Evidence": "model.finding",
    "ExplainReport": "explain.report",
    "Finding": "model.finding",
    "Fix": "model.finding",
    "InputError": "model.errors",
    "Kernel": "model.kernel",
    "KernelError": "model.errors",
    "KernelSet": "model.kernels",
    "KeyMissing": "model.errors",
    "Label": "model.finding",
    "Link": "run.link",
    "Loaded": "run.loaded",
    "LoadedProgram": "run.loaded",
    "Map": "run.maps",
    "MapFull": "model.errors",
    "MigrateReport": "migrate.report",
    "Object": "model.object",
    "PermissionMissing": "model.errors",
    "PinMismatch": "model.errors",
    "Plan": "run.plan",
    "Report": "check.report",
    "RunReport": "run.runreport",
    "Span": "model.finding",
    "TargetGone": "model.errors",
    "TargetMissing": "model.errors",
    "ToolError": "model.errors",
    "UnknownName": "model.errors",
    "Unsupported": "model.errors",
    "ValueMismatch": "model.errors",
    "VerifierRejected": "model.errors",
    "VerifyReport": "verify.report",
    "aya_logs": "run.events",
    "check": "check",
    "events": "run.events",
    "doctor": "doctor",
    "explain": "explain",
    "inspect": "inspect",
    "ip": "run.address",
    "load": "run.load",
    "mac": "run.address",
    "migrate": "migrate",
    "parse_kernels": "model.kernels",
    "plan": "run.load",
    "prefix": "run.address",
    "ps": "ps",
    "read": "read",
    "read_kernel": "read",
    "read_many": "read",
    "run": "run",
    "skill": "skill",
    "stats_enabled": "run.measure",
    "verify": "verify",
}

__all__ = [
    "BadRecord",
    "BpfsmithError",
    "Closed",
    "Edit",
    "EnvironmentMissing",
    "Evidence",
    "ExplainReport",
    "Finding",
    "Fix",
    "InputError",
    "Kernel",
    "KernelError",
    "KernelSet",
    "KeyMissing",
    "Label",
    "Link",
    "Loaded",
    "LoadedProgram",
    "Map",
    "MapFull",
    "MigrateReport",
    "Object",
    "PermissionMissing",
    "PinMismatch",
    "Plan",
    "Report",
    "RunReport",
    "Span",
    "TargetGone",
    "TargetMissing",
    "ToolError",
    "UnknownName",
    "Unsupported",
    "ValueMismatch",
    "VerifierRejected",
    "VerifyReport",
    "__version__",
    "aya_logs",
    "check",
    "doctor",
    "events",
    "explain",
    "inspect",
    "ip",
    "load",
    "mac",
    "migrate",
    "parse_kernels",
    "plan",
    "prefix",
    "ps",
    "read",
    "read_kernel",
    "read_many",
    "run",
    "skill",
    "stats_enabled",
    "verify",
]


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module `bpfsmith` has no attribute `{name}`")
    # What `importlib.import_module` does, without importing importlib (0.7 ms).
    loaded = __import__(f"bpfsmith.{module}", fromlist=("*",))
    value = loaded if module == name else getattr(loaded, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
