"""An Aya workspace in a copy, built by its own build."""

from __future__ import annotations

import os

from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing, InputError
from bpfsmith.repair.copies import Copy
from bpfsmith.repair.tools import BuildFailed
from bpfsmith.source.build import build
from bpfsmith.source.built import find_objects
from bpfsmith.source.project import find_project
from bpfsmith.source.settings import config_files, toolchain_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bpfsmith.repair.tools import Runner
    from bpfsmith.source.project import Project

__all__ = ["CargoProject"]

_OFFLINE = ("--offline", "CARGO_NET_OFFLINE", "offline mode", "without the offline", "unable to update registry")


class CargoProject:
    """`path` is in an Aya workspace: `root` is its folder. `language` tells which changes are looked for."""

    language = "rust"

    def __init__(self, path: str, *, cache: str | None = None) -> None:
        found = find_project(path)
        if found is None:
            raise InputError("this is no Aya project", where=path, hint="name the folder of a Cargo workspace")
        self.root = found.root
        self._found = found
        self._cache = cache
        self._online = False
        self.built_with = ""

    def copy(self) -> Copy:
        """A copy with all that Cargo reads of this machine's folders."""
        extra = []
        for crate in self._found.all_crates:
            for dependency in crate.dependencies:
                if dependency.path is not None and os.path.isdir(dependency.path):
                    extra.append(dependency.path)
        home = os.path.realpath(os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"))
        for _, path in config_files(self.root):
            if os.path.realpath(os.path.dirname(path)) != home:
                extra.append(path)
        toolchain = toolchain_file(self.root)
        if toolchain is not None:
            extra.append(toolchain)
        return Copy(self.root, extra, cache=self._cache)

    def project(self, copy: Copy) -> Project:
        """The copy's sources as they are now."""
        found = find_project(copy.root)
        if found is None:
            raise InputError("the copy is no Aya project any more", where=self.root)
        return found

    def build(self, copy: Copy, run: Runner) -> list[str]:
        """Builds the copy; the objects. `BuildFailed` with what the compiler says."""
        project = self.project(copy)
        env = {**os.environ, "CARGO_TARGET_DIR": copy.target, "CARGO_TERM_COLOR": "never"}
        if not self._online:
            env["CARGO_NET_OFFLINE"] = "true"
        try:
            build(project, env, run=run, kernel_only=True)
        except BuildFailed as error:
            if self._online or not any(word in error.output for word in _OFFLINE):
                raise BuildFailed(
                    error.message.replace(copy.root, self.root), self.root, error.hint, error.output
                ) from None
            self._online = True  # something is not on this machine yet: what is, is enough from then on
            return self.build(copy, run)
        except EnvironmentMissing as error:
            raise _elsewhere(error, copy, self.root) from None
        self.built_with = run.last
        objects = [one.path for one in find_objects(project, copy.target)]
        if not objects:
            raise InputError(
                f"the build made no object: `{run.last}`", where=self.root, hint="does the kernel crate have a binary?"
            )
        return objects


def _elsewhere(error: EnvironmentMissing, copy: Copy, root: str) -> BpfsmithError:
    """The same error at the user's folder."""
    error.where = error.where.replace(copy.root, root) if error.where else error.where
    return error
