"""Checks and resolves what the caller of `load` said; a wrong name is refused with near matches
before anything is done."""

from __future__ import annotations

from bpfsmith.model.errors import InputError, UnknownName, ValueMismatch
from bpfsmith.model.near import did_you_mean
from bpfsmith.run import sections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from bpfsmith._native import Btf
    from bpfsmith.model.object import Object
    from bpfsmith.run.planned import Options

__all__ = ["fill", "shapes", "unknown"]

# Words of `flags` in the settings of a program: the kernel's bits of `prog_flags`.
_FLAGS = {
    "strict_alignment": 1 << 0, "any_alignment": 1 << 1, "test_rnd_hi32": 1 << 2, "test_state_freq": 1 << 3,
    "sleepable": 1 << 4, "xdp_frags": 1 << 5, "dev_bound": 1 << 6, "test_reg_invariants": 1 << 7,
}  # fmt: skip
_SETTINGS = ("type", "attach_type", "attach_to", "attach_prog", "flags", "ifindex")


# What each argument of `load` looks like; `mapping`: it has `items()`; `names`: text, or texts.
_SHAPES = {
    "globals": ("mapping", "a mapping of variable names to values: `globals={'LIMIT': 5}`"),
    "map_sizes": ("mapping", "a mapping of map names to numbers of entries: `map_sizes={'FLOWS': 1024}`"),
    "programs": ("mapping", "a mapping of program names to their settings: `programs={'count': {'type': 'xdp'}}`"),
    "maps": ("mapping", "a mapping of map names to maps or descriptors: `maps={'FLOWS': flows}`"),
    "pins": ("mapping", "a mapping of map names to paths: `pins={'FLOWS': '/sys/fs/bpf/flows'}`"),
    "kconfig": ("mapping", "a mapping of `.kconfig` externs to values: `kconfig={'CONFIG_HZ': 250}`"),
    "select": ("names", "a name, or several: `select=['count', 'packet_*']`"),
    "autoload": ("names", "names of programs, or a mapping of them to whether: `autoload={'count': False}`"),
    "pin_path": ("path", "the path of a folder of bpffs"),
    "token": ("path", "the path of a bpffs with delegation"),
    "btf": ("types", "a file of types, or what `bpfsmith.read.read_kernel` answered"),
    "kernel": ("kernel", "what `bpfsmith.read.read_kernel` answered"),
    "log_level": ("number", "1, 2 (more), 4 (statistics), or a sum of them"),
}  # fmt: skip


def shapes(**told: Any) -> None:
    """Refuses arguments that cannot be what they stand for at all; what they name is looked at later."""
    for name, value in told.items():
        kind, wanted = _SHAPES[name]
        if value is not None and not _shaped(kind, value):
            raise ValueMismatch(f"`{name}=` is {value!r:.60}", hint=f"give {wanted}")
    for name, settings in (told.get("programs") or {}).items():
        if not hasattr(settings, "items"):
            raise ValueMismatch(
                f"`programs[{name!r}]` is {settings!r:.60}", hint=f"give a mapping of settings: {', '.join(_SETTINGS)}"
            )
    for name, path in (told.get("pins") or {}).items():
        if not _shaped("path", path):
            raise ValueMismatch(f"`pins[{name!r}]` is {path!r:.60}", hint="give a path inside a bpffs")


def _shaped(kind: str, value: Any) -> bool:
    path = isinstance(value, str) or hasattr(value, "__fspath__")
    if kind == "mapping":
        return hasattr(value, "items")
    if kind == "names":
        return isinstance(value, str) or (hasattr(value, "__iter__") and not isinstance(value, bytes))
    if kind == "path":
        return path
    if kind == "number":
        return isinstance(value, int)
    return hasattr(type(value), "targets") or (kind == "types" and path)


def unknown(kind: str, name: str, known: Iterable[str], path: str) -> UnknownName:
    """The error for a name the object does not have."""
    if not isinstance(name, str):
        return UnknownName(f"{name!r:.60} is no name of a {kind}", where=path, hint="names are text")
    names = list(known)
    listed = ", ".join(f"`{one}`" for one in names[:8]) + (" ..." if len(names) > 8 else "")
    return UnknownName(
        f"`{path}` has no {kind} `{name}`",
        where=path,
        hint=did_you_mean(name, names, f"it has {listed}" if names else f"it has no {kind} at all"),
    )


