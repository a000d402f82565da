"""Write values of the command line into a manifest: `--set NAME=VALUE`, `--values FILE` and `--promotes ID`."""

import argparse
from typing import Any

import shtab

from shared.cli import pack
from shared.cli.common import complete
from shared.cli.render.timeline import clean
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.fields import child, type_name
from shared.domain.inputs import rendered, with_values
from shared.domain.json import as_object
from shared.domain.text import parse
from shared.saga.submission.promotion import FIELD


def add_values(parser: argparse.ArgumentParser) -> None:
    """Add both options. A later --values file replaces values of an earlier one, and --set replaces those of files."""
    parser.add_argument(
        "--set",
        dest="set_values",
        metavar="NAME=VALUE",
        type=_pair,
        action="append",
        default=[],
        help="the value of an input that the manifest declares; may be repeated",
    )
    text = "a YAML or JSON file with values of inputs; may be repeated"
    complete(
        parser.add_argument("--values", dest="value_files", metavar="FILE", action="append", default=[], help=text),
        shtab.FILE,
    )


def _pair(text: str) -> tuple[str, str]:
    """Split NAME=VALUE. Raises argparse.ArgumentTypeError, without the text, because it may contain a secret."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def with_inputs(options: argparse.Namespace, manifest: Any) -> Any:
    """Return the manifest with the values of the options written in.

    Raises InvalidInputError if a value is wrong, unknown or missing: such a manifest is never sent.
    """
    given: dict[str, Any] = {}
    problems, valued = Problems(), manifest
    for file in options.value_files:
        try:
            given |= _of_file(file)
        except InvalidInputError as error:
            problems += error.problems
    try:
        valued = with_values(manifest, given | dict(options.set_values))
    except InvalidInputError as error:
        problems += error.problems
    if problems:  # without these values, others would seem to be missing
        raise InvalidInputError(problems)
    rendered(valued)
    return valued


def promoting(options: argparse.Namespace, manifest: Any) -> Any:
    """Return the manifest with the deployment that `--promotes` names, if any."""
    top = as_object(manifest)
    return manifest if top is None or options.promotes is None else {**top, FIELD: options.promotes}


def _of_file(file: str) -> dict[str, Any]:
    path = f"--values {clean(file)}"
    try:
        text, _ = pack.read_text(file)
        found = parse(text)
    except InvalidInputError as error:
        raise InvalidInputError([Problem(path, problem.message) for problem in error.problems]) from None
    values = as_object(found)
    if values is None:
        raise InvalidInputError([Problem(path, f"must contain an object of names and values, not {type_name(found)}")])
    problems = Problems(
        Problem(child(path, name), f"must be a string, a number or true or false, not {type_name(value)}")
        for name, value in values.items()
        if not isinstance(value, str | int | float)
    )
    if problems:
        raise InvalidInputError(problems)
    return values
