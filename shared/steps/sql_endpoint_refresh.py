"""Kind `sql_endpoint_refresh`: the SQL endpoint of an item shows the tables that the item has now.

It expands to two steps: the first waits for the endpoint, which Fabric provisions after the item; the second refreshes
its metadata. `repository` expands to the same steps for its lakehouses. A refresh changes no content, so nothing has to
be restored.

Source: published OpenAPI (SQLEndpoint, RefreshSqlEndpointMetadata); no recording shows it.
"""

from collections.abc import Iterable, Mapping

from shared.domain.errors import FabricTransientError, InvalidInputError, Problem
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.ports import Expanded, Fabric
from shared.domain.records import Intent, Resource
from shared.steps import items, lookups
from shared.steps.details import Details
from shared.steps.kind import WORKSPACE_ID, Call, Snapshot
from shared.steps.reporting_kind import ReportingKind
from shared.steps.updating_kind import UpdatingKind

_ENDPOINT, _REFRESH = "SqlEndpoint", "refreshMetadata"
_FAILED = "Failure"
_WITH_ENDPOINT = frozenset({"Lakehouse", "MirroredDatabase"})
"""The types whose properties name a SQL endpoint. Source: published OpenAPI, SqlEndpointProperties."""
_NAMED = 5
WAIT = "/endpoint"
"""The end of the id of the step that waits."""


class SqlEndpointRefreshKind:
    """Expand to `<id>/endpoint`, which waits for the endpoint, and `<id>`, which refreshes it."""

    name = "sql_endpoint_refresh"
    about = "The SQL endpoint of a lakehouse or another item, with the tables that the item has now."
    outputs = frozenset({"sqlEndpointId", "sqlEndpointConnectionString", "workspaceId"})
    packs = ""

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        spec.guid(
            "itemId",
            required=True,
            words=Words("The lakehouse, or another item with a SQL endpoint.", "${{ steps.bronze.outputs.id }}"),
        )
        spec.boolean(
            "recreateTables",
            words=Words("Drop all tables of the endpoint and create them again. Default: false.", True),
        )
        spec.boolean(
            "allowTableErrors",
            words=Words("Succeed also if Fabric cannot refresh one of the tables. Default: false.", True),
        )

    def runs_last(self, spec: JsonObject) -> bool:
        return False

    def runs_always(self, spec: JsonObject) -> bool:
        return False

    def expand(self, step_id: str, spec: JsonObject) -> list[Expanded] | None:
        more = {name: spec[name] for name in ("recreateTables", "allowTableErrors") if spec.get(name)}
        return list(refreshing(step_id, "", spec["workspaceId"], spec["itemId"], (), more))


def refreshing(
    step_id: str, suffix: str, workspace_id: str, item_id: str, needs: Iterable[str], more: JsonObject
) -> Iterable[Expanded]:
    """Yield the step `suffix/endpoint` that waits for the endpoint of an item, and the step `suffix` that refreshes it
    after the steps that it `needs`."""
    wait = SqlEndpointKind
    waiting: JsonObject = {"workspaceId": workspace_id, "itemId": item_id}
    yield Expanded(suffix + WAIT, wait.name, waiting, tuple(needs), wait.outputs)
    found = f"steps.{step_id}{suffix}{WAIT}.outputs"
    spec: JsonObject = {
        "workspaceId": workspace_id,
        "sqlEndpointId": f"${{{{ {found}.sqlEndpointId }}}}",
        "sqlEndpointConnectionString": f"${{{{ {found}.sqlEndpointConnectionString }}}}",
        "displayName": f"${{{{ {found}.displayName }}}}",
        **more,
    }
    kind = MetadataRefreshKind
    yield Expanded(suffix, kind.name, spec, (suffix + WAIT, *needs), kind.outputs)


