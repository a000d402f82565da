"""Kinds `role_assignment` and `principals` against the simulator: added, changed, compensated, expanded."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.domain.errors import FabricConflictError, InvalidInputError
from shared.domain.ports import Expanded
from shared.domain.records import Intent
from shared.domain.states import IntentAction
from shared.steps.kind import VerificationError
from shared.steps.makers import OwnItems
from shared.steps.principals import PrincipalsKind
from shared.steps.role_assignment import RoleAssignmentKind
from tests.unit.steps.tenant import MARKER, OTHER, PERSON, Tenant, problems

KIND = RoleAssignmentKind()
LIST = PrincipalsKind()
CREATE = Intent(IntentAction.CREATE, MARKER)


def asked(workspace_id: str, role: str = "Contributor") -> dict[str, Any]:
    """Return a spec for one person."""
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
    assert list(problems(KIND, {**asked(PERSON), **change})) == [where]


def test_role_create_is_found_verified_and_removed() -> None:
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
    assert KIND.guard(tenant.fabric, resource, OwnItems) == []
    tenant.compensate(KIND, spec, CREATE, resource)
    assert KIND.locate(tenant.fabric, spec, resource) is None


def test_role_of_somebody_else_is_a_conflict_and_not_recognised() -> None:
    """Fabric has no upsert; only after a lost response, and with the same role, an assignment counts as the step's
    own."""
    tenant = Tenant()
    spec = asked(tenant.workspace(roles=[{"id": PERSON, "type": "User", "role": "Contributor"}]))
    with pytest.raises(FabricConflictError):
        tenant.create(KIND, spec)
    found = KIND.find(tenant.fabric, spec)
    assert found is not None
    assert not KIND.recognises(spec, CREATE, found, uncertain=False)
    assert KIND.recognises(spec, CREATE, found, uncertain=True)
    assert not KIND.recognises({**spec, "role": "Admin"}, CREATE, found, uncertain=True)


def test_role_update_is_compensated() -> None:
    """The old role is stored and restored."""
    tenant = Tenant()
    spec = asked(tenant.workspace(roles=[{"id": PERSON, "type": "User", "role": "Viewer"}]), "Admin")
    found, intent = tenant.image(KIND, spec)
    assert KIND.changes(spec, found) == ["role"]
    tenant.send(KIND.apply(spec, intent))
    assert tenant.stored(spec["workspaceId"]).roles[PERSON]["role"] == "Admin"
    KIND.verify(tenant.fabric, spec, found.resource, intent)
    tenant.compensate(KIND, spec, intent, found.resource)
    assert tenant.stored(spec["workspaceId"]).roles[PERSON]["role"] == "Viewer"


@pytest.mark.parametrize("action", [IntentAction.CREATE, IntentAction.UPDATE])
def test_role_that_somebody_changed_later_is_left_alone(action: IntentAction) -> None:
    """Compensation reverses the step's own role, and not the role that a person gave afterwards."""
    tenant = Tenant()
    spec = asked(tenant.workspace())
    resource = tenant.create(KIND, spec)
    tenant.stored(spec["workspaceId"]).roles[PERSON]["role"] = "Member"
    tenant.compensate(KIND, spec, Intent(action, MARKER, {"role": "Viewer"}, PERSON), resource)
    assert tenant.stored(spec["workspaceId"]).roles[PERSON]["role"] == "Member"


OWN, GROUP = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1caa", "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1cbb"


def _assigned(principal: str, kind: str | None, role: str) -> dict[str, Any]:
    return {"id": principal, "principal": {"id": principal, "type": kind} if kind else {}, "role": role}


