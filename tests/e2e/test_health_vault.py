"""Readiness while Key Vault is away: a warning as long as what was read lives on, a failure when it has ended."""

import json
from collections.abc import Iterator

import pytest

from local.stack import APPLICATION
from tests.e2e.conftest import Running, finish, make_stack
from tests.waiting import eventually

pytestmark = pytest.mark.e2e
NAME, VALUE = "azure-client-secret", "a-secret-of-this-test"
ENDS_SOON, LIVES_ON = 5, 3600
"""Seconds of a token: one whose end is waited for, one that serves for the rest of the test."""


@pytest.fixture
def running() -> Iterator[Running]:
    """A stack that signs in with what is in its vault; copies of it live for a second."""
    stack = make_stack(has_vault=True, environment={"SECRET_CACHE_SECONDS": "1", "HEALTH_CACHE_SECONDS": "0.5"})
    try:
        running = Running(stack.up())
        fill(running)
        yield running
    finally:
        finish(stack)


def fill(running: Running) -> None:
    """The secret, and an Entra that takes it."""
    running.vault("secrets", {"name": NAME, "value": VALUE})
    running.vault("clients", {APPLICATION: {"secrets": [VALUE], "certificates": []}})
    running.vault("settings", {"life_seconds": ENDS_SOON})


def ready(running: Running) -> tuple[int, str, str, str]:
    """Status code, the whole, the vault, and the identity for Fabric."""
    code, body = running.http("/api/health/ready")
    reported = json.loads(body)
    words = [reported["checks"][name][0]["status"] for name in ("key_vault", "fabric_identity")]
    return code, reported["status"], words[0], words[1]


def test_vault_gone_is_a_warning_while_a_token_lives_and_a_failure_after(running: Running) -> None:
    """All well; the vault answers 503, and the last token has ended: not ready. It is back: all well again. It answers
    503 while a token lives: a warning; it is stopped altogether: a warning, as before."""
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
