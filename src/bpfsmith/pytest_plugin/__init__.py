"""Floor 5: a fixture for pytest: `kernel`, a guest of the lab, once per kernel.

    def test_it_loads(kernel):
        for verdict in kernel.verify("prog.o").values():
            assert verdict.accepted, verdict.message

`pytest --bpf-kernels 5.10,6.12` runs each test that asks for it on these (`default`: the default matrix, `all`: every
prepared one); without the option (or `bpf_kernels` in the configuration) those that are prepared are taken, and where
there is none, or no QEMU, such tests are skipped with the command that gets it. Each test has a fresh copy of the
guest, and its thread is inside: `bpfsmith.load` and `bpfsmith.read_map` mean the guest too. Installed with bpfsmith;
nothing is imported before a test asks.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from bpfsmith.lab.session import Session

__all__ = ["kernel", "pytest_addoption", "pytest_collection_modifyitems", "pytest_generate_tests"]

NAME = "kernel"
_ASKED = pytest.StashKey["list[str]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--bpf-kernels`, and `bpf_kernels` of the configuration."""
    told = (
        "kernels of the lab that the fixture `kernel` stands for, with commas between them (default: the prepared ones)"
    )
    parser.getgroup("bpfsmith").addoption("--bpf-kernels", metavar="NAMES", default=None, help=told)
    parser.addini("bpf_kernels", told, default="")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of a test per kernel, where `kernel` is the fixture below and nobody else's word."""
    if NAME not in metafunc.fixturenames:
        return
    known = metafunc._arg2fixturedefs.get(NAME)
    if not known or getattr(known[-1].func, "__module__", "") != __name__:
        return
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if NAME in ([one.strip() for one in names.split(",")] if isinstance(names, str) else names):
            return
    wanted, named = _wanted(metafunc.config)
    if named:
        metafunc.config.stash[_ASKED] = wanted
    rows = [pytest.param((one, named), id=one or "no-kernel") for one in wanted or [""]]
    metafunc.parametrize(NAME, rows, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Names that no kernel has are said once, not by each test."""
    if not (asked := config.stash.get(_ASKED, [])):
        return
    from bpfsmith.lab import store
    from bpfsmith.model.errors import EnvironmentMissing, InputError

    for name in asked:
        try:
            store.find(name)
        except EnvironmentMissing:
            continue  # it can be had: its tests say how
        except InputError as error:
            raise pytest.UsageError(f"--bpf-kernels: {error}") from None


def _wanted(config: pytest.Config) -> tuple[list[str], bool]:
    """Names, and whether somebody asked for just these."""
    from bpfsmith.lab import store
    from bpfsmith.lab.kernels.matrix import DEFAULT

    text = str(config.getoption("--bpf-kernels") or config.getini("bpf_kernels") or "")
    words = [word.strip() for word in text.replace("\n", ",").split(",") if word.strip()]
    if words in (["all"], []):
        from os import uname

        here = dict.fromkeys(one.name for one in store.all() if one.arch == uname().machine)
        return list(here), bool(words)
    return [one for word in words for one in (DEFAULT if word == "default" else (word,))], True


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> Iterator[Session]:
    """A fresh guest of one kernel, and this thread inside it: `kernel.name`, `kernel.verify(path)`,
    `kernel.load(path)`, `kernel.run(path, workload=...)`, `kernel.exec(["uname", "-r"])`, `kernel.put`,
    `kernel.get`."""
    from bpfsmith import lab
    from bpfsmith.model.errors import BpfsmithError, EnvironmentMissing

    name, named = request.param
    if not name:
        pytest.skip("no kernel is prepared: `bpfsmith lab get` gets the default ones")
    session = lab.kernel(name, image="tools")
    told = None
    try:
        session.__enter__()
    except BpfsmithError as error:
        told = error
    if told is not None:  # one line: what pytest would show of our insides helps nobody
        if not named and isinstance(told, EnvironmentMissing):
            pytest.skip(str(told))
        pytest.fail(str(told), pytrace=False)
    try:
        yield session
    finally:
        session.__exit__(None, None, None)
