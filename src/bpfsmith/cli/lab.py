"""`bpfsmith lab ACTION`: one module here per group of actions, imported when one of them is asked for."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SUMMARY = "real kernels on demand: get, add and list them; run commands inside"
EPILOG = """\
examples:
  bpfsmith lab list                     what is here, what can be had
  bpfsmith lab get                      the default kernels: 5.10 6.1 6.12 6.18 7.3
  bpfsmith lab get 6.12                 the newest 6.12 of Debian
  bpfsmith lab add /boot/vmlinuz-$(uname -r)
  bpfsmith lab add linux-image-*.deb linux-modules-*.deb --name ubuntu
  bpfsmith lab remove ubuntu
  bpfsmith lab exec 6.1 -- uname -r     a command in a guest
  bpfsmith lab shell 6.1                a shell in a guest
"""

# action -> the module that has `configure_ACTION(parser)` and `run_ACTION(args)`, and its one line
ACTIONS = {
    "list": ("_lab_kernels", "kernels here and kernels that can be had"),
    "get": ("_lab_kernels", "prepare kernels of Debian's archive (default: 5.10 6.1 6.12 6.18 7.3)"),
    "add": ("_lab_kernels", "prepare a kernel of your own: an image, or all packages of one kernel"),
    "remove": ("_lab_kernels", "delete prepared kernels"),
    "exec": ("_lab_inside", "run a command in a guest, with the current folder's files"),
    "shell": ("_lab_inside", "a shell in a guest, with the current folder's files"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The actions and their options."""
    from importlib import import_module

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (home, summary) in ACTIONS.items():
        one = actions.add_parser(
            name, help=summary, description=summary, formatter_class=parser.formatter_class, allow_abbrev=False
        )
        getattr(import_module(f"bpfsmith.cli.{home}"), f"configure_{name}")(one)


def run(args: argparse.Namespace) -> int:
    """Runs the action; its exit code."""
    from importlib import import_module

    home = ACTIONS[args.action][0]
    code: int = getattr(import_module(f"bpfsmith.cli.{home}"), f"run_{args.action}")(args)
    return code
