"""Kinds `capacity_assignment`, `domain_assignment` and `spark_settings`: what a workspace has one of."""

from collections.abc import Iterator, Sequence

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps import capacity
from shared.steps.kind import Call, Snapshot
from shared.steps.setting import SettingKind

_SPARK_MEMBERS = ("automaticLog", "environment", "highConcurrency", "job", "pool")
"""Source: published OpenAPI, UpdateWorkspaceSparkSettingsRequest."""


class CapacityAssignmentKind(SettingKind):
    """Assign a workspace to a capacity; compensation assigns it to the earlier one, or to none."""

    name = "capacity_assignment"
    about = "The capacity of a workspace that exists."
    type = "CapacityAssignment"
    outputs = frozenset({"id", "workspaceId", "capacityId"})

    def check_values(self, spec: Fields) -> None:
        spec.guid("capacityId", required=True, words=Words("The capacity.", "6a3b1c7e-2f0d-4a55-9a0f-1b2c3d4e5f60"))

    def read(self, fabric: Fabric, spec: JsonObject) -> tuple[str, JsonObject]:
        shown = _workspace(fabric, spec)
        return shown.get("displayName", ""), capacity.image(shown)

    def wanted(self, spec: JsonObject) -> JsonObject:
        return {"capacityId": spec["capacityId"]}

    def set(self, spec: JsonObject, values: JsonObject) -> list[Call]:
        return [capacity.call(spec["workspaceId"], values["capacityId"])]

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Raise InvalidInputError if the identity could not assign the earlier capacity again."""
        if found is not None:
            capacity.check_way_back(fabric, found.image["capacityId"], spec["capacityId"])

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Wait until the assignment has ended. Raises NotYetError, VerificationError."""
        if intent.action is not IntentAction.ADOPT:
            capacity.check_assigned(_workspace(fabric, spec), spec["capacityId"])
        return {**super().verify(fabric, spec, resource, intent), "capacityId": spec["capacityId"]}

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the call that assigns the earlier capacity, if that of the step is assigned. Raises NotYetError."""
        capacity.check_over(found.image)
        return super().compensate(spec, intent, found)

    def check_compensated(self, fabric: Fabric, spec: JsonObject, resource: Resource, calls: Sequence[Call]) -> None:
        """Wait until the earlier capacity is assigned. Raises NotYetError, FabricError."""
        capacity.check_restored(fabric, spec["workspaceId"], calls)


class DomainAssignmentKind(SettingKind):
    """Assign a workspace to a domain; compensation assigns it to the earlier one, or to none."""

    name = "domain_assignment"
    about = "The domain of a workspace that exists."
    type = "DomainAssignment"
    outputs = frozenset({"id", "workspaceId", "domainId"})

    def check_values(self, spec: Fields) -> None:
        spec.guid("domainId", required=True, words=Words("The domain.", "97dd1d38-a4c6-41ed-bc4f-1e383f8ddd01"))

    def read(self, fabric: Fabric, spec: JsonObject) -> tuple[str, JsonObject]:
        shown = _workspace(fabric, spec)
        return shown.get("displayName", ""), {"domainId": shown.get("domainId") or ""}

    def wanted(self, spec: JsonObject) -> JsonObject:
        return {"domainId": spec["domainId"]}

    def set(self, spec: JsonObject, values: JsonObject) -> list[Call]:
        """Return assignToDomain, or unassignFromDomain for no domain."""
        path = f"/workspaces/{spec['workspaceId']}"
        if not values["domainId"]:
            return [Call("POST", f"{path}/unassignFromDomain", "domain")]
        return [Call("POST", f"{path}/assignToDomain", "domain", dict(values))]

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        return {**super().verify(fabric, spec, resource, intent), "domainId": spec["domainId"]}


class SparkSettingsKind(SettingKind):
    """Set some of the Spark settings of a workspace; compensation restores the same ones."""

    name = "spark_settings"
    about = "Spark settings of a workspace that exists."
    type = "SparkSettings"

    def check_values(self, spec: Fields) -> None:
        given = spec.any_object(
            "settings",
            words=Words(
                "The settings to change, in the form of Fabric's API; the others stay.",
                {"environment": {"runtimeVersion": "1.3"}, "highConcurrency": {"notebookInteractiveRunEnabled": True}},
            ),
        )
        if not given:
            spec.problem("settings", "is required, with at least one setting")
        for name in given or {}:
            if name not in _SPARK_MEMBERS:
                spec.problem("settings", f"'{name[:64]}' is not one of: {', '.join(_SPARK_MEMBERS)}")

    def read(self, fabric: Fabric, spec: JsonObject) -> tuple[str, JsonObject]:
        """Return the settings. A workspace without a default environment shows no name of one (recorded traffic); in
        requests the empty name stands for none (published OpenAPI, EnvironmentProperties), so it can be restored."""
        image = fabric.get(_spark_path(spec))
        shown: JsonObject = {name: image[name] for name in _SPARK_MEMBERS if name in image}
        environment = as_object(shown.get("environment"))
        if environment is not None and environment.get("name") is None:
            shown["environment"] = {**environment, "name": ""}
        return "Spark settings", shown

    def wanted(self, spec: JsonObject) -> JsonObject:
        return spec["settings"]

    def allow(self, fabric: Fabric, spec: JsonObject, found: Snapshot | None) -> None:
        """Raise InvalidInputError for a setting that Fabric does not show, because it could not be restored;
        FabricTransientError for one that is null or of another type than the wanted one."""
        shown = found.image if found is not None else {}
        if odd := next(_of_another_form(self.wanted(spec), shown, "settings"), ""):
            raise FabricTransientError(f"Fabric's response has another form of {odd}", call=f"GET {_spark_path(spec)}")
        unknown = list(_missing(self.wanted(spec), shown, "$.with.settings")) if found is not None else []
        if unknown:
            message = "is a setting that Fabric does not show for this workspace, so that it could not be restored"
            raise InvalidInputError([Problem(path, message) for path in unknown])

    def set(self, spec: JsonObject, values: JsonObject) -> list[Call]:
        return [Call("PATCH", _spark_path(spec), "Spark settings", dict(values))]


def _workspace(fabric: Fabric, spec: JsonObject) -> JsonObject:
    return fabric.get(f"/workspaces/{spec['workspaceId']}")


def _spark_path(spec: JsonObject) -> str:
    return f"/workspaces/{spec['workspaceId']}/spark/settings"


def _missing(wanted: JsonObject, shown: JsonObject, path: str) -> Iterator[str]:
    """Yield the paths of the members that are wanted and not shown."""
    for name, value in wanted.items():
        if name not in shown:
            yield f"{path}.{name}"
        elif (inner := as_object(value)) is not None:
            yield from _missing(inner, as_object(shown[name]) or {}, f"{path}.{name}")


def _of_another_form(wanted: JsonObject, shown: JsonObject, path: str) -> Iterator[str]:
    """Yield the members that are of another type than the wanted ones, or null: they could not be restored."""
    for name, value in wanted.items():
        if name not in shown:
            continue
        held, inner = shown[name], as_object(value)
        if _form(held) != _form(value):
            yield f"{path}.{name}"
        elif inner is not None:
            yield from _of_another_form(inner, as_object(held) or {}, f"{path}.{name}")


def _form(value: object) -> type:
    """Return the type of a value in JSON, which has one type of numbers."""
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)
