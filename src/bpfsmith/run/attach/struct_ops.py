"""struct_ops: a struct of callbacks registered with the kernel (TCP congestion control, schedulers, qdiscs ...).

What is attached is the map that stands for the struct; any of its callbacks leads to it. By a link (6.4+, for structs
in a `.struct_ops.link` section), or registered until it is taken back.
"""

from __future__ import annotations

from bpfsmith import kernel
from bpfsmith.model.errors import InputError, KernelError, UnknownName, Unsupported
from bpfsmith.run.link import Held, Link, LinkFd, duplicate

from ._base import EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, refusal, require

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ATTACH_TYPE = 44
_F_LINK, _F_REPLACE = 1 << 13, 4
_KEY = bytes(4)
_STRUCT_OPS = 26


class StructOpsLink(LinkFd):
    """A registered struct."""

    __slots__ = ()

    def update(self, program: Any, expected: Any = None) -> None:
        """Puts another struct in its place without a gap: `program` is the name of another struct_ops map of the
        object, or one of its callbacks (of the same kernel struct; the kernel decides which members may differ).
        6.4+."""
        self._live()
        loaded = self.program.owner if self.program is not None else program.owner
        name = program if isinstance(program, str) else _map_of(program)
        new = loaded._fd_of(name)
        kernel.try_call("BPF_MAP_UPDATE_ELEM", map_fd=new, key=_KEY, value=loaded.struct_ops_value(name), flags=0)
        fields: dict[str, Any] = {"link_fd": self._fd, "new_map_fd": new}
        if expected is not None:
            old = expected if isinstance(expected, str) else _map_of(expected)
            fields |= {"flags": _F_REPLACE, "old_map_fd": loaded._fd_of(old)}
        answer = kernel.try_call("BPF_LINK_UPDATE", **fields)
        if answer < 0:
            told: dict[int, Any] = {
                EINVAL: InputError(
                    f"`{name}` cannot take the place of {self.target}", self.target, "the kernel wants the same name"
                ),
                EOPNOTSUPP: Unsupported(f"{self.target} is not replaced while it is registered", "struct_ops update"),
                1: InputError(f"another struct than the expected one is registered: {self.target}", self.target),
            }  # fmt: skip
            raise refusal("BPF_LINK_UPDATE", answer, self.program or loaded, self.target, "CAP_NET_ADMIN", told)
        self.target = f"struct_ops `{name}`"


def attach(program: Any, map: Any = None) -> Link:  # noqa: A002 - the word of the domain
    """See `AttachMethods.attach_struct_ops`."""
    require(program, ("struct_ops",), "attach_struct_ops")
    name = map if isinstance(map, str) else getattr(map, "name", None) or _map_of(program)
    return attach_map(program.owner, name, program)


def attach_map(loaded: Any, name: str, program: Any = None) -> Link:
    """Registers struct_ops map `name` of a loaded object."""
    known = [one.name for one in loaded._planned.maps.values() if one.type == _STRUCT_OPS]
    if name not in known:
        from bpfsmith.model.near import did_you_mean

        listed = ", ".join(f"`{one}`" for one in known) or "none"
        raise UnknownName(f"there is no struct_ops map `{name}`", hint=did_you_mean(name, known, f"there are {listed}"))
    fd = loaded._fd_of(name)
    value = loaded.struct_ops_value(name)
    target = f"struct_ops `{name}`"
    answer = kernel.try_call("BPF_MAP_UPDATE_ELEM", map_fd=fd, key=_KEY, value=value, flags=0)
    linked = bool(loaded._planned.maps[name].flags & _F_LINK)
    told: dict[int, Any] = {
        EBUSY: KernelError(
            f"{target} is registered, or was", "BPF_MAP_UPDATE_ELEM", EBUSY, target,
            "a struct outside of `.struct_ops.link` is registered once: load the object again"
        ),
        EEXIST: KernelError(
            f"another struct of that name is registered: {target}", "BPF_MAP_UPDATE_ELEM", EEXIST, target
        ),
        EINVAL: InputError(f"the kernel refuses {target}: a member it needs is missing or wrong", target),
        EOPNOTSUPP: Unsupported(f"{target} cannot be registered at run time by this kernel", "struct_ops"),
        524: Unsupported(f"{target} cannot be registered at run time by this kernel", "struct_ops"),
    }  # fmt: skip
    # A map whose link is gone holds its struct ready: it is only linked again.
    if answer < 0 and not (linked and answer == -EBUSY):
        raise refusal("BPF_MAP_UPDATE_ELEM", answer, program or loaded, target, "CAP_NET_ADMIN", told)
    if linked:
        from bpfsmith.kernel.attrs import encode

        made = kernel.door().bpf_fd(*encode("BPF_LINK_CREATE", map_fd=fd, attach_type=ATTACH_TYPE))
        if not isinstance(made, int):
            return StructOpsLink(program, "struct_ops", target, made)
        raise refusal("BPF_LINK_CREATE", made, program or loaded, target, "CAP_NET_ADMIN", told)
    held = duplicate(fd.fileno())

    def undo() -> None:
        code = kernel.try_call("BPF_MAP_DELETE_ELEM", map_fd=held, key=_KEY)
        held.close()
        if code < 0 and code != -ENOENT:
            raise refusal("BPF_MAP_DELETE_ELEM", code, program or loaded, target, "CAP_NET_ADMIN")

    return Held(program, "struct_ops", target, undo, outlives=True)


def _map_of(program: Any) -> str:
    """The struct_ops map that has the program as a member."""
    planned = program.owner._planned.maps
    names = [name for name, one in planned.items() if any(member == program.name for _, member in one.funcs)]
    if len(names) == 1:
        return str(names[0])
    raise InputError(
        f"`{program.name}` is a member of {len(names)} struct_ops maps", program.name,
        f"pass `map=`: {', '.join(names)}" if names else "",
    )  # fmt: skip


def by_section(program: Any, map: Any = None) -> Link:  # noqa: A002
    """Attaches as the section says."""
    # Its struct may be registered by another of its callbacks: then that is its link.
    name = map if isinstance(map, str) else getattr(map, "name", None) or _map_of(program)
    for link in program.owner.links:
        if link.family == "struct_ops" and link.target == f"struct_ops `{name}`" and not link.closed:
            return link  # type: ignore[no-any-return]
    return attach(program, name)


def plan(program: Any, map: Any = None) -> list[dict[str, Any]]:  # noqa: A002
    """What attaching would ask of the kernel."""
    name = map or program.attach_to
    return [
        {"command": "BPF_MAP_UPDATE_ELEM", "map": str(getattr(name, "name", name)), "key": "0"},
        {"command": "BPF_LINK_CREATE", "attach_type": "struct_ops"},
    ]
