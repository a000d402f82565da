"""Kinds `role_assignment` and `principals` against the simulator: given, changed, put back, expanded."""

from typing import Any

import pytest

from shared.domain.errors import FabricConflictError
from shared.domain.records import Intent
from shared.steps.kind import VerificationError
from shared.steps.principals import PrincipalsKind
from shared.steps.role_assignment import RoleAssignmentKind
from tests.unit.steps.tenant import MARKER, OTHER, PERSON, Tenant, problems

KIND = RoleAssignmentKind()
LIST = PrincipalsKind()
CREATE = Intent("create", MARKER)


def asked(workspace_id: str, role: str = "Contributor") -> dict[str, Any]:
    """A spec for one person."""
    return {"workspaceId": workspace_id, "principalId": PERSON, "principalType": "User", "role": role}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"principalId": "me@example.com"}, "$.principalId"),
        ({"principalType": "Robot"}, "$.principalType"),
        ({"role": "contributor"}, "$.role"),
        ({"role": None}, "$.role"),
        ({"description": "x" * 1001}, "$.description"),
        ({"ifExists": "replace"}, "$.ifExists"),
        ({"scope": "/"}, "$.scope"),
    ],
)
def test_role_check_names_the_field(change: dict[str, Any], where: str) -> None:
    """Each value that Fabric would refuse is refused at its path."""
    assert list(problems(KIND, {**asked(PERSON), **change})) == [where]


def test_role_create_is_found_verified_and_taken_away() -> None:
    """The whole life of an assignment; the principal's id is found in any case."""
    tenant = Tenant()
    spec = asked(tenant.workspace())
    assert KIND.find(tenant.fabric, spec) is None
    resource = tenant.create(KIND, spec)
    found = KIND.find(tenant.fabric, {**spec, "principalId": PERSON.upper()})
    assert found is not None
    assert found.resource.id == resource.id == PERSON
    outputs = KIND.verify(tenant.fabric, spec, resource, CREATE)
    assert outputs["role"] == "Contributor"
    assert set(outputs) == KIND.outputs
    assert KIND.guard(tenant.fabric, resource, list) == []
    tenant.undo(KIND, spec, CREATE, resource)
    assert KIND.locate(tenant.fabric, spec, resource) is None


def test_role_of_somebody_is_a_conflict_and_not_ours() -> None:
    """Fabric has no upsert; only a lost answer and the very role make an assignment ours."""
    tenant = Tenant()
    spec = asked(tenant.workspace(roles=[{"id": PERSON, "type": "User", "role": "Contributor"}]))
    with pytest.raises(FabricConflictError):
        tenant.create(KIND, spec)
    found = KIND.find(tenant.fabric, spec)
    assert found is not None
    assert not KIND.recognises(spec, CREATE, found, uncertain=False)
    assert KIND.recognises(spec, CREATE, found, uncertain=True)
    assert not KIND.recognises({**spec, "role": "Admin"}, CREATE, found, uncertain=True)


def test_role_update_is_put_back_as_it_was() -> None:
    """The old role is kept and given back."""
    tenant = Tenant()
    spec = asked(tenant.workspace(roles=[{"id": PERSON, "type": "User", "role": "Viewer"}]), "Admin")
    found, intent = tenant.image(KIND, spec)
    assert KIND.changes(spec, found) == ["role"]
    tenant.send(KIND.apply(spec, intent))
    assert tenant.stored(spec["workspaceId"]).roles[PERSON]["role"] == "Admin"
    KIND.verify(tenant.fabric, spec, found.resource, intent)
    tenant.undo(KIND, spec, intent, found.resource)
    assert tenant.stored(spec["workspaceId"]).roles[PERSON]["role"] == "Viewer"


@pytest.mark.parametrize("action", ["create", "update"])
def test_role_that_somebody_changed_since_is_left_to_them(action: str) -> None:
    """Compensation undoes our role, not the one that a person gave afterwards."""
    tenant = Tenant()
    spec = asked(tenant.workspace())
    resource = tenant.create(KIND, spec)
    tenant.stored(spec["workspaceId"]).roles[PERSON]["role"] = "Member"
    tenant.undo(KIND, spec, Intent(action, MARKER, {"role": "Viewer"}, PERSON), resource)
    assert tenant.stored(spec["workspaceId"]).roles[PERSON]["role"] == "Member"


