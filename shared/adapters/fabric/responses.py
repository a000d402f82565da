"""Puts Fabric's answers into the form that the kinds rely on: a field has its documented type, or it is missing.

Real answers contain null although the specification does not allow it, and recorded ones omit what it requires.
"""

from typing import Any

from shared.domain.errors import FabricTransientError
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.states import OperationState

_NAMES = frozenset(
    {
        *("id", "displayName", "name", "type", "workspaceId", "role", "path", "folderId", "parentFolderId", "domainId"),
        *("logicalId", "objectId", "itemType", "rootPath", "gitConnectionState", "head", "workspaceHead"),
        *("remoteCommitHash", "remoteChange", "workspaceChange", "conflictType", "connectivityType"),
    }
)
"""Texts that name something: an empty one counts as missing too."""
_TEXTS = _NAMES | {
    "description", "capacityId", "capacityAssignmentProgress", "provisioningStatus", "connectionString",
    "defaultSchema", "format", "payload", "payloadType",
}  # fmt: skip
_OBJECTS = frozenset(
    {
        *("principal", "properties", "sqlEndpointProperties", "definition", "publishDetails", "connectionDetails"),
        *("gitSyncDetails", "gitProviderDetails", "itemMetadata", "itemIdentifier", "failureReason"),
    }
)
_LISTS = frozenset({"parts", "changes", "itemDefinitionsIndex", "definitionParts"})


def normal(answer: JsonObject) -> JsonObject:
    """Return the answer without the fields whose value is not of the type that Fabric documents. Fields that no kind
    reads stay as they are."""
    found: JsonObject = {}
    for name, value in answer.items():
        kept = _normal(name, value)
        if kept is not None or name not in _TEXTS | _OBJECTS | _LISTS:
            found[name] = kept
    return found


def _normal(name: str, value: Any) -> Any:
    if name in _TEXTS:
        return value if isinstance(value, str) and (value.strip() or name not in _NAMES) else None
    if name in _OBJECTS:
        inner = as_object(value)
        return None if inner is None else normal(inner)
    if name in _LISTS:
        rows = as_list(value)
        return None if rows is None else [normal(as_object(row) or {}) for row in rows]
    return value


def rows_of(page: JsonObject, call: str) -> list[JsonObject]:
    """Return the rows of one page of a list, in the normal form. A row that is not an object is an empty one, and so is
    a null in place of the rows: it names nothing, and with it the list cannot prove that a resource is missing.

    Raises FabricTransientError if the answer is not a page at all.
    """
    name = "value" if "value" in page else "data"
    rows = [None] if name in page and page[name] is None else as_list(page.get(name))
    if rows is None:
        raise FabricTransientError("the answer is not a list", call=call, status=200)
    return [normal(as_object(row) or {}) for row in rows]


_STATES = {
    "succeeded": OperationState.SUCCEEDED,
    "completed": OperationState.SUCCEEDED,
    "failed": OperationState.FAILED,
    "cancelled": OperationState.FAILED,
    "canceled": OperationState.FAILED,
    "undefined": OperationState.RUNNING,
    "notstarted": OperationState.RUNNING,
    "running": OperationState.RUNNING,
    "inprogress": OperationState.RUNNING,
}
"""The status words of operations in the OpenAPI, and those that Fabric uses for jobs and capacities. `Completed` counts
as success, because the resource is read back in any case."""


def operation_state(word: Any) -> tuple[OperationState, str | None]:
    """Return `succeeded`, `failed` or `running` for a status word, whatever its case, and a sentence about an unknown
    word. Fabric may add words to an extensible enumeration, so an unknown one is not taken for an end."""
    if not isinstance(word, str):
        return OperationState.RUNNING, None if word is None else "Fabric gives it a status that is not a word"
    state = _STATES.get(word.strip().lower())
    if state is not None:
        return state, None
    return OperationState.RUNNING, f"its status '{' '.join(word.split())[:64]}' is not known"
