"""The parser of the command line; each module adds its own commands."""

import argparse
from typing import Any, NoReturn

from shared.cli import audit, breakers, completion, environment, git, health, init, plan, reads, redeploy, submit, verbs
from shared.cli.common import Run
from shared.cli.follow import BAD_REQUEST
from shared.cli.help import COMMAND, DESCRIPTION, VERSION, example_of, overview


class _FullParser(argparse.ArgumentParser):
    """The parser of all commands. Its help shows the commands in groups, which argparse does not support."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.texts: dict[str, str] = {}

    def format_help(self) -> str:
        return f"{self.format_usage()}\n{DESCRIPTION}\n\n{overview(self.texts)}\n"

    def error(self, message: str) -> NoReturn:
        """Print the whole help and exit with code 2 after a missing or unknown command."""
        self.exit(BAD_REQUEST, f"{self.format_help()}\nerror: {message}\n")


class _Command(argparse.ArgumentParser):
    """The parser of one command. An unknown argument is answered with the usage of that command."""

    # The library's method has overloads for its result.
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left


def parser() -> argparse.ArgumentParser:
    """Return a new parser."""
    whole = _FullParser(prog=COMMAND, usage="%(prog)s COMMAND [ARGUMENTS]")
    whole.add_argument(
        "--version", action="version", version=f"fabric-saga {VERSION}", help="print the version and exit"
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND", prog=COMMAND, parser_class=_Command)

    def add(name: str, run: Run, text: str) -> argparse.ArgumentParser:
        whole.texts[name] = text
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=example_of(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print JSON lines")
        return command

    for module in (init, submit, redeploy, plan, reads, verbs, environment, audit, breakers, health, git):
        module.add_commands(add)
    completion.add_commands(add, parser)
    return whole
