"""The search for orphans over HTTP."""

import pytest

from shared.domain.errors import FabricTransientError
from shared.domain.states import DeploymentState as D
from tests.fakes import START
from tests.unit.web.conftest import Api, json_body


def test_orphans_are_searched_and_left_alone(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among deployments that were rolled back and not checked yet, up to a maximum; a refusal by Fabric is 502."""
    for i in range(25):
        api.saga.deployment(D.COMPENSATED, deployment_id=f"d{i}")
    api.saga.deployment(D.CANCELLED, deployment_id="seen", orphan_checked_at=START)
    api.saga.deployment(D.SUCCEEDED, deployment_id="stands")
    assert json_body(api.ask("GET", "orphans")) == {"items": [], "looked_at": 20, "is_complete": False}

    def away(*_: object) -> None:
        raise FabricTransientError("throttled", call="GET /workspaces", status=429)

    monkeypatch.setattr("shared.web.orphans.find_orphans", away)
    assert api.ask("GET", "orphans").status == 502


def test_orphans_are_not_searched_while_another_deployment_is_active(api: Api) -> None:
    """The response says that it is not complete."""
    api.saga.deployment(D.COMPENSATED)
    assert json_body(api.ask("GET", "orphans")) == {"items": [], "looked_at": 1, "is_complete": True}
    api.saga.deployment(D.RUNNING, deployment_id="other")
    assert json_body(api.ask("GET", "orphans")) == {"items": [], "looked_at": 0, "is_complete": False}
