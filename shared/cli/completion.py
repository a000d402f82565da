"""`completion SHELL` prints what makes a shell complete commands: eval "$(python -m shared.cli completion bash)"."""

import argparse
from collections.abc import Callable

import shtab

from shared.cli.common import Add
from shared.cli.follow import SUCCEEDED
from shared.cli.render.output import Output

NAME = "saga"
"""A shell completes by the command's name, and `python -m shared.cli` has none of its own: so it gets one."""
SHELLS = ("bash", "zsh")


def add_commands(add: Add, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """By the parser's own helper."""

    def run(options: argparse.Namespace, output: Output) -> int:
        print(script(options.shell, parser()))
        return SUCCEEDED

    text = f"print a script for a shell: {NAME} as a short name of the command line, with completion"
    add("completion", run, text).add_argument("shell", choices=SHELLS, help="the shell")


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """For `eval`."""
    parser.prog = NAME
    short = f'{NAME}() {{ python -m shared.cli "$@"; }}'
    return f"{shtab.complete(parser, shell=shell)}\n{short}"
