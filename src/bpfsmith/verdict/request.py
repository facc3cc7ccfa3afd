"""What a verdict depends on that is not in the object: targets, globals, sizes, the loader, and which log is kept."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bpfsmith.model.object import Object
    from bpfsmith.model.program import Program
    from bpfsmith.run.planned import Options

__all__ = ["LOG_LIMIT", "Request"]

LOG_LIMIT = 16 << 20
"""Bytes of a log that are asked for: a guest of 256 MiB survives it, and untouched pages cost nothing."""


class Request:
    """How to judge. `attach_to`: program -> what it is bound to when it is loaded (a kernel function, tracepoint or
    hook), or a loaded program with the function to replace or trace; `globals`, `map_sizes`, `kconfig`: as for `load`;
    `license`: instead of the object's; `value_sizes`: by map, what a loader makes of them; `log_level`: 1, 2 and 4 as
    the kernel counts them, asked for in any case; `log_limit`: bytes; `whole`: a kernel function or struct_ops map that
    only other programs of the object need must be there too, for the loader takes an object as a whole; `near`: offer
    names like one that is missing, which takes a while."""

    __slots__ = (
        "attach_to", "globals", "kconfig", "license", "log_level", "log_limit", "map_sizes", "near", "value_sizes",
        "whole",
    )  # fmt: skip

    def __init__(
        self,
        *,
        attach_to: Mapping[str, Any] | None = None,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the domain
        map_sizes: Mapping[str, int] | None = None,
        license: str | None = None,  # noqa: A002 - as above
        value_sizes: Mapping[str, int] | None = None,
        log_level: int = 0,
        log_limit: int = LOG_LIMIT,
        whole: bool = False,
        kconfig: Mapping[str, Any] | None = None,
        near: bool = False,
    ) -> None:
        self.attach_to = dict(attach_to or {})
        self.globals = dict(globals or {})
        self.map_sizes = dict(map_sizes or {})
        self.license = license
        self.value_sizes = dict(value_sizes or {})
        self.log_level = log_level
        self.log_limit = log_limit
        self.whole = whole
        self.kconfig = dict(kconfig or {})
        self.near = near

    def copy(self, **changes: Any) -> Request:
        """Another of the same content but for `changes`: requests are shared between threads."""
        made = Request(**{name: getattr(self, name) for name in self.__slots__} | changes)
        made.attach_to = dict(made.attach_to)
        return made

    def options(self, obj: Object, program: Program) -> Options:
        """Of a load of this program alone: nothing is pinned, the others are left out, `?` sections are not."""
        from bpfsmith.run.planned import Options

        options = Options()
        options.selected = frozenset((program.name,))
        options.alone = program.name
        options.near = self.near
        options.license = self.license
        options.whole = self.whole
        options.value_sizes = self.value_sizes
        target = self.attach_to.get(program.name)
        settings: dict[str, dict[str, Any]] = {}
        if target is not None:
            settings[program.name] = {"attach_to": target} if isinstance(target, str) else dict(target)
        if self.map_sizes or settings or self.kconfig:
            from bpfsmith.run.options import fill

            fill(options, obj, self.map_sizes, None, None, settings, None, self.kconfig, None)
        if self.globals:
            from bpfsmith.run.globals import initial

            options.data = initial(obj, self.globals)
        return options
