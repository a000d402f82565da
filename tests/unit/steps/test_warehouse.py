"""The kind `warehouse`: created with a collation, which Fabric cannot change later."""

from typing import Any

import pytest

from shared.domain.records import Intent
from shared.domain.states import IntentAction
from shared.steps import STEPS
from shared.steps.kind import VerificationError
from tests.unit.steps.tenant import MARKER, Tenant

KIND = STEPS["warehouse"]
BINARY, FOLDED = "Latin1_General_100_BIN2_UTF8", "Latin1_General_100_CI_AS_KS_WS_SC_UTF8"


def test_warehouse_is_created_found_by_its_marker_and_deleted() -> None:
    t = Tenant()
    spec: dict[str, Any] = {"workspaceId": t.workspace(), "displayName": "house", "collation": FOLDED}
    intent = Intent(IntentAction.CREATE, MARKER)
    resource = t.create(KIND, spec)
    found = KIND.find(t.fabric, spec)
    assert found is not None
    assert KIND.recognises(spec, intent, found, uncertain=True)
    assert not KIND.recognises(spec, Intent(IntentAction.CREATE, "0" * 12), found, uncertain=True)
    outputs = KIND.verify(t.fabric, spec, resource, intent)
    assert outputs["id"] == found.resource.id
    assert outputs["connectionString"]
    t.compensate(KIND, spec, intent, resource)
    assert KIND.locate(t.fabric, spec, resource) is None


def test_warehouse_with_another_collation_is_refused() -> None:
    """An adopted warehouse is refused too: it is not what the step asked for."""
    t = Tenant()
    spec: dict[str, Any] = {"workspaceId": t.workspace(), "displayName": "house", "collation": FOLDED}
    resource = t.create(KIND, spec)
    intent = Intent(IntentAction.ADOPT, MARKER, None, resource.id)
    with pytest.raises(VerificationError, match=f"has the collation {FOLDED}, and Fabric cannot change it; delete it"):
        KIND.verify(t.fabric, {**spec, "collation": BINARY}, resource, intent)
