"""What modules of commands build theirs of."""

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import shtab

from shared.cli import pack
from shared.cli.output import Output
from shared.cli.timeline import clean

_NAMED = 10
"""Files that are named one by one where some are left out."""

type Run = Callable[[argparse.Namespace, Output], int]
type Add = Callable[[str, Run, str], argparse.ArgumentParser]
"""Makes a command: its name, what runs it, and what it does, in a line."""


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """The argument, and the folder that the files it names are below; a shell completes both."""
    argument = parser.add_argument("manifest", help="a YAML or JSON file, or - for standard input")
    complete(argument, shtab.FILE)
    text = "the files and folders that the manifest names are below this folder (default: the manifest's own)"
    complete(parser.add_argument("--root", metavar="FOLDER", help=text), shtab.DIRECTORY)


def packed(options: argparse.Namespace, output: Output, manifest: Any, folder: Path) -> Any:
    """The manifest, its files packed as the options say; what is left out is reported. Raises InvalidInputError."""

    def report(left: pack.LeftOut) -> None:
        names = ", ".join(clean(name, 100) for name in left.files[:_NAMED])
        more = f" and {len(left.files) - _NAMED} more" if len(left.files) > _NAMED else ""
        text = f"left out of {clean(left.folder, 100)} ({clean(left.reason)}): {names}{more}"
        output.event("left_out", text, **dataclasses.asdict(left))

    return pack.packed(manifest, folder, pack.real_root(options.root, folder), report)


def complete(argument: argparse.Action, how: Mapping[str, Any]) -> None:
    """How a shell completes an argument, where that is not one of a few words."""
    argument.complete = how  # type: ignore[attr-defined] - where shtab looks for it
