"""What monitors are answered, by the functions as the host calls them: status, type, headers, and nothing too much."""

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


def asked(name: str) -> tuple[int, Mapping[str, str], dict[str, Any]]:
    """Call a function; its answer fits the document."""
    (function,) = (f for f in functions() if f.get_function_name() == name)
    answer = function.get_user_function()(request=func.HttpRequest("GET", "http://host/", body=b""))
    body = json.loads(answer.get_body())
    media = DOCUMENT["paths"][f"/{name.replace('_', '/')}"]["get"]["responses"][str(answer.status_code)]["content"]
    schema = media[answer.headers["Content-Type"]]["schema"]
    jsonschema.validate(body, {**schema, "components": DOCUMENT["components"]})
    return answer.status_code, answer.headers, body


def gone() -> None:
    """A check that fails with what only operators may see."""
    raise RuntimeError(f"no answer of {ADDRESS}")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """The checks of an app over memory."""
    found: dict[str, Check] = {"storage": lambda: None}
    app = Api().app
    monitor = Monitor(found, cache_seconds=0.0, now=app.services.clock.now, telemetry=app.telemetry)
    object.__setattr__(app, "health", monitor)
    monkeypatch.setattr(bootstrap, "_app", app)
    return found


@pytest.mark.parametrize("name", ["health_live", "health_ready", "health"])
@pytest.mark.parametrize("check", [lambda: None, gone])
def test_health_answers_are_health_json_that_nobody_keeps(checks: dict[str, Check], name: str, check: Check) -> None:
    """200, or 503 where a check that is essential fails; live asks nothing. No cache may tell an answer of before."""
    checks["storage"] = check
    status, headers, body = asked(name)
    is_ill = check is gone and name != "health_live"
    assert (status, body["status"]) == ((503, "fail") if is_ill else (200, "pass"))
    assert headers["Content-Type"] == "application/health+json"
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert (ADDRESS in json.dumps(body)) == (is_ill and name == "health")


def test_settings_that_cannot_be_used_are_not_ready_and_operators_are_told_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The app cannot be built: 503 for anybody without a text, the variable for operators, and the process lives."""
    monkeypatch.setattr(bootstrap, "_app", None)
    monkeypatch.setattr(bootstrap, "build", lambda _: settings.load({"HEALTH_CACHE_SECONDS": "often"}))
    status, _, body = asked("health_ready")
    assert (status, body) == (503, {"status": "fail", "checks": {"settings": [{"status": "fail"}]}})
    status, _, body = asked("health")
    assert status == 503
    assert "HEALTH_CACHE_SECONDS" in body["checks"]["settings"][0]["output"]
    assert asked("health_live")[0] == 200
