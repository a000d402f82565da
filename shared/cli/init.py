"""The command `init`, which writes a commented example of a manifest."""

import argparse
import os
from pathlib import Path

import shtab

from shared.cli.common import Add, complete
from shared.cli.follow import SUCCEEDED
from shared.cli.help import COMMAND
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.domain.errors import InvalidInputError, Problem

EXAMPLE = Path(__file__).with_name("example.yaml")
SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "manifest.schema.json"


def add_commands(add: Add) -> None:
    init = add("init", _init, "write a commented example of a manifest; an existing file is never overwritten")
    path = init.add_argument("path", nargs="?", default="deployment.yaml", help="default deployment.yaml; - prints it")
    complete(path, shtab.FILE)


def example(folder: Path) -> str:
    """Return the example for a file in that folder. If the schema exists, the first line names it for editors."""
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
        raise _problem(f"{clean(str(path))} already exists and was not changed; name another file") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _problem(f"{clean(str(path))} cannot be written: {reason}") from None
    shown = clean(str(path))
    output.event("written", f"wrote {shown}; check it with: {COMMAND} validate {shown}", path=str(path))
    return SUCCEEDED


def _problem(message: str) -> InvalidInputError:
    return InvalidInputError([Problem("path", message)])
