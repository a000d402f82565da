"""Puts Fabric's answers into the form that the kinds rely on: a field has its documented type, or it is missing.

Real answers contain null although the specification does not allow it, and recorded ones omit what it requires.
"""

import json
import re
from typing import Any, cast

from shared.domain.errors import FabricTransientError
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.states import OperationState
from shared.domain.text import HALF_CHARACTER

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
_PERHAPS_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""Half of a character as JSON and UTF-8 write it; two halves together are one character."""
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


def next_token(page: JsonObject, call: str) -> str:
    """Return the token of the next page; empty if this is the last one.

    The list proves which resources are missing, so a page counts as the last one only if it says so: by no token, by
    null or by an empty one. Raises FabricTransientError.
    """
    token = page.get("continuationToken")
    if token is not None and not isinstance(token, str):
        raise FabricTransientError("the continuationToken of this page is not a text", call=call, status=200)
    return token or ""


def read_json(raw: bytes) -> Any:
    """Return the value of an answer's JSON. Raises ValueError, RecursionError.

    Each half of a character in it becomes U+FFFD: a text that was cut within a character ends with a half, and no
    address, file or request can contain one.
    """
    value = json.loads(raw)
    return _whole(value) if _PERHAPS_HALF.search(raw) else value


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else HALF_CHARACTER.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(each) for each in cast(list[Any], value)]
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in cast(dict[str, Any], value).items()}
    return value


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
