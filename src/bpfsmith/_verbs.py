"""Lets a package such as `bpfsmith.check` be called: `bpfsmith.check(...)` is `bpfsmith.check.check(...)`.

The package of a verb and its function share one name by design. Python binds a subpackage as an attribute of its
parent whenever it is first imported, so the function could not live there; a module whose class has `__call__` is both.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
else:
    ModuleType = type(sys)  # the same; importing `types` costs 0.3 ms

__all__ = ["make_callable"]


def make_callable(module: str) -> None:
    """Makes the package `module` callable as its function of the same name; one line at the end of its `__init__`."""
    function = getattr(sys.modules[module], module.rpartition(".")[2])

    class Verb(ModuleType):
        __doc__ = function.__doc__
        __wrapped__ = staticmethod(function)  # inspect.signature() follows it

        def __call__(self, *args: object, **options: object) -> object:
            return function(*args, **options)

    sys.modules[module].__class__ = Verb
