"""Readiness while Key Vault is unavailable: a warning as long as the token lives, a failure when it has expired."""

import json
from collections.abc import Iterator

import pytest

from local.stack import APPLICATION
from tests.e2e.conftest import Running, finish, make_stack
from tests.waiting import eventually

pytestmark = pytest.mark.e2e
NAME, VALUE = "azure-client-secret", "a-secret-of-this-test"
ENDS_SOON, LIVES_ON = 5, 3600
"""Lifetimes of a token in seconds: one expires during the test, the other does not."""


@pytest.fixture
def running() -> Iterator[Running]:
    """Start a stack that signs in with a secret of its vault; cached copies live for a second."""
    stack = make_stack(has_vault=True, environment={"SECRET_CACHE_SECONDS": "1", "HEALTH_CACHE_SECONDS": "0.5"})
    try:
        running = Running(stack.up())
        fill(running)
        yield running
    finally:
        finish(stack)


def fill(running: Running) -> None:
    """Put the secret into the vault, and let Entra accept it."""
    running.vault("secrets", {"name": NAME, "value": VALUE})
    running.vault("clients", {APPLICATION: {"secrets": [VALUE], "certificates": []}})
    running.vault("settings", {"life_seconds": ENDS_SOON})


def ready(running: Running) -> tuple[int, str, str, str]:
    """Return the status code, the overall status, and the statuses of the vault and of the identity for Fabric."""
    code, body = running.http("/api/health/ready")
    reported = json.loads(body)
    words = [reported["checks"][name][0]["status"] for name in ("key_vault", "fabric_identity")]
    return code, reported["status"], words[0], words[1]


def test_unavailable_vault_is_a_warning_while_a_token_lives_and_a_failure_afterwards(running: Running) -> None:
    """The vault answers 503 and the last token has expired: not ready. The vault returns: ready again. It answers
    503 while a token lives: a warning. It is stopped altogether: a warning as before."""
    healthy = (200, "pass", "pass", "pass")
    eventually(lambda: ready(running) == healthy)

    running.vault("faults", [{"match": {"path": "/secrets/.*"}, "action": {"status": 503}}])
    eventually(lambda: ready(running) == (503, "fail", "warn", "fail"))
    _, details = running.http("/api/health", key=running.stack.function_key)
    assert VALUE not in details

    running.vault("settings", {"life_seconds": LIVES_ON})
    running.vault("faults", [])
    eventually(lambda: ready(running) == healthy)
    removed = (200, "warn", "warn", "pass")
    running.vault("faults", [{"match": {"path": "/secrets/.*"}, "action": {"status": 503}}])
    eventually(lambda: ready(running) == removed)
    running.vault("faults", [])
    eventually(lambda: ready(running) == healthy)

    running.stack.kill("vault")
    eventually(lambda: ready(running) == removed)
    running.stack.start_vault()
    fill(running)
    eventually(lambda: ready(running) == healthy)
