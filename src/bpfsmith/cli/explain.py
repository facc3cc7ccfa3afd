"""`bpfsmith explain WORD`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "what a rule, helper, map type, program type, section name or topic means"
EPILOG = """\
examples:
  bpfsmith explain                 what can be asked
  bpfsmith explain OBJ001          a rule, by code or name
  bpfsmith explain ringbuf         a map type, helper, program type, section name ...: since when, and where seen
  bpfsmith explain __sk_buff.mark  a field of a context: who may read and write it
  bpfsmith explain rules           lists: rules, helpers, kfuncs, maps, programs, attach, flags, features, contexts,
                                   topics
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `explain`."""
    from bpfsmith.cli._parser import add_color

    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="code, name, helper, map or program type, topic, or a list"
    )
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text", help="default: text")
    add_color(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the pages; 0, or 2 for a word nobody knows."""
    from bpfsmith.cli._parser import use_color, utf8_output
    from bpfsmith.explain import explain

    found = explain(" ".join(args.words))
    if args.format == "json":
        from bpfsmith.render._base import json_text

        utf8_output()
        sys.stdout.write(json_text(found.to_json()))
    elif args.format == "markdown":
        sys.stdout.write(found.markdown)
    else:
        from bpfsmith.render._markdown import plain

        sys.stdout.write(plain(found.markdown, color=use_color(args.color)))
    return 0
