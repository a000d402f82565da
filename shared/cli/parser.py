"""The parser of all commands; each module adds its own."""

import argparse
from typing import Any, NoReturn

from shared.cli import audit, breakers, completion, health, init, plan, reads, submit, verbs
from shared.cli.common import Run
from shared.cli.follow import BAD_REQUEST
from shared.cli.help import COMMAND, DESCRIPTION, VERSION, example_of, overview


class _FullParser(argparse.ArgumentParser):
    """Its help shows the commands in groups, which argparse has none of."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.texts: dict[str, str] = {}

    def format_help(self) -> str:
        """For `--help`."""
        return f"{self.format_usage()}\n{DESCRIPTION}\n\n{overview(self.texts)}\n"

    def error(self, message: str) -> NoReturn:
        """No such command, or none: what there is, with code 2. (A command's own mistakes show its usage.)"""
        self.exit(BAD_REQUEST, f"{self.format_help()}\nerror: {message}\n")


class _Command(argparse.ArgumentParser):
    """What it does not know is its own mistake, and answered with its own usage."""

    # The library's has overloads for what it returns.
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        found, left = super().parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left


def parser() -> argparse.ArgumentParser:
    """A new one."""
    whole = _FullParser(prog=COMMAND, usage="%(prog)s COMMAND [ARGUMENTS]")
    whole.add_argument("--version", action="version", version=f"fabric-saga {VERSION}", help="print it and end")
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

    for module in (init, submit, plan, reads, verbs, audit, breakers, health):
        module.add_commands(add)
    completion.add_commands(add, parser)
    return whole
