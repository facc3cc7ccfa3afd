"""bpfsmith's commands for developers.

    ./dev setup                      .venv with this checkout's wheel: .venv/bin/bpfsmith
    ./dev demo                       what bpfsmith does, in under 50 lines
    ./dev check                      lint, types, floors, public surface: the quick part of the suite
    ./dev test [--full] [PYTEST..]   the whole suite against the installed wheel, or only the given pytest arguments
    ./dev docs [--check]             writes what is generated from code (or compares)
    ./dev facts [--kernels NAME..]   asks real kernels for every row of the facts, in guests, and keeps what they answer
    ./dev bench [NAME..]             measurements, side by side with peers
    ./dev precision FOLDER [--write] checks the public projects below FOLDER; are the findings true?
    ./dev wheel                      the wheel to publish, proved on a Python without compilers

Installs what it needs as root on Debian 12 and later; elsewhere it says what is missing and which command gets it.
Prints what it runs. Exit: 0 done, 1 something failed, 2 wrong usage, 3 the machine lacks something.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Sequence

from shell import BIN, ROOT, Failed, Missing, relative, say


def setup(words: Sequence[str]) -> None:
    import installed

    _no_words(words)
    installed.install()
    say(f"ready: {relative(str(BIN / 'bpfsmith'))}")


def demo(words: Sequence[str]) -> None:
    import installed
    import lab_kernels
    from demo import show

    _no_words(words)
    installed.install()
    lab_kernels.booted_once()
    show()


def check(words: Sequence[str]) -> None:
    import suite

    _no_words(words)
    suite.lint()


def test(words: Sequence[str]) -> None:
    import suite

    full = "--full" in words
    rest = [word for word in words if word != "--full"]
    if rest:
        suite.pytest(rest, full=full)
    else:
        suite.everything(full=full)


def docs(words: Sequence[str]) -> None:
    import suite

    _no_words([word for word in words if word != "--check"])
    suite.docs(check="--check" in words)


def facts(words: Sequence[str]) -> None:
    import suite

    suite.facts(words)


def bench(words: Sequence[str]) -> None:
    import suite

    suite.bench(words)


def precision(words: Sequence[str]) -> None:
    import suite

    if {"-h", "--help"} & set(words):
        import precision

        print((precision.__doc__ or "").strip())
        return
    if not words or words[0].startswith("-"):
        raise Usage("give the folder of the projects to check, as in `./dev precision ../projects`")
    suite.precision(words)


def wheel(words: Sequence[str]) -> None:
    from release import build_and_prove

    _no_words(words)
    say(f"ready: {relative(str(build_and_prove()))}")


COMMANDS = {
    "setup": setup,
    "demo": demo,
    "check": check,
    "test": test,
    "docs": docs,
    "facts": facts,
    "bench": bench,
    "precision": precision,
    "wheel": wheel,
}


INSIDE = "BPFSMITH_DEV_INSIDE"


class Usage(Exception):
    """Words that a command does not know."""


def _no_words(words: Sequence[str]) -> None:
    if words:
        raise Usage(f"what is `{' '.join(words)}`?")


def _locked(name: str, words: Sequence[str]) -> None:
    """Runs the command, one at a time in a checkout: two would build the same wheel into the same folder."""
    if name not in COMMANDS:
        raise Usage(f"no command `{name}`")
    with ROOT.joinpath("dev").open() as lock:
        if os.environ.get(INSIDE) != str(ROOT):  # a test that calls us is inside the lock already
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ[INSIDE] = str(ROOT)
        COMMANDS[name](words)


def main(words: Sequence[str]) -> int:
    """Runs one command; one line says what went wrong."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(__doc__, end="")
        return 0
    name, *rest = words
    try:
        _locked(name, rest)
    except Usage as error:
        say(f"dev {name}: {error}; `./dev` lists the commands")
        return 2
    except Missing as error:
        say(f"dev {name}: {error}")
        return 3
    except Failed as error:
        say(f"dev {name}: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
