"""`bpfsmith skill`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "the agent skill `rust-ebpf`: print its main page, or install it"
EPILOG = """\
examples:
  bpfsmith skill                             print the main page
  bpfsmith skill --install ~/.claude/skills  write rust-ebpf/SKILL.md and its references there
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `skill`."""
    parser.add_argument("--install", metavar="DIR", help="write the skill to DIR/rust-ebpf")


def run(args: argparse.Namespace) -> int:
    """Prints or writes; 0."""
    from bpfsmith.skill import skill

    made = skill()
    if args.install is None:
        sys.stdout.write(made.text)
        return 0
    for path in made.install(args.install):
        sys.stdout.write(f"{path}\n")
    return 0
