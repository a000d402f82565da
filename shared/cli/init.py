"""`init` writes an example of a manifest with comments, to begin with."""

import argparse
import os
from pathlib import Path

import shtab

from shared.cli.common import Add, complete
from shared.cli.follow import SUCCEEDED
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.errors import InvalidInputError, Problem

EXAMPLE = Path(__file__).with_name("example.yaml")
SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "manifest.schema.json"


def add_commands(add: Add) -> None:
    """By the parser's own helper."""
    init = add("init", _init, "write a commented example of a manifest; what is there already is never overwritten")
    path = init.add_argument("path", nargs="?", default="deployment.yaml", help="default deployment.yaml; - prints it")
    complete(path, shtab.FILE)


def example(folder: Path) -> str:
    """The text, for a file in that folder: where the schema is there, its first line tells the editor."""
    text = EXAMPLE.read_text(encoding="utf-8")
    try:
        schema = Path(os.path.relpath(SCHEMA, folder.resolve())).as_posix() if SCHEMA.exists() else ""
    except ValueError:  # another drive
        schema = SCHEMA.as_posix()
    return f"# yaml-language-server: $schema={schema}\n{text}" if schema else text


def _init(options: argparse.Namespace, output: Output) -> int:
    if options.path == "-":
        print(example(Path.cwd()), end="")
        return SUCCEEDED
    path = Path(options.path)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(example(path.parent))
    except FileExistsError:
        raise _problem(f"{clean(str(path))} is there already, and is left as it is; name another file") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _problem(f"{clean(str(path))} cannot be written: {reason}") from None
    shown = clean(str(path))
    output.event("written", f"{shown} is written; check it with: python -m shared.cli validate {shown}", path=str(path))
    return SUCCEEDED


def _problem(message: str) -> InvalidInputError:
    return InvalidInputError([Problem("path", message)])
