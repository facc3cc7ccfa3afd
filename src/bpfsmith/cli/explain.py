"""`bpfsmith explain WORD | LOG | - | OBJECT | WORKSPACE`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from bpfsmith.explain._page import Explanation

SUMMARY = "why a program was rejected (a log, an object, a workspace), or what a word means"
EPILOG = """\
examples:
  bpfsmith explain verifier.log    a verifier's log, as any loader printed it; `-` reads a paste from standard input
  bpfsmith explain verifier.log --object target/bpfel-unknown-none/release/count
  bpfsmith explain prog.o          has the running kernel judge it (`--kernels 5.10,6.12`: those of the lab)
  bpfsmith explain verifier.log --format html > why.html    a page that steps through it: no network, keyboard too
  bpfsmith explain .               the built objects of an Aya workspace
  bpfsmith explain                 what words can be asked
  bpfsmith explain OBJ001          a rule, by code or name
  bpfsmith explain V06             a family of the verifier's messages
  bpfsmith explain ringbuf         a map type, helper, program type, section name ...: since when, and where seen
  bpfsmith explain __sk_buff.mark  a field of a context: who may read and write it
  bpfsmith explain rules           lists: rules, helpers, kfuncs, maps, programs, attach, flags, features, contexts,
                                   topics, verifier-messages
exit codes: 0 a word, or nothing but accepted programs; 1 a rejection was explained; 2 neither a word nor a log, or
a log without a verdict; 3 no kernel could be asked
"""
FORMATS = ("text", "markdown", "json", "html")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `explain`."""
    from bpfsmith.cli._parser import add_color

    add = parser.add_argument
    add("words", nargs="*", metavar="WHAT", help="a log, `-`, an object, a workspace; or a word: code, helper, map, ..")
    add("--object", metavar="X.o", help="the object the log's program is in: names, lines and columns")
    add("--program", action="append", metavar="NAME", help="the program (names or patterns)")
    add("--sources", metavar="DIR", help="where the log's source files are (default: the Cargo project here)")
    add("--kernels", "--kernel", metavar="SET", help="who judges an object: kernels of the lab, `host`")
    add("--attach-to", action="append", default=[], metavar="PROGRAM=TARGET", help="as for `verify`, with an object")
    add(
        "--prove", action="store_true",
        help="repair it: changes are built in a copy of the project and judged by kernels; shown, never written",
    )  # fmt: skip
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--concise", action="store_true", help="one line a rejection: `path:line: class: cause`")
    depth.add_argument("--full", action="store_true", help="with what each instruction of the failing path changed")
    add("--format", choices=FORMATS, default="text", help="default: text")
    add_color(parser)


class _Plain:
    """What `configure` would make of arguments that are paths, words, and the options below."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.object: str | None = None
        self.program: list[str] | None = None
        self.sources: str | None = None
        self.kernels: str | None = None
        self.attach_to: list[str] = []
        self.concise = self.full = self.prove = False
        self.format = "text"
        self.color = "auto"


def plain(arguments: list[str]) -> _Plain | None:
    """Arguments as they nearly always are, read without a parser; None for all others, right or wrong."""
    made = _Plain()
    left = iter(arguments)
    for word in left:
        if word in ("--concise", "--full"):
            setattr(made, word[2:], True)
        elif word in ("--object", "--sources", "--format"):
            value = next(left, "-")
            if value.startswith("-"):
                return None
            setattr(made, word[2:], value)
        elif word == "-" or not word.startswith("-"):
            made.words.append(word)
        else:
            return None
    return None if made.format not in FORMATS or (made.concise and made.full) else made


def run(args: argparse.Namespace | _Plain) -> int:
    """Prints it; the exit code of the report, 0 for a word."""
    found = _explained(args)
    if args.format == "json":
        from bpfsmith.cli._output import utf8_output
        from bpfsmith.render._base import json_text

        utf8_output()
        sys.stdout.write(json_text(found.to_json()))
    elif args.format == "html":
        _page(found)
    elif not found.pages:
        _report(args, found)
    elif args.format == "markdown":
        sys.stdout.write(found.markdown)
    else:
        from bpfsmith.cli._output import use_color
        from bpfsmith.render._markdown import plain

        sys.stdout.write(plain(found.markdown, color=use_color(args.color)))
    return _end(args, found)


def _explained(args: argparse.Namespace | _Plain) -> Explanation:
    from bpfsmith.explain import explain

    if len(args.words) > 1:
        _one_file(args.words)
    if not any((args.object, args.program, args.kernels, args.attach_to, args.sources, args.prove)):
        return explain(" ".join(args.words))
    from bpfsmith.run.words import pairs

    return explain(
        " ".join(args.words),
        object=args.object,
        programs=_one(args.program),
        kernels=args.kernels,
        sources=args.sources,
        attach_to=pairs(args.attach_to, "--attach-to") or None,
        prove=args.prove,
        say=_told,
    )


def _one_file(words: list[str]) -> None:
    """Several words are one that is written apart; several files are too many."""
    from os.path import isfile

    files = [word for word in words if word == "-" or isfile(word)]
    if len(files) < 2:
        return
    from bpfsmith.model.errors import InputError
    from bpfsmith.read import is_object

    objects = [file for file in files if file != "-" and is_object(file)]
    logs = [file for file in files if file not in objects]
    if objects and logs:
        hint = f"the object a log's program is in: `bpfsmith explain {logs[0]} --object {objects[0]}`"
    elif objects:
        hint = f"`bpfsmith explain {files[0]}`; `bpfsmith verify` takes several"
    else:
        hint = f"`bpfsmith explain {files[0]}`; `--object` names the object a log's program is in"
    raise InputError(f"one log or object at a time, and these are {len(files)} files", files[1], hint)


def _told(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _one(names: list[str] | None) -> str | list[str] | None:
    return names[0] if names and len(names) == 1 else names


def _report(args: argparse.Namespace | _Plain, found: Explanation) -> None:
    from bpfsmith.render.explain_text import render

    depth = "concise" if args.concise else "full" if args.full else "normal"
    if args.format == "markdown":
        sys.stdout.write(f"```text\n{render(found, depth=depth)}```\n")
        return
    from bpfsmith.cli._output import use_color

    sys.stdout.write(render(found, color=use_color(args.color), depth=depth))


def _page(found: Explanation) -> None:
    """One file that steps through what was rejected; words have no such page."""
    if found.pages:
        from bpfsmith.model.errors import InputError

        raise InputError(
            "a page of HTML shows how a program was rejected, and that is a word",
            hint="`--format markdown` has its page",
        )
    from bpfsmith.cli._output import utf8_output
    from bpfsmith.render.explain_html import render

    utf8_output()
    sys.stdout.write(render(found))


def _end(args: argparse.Namespace | _Plain, found: Explanation) -> int:
    """What a person should know that the document has no room for; the exit code."""
    if found.pages:
        return 0
    sys.stdout.flush()
    if args.format == "json" or args.concise:
        said = [*found.notes, *(note for one in found.programs for note in one.notes)]
        sys.stderr.write("".join(f"note: {note}\n" for note in dict.fromkeys(said)))
    if found.errors:
        from bpfsmith.cli._failure import say

        for error in found.errors:
            say(error)
    return found.exit_code
