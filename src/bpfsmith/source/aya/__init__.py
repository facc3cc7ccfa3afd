"""The model of an Aya project: what its kernel crates define, what its user crates do with it, what was built.

    made = model(project)
    for pair in made.pairs:          # user crates with the kernel crates they load
        for use in pair.programs: ...        # what user code takes, by name
        pair.program("filter"), pair.map("FLOWS")   # the kernel side of a name, all candidates

Absence may be claimed only where `pair.kernel_complete` (every name of the kernel side is known) or
`pair.user_complete` (every use of the user side is) holds.
"""

from __future__ import annotations

from bpfsmith.source.aya.kernel import Kernel, KernelGlobal, KernelMap, KernelProgram, read_kernel
from bpfsmith.source.aya.user import UserSide, read_user
from bpfsmith.source.aya.uses import GlobalSet, Loaded, LoaderCall, MapUse, ProgramUse, Use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bpfsmith.source.aya.objects import Built
    from bpfsmith.source.built import BuiltObject
    from bpfsmith.source.cargo import Crate
    from bpfsmith.source.project import Project

__all__ = [
    "AyaModel", "GlobalSet", "Joined", "Kernel", "KernelGlobal", "KernelMap", "KernelProgram", "Loaded", "LoaderCall",
    "MapUse", "Pair", "ProgramUse", "Use", "UserSide", "model",
]  # fmt: skip


class Joined:
    """Both sides of one name: what the kernel side defines under it, and the uses of the user side."""

    __slots__ = ("kernel", "name", "uses")

    def __init__(self, name: str, kernel: list[KernelProgram] | list[KernelMap], uses: list[Use]) -> None:
        self.name = name
        self.kernel = kernel
        self.uses = uses


class Pair:
    """User crates and the kernel crates whose objects they load."""

    __slots__ = ("_built", "kernels", "project", "users")

    def __init__(self, project: Project, kernels: list[Kernel], users: list[UserSide]) -> None:
        self.project = project
        self.kernels = kernels
        self.users = users
        self._built: list[Built | None] = []

    def __repr__(self) -> str:
        return f"Pair({[one.crate.name for one in self.users]} loads {[one.crate.name for one in self.kernels]})"

    @property
    def programs(self) -> list[KernelProgram]:
        return [one for kernel in self.kernels for one in kernel.programs]

    @property
    def maps(self) -> list[KernelMap]:
        return [one for kernel in self.kernels for one in kernel.maps]

    @property
    def globals(self) -> list[KernelGlobal]:
        return [one for kernel in self.kernels for one in kernel.globals]

    @property
    def program_uses(self) -> list[ProgramUse]:
        return [one for user in self.users for one in user.programs]

    @property
    def map_uses(self) -> list[MapUse]:
        return [one for user in self.users for one in user.maps]

    def program(self, name: str) -> list[KernelProgram]:
        """The kernel programs of this name (several where several objects have one)."""
        return [one for one in self.programs if one.name == name]

    def map(self, name: str) -> list[KernelMap]:
        """The kernel-side maps of this name."""
        return [one for one in self.maps if one.name == name]

    @property
    def built(self) -> Built | None:
        """What the built objects hold; None where one is missing or older than its sources."""
        if not self._built:
            from bpfsmith.source.aya.objects import read_built

            self._built.append(read_built(self.project, self.kernels))
        return self._built[0]

    @property
    def named(self) -> bool:
        """Whether every name that the kernel crates define is known: from the sources, else from what was built."""
        return bool(self.kernels) and (all(one.complete for one in self.kernels) or self.built is not None)

    def _names(self, written: set[str], built: str) -> set[str]:
        if self.kernels and not all(one.complete for one in self.kernels) and self.built is not None:
            return written | set(getattr(self.built, built))
        return written

    @property
    def program_names(self) -> set[str]:
        return self._names({one.name for one in self.programs}, "programs")

    @property
    def map_names(self) -> set[str]:
        return self._names({one.name for one in self.maps}, "maps")

    @property
    def global_names(self) -> set[str]:
        return self._names({one.name for one in self.globals}, "globals")

    @property
    def kernel_complete(self) -> bool:
        """Whether every program and map that the loaded objects can have is known."""
        if not self.named:
            return False
        return all(self._ours(one) for user in self.users for one in user.loaded)

    def _ours(self, loaded: Loaded) -> bool:
        """Whether a loaded object is one that the kernel crates build."""
        binaries = {name for kernel in self.kernels for name in kernel.crate.binaries()}
        return loaded.names is not None and all(
            name in binaries or name.rpartition(".")[0] in binaries for name in loaded.names
        )

    @property
    def user_complete(self) -> bool:
        """Whether every use of the objects is known: no computed names, nothing hidden in macros, and an object that
        is loaded by this code."""
        return (
            any(user.loaded for user in self.users)
            and not any(user.opaque or user.every for user in self.users)
            and not any(use.names is None for user in self.users for use in (*user.programs, *user.maps))
        )

    def says(self, name: str) -> bool:
        """Whether the user side has a string that is just this name, for whatever purpose."""
        return any(user.says(name) for user in self.users)


