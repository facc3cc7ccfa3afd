"""Lets a package be called like its main function: `bpfsmith.read("x.o")` and `from bpfsmith.read import read_many`.

Python binds a subpackage as an attribute of its parent when it is first imported, so a function of the same name in
the parent would be replaced by the module. A module class with `__call__` makes both spellings the same thing.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def make_callable(module: str, function: Callable[..., object]) -> None:
    """Makes the imported package `module` callable; the call is `function`'s."""

    class CallableModule(ModuleType):
        __slots__ = ()
        __doc__ = function.__doc__
        __wrapped__ = staticmethod(function)  # inspect.signature() follows it

        def __call__(self, *args: object, **kwargs: object) -> object:
            return function(*args, **kwargs)

    sys.modules[module].__class__ = CallableModule