class SqlEndpointKind(UpdatingKind):
    """Wait for the SQL endpoint of an item. The step changes nothing."""

    name = "sql_endpoint"
    about = "The wait for the SQL endpoint of an item; a step of the kind sql_endpoint_refresh expands to it."
    keys = ("workspaceId", "itemId")
    outputs = frozenset({"sqlEndpointId", "sqlEndpointConnectionString", "displayName", "workspaceId"})
    idle = "the SQL endpoint is available"
    idle_of_new = "it waits for the SQL endpoint of an item that this deployment creates"

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True)
        spec.guid("itemId", required=True)

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Return the item. Raises FabricNotFoundError if there is none, InvalidInputError for one without endpoint."""
        path = f"{items.items_path(spec)}/{spec['itemId']}"
        shown = fabric.get(path)
        name = str(shown.get("displayName") or spec["itemId"])
        item_type = str(shown.get("type") or "")
        if not item_type:
            raise FabricTransientError("Fabric's response names no type", call=f"GET {path}")
        if item_type not in _WITH_ENDPOINT:
            what = f"'{name}' is a {item_type}; SQL endpoints that can be refreshed are those of"
            raise InvalidInputError([Problem("$.with.itemId", f"{what} {' and '.join(sorted(_WITH_ENDPOINT))}")])
        return Snapshot(Resource(item_type, spec["itemId"], name, spec["workspaceId"]), {})

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        return []

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        return []

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Return the endpoint. Raises NotYetError while Fabric provisions it, VerificationError if it could not."""
        names = {"sqlendpointid": "sqlEndpointId", "sqlendpoint": "sqlEndpointConnectionString"}
        place = spec["workspaceId"]
        found = {output: lookups.attribute(fabric, place, resource, name) for name, output in names.items()}
        return {**found, "displayName": resource.name, "workspaceId": place}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        return items.locate_item(fabric, resource)

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return an empty list: nothing was changed."""
        return []


class MetadataRefreshKind(SqlEndpointKind, ReportingKind):
    """Refresh the metadata of a SQL endpoint. Compensation does nothing, because no content was changed."""

    name = "metadata_refresh"
    about = "The refresh of a SQL endpoint's metadata; a step of the kind sql_endpoint_refresh expands to it."
    keys = ("workspaceId", "sqlEndpointId")
    outputs = SqlEndpointRefreshKind.outputs
    idle_of_new = ""
    expected_seconds: Mapping[str, float] = {_REFRESH: 10.0}
    """Assumed: no recording shows it, and it depends on the number of tables."""

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True)
        spec.guid("sqlEndpointId", required=True)
        for name in ("sqlEndpointConnectionString", "displayName", "recreateTables", "allowTableErrors"):
            spec.raw(name)

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        """Return the endpoint, which an earlier step has seen."""
        name = str(spec.get("displayName") or spec["sqlEndpointId"])
        return Snapshot(Resource(_ENDPOINT, spec["sqlEndpointId"], name, spec["workspaceId"]), {})

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return `metadata`: nothing shows whether the endpoint is behind its tables."""
        return ["metadata"]

    def details(self, spec: JsonObject, found: Snapshot) -> Details:
        """Return that a rollback has nothing to restore."""
        return Details(restorable="exact", will="refreshes the SQL endpoint")

    def did(self, spec: JsonObject, intent: Intent) -> str:
        return "refreshed the SQL endpoint"

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        path = f"/workspaces/{spec['workspaceId']}/sqlEndpoints/{spec['sqlEndpointId']}/refreshMetadata"
        body: JsonObject = {"recreateTables": True} if spec.get("recreateTables") else {}
        return [Call("POST", path, _REFRESH, body)]

    def check_result(self, spec: JsonObject, answer: JsonObject) -> None:
        """Raise FabricTransientError if Fabric could not refresh a table: the refresh is sent again, a few times."""
        rows = [as_object(row) or {} for row in as_list(answer.get("value")) or []]
        failed = [row for row in rows if row.get("status") == _FAILED]
        if not failed or spec.get("allowTableErrors"):
            return
        names = ", ".join(f"'{row.get('tableName')}' ({_reason(row)})" for row in failed[:_NAMED])
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        what = f"the SQL endpoint of '{spec.get('displayName')}' could not refresh the tables {names}{more}"
        hint = "repair them, or set allowTableErrors on a step of kind sql_endpoint_refresh"
        raise FabricTransientError(f"{what}; {hint}", call=_REFRESH, is_outcome=True)

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Return the endpoint: the result of the refresh was checked."""
        return {name: spec[name] for name in sorted(self.outputs)}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Return the endpoint without a look: nothing has to be restored, whether it is there or not."""
        return self.find(fabric, spec)


def _reason(row: JsonObject) -> str:
    error = as_object(row.get("error")) or {}
    return str(error.get("message") or error.get("errorCode") or "no reason given")[:200]
