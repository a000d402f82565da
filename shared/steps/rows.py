"""The rows of a list of Fabric: which of them can be used, and what the absence of one proves."""

import logging
from collections.abc import Iterable, Iterator

from shared.domain.errors import FabricNotFoundError, FabricTransientError
from shared.domain.json import JsonObject
from shared.domain.ports import Fabric

log = logging.getLogger(__name__)


def usable(rows: Iterable[JsonObject], path: str) -> Iterator[JsonObject]:
    """Yield the rows of a list that have an id and a name; the others cannot be what is looked for."""
    for row in rows:
        if row.get("id") and row.get("displayName"):
            yield row
        else:
            log.warning("GET %s: a row without an id or a name is ignored", path)


def complete(rows: Iterable[JsonObject], path: str) -> Iterator[JsonObject]:
    """Yield the rows of a list that must prove which resources are missing. Raises FabricTransientError for a row
    without an id, because it may be any of them."""
    for row in rows:
        if not row.get("id"):
            raise FabricTransientError("Fabric's response has a row without an id", call=f"GET {path}")
        yield row


def located(fabric: Fabric, path: str, query: dict[str, str] | None, resource_id: str) -> JsonObject | None:
    """Return the row with that id in the list at `path`. None proves its absence.

    If a row has no id, the resource itself is asked for. A 404 proves its absence only after a successful list,
    because a paused capacity answers 404 to both.
    """
    is_proof = True
    for row in fabric.list(path, query):
        if row.get("id", "").lower() == resource_id.lower():
            return row
        is_proof = is_proof and "id" in row
    if is_proof:
        return None
    try:
        return {**fabric.get(f"{path}/{resource_id}"), "id": resource_id}
    except FabricNotFoundError:
        return None
