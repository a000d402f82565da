"""Health: within its budget whatever a check does, and coarse enough to be shown to anybody."""

import json
import threading
import time
from collections.abc import Callable

import pytest

from shared.saga import health


def secret() -> None:
    """A check that fails with what nobody may see."""
    raise RuntimeError("AccountKey=c2VjcmV0 at https://contoso.table.core.windows.net")


def test_health_passes_when_all_checks_do() -> None:
    """Each check with its status and seconds."""
    passed, body = health.ready({"storage": lambda: None, "fabric_identity": lambda: "token"})
    assert passed
    assert body["status"] == "pass"
    assert set(body["checks"]) == {"storage", "fabric_identity"}
    assert all(c[0]["status"] == "pass" and c[0]["observedUnit"] == "s" for c in body["checks"].values())


def test_health_without_checks_passes() -> None:
    """Nothing to ask."""
    assert health.ready({}) == (True, {"status": "pass", "checks": {}})


def test_health_failure_names_no_error_text() -> None:
    """One that fails fails the whole; its text is for the log alone, and so is what a check returned."""
    passed, body = health.ready({"bad": secret, "good": lambda: "sim.token"})
    assert not passed
    assert (body["checks"]["bad"][0]["status"], body["checks"]["good"][0]["status"]) == ("fail", "pass")
    shown = json.dumps(body)
    assert all(word not in shown for word in ("AccountKey", "https", "Runtime", "token"))


@pytest.mark.parametrize("order", [("slow", "fast"), ("fast", "slow")])
def test_health_hanging_check_fails_within_the_budget(monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]) -> None:
    """The others are not made to fail by it, and show their own seconds, not its."""
    monkeypatch.setattr(health, "BUDGET_SECONDS", 1.0)
    release = threading.Event()
    checks: dict[str, Callable[[], object]] = {"slow": release.wait, "fast": lambda: None}
    began = time.monotonic()
    try:
        passed, body = health.ready({name: checks[name] for name in order})
    finally:
        release.set()
    assert time.monotonic() - began < 10
    assert not passed
    assert body["checks"]["slow"][0]["status"] == "fail"
    assert body["checks"]["fast"][0]["status"] == "pass"
    assert body["checks"]["fast"][0]["observedValue"] < 0.9
