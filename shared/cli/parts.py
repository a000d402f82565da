"""What modules of commands build theirs of."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import shtab

from shared.cli.output import Output

type Run = Callable[[argparse.Namespace, Output], int]
type Add = Callable[[str, Run, str], argparse.ArgumentParser]
"""Makes a command: its name, what runs it, and what it does, in a line."""


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """The argument; a shell completes files for it."""
    argument = parser.add_argument("manifest", help="a YAML or JSON file, or - for standard input")
    complete(argument, shtab.FILE)


def complete(argument: argparse.Action, how: Mapping[str, Any]) -> None:
    """How a shell completes an argument, where that is not one of a few words."""
    argument.complete = how  # type: ignore[attr-defined] - where shtab looks for it
