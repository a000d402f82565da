"""Eventhouses: Fabric deletes the databases in an eventhouse with it."""

from shared.domain.errors import FabricNotFoundError
from shared.domain.json import as_list, as_object
from shared.domain.ports import Fabric
from shared.domain.records import Resource
from shared.steps.companions import proven
from shared.steps.kind import GuardError
from shared.steps.makers import Found, Own
from shared.steps.parents import is_item_gone

TYPE = "Eventhouse"
_NAMED = 5


def guard(fabric: Fabric, resource: Resource, own: Own) -> list[Found]:
    """Return the database that Fabric itself added to an eventhouse that a deployment created.

    Raises GuardError if the eventhouse contains a database that the deployment did not create, FabricError.
    """
    path = f"/workspaces/{resource.parent_id}"
    try:
        properties = as_object(fabric.get(f"{path}/eventhouses/{resource.id}").get("properties")) or {}
    except FabricNotFoundError:
        if is_item_gone(fabric, resource.parent_id or "", resource.id):
            return []
        raise
    inside = {str(each).lower() for each in as_list(properties.get("databasesItemIds")) or []}
    rows = [row for row in fabric.list(f"{path}/items") if str(row.get("id", "")).lower() in inside]
    if not rows:
        return []
    items = own()
    added = proven(fabric, [m for m in items.makers if m.resource.id == resource.id], rows, resource.parent_id or "")
    known = {found.resource.id for found in added} | items.ids
    names = [f"'{row.get('displayName')}'" for row in rows if row["id"] not in known]
    if names:
        listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        raise GuardError(
            f"eventhouse '{resource.name}' ({resource.id}) was created by this deployment, but contains databases that "
            f"it did not create: {listed}. Delete them if nobody needs them; then the sweeper deletes the eventhouse."
        )
    return added
