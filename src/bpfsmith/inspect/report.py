"""What `inspect` returns."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.model.errors import BpfsmithError
    from bpfsmith.model.kernel import Kernel
    from bpfsmith.model.object import Object


class InspectReport:
    """The objects read, what was wrong with the other paths, and the kernel asked about (if any)."""

    __slots__ = ("_errors", "_kernel", "_objects")

    def __init__(self, objects: tuple[Object, ...], errors: tuple[BpfsmithError, ...], kernel: Kernel | None) -> None:
        self._objects = objects
        self._errors = errors
        self._kernel = kernel

    @property
    def objects(self) -> tuple[Object, ...]:
        return self._objects

    @property
    def errors(self) -> tuple[BpfsmithError, ...]:
        return self._errors

    @property
    def kernel(self) -> Kernel | None:
        return self._kernel

    @property
    def exit_code(self) -> int:
        """0, or the highest exit code of the errors: 2 for wrong input."""
        return max((error.exit_code for error in self._errors), default=0)

    def __repr__(self) -> str:
        paths = ", ".join(one.path for one in self._objects[:3]) + (" ..." if len(self._objects) > 3 else "")
        return f"<InspectReport: {paths or 'nothing'}, {len(self._errors)} errors>"

    def to_json(self) -> dict[str, object]:
        """The contract of docs/json.md: `{"version":1,"objects":[...]}` with every key present."""
        from bpfsmith.inspect._document import object_document

        return {"version": 1, "objects": [object_document(obj, self._kernel) for obj in self._objects]}
