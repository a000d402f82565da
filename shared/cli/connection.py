"""What a command works on: storage itself, or the app's HTTP API where an address is given."""

import argparse

from shared import bootstrap, settings


def add_url(parser: argparse.ArgumentParser) -> None:
    """The option; the key is read from the environment, for an argument can be seen by others."""
    text = "go through the app's HTTP API at this address (or FABRIC_SAGA_URL), with the key in FUNCTION_KEY"
    parser.add_argument("--url", default="", help=text)


def connect(options: argparse.Namespace) -> bootstrap.Access:
    """Raises settings.SettingsError, and SagaError where the address is none."""
    loaded = settings.load()
    url = options.url or loaded.api_url
    return bootstrap.remote(url, settings.function_key()) if url else bootstrap.storage(loaded)