@pytest.mark.parametrize(
    ("others", "role", "is_refused"),
    [
        ([], "Viewer", True),
        ([_assigned(OWN, "ServicePrincipal", "Contributor")], "Viewer", True),
        ([_assigned(OTHER, "Group", "Viewer"), _assigned(PERSON, "User", "Admin")], "Member", True),
        ([_assigned(OWN, "ServicePrincipal", "Admin")], "Viewer", False),
        ([_assigned(OTHER, "Group", "Admin")], "Viewer", False),
        ([_assigned(OTHER, None, "Admin")], "Viewer", False),
        ([], "Admin", False),
    ],
)
def test_role_of_the_only_group_of_the_identity_is_not_lowered(
    others: list[dict[str, Any]], role: str, is_refused: bool
) -> None:
    """Without another assignment as high, the identity has its rights by that group. The members of groups are not
    known; the simulator has none."""
    rows = [_assigned(GROUP, "Group", "Admin"), *others]
    fabric: Any = SimpleNamespace(identity=lambda: OWN, list=lambda *_: iter(rows))
    spec = {**asked(PERSON, role), "principalId": GROUP.upper(), "principalType": "Group"}
    found = KIND.find(fabric, spec)
    if is_refused:
        with pytest.raises(InvalidInputError, match="the only group by which the deploying identity"):
            KIND.allow(fabric, spec, found)
    else:
        KIND.allow(fabric, spec, found)


def test_role_of_a_person_may_be_lowered_without_an_own_role() -> None:
    """A person has no members, and without a known identity nothing is refused."""
    rows = [_assigned(PERSON, "User", "Admin")]
    fabric: Any = SimpleNamespace(identity=lambda: OWN, list=lambda *_: iter(rows))
    KIND.allow(fabric, asked(PERSON, "Viewer"), KIND.find(fabric, asked(PERSON, "Viewer")))
    rows[0]["principal"]["type"] = "Group"
    fabric.identity = str
    KIND.allow(fabric, asked(PERSON, "Viewer"), KIND.find(fabric, asked(PERSON, "Viewer")))


def test_role_verify_reports_another_role_unless_adopted() -> None:
    """The role in Fabric is the one that counts."""
    tenant = Tenant()
    spec = asked(tenant.workspace(roles=[{"id": PERSON, "type": "User", "role": "Viewer"}]))
    found = KIND.find(tenant.fabric, spec)
    assert found is not None
    with pytest.raises(VerificationError, match="has the role Viewer, not Contributor"):
        KIND.verify(tenant.fabric, spec, found.resource, CREATE)
    assert KIND.verify(tenant.fabric, spec, found.resource, Intent(IntentAction.ADOPT, MARKER))["role"] == "Viewer"


def test_role_find_reads_all_pages() -> None:
    tenant = Tenant()
    tenant.model.settings.page_size = 1
    rows = [{"id": f"{OTHER[:-1]}{i}", "type": "User", "role": "Viewer"} for i in range(3, 7)]
    spec = asked(tenant.workspace(roles=[*rows, {"id": PERSON, "type": "User", "role": "Viewer"}]))
    assert KIND.find(tenant.fabric, spec) is not None


CSV = f"principal_id,role,description,type\r\n{PERSON},Admin,,User\r\n# a comment\r\n{OTHER},Viewer,the team,Group\r\n"


def test_principals_file_expands_to_one_assignment_each() -> None:
    """They are numbered from 1, each with the fields that the list sets for all."""
    spec = {"workspaceId": PERSON, "csv": CSV, "source": "team.csv", "ifExists": "fail"}
    assert problems(LIST, spec) == {}
    first, second = LIST.expand("team", spec)
    assert first == Expanded(
        ".001",
        "role_assignment",
        {"workspaceId": PERSON, "ifExists": "fail", "principalId": PERSON, "principalType": "User", "role": "Admin"},
        outputs=KIND.outputs,
    )
    assert second.spec["description"] == "the team"
    assert all(problems(KIND, each.spec) == {} for each in (first, second))


def test_principals_inline_expands_alike() -> None:
    rows = [{"principalId": PERSON, "principalType": "User", "role": "Admin"}]
    assert problems(LIST, {"workspaceId": PERSON, "principals": rows}) == {}
    [only] = LIST.expand("team", {"workspaceId": PERSON, "principals": rows})
    assert (only.suffix, only.kind, only.spec["principalId"]) == (".001", "role_assignment", PERSON)


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
    """Each wrong list is refused at its wrong line or row; nothing is ignored without notice."""
    assert where in problems(LIST, {"workspaceId": PERSON, **change})


def test_principals_rows_without_an_id_are_not_duplicates() -> None:
    """Each row reports its own missing id."""
    found = problems(LIST, {"workspaceId": PERSON, "principals": [{"role": "Admin"}, {"role": "Admin"}]})
    assert found["$.principals[1].principalId"] == "is required"
