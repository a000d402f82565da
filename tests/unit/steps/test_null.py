"""A field without a value, as `description:` in YAML: it counts as absent all the way to Fabric."""

from typing import Any

import pytest

from shared.domain.manifest import compile_manifest
from shared.domain.records import Intent
from shared.domain.states import IntentAction
from shared.domain.text import parse
from shared.steps import KINDS, STEPS
from tests.unit.steps.tenant import MARKER, OTHER, PERSON, problems

SPECS: dict[str, dict[str, Any]] = {
    "workspace": {"displayName": "w", "description": None, "capacityId": None, "ifExists": None},
    "lakehouse": {
        "workspaceId": PERSON,
        "displayName": "l",
        "description": None,
        "enableSchemas": None,
        "waitForSqlEndpoint": None,
        "ifExists": None,
    },
    "item": {
        "workspaceId": PERSON,
        "type": "DataPipeline",
        "displayName": "i",
        "description": None,
        "definition": None,
        "creationPayload": None,
        "ifExists": None,
    },
    "folder": {"workspaceId": PERSON, "displayName": "f", "parentFolderId": None, "ifExists": None},
    "job": {
        "workspaceId": PERSON,
        "itemId": OTHER,
        "jobType": "Pipeline",
        "parameters": None,
        "executionData": None,
        "effects": None,
        "mayRunTwice": None,
        "expectExitValue": None,
    },
    "capacity_assignment": {"workspaceId": PERSON, "capacityId": OTHER},
    "connection_binding": {"workspaceId": PERSON, "itemId": OTHER, "connectionId": OTHER},
    "domain_assignment": {"workspaceId": PERSON, "domainId": OTHER},
    "spark_settings": {"workspaceId": PERSON, "settings": {"automaticLog": {"enabled": False}}},
    "tags": {"workspaceId": PERSON, "itemId": None, "tags": [OTHER]},
    "warehouse": {
        "workspaceId": PERSON,
        "displayName": "w",
        "description": None,
        "collation": None,
        "ifExists": None,
    },
    "git_update": {"workspaceId": PERSON, "conflictResolution": "PreferRemote"},
    "shortcut": {
        "workspaceId": PERSON,
        "itemId": OTHER,
        "path": "Files",
        "name": "s",
        "target": {"oneLake": {"workspaceId": PERSON, "itemId": OTHER, "path": "Files"}},
        "ifExists": None,
    },
    "role_assignment": {
        "workspaceId": PERSON,
        "principalId": OTHER,
        "principalType": "User",
        "role": "Viewer",
        "description": None,
        "ifExists": None,
    },
}


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_null_field_counts_as_absent(kind: str) -> None:
    """A null passes the check, and the calls are those of a manifest without the field."""
    assert problems(STEPS[kind], SPECS[kind]) == {}
    steps = [{"id": "s", "kind": kind, "with": SPECS[kind]}]
    spec = compile_manifest({"name": "m", "steps": steps}, KINDS).steps[0].spec
    assert None not in spec.values()
    [call] = STEPS[kind].apply(spec, Intent(IntentAction.CREATE, MARKER))
    assert "None" not in str(call.body or {})


def test_null_description_in_yaml_is_empty_in_fabric() -> None:
    """`description:` without a value leaves the description empty except for the marker."""
    text = "name: m\nsteps: [{id: w, kind: workspace, with: {displayName: w, description: }}]"
    plan = compile_manifest(parse(text), KINDS)
    [call] = STEPS["workspace"].apply(plan.steps[0].spec, Intent(IntentAction.CREATE, MARKER))
    assert call.body is not None
    assert call.body["description"] == f"[saga:{MARKER}]"
