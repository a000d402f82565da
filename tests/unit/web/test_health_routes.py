"""The responses to monitors, from the functions as the host calls them: status, type, headers, and no more than
allowed."""

import json
from collections.abc import Mapping
from typing import Any

import azure.functions as func
import jsonschema
import pytest

from shared import bootstrap, settings
from shared.saga.health.monitor import Check, Monitor
from tests.registered import functions
from tests.unit.web.conftest import DOCUMENT, Api

ADDRESS = "contoso.table.core.windows.net"


def respond(name: str) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    """Call a function, and check its response against the document."""
    (function,) = (f for f in functions() if f.get_function_name() == name)
    answer = function.get_user_function()(request=func.HttpRequest("GET", "http://host/", body=b""))
    body = json.loads(answer.get_body())
    media = DOCUMENT["paths"][f"/{name.replace('_', '/')}"]["get"]["responses"][str(answer.status_code)]["content"]
    schema = media[answer.headers["Content-Type"]]["schema"]
    jsonschema.validate(body, {**schema, "components": DOCUMENT["components"]})
    return answer.status_code, answer.headers, body


def failing_check() -> None:
    """Fail with a text that only operators may see."""
    raise RuntimeError(f"no answer of {ADDRESS}")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """Return the checks of an app over memory."""
    found: dict[str, Check] = {"storage": lambda: None}
    app = Api().app
    monitor = Monitor(found, cache_seconds=0.0, now=app.services.clock.now, telemetry=app.telemetry)
    object.__setattr__(app, "health", monitor)
    monkeypatch.setattr(bootstrap, "_app", app)
    return found


@pytest.mark.parametrize("name", ["health_live", "health_ready", "health"])
@pytest.mark.parametrize("check", [lambda: None, failing_check])
def test_health_responses_are_health_json_and_not_cached(checks: dict[str, Check], name: str, check: Check) -> None:
    """The answer is 200, or 503 if an essential check fails; live checks nothing. No cache may return an old
    response."""
    checks["storage"] = check
    status, headers, body = respond(name)
    is_ill = check is failing_check and name != "health_live"
    assert (status, body["status"]) == ((503, "fail") if is_ill else (200, "pass"))
    assert headers["Content-Type"] == "application/health+json"
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert (ADDRESS in json.dumps(body)) == (is_ill and name == "health")


def test_invalid_settings_are_not_ready_and_named_for_operators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The app cannot be built: 503 without a text for anybody, the variable for operators, and the process is alive."""
    monkeypatch.setattr(bootstrap, "_app", None)
    monkeypatch.setattr(bootstrap, "build", lambda _: settings.load({"HEALTH_CACHE_SECONDS": "often"}))
    status, _, body = respond("health_ready")
    assert (status, body) == (503, {"status": "fail", "checks": {"settings": [{"status": "fail"}]}})
    status, _, body = respond("health")
    assert status == 503
    assert "HEALTH_CACHE_SECONDS" in body["checks"]["settings"][0]["output"]
    assert respond("health_live")[0] == 200
