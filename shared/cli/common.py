"""Helpers of the commands: arguments and their values, and the connection to storage or the API."""

import argparse
import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import shtab

from shared import settings
from shared.bootstrap import command_line
from shared.cli import fabric_cicd, pack
from shared.cli.help import COMMAND
from shared.cli.render.output import Output
from shared.cli.render.timeline import clean
from shared.cli.stored import StoredFiles
from shared.domain.deployment_ids import is_deployment_id
from shared.domain.errors import InvalidInputError, NotFoundError, Problem
from shared.domain.fields import Fields
from shared.domain.json import canonical
from shared.domain.labels import parse_labels
from shared.domain.ports import BreakerAdmin

_NAMED = 10
"""How many of the files that are left out a message names."""

type Run = Callable[[argparse.Namespace, Output], int]
type Add = Callable[[str, Run, str], argparse.ArgumentParser]
"""Adds a command: its name, the function that runs it, and its description in one line."""


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the manifest and the option for the folder of its files; a shell completes both."""
    argument = parser.add_argument("manifest", nargs="?", help="a YAML or JSON file, or - for standard input")
    complete(argument, shtab.FILE)
    text = "deploy what this configuration of fabric-cicd describes, in place of a manifest"
    complete(parser.add_argument("--fabric-cicd", metavar="CONFIG", help=text), shtab.FILE)
    text = "with --fabric-cicd: the environment, as its files name it"
    parser.add_argument("--environment", metavar="NAME", default="", help=text)
    text = (
        "with --fabric-cicd: values that replace those of CONFIG, as its config_override does: a YAML or JSON file, "
        "or a mapping like {core: {workspace_id: ...}}"
    )
    complete(parser.add_argument(fabric_cicd.OVERRIDE, metavar="FILE", help=text), shtab.FILE)
    text = "the folder that contains all files that the manifest names (default: the manifest's own folder)"
    complete(parser.add_argument("--root", metavar="FOLDER", help=text), shtab.DIRECTORY)


def read_manifest(options: argparse.Namespace, output: Output) -> tuple[str, Path]:
    """Return the text of the manifest, or of the one that a configuration of fabric-cicd stands for, and its folder.

    Raises InvalidInputError.
    """
    if not options.fabric_cicd:
        problems = list(_wrong_without_config(options))
        if problems:
            raise InvalidInputError(problems)
        return pack.read_text(options.manifest)
    if options.manifest is not None:
        raise _wrong("--fabric-cicd", "cannot be combined with a manifest; give one of the two")
    made = fabric_cicd.manifest_of(options.fabric_cicd, options.environment, options.config_override, options.root)
    for warning in made.warnings:
        _warn(output, warning)
    options.root, options.places = options.root or str(made.root), made.places
    options.manifest = options.fabric_cicd
    return canonical(made.manifest), made.folder


def _wrong_without_config(options: argparse.Namespace) -> Iterator[Problem]:
    """Yield what is wrong with the options of a command that gets a manifest."""
    if options.environment:
        what = "is used only with --fabric-cicd; write `environment` into the manifest"
        yield Problem("--environment", what)
    if options.config_override is not None:
        what = "is used only with --fabric-cicd; inputs of a manifest are set with --set"
        yield Problem(fabric_cicd.OVERRIDE, what)
    if options.manifest is None:
        yield Problem("MANIFEST", "is missing: give a file, - for standard input, or --fabric-cicd CONFIG")


def _wrong(path: str, message: str) -> InvalidInputError:
    return InvalidInputError([Problem(path, message)])


def _warn(output: Output, warning: Problem) -> None:
    text = f"warning: {clean(warning.path, 300)}: {clean(warning.message, 500)}"
    output.event("warning", text, path=warning.path, message=warning.message)


def packed(
    options: argparse.Namespace, output: Output, manifest: Any, folder: Path, stored: StoredFiles | None = None
) -> Any:
    """Return the manifest with its files packed in; those of a repository are added to `stored`.

    Files that are left out are reported, and parameters that do nothing. Raises InvalidInputError."""

    def report(left: pack.LeftOut) -> None:
        names = ", ".join(clean(name, 100) for name in left.files[:_NAMED])
        more = f" and {len(left.files) - _NAMED} more" if len(left.files) > _NAMED else ""
        text = f"left out of {clean(left.folder, 100)} ({clean(left.reason)}): {names}{more}"
        output.event("left_out", text, **dataclasses.asdict(left))

    def warn(warning: Problem) -> None:
        _warn(output, warning)

    root, places = pack.real_root(options.root, folder), getattr(options, "places", {})
    try:
        return pack.packed(manifest, folder, root, report, stored, warn)
    except InvalidInputError as error:
        raise InvalidInputError(fabric_cicd.relocated(error.problems, places)) from None


def complete(argument: argparse.Action, how: Mapping[str, Any]) -> None:
    """Set how a shell completes an argument that has no fixed choices."""
    argument.complete = how  # type: ignore[attr-defined] - where shtab looks for it


def known_id(text: str) -> str:
    """Return the text if it can be a deployment's id. Raises NotFoundError otherwise."""
    if not is_deployment_id(text):
        raise NotFoundError(f"'{clean(text, 80)}' is not a deployment id")
    return text


