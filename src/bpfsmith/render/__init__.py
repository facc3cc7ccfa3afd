"""Output formats: one module and one class each. A module `NAME.py` here with `FORMAT = Class` is a format of `check`.

`COMMAND_*.py` are the views of the other commands. Order inside floor 3: `render` may import `rules`, never the other
way.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.render._base import Renderer

__all__ = ["formats", "renderer"]


def formats() -> list[str]:
    """The names of the formats findings can be printed in, sorted."""
    from os import listdir

    found = (file.partition(".") for folder in __path__ for file in listdir(folder))
    plain = (stem.removesuffix("_") for stem, _, suffix in found if suffix == "py")
    return sorted(stem for stem in plain if "_" not in stem)


def renderer(name: str, *, color: bool = False) -> Renderer:
    """The renderer of one format; `InputError` for an unknown one."""
    if name not in formats():
        from bpfsmith.model.errors import InputError
        from bpfsmith.model.near import did_you_mean

        raise InputError(
            f"unknown format `{name}`", hint=did_you_mean(name, formats(), f"known are {', '.join(formats())}")
        )
    from importlib import import_module

    # `json` is the module `json_`: a sibling must not look like the standard library's.
    stem = "json_" if name == "json" else name
    made: Renderer = import_module(f"{__name__}.{stem}").FORMAT(color=color)
    return made
