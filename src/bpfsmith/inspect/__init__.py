"""Floor 4: `inspect`, what is inside an object.

>>> import bpfsmith
>>> report = bpfsmith.inspect("prog.o")                                                    # doctest: +SKIP
>>> report.objects[0].programs[0].helpers                                                  # doctest: +SKIP
['bpf_map_lookup_elem']
"""

from __future__ import annotations

from bpfsmith._verbs import make_callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from bpfsmith.inspect.report import InspectReport
    from bpfsmith.model.kernel import Kernel

__all__ = ["inspect"]


def inspect(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]], *, btf: str | PathLike[str] | Kernel | None = None
) -> InspectReport:
    """Reads objects, and folders with objects, for a look inside; no privilege, a few milliseconds per object.

    `prog:ID` (or `prog:TAG`, `prog:NAME`) and `map:ID` are a loaded program and map: the same view, of the instructions
    as the verifier left them; that needs CAP_SYS_ADMIN.

    `btf` is the kernel to relocate against: a file with BTF, `host`, or a `Kernel`. `InputError` when `btf` cannot be
    read; what is wrong with one of the paths is listed in the report's `errors` and hides nothing of the others.
    """
    from bpfsmith.inspect._job import run

    return run(paths, btf)


make_callable(__name__)