def seconds(text: str) -> float:
    """Parse a duration and return its seconds. Raises argparse.ArgumentTypeError."""
    problems: list[Problem] = []
    found = Fields({"timeout": text}, "$", problems).duration("timeout", default=-1, minimum=0, maximum=30 * 86400)
    if problems:
        raise argparse.ArgumentTypeError(problems[0].message)
    return found


def count(text: str) -> int:
    """Parse a whole number of at least 1. Raises argparse.ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or not int(text[:9]) > 0:
        raise argparse.ArgumentTypeError(f"'{clean(text, 40)}' is not a whole number of at least 1")
    return int(text[:9])


def add_label(parser: argparse.ArgumentParser, text: str) -> None:
    """Add an option for labels, which `labels` reads."""
    parser.add_argument("--label", metavar="NAME=VALUE", action="append", default=[], help=text)


def labels(options: argparse.Namespace) -> dict[str, str]:
    """Return the labels of the option. Raises InvalidInputError."""
    try:
        return parse_labels(options.label)
    except ValueError as error:
        raise _wrong("--label", str(error)) from None


def add_url(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Add the option. The key comes from the environment, because other users of the machine can see arguments."""
    text = (
        "use the app's HTTP API at this address (or FABRIC_SAGA_URL), with the key in FUNCTION_KEY "
        "or a token for FABRIC_SAGA_SCOPE"
    )
    parser.add_argument("--url", default=default, help=text)


def remote(options: argparse.Namespace) -> command_line.Remote | None:
    """Return the API if an address is given, else None.

    Raises settings.SettingsError, and InvalidInputError if the address is not valid.
    """
    settings.check_connections()
    loaded = settings.load()
    url = options.url or loaded.api_url
    if not url:
        return None
    return command_line.remote(url, settings.function_key(), settings.sign_in_scope(), loaded.sign_in.authority)


def follow_command(options: argparse.Namespace) -> str:
    """Return the command line that follows this deployment by the same connection."""
    url = f" --url {shlex.quote(options.url)}" if getattr(options, "url", "") else ""
    return f"{COMMAND} follow {options.id}{url}"


def connect(options: argparse.Namespace) -> command_line.Access:
    """Return access to the API if an address is given, otherwise to storage. Raises as `remote`."""
    return remote(options) or command_line.storage(settings.load())


def breakers(options: argparse.Namespace) -> BreakerAdmin:
    """Return access to the circuit breakers, by the API or by storage. Raises as `remote`."""
    api = remote(options)
    return api.desk.breakers if api else command_line.stored_breakers(settings.load())
