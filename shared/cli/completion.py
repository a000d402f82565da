"""The command `completion SHELL`, which prints a script: eval "$(python -m shared.cli completion bash)"."""

import argparse
from collections.abc import Callable

import shtab

from shared.cli.common import Add
from shared.cli.follow import SUCCEEDED
from shared.cli.help import COMMAND
from shared.cli.render.output import Output

NAME = "saga"
"""The short name. A shell completes by a command's name, and `python -m shared.cli` has no name of its own."""
SHELLS = ("bash", "zsh")


def add_commands(add: Add, parser: Callable[[], argparse.ArgumentParser]) -> None:

    def run(options: argparse.Namespace, output: Output) -> int:
        print(script(options.shell, parser()))
        return SUCCEEDED

    text = f"print a shell script that defines {NAME} as a short name of the command line, with completion"
    add("completion", run, text).add_argument("shell", choices=SHELLS, help="the shell")


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return the script for `eval`."""
    parser.prog = NAME
    completed = shtab.complete(parser, shell=shell)
    return completed if COMMAND == NAME else f'{completed}\n{NAME}() {{ {COMMAND} "$@"; }}'
