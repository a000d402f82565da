"""What a command works on: storage itself, or the app's HTTP API where an address is given."""

import argparse
import shlex

from shared import bootstrap, settings
from shared.cli.help import COMMAND
from shared.domain.ports import BreakerDesk


def add_url(parser: argparse.ArgumentParser, default: str = "") -> None:
    """The option; the key is read from the environment, for an argument can be seen by others."""
    text = "go through the app's HTTP API at this address (or FABRIC_SAGA_URL), with the key in FUNCTION_KEY"
    parser.add_argument("--url", default=default, help=text)


def remote(options: argparse.Namespace) -> bootstrap.Remote | None:
    """The API, if an address is given. Raises settings.SettingsError, and InvalidInputError for a bad address."""
    settings.check_connections()
    url = options.url or settings.load().api_url
    return bootstrap.remote(url, settings.function_key()) if url else None


def follow_again(options: argparse.Namespace) -> str:
    """The command that takes up following a deployment, the way that this one went."""
    url = f" --url {shlex.quote(options.url)}" if getattr(options, "url", "") else ""
    return f"{COMMAND} follow {options.id}{url}"


def connect(options: argparse.Namespace) -> bootstrap.Access:
    """Raises as `remote`."""
    return remote(options) or bootstrap.storage(settings.load())


def breakers(options: argparse.Namespace) -> BreakerDesk:
    """Raises as `remote`."""
    api = remote(options)
    return api.desk.breakers if api else bootstrap.stored_breakers(settings.load())
