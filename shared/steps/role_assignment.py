"""Kind `role_assignment`: the role of one principal in a workspace. In Fabric its id is the principal's id."""

from collections.abc import Mapping

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.principals import ROLES, TYPES
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.kind import WORKSPACE_ID, Call, IfExists, ResourceKind, Snapshot, VerificationError, check_if_exists
from shared.steps.rows import located

EXAMPLE = {
    "principalId": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01",
    "principalType": "Group",
    "role": "Contributor",
}


class RoleAssignmentKind(ResourceKind):
    """Give a principal a role, or change the role it has. Compensation removes it or restores the old one."""

    name = "role_assignment"
    about = "The role of one principal in a workspace."
    if_exists = IfExists.UPDATE
    outputs = frozenset({"id", "principalId", "role", "workspaceId"})
    keys = ("workspaceId", "principalId")
    tracks = "RoleAssignment"
    tracked_fields: Mapping[str, str] = {"workspaceId": "workspace_id", "principalId": "id", "role": "role"}

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        check_principal(spec)
        check_if_exists(spec, self.if_exists)

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Search by the principal's id among the workspace's assignments."""
        return _find(fabric, spec["workspaceId"], spec["principalId"])

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return ["role"] if found.image["role"] != spec["role"] else []

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Raise InvalidInputError if the deploying identity would lower its own role, or that of the only group by
        which it can have it (ADR 16).

        With a lower role it could neither restore the old one nor delete what was created. The identity that creates
        a workspace is its Admin.
        """
        present, own = found.image["role"] if found is not None else "Admin", fabric.identity()
        if not own or _rank(spec["role"]) <= _rank(present):
            return
        if spec["principalId"].lower() == own:
            whose, remedy = f"the deploying identity ({own})", "leave the step out"
        elif found is not None and not _has_other_way(fabric, spec, present, own):
            whose = f"the only group by which the deploying identity ({own}) has a role"
            remedy = "give the identity a role of its own first, leave the step out"
        else:
            return
        message = (
            f"would lower the role of {whose} from {present} to {spec['role']}; the identity could then compensate "
            f"nothing: {remedy}, or set {present}"
        )
        raise InvalidInputError([Problem("$.with.role", message)])

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return POST, or PATCH with the role; Fabric has no upsert."""
        path = f"/workspaces/{spec['workspaceId']}/roleAssignments"
        if intent.action is IntentAction.CREATE:
            principal = {"id": spec["principalId"], "type": spec["principalType"]}
            return [Call("POST", path, "role", {"principal": principal, "role": spec["role"]})]
        return [Call("PATCH", f"{path}/{intent.before_id}", "role", {"role": spec["role"]})]

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        return Resource("RoleAssignment", answer["id"], spec["principalId"], spec["workspaceId"])

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return True if the role is the same and the response was lost, because an assignment carries no marker.

        The same role that somebody else gave the same principal at that moment cannot be distinguished.
        """
        return uncertain and found.image["role"] == spec["role"]

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that the principal has the role; an adopted assignment may have any role."""
        found = fabric.get(f"/workspaces/{spec['workspaceId']}/roleAssignments/{resource.id}")
        role = _role(found, spec["principalId"])
        if intent.action is not IntentAction.ADOPT and role != spec["role"]:
            raise VerificationError(f"principal {spec['principalId']} has the role {role}, not {spec['role']}")
        return {
            "id": resource.id,
            "principalId": spec["principalId"],
            "role": role,
            "workspaceId": spec["workspaceId"],
        }

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        return _find(fabric, resource.parent_id or "", resource.id)

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return DELETE, or PATCH with the old role; nothing if somebody else has changed the role since."""
        if found.image["role"] != spec["role"]:
            return []
        path = f"/workspaces/{found.resource.parent_id}/roleAssignments/{found.resource.id}"
        if intent.action is IntentAction.CREATE:
            return [Call("DELETE", path, "role")]
        return [Call("PATCH", path, "role", {"role": (intent.before or {})["role"]})]


def check_principal(spec: Fields) -> None:
    """Check who gets which role: principalId, principalType, role, description."""
    spec.guid(
        "principalId",
        required=True,
        words=Words("The principal that gets the role, by its object id in Entra.", EXAMPLE["principalId"]),
    )
    spec.choice("principalType", TYPES, required=True, words=Words("The type of the principal.", "Group"))
    spec.choice("role", ROLES, required=True, words=Words("The role in the workspace.", "Contributor"))
    spec.text(
        "description",
        maximum=1000,
        refers=True,
        words=Words("The principal, for people; it is not sent to Fabric.", "Data platform team"),
    )


def _find(fabric: Fabric, workspace_id: str, principal_id: str) -> Snapshot | None:
    row = located(fabric, f"/workspaces/{workspace_id}/roleAssignments", None, principal_id)
    if row is None:
        return None
    resource = Resource("RoleAssignment", row["id"], principal_id, workspace_id)
    return Snapshot(resource, {"role": _role(row, principal_id)})


def _has_other_way(fabric: Fabric, spec: JsonObject, present: str, own: str) -> bool:
    """Return True if the deploying identity may have a role that is as high as `present` without the principal of a
    spec: by an assignment of its own, or by another group, whose members are not known. Raises FabricError."""
    changed = spec["principalId"].lower()
    for row in fabric.list(f"/workspaces/{spec['workspaceId']}/roleAssignments"):
        principal, row_id = as_object(row.get("principal")) or {}, row.get("id", "").lower()
        is_group = principal.get("type", "Group") == "Group"
        if row_id == changed:
            if not is_group:
                return True  # no members have their roles by it
        elif (row_id == own or is_group) and _rank(row.get("role", "")) <= _rank(present):
            return True
    return False


def _rank(role: str) -> int:
    """Return a number that is lower for a higher role. An unknown role counts as the highest."""
    return ROLES.index(role) if role in ROLES else -1


def _role(row: JsonObject, principal_id: str) -> str:
    """Return the role that an assignment gives.

    Raises FabricTransientError if it is missing, because a missing role would look like a change by somebody else.
    """
    if "role" not in row:
        raise FabricTransientError(
            f"Fabric's response does not contain the role of {principal_id}", call="GET roleAssignments"
        )
    return row["role"]
