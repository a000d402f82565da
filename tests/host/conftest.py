"""Hosts for the tests: one that the tests of a module share, and as many others as a test needs."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.host.hosts import Served


@pytest.fixture(scope="module")
def host(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start a host for the tests of a module that do not damage it."""
    with Served(tmp_path_factory.mktemp("host"), storage) as served:
        yield served


@pytest.fixture
def make(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Return a function that creates hosts; they are not started, and are stopped after the test."""
    made: list[Served] = []

    def build(storage_string: str = storage, **options: Any) -> Served:
        made.append(Served(tmp_path_factory.mktemp("host"), storage_string, **options))
        return made[-1]

    yield build
    for served in made:
        served.kill()