class AyaModel:
    """All of a project. `complete` is False where absence cannot be claimed of either side."""

    __slots__ = ("_joined", "kernels", "pairs", "project", "users")

    def __init__(self, project: Project) -> None:
        self.project = project
        self._joined: dict[str, dict[str, Joined]] = {}
        kernel_crates = [crate for crate in project.all_crates if crate.role == "kernel"]
        user_crates = [crate for crate in project.all_crates if crate.role == "user"]
        loaded_by = _imported(kernel_crates)
        self.kernels = [read_kernel(crate) for crate in kernel_crates if crate.folder not in loaded_by]
        self.users = [read_user(crate) for crate in user_crates]
        self.pairs = _pairs(project, self.kernels, self.users)

    @property
    def programs(self) -> list[KernelProgram]:
        return [one for kernel in self.kernels for one in kernel.programs]

    @property
    def maps(self) -> list[KernelMap]:
        return [one for kernel in self.kernels for one in kernel.maps]

    @property
    def globals(self) -> list[KernelGlobal]:
        return [one for kernel in self.kernels for one in kernel.globals]

    @property
    def objects(self) -> list[BuiltObject]:
        return self.project.objects

    @property
    def uses(self) -> list[Use]:
        return [use for user in self.users for use in user.uses]

    @property
    def complete(self) -> bool:
        return bool(self.pairs) and all(one.kernel_complete and one.user_complete for one in self.pairs)

    def program(self, name: str) -> Joined:
        """Both sides of a program's name."""
        return self._by_name("programs", name)

    def map(self, name: str) -> Joined:
        """Both sides of a map's name."""
        return self._by_name("maps", name)

    def _by_name(self, what: str, name: str) -> Joined:
        known = self._joined.get(what)
        if known is None:
            kernel: dict[str, list[Any]] = {}
            uses: dict[str, list[Any]] = {}
            for one in getattr(self, what):
                kernel.setdefault(one.name, []).append(one)
            for user in self.users:
                for use in getattr(user, what):
                    for word in dict.fromkeys(use.names or ()):
                        uses.setdefault(word, []).append(use)
            names = {**dict.fromkeys(kernel), **dict.fromkeys(uses)}
            known = {word: Joined(word, kernel.get(word, []), uses.get(word, [])) for word in names}
            self._joined[what] = known
        return known.get(name) or Joined(name, [], [])


def model(project: Project) -> AyaModel:
    """The model of a project, made once."""
    made: AyaModel | None = project.cache.get("aya")
    if made is None:
        made = project.cache["aya"] = AyaModel(project)
    return made


def _imported(crates: list[Crate]) -> set[str]:
    """Kernel crates without a binary that another kernel crate uses: they are part of its object."""
    used = {dep.path for crate in crates for dep in crate.dependencies if dep.path is not None and dep.kind == "normal"}
    return {crate.folder for crate in crates if crate.folder in used and not crate.binaries()}


def _pairs(project: Project, kernels: list[Kernel], users: list[UserSide]) -> list[Pair]:
    """Which user crates belong to which kernel crates: by the object's name, by build dependencies, or because there
    is just one. A user crate of which neither is known makes no pair, and no pair then knows all of its users."""
    if not kernels or not users:
        return []
    if len(kernels) == 1:
        return [Pair(project, kernels, users)]
    groups: list[tuple[set[int], set[int]]] = []
    for index, user in enumerate(users):
        chosen = _loads(user, kernels)
        linked = {index}
        folders = {dep.path for dep in user.crate.dependencies}
        linked |= {at for at, other in enumerate(users) if other.crate.folder in folders}
        touching = [group for group in groups if group[0] & chosen or group[1] & linked]
        for group in touching:
            groups.remove(group)
            chosen |= group[0]
            linked |= group[1]
        groups.append((chosen, linked))
    if len(groups) == 1 and not groups[0][0]:
        return [Pair(project, kernels, users)]  # all user code belongs together, whatever it loads
    return [
        Pair(project, [kernels[at] for at in sorted(chosen)], [users[at] for at in sorted(linked)])
        for chosen, linked in groups
        if chosen
    ]


def _loads(user: UserSide, kernels: list[Kernel]) -> set[int]:
    chosen = set()
    names = {name for one in user.loaded for name in one.names or ()}
    paths = {dep.path for dep in user.crate.dependencies if dep.kind == "build" and dep.path is not None}
    for at, kernel in enumerate(kernels):
        binaries = set(kernel.crate.binaries())
        if names & binaries or {name.rpartition(".")[0] for name in names} & binaries or kernel.crate.folder in paths:
            chosen.add(at)
    return chosen