def test_role_verify_tells_another_role_unless_adopted() -> None:
    """The role that Fabric shows is the one that counts."""
    tenant = Tenant()
    spec = asked(tenant.workspace(roles=[{"id": PERSON, "type": "User", "role": "Viewer"}]))
    found = KIND.find(tenant.fabric, spec)
    assert found is not None
    with pytest.raises(VerificationError, match="has the role Viewer, not Contributor"):
        KIND.verify(tenant.fabric, spec, found.resource, CREATE)
    assert KIND.verify(tenant.fabric, spec, found.resource, Intent("adopt", MARKER))["role"] == "Viewer"


def test_role_find_goes_over_all_pages() -> None:
    """The principal may be on the last page."""
    tenant = Tenant()
    tenant.model.settings.page_size = 1
    rows = [{"id": f"{OTHER[:-1]}{i}", "type": "User", "role": "Viewer"} for i in range(3, 7)]
    spec = asked(tenant.workspace(roles=[*rows, {"id": PERSON, "type": "User", "role": "Viewer"}]))
    assert KIND.find(tenant.fabric, spec) is not None


CSV = f"principal_id,role,description,type\r\n{PERSON},Admin,,User\r\n# a comment\r\n{OTHER},Viewer,the team,Group\r\n"


def test_principals_file_expands_to_an_assignment_each() -> None:
    """Numbered from 1, each with what the list says for all."""
    spec = {"workspaceId": PERSON, "csv": CSV, "source": "team.csv", "ifExists": "fail"}
    assert problems(LIST, spec) == {}
    first, second = LIST.expand(spec)
    assert first == (
        "001",
        "role_assignment",
        {"workspaceId": PERSON, "ifExists": "fail", "principalId": PERSON, "principalType": "User", "role": "Admin"},
    )
    assert second[2]["description"] == "the team"
    assert all(problems(KIND, each) == {} for _, _, each in (first, second))


def test_principals_inline_expands_alike() -> None:
    """The inline form gives the same steps."""
    rows = [{"principalId": PERSON, "principalType": "User", "role": "Admin"}]
    assert problems(LIST, {"workspaceId": PERSON, "principals": rows}) == {}
    [(suffix, kind, spec)] = LIST.expand({"workspaceId": PERSON, "principals": rows})
    assert (suffix, kind, spec["principalId"]) == ("001", "role_assignment", PERSON)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({}, "$"),
        ({"csv": CSV, "principals": []}, "$"),
        ({"file": "team.csv"}, "$.file"),
        ({"csv": ""}, "$.csv"),
        ({"csv": 7}, "$.csv"),
        ({"csv": "not,enough"}, "$.csv line 1"),
        ({"csv": CSV.replace("Viewer", "Reader"), "source": "t.csv"}, "$.csv (t.csv) line 4, role"),
        ({"principals": []}, "$.principals"),
        ({"principals": ["me"]}, "$.principals[0]"),
        ({"principals": [{"principalId": PERSON, "principalType": "User"}]}, "$.principals[0].role"),
        (
            {"principals": [{"principalId": PERSON, "principalType": "User", "role": "Admin", "workspaceId": OTHER}]},
            "$.principals[0].workspaceId",
        ),
        (
            {"principals": [{"principalId": PERSON, "principalType": "User", "role": "Admin", "ifExists": "fail"}]},
            "$.principals[0].ifExists",
        ),
        (
            {
                "principals": [
                    {"principalId": p, "principalType": "User", "role": "Admin"} for p in (OTHER, OTHER.upper())
                ]
            },
            "$.principals[1].principalId",
        ),
    ],
)
def test_principals_check_names_the_place(change: dict[str, Any], where: str) -> None:
    """Each wrong list is refused at the line or row that is wrong; nothing is passed over in silence."""
    assert where in problems(LIST, {"workspaceId": PERSON, **change})


def test_principals_rows_without_an_id_are_not_called_doubles() -> None:
    """Two rows that lack an id are two rows that lack an id."""
    found = problems(LIST, {"workspaceId": PERSON, "principals": [{"role": "Admin"}, {"role": "Admin"}]})
    assert found["$.principals[1].principalId"] == "is required"
