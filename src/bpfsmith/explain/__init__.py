"""Floor 4: `explain`, why a program was rejected, and what a word means.

>>> import bpfsmith
>>> report = bpfsmith.explain("verifier.log", object="target/bpfel-unknown-none/release/count")     # doctest: +SKIP
>>> for one in report.programs: print(one.cls, one.line, one.headline)                              # doctest: +SKIP
missing-null-check ('src/main.rs', 23) `count` may be null here: ...
"""

from __future__ import annotations

from bpfsmith._verbs import make_callable
from bpfsmith.explain._page import Explanation, Page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike
    from typing import Any

    from bpfsmith.model.errors import VerifierRejected
    from bpfsmith.model.object import Object

__all__ = ["Explanation", "Page", "explain"]


def explain(
    what: str | bytes | PathLike[str] | Object | VerifierRejected = "",
    *,
    object: str | PathLike[str] | Object | None = None,  # noqa: A002 - the word of the domain
    programs: str | Iterable[str] | None = None,
    kernels: str | Iterable[str] | None = None,
    attach_to: Mapping[str, Any] | None = None,
    globals: Mapping[str, Any] | None = None,  # noqa: A002
    map_sizes: Mapping[str, int] | None = None,
    sources: str | PathLike[str] | None = None,
    prove: bool = False,
    say: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Explains why the verifier refused a program, or what a word means.

    what: a verifier's log: a path, `-` (standard input), its bytes, or text of several lines, as any loader printed it;
        an object (path or what `read` answered) or a workspace, which kernels then judge; a `VerifierRejected`; or one
        word: a rule's code or name, a helper, map, program or attach type, kernel function, context, section, topic, a
        message family (`V06`), a list (`rules`, `helpers`, ..). A word that is known is explained as a word: write
        `./maps` for a folder of that name. Nothing at all is the index.
    object: the object the program of a log is in: instructions that were not logged, names, lines and columns.
    programs: name of the program (`fnmatch` patterns, several).
    kernels: of the lab, or `host`, as for `verify`, for objects and workspaces (default: the running kernel where this
        process may load, else the newest prepared one). attach_to, globals, map_sizes: as for `verify`.
    sources: a folder with the sources of a log's program: logs name files by their last part only (default: the current
        folder where it is a Cargo project).
    prove: what is rejected is repaired (`bpfsmith.repair`): changes are built in a copy of the project by its own
        build, verified, and shown to do no more than fail where the program was refused; the fixes have them as edits.
        Nothing is written. say: told what is done meanwhile.

    For a word the answer has `pages`, else it is an `ExplainReport` with `programs`. Raises `InputError` for what is
    neither word, log, object nor workspace, with near matches; `EnvironmentMissing` when there is no kernel to ask."""
    from bpfsmith.explain._job import run

    told = say or (lambda _: None)
    return run(what, object, programs, kernels, attach_to, globals, map_sizes, sources, progress, prove, told)


make_callable(__name__)