def fill(
    options: Options,
    obj: Object,
    map_sizes: Mapping[str, int] | None,
    select: str | Iterable[str] | None,
    autoload: Mapping[str, bool] | Iterable[str] | None,
    programs: Mapping[str, Mapping[str, Any]] | None,
    maps: Mapping[str, Any] | None,
    kconfig: Mapping[str, Any] | None,
    btf: Any,
) -> None:
    """Everything but globals and pins."""
    map_names = [one.name for one in obj.maps]
    program_names = [one.name for one in obj.programs]
    for name, size in (map_sizes or {}).items():
        options.map_sizes[name] = _size(obj, name, size, map_names)
    for name, value in (maps or {}).items():
        if name not in map_names:
            raise unknown("map", name, map_names, obj.path)
        if not isinstance(value, int) and not hasattr(value, "fileno"):
            raise InputError(f"`maps[{name!r}]` is {value!r}", hint="give a Map, a descriptor or its number")
        options.given[name] = value
    if select is not None:
        options.selected = frozenset(_matching(obj, [select] if isinstance(select, str) else select, program_names))
    options.autoload = _autoload(obj, autoload, program_names) if autoload else {}
    for name, settings in (programs or {}).items():
        if name not in program_names:
            raise unknown("program", name, program_names, obj.path)
        options.programs[name] = _settings(obj, name, settings)
    known = [one.name for one in obj.externs if one.kind == "kconfig"]
    for name, value in (kconfig or {}).items():
        if name not in known:
            raise unknown("`.kconfig` extern", name, known, obj.path)
        options.kconfig[name] = value
    if btf is not None:
        options.targets = _types_of(btf)


def _autoload(obj: Object, told: Any, names: list[str]) -> dict[str, bool]:
    """Exceptions from what sections say: a mapping, or names to load as well."""
    if not hasattr(told, "keys"):
        told = dict.fromkeys([told] if isinstance(told, str) else told, True)
    return {one: bool(wanted) for name, wanted in told.items() for one in _matching(obj, [name], names)}


def _types_of(btf: Any) -> list[Btf]:
    from os import fspath

    if not hasattr(btf, "targets"):
        from bpfsmith.read import read_kernel

        btf = read_kernel(fspath(btf))
    targets: list[Btf] = btf.targets
    return targets


def _size(obj: Object, name: str, size: int, names: list[str]) -> int:
    declared = obj.map(name) if isinstance(name, str) else None
    if declared is None:
        if not isinstance(name, str):
            raise unknown("map", name, names, obj.path)
        outer = obj.map(name.removesuffix(".inner")) if name.endswith(".inner") else None
        if outer is None or outer.inner is None:
            raise unknown("map", name, names, obj.path)
        declared = outer.inner
    if declared.origin in ("data", "kconfig", "struct_ops"):
        raise InputError(f"map `{name}` is a section of the object: its size is fixed", where=obj.path)
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size < 1 << 32:
        raise ValueMismatch(f"`map_sizes[{name!r}]` is {size!r}", hint="a number of entries from 1 to 4294967295")
    return size


def _matching(obj: Object, words: Iterable[str], names: list[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        if not isinstance(word, str):
            raise unknown("program", word, names, obj.path)
        if any(one in word for one in "*?["):
            from fnmatch import fnmatchcase

            these = [one for one in names if fnmatchcase(one, word)]
        else:
            these = [word] if word in names else []
        if not these:
            raise unknown("program", word, names, obj.path)
        found += these
    return found


def _settings(obj: Object, name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in told.items():
        if key not in _SETTINGS:
            raise UnknownName(
                f"`{key}` is no setting of a program (`programs[{name!r}]`)",
                hint=did_you_mean(str(key), _SETTINGS, f"one of {', '.join(_SETTINGS)}"),
            )
        if value is None:
            continue
        if (key in ("type", "attach_type") and not isinstance(value, int | str)) or (
            key == "attach_to" and not isinstance(value, str)
        ):
            wanted = "text" if key == "attach_to" else "libbpf's word, or the kernel's number"
            raise ValueMismatch(f"`programs[{name!r}][{key!r}]` is {value!r:.60}", hint=f"give {wanted}")
        if key == "attach_prog" and not isinstance(getattr(value, "fd", value), int) and not hasattr(value, "fileno"):
            raise ValueMismatch(f"`programs[{name!r}][{key!r}]` is {value!r:.60}", hint="give a LoadedProgram")
        if key == "type":
            out[key] = value if isinstance(value, int) else sections.program_type(value)
        elif key == "attach_type":
            out[key] = value if isinstance(value, int) else sections.attach_type(value)
        elif key == "flags":
            out[key] = _flags(value)
        elif key == "ifindex":
            out[key] = _ifindex(value)
        else:
            out[key] = value
    if "attach_prog" in out:
        from bpfsmith.run.pins import program_function

        program = obj.program(name)
        row = sections.match(program.section) if program is not None else None
        function = out.get("attach_to") or (row[3] if row is not None else "")
        out["attach_prog"], out["attach_btf_id"] = program_function(name, out["attach_prog"], function)
    return out


def _flags(value: Any) -> int:
    if isinstance(value, int):
        return value
    bits = 0
    if not hasattr(value, "__iter__"):
        raise ValueMismatch(f"`flags` of a program is {value!r:.60}", hint=f"a number, or words: {', '.join(_FLAGS)}")
    for word in [value] if isinstance(value, str) else value:
        if word not in _FLAGS:
            raise UnknownName(
                f"`{word}` is no flag of a program", hint=did_you_mean(str(word), _FLAGS, ", ".join(_FLAGS))
            )
        bits |= _FLAGS[word]
    return bits


def _ifindex(value: Any) -> int:
    if isinstance(value, int):
        return value
    from bpfsmith.kernel.netlink import interface

    return interface(value)[0]
