"""`breakers` against the emulator: a row that another worker wrote is shown, and is closed for all."""

from datetime import UTC, datetime

import pytest

from shared import bootstrap, settings
from shared.bootstrap import parts
from shared.domain.fabric_paths import AREAS
from shared.domain.telemetry import NoTelemetry
from tests.unit.cli.test_commands import events, run, unreachable

pytestmark = pytest.mark.azurite


def test_breakers_shows_and_closes_what_another_worker_opened(storage: str) -> None:
    """All areas are shown, whichever worker wrote them, and other workers see the reset."""
    loaded = settings.load({"AzureWebJobsStorage": storage, "BREAKER_CACHE_SECONDS": "0"})
    other = parts.breakers(parts.storage_clients(loaded.storage), loaded, bootstrap.SystemClock(), NoTelemetry())
    other.get("items").open()
    shown = {row["name"]: row for row in events(run("breakers", "--json", storage=storage))}
    assert set(AREAS) <= set(shown)  # All tests of a worker share one emulator, with its other breakers.
    assert (shown["items"]["state"], shown["items"]["is_shared"]) == ("open", True)
    assert datetime.fromisoformat(shown["items"]["retry_at"]) > datetime.now(UTC)
    assert "items            open" in run("breakers", storage=storage).stdout
    done = run("breakers", "reset", "items", storage=storage)
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["items", "closed"])
    assert other.get("items").status().state == "closed"


def test_breakers_reset_of_an_unknown_name_is_a_bad_request(storage: str) -> None:
    """The exit code is 2, and the error lists the existing names; no breaker is created."""
    done = run("breakers", "reset", "itmes", "--json", storage=storage)
    assert done.returncode == 2
    assert all(area in done.stdout for area in AREAS)
    assert "itmes" not in run("breakers", storage=storage).stdout


@pytest.mark.parametrize("arguments", [["breakers"], ["breakers", "reset", "items"]])
def test_breakers_without_storage_is_unavailable(arguments: list[str]) -> None:
    """The exit code is 5, because no other worker shares this process's own view."""
    assert run(*arguments, storage=unreachable()).returncode == 5
