"""References in definitions to other items: those that Fabric refuses if they point nowhere, and those that it stores.

No recording shows a refusal, so every refusal here is synthetic. Refused: a KQL database without its eventhouse, and a
report without its semantic model, because Fabric needs the other item to create them. Any other definition is stored as
it is, and the item is broken: `dangling` names what it points to, and the setting `refuse_dangling_references` refuses
it.
"""

import json
import re
from collections.abc import Iterator

from local.fabric_simulator import definitions
from local.fabric_simulator.http import ApiError, as_object
from local.fabric_simulator.store import GUID, Item, Workspace
from local.fabric_simulator.world import World

_NAMED = re.compile(
    r'"?(?:default_lakehouse|environmentId|workspaceId|default_lakehouse_workspace_id|notebookId|itemId|artifactId|'
    r"databaseItemId|parentEventhouseItemId|lakehouseId|defaultLakehouseArtifactId|environmentArtifactId|pipelineId|"
    rf'warehouseId|datasetId|semanticModelId|LakehouseId)\\?"?\s*[:=]\s*\\?"({GUID.pattern})'
)
_NO_ID = "00000000-0000-0000-0000-000000000000"


def check(world: World, workspace: Workspace, item: Item) -> None:
    """Raise ApiError 400 for an item whose definition or creation payload points to an item that does not exist."""
    if item.type == "KQLDatabase":
        _check_parent(workspace, item)
    if item.type == "Report":
        _check_model(world, item)
    nowhere = dangling(world, item) if world.settings.refuse_dangling_references else []
    if nowhere:
        raise _refusal(f"The definition refers to {', '.join(nowhere[:5])}, which is the id of no item.")


def _check_parent(workspace: Workspace, item: Item) -> None:
    text = definitions.text_of(item.definition, "DatabaseProperties.json")
    sent = as_object(json.loads(text)) if text else item.creation_payload
    parent = sent.get("parentEventhouseItemId")
    found = workspace.items.get(str(parent).lower())
    if parent is not None and (found is None or found.type != "Eventhouse"):
        raise _refusal(f"The eventhouse {str(parent)[:60]} was not found in the workspace.")


def _check_model(world: World, item: Item) -> None:
    text = definitions.text_of(item.definition, "definition.pbir")
    pbir = as_object(json.loads(text)) if text else {}
    if as_object(pbir.get("datasetReference")).get("byPath"):
        raise _refusal("The report refers to its semantic model by a path; through the API only byConnection is valid.")
    if definitions.model_id(pbir) and definitions.model_of(world, pbir) is None:
        raise _refusal(f"The semantic model {str(definitions.model_id(pbir))[:60]} was not found.")


def _refusal(message: str) -> ApiError:
    return ApiError(400, "DefinitionReferenceNotFound", message, synthetic=True)


def dangling(world: World, item: Item) -> list[str]:
    """Return the ids in an item's definition that should be an item's or a workspace's and are not.

    Those are ids in members that Fabric's definitions name items by, and logical ids from the `.platform` of an item
    that was sent: the sender forgot to replace them by the item's id.
    """
    known = {i for w in world.store.workspaces.values() for i in (w.id, *w.items)}
    found: dict[str, None] = {}
    for text in _texts(item):
        named = _NAMED.findall(text)
        logical = [i for i in GUID.findall(text) if i.lower() in world.store.logical_ids]
        for one in (*named, *logical):
            if one.lower() not in known and one != _NO_ID:
                found.setdefault(one.lower())
    return list(found)


def _texts(item: Item) -> Iterator[str]:
    for part in (item.definition or {}).get("parts", []):
        text = definitions.text_of({"parts": [part]}, part["path"])
        if text is not None:
            yield text
