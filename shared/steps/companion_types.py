"""The types of companions: which items Fabric adds to an item, their names, and where Fabric says whose they are.

companions.py decides which items of a workspace are companions.
"""

import base64
import json
from contextlib import suppress
from dataclasses import dataclass

from shared.domain.json import JsonObject, as_list, as_object

SQL_ENDPOINT = "SQLEndpoint"


@dataclass(frozen=True)
class Companion:
    """A kind of companion.

    `name` contains the maker's name, or ends with the UTC second in which Fabric created the companion. `outlives` is
    True if it stays when its maker is deleted. `made_within` and `shown_within` bound, in seconds after the maker's
    creation, when it is made and when a list shows it.

    One that is named after its maker says in its own properties whose it is: `owner` is its collection, and the members
    that lead to the maker's id. Or its maker says it: `member` is the member of the maker's definition that has its id.
    """

    type: str
    name: str = "{name}"
    outlives: bool = False
    made_within: float = 0.0
    shown_within: float = 0.0
    owner: tuple[str, ...] = ()
    member: str = ""

    @property
    def is_stamped(self) -> bool:
        """Return True if its name ends with the time of its creation."""
        return self.name.endswith("{stamp}")


_ENDPOINT = (Companion(SQL_ENDPOINT),)
COMPANIONS: dict[str, tuple[Companion, ...]] = {
    "Lakehouse": _ENDPOINT,
    "SQLDatabase": _ENDPOINT,
    "MirroredDatabase": _ENDPOINT,
    "CosmosDBDatabase": _ENDPOINT,
    "Eventhouse": (Companion("KQLDatabase", owner=("kqlDatabases", "parentEventhouseItemId")),),
    "DigitalTwinBuilder": (
        Companion("Lakehouse", "{name}dtdm", outlives=True, shown_within=30.0, member="LakehouseId"),
        Companion(
            "DigitalTwinBuilderFlow",
            "{name}OnDemand",
            owner=("digitalTwinBuilderFlows", "digitalTwinBuilderItemReference", "itemId"),
        ),
    ),
    "Dataflow": (
        Companion("Lakehouse", "StagingLakehouseForDataflows_{stamp}", True, made_within=1.0, shown_within=30.0),
        Companion("Warehouse", "StagingWarehouseForDataflows_{stamp}", True, made_within=60.0, shown_within=120.0),
    ),
}
"""The companions of an item, by its type. Source: recorded traffic (names, owners, what outlives its maker, stamps
0 to 1 s (lakehouse) and 12 to 44 s (warehouse) after the creation, shown 3 to 67 s after it). The bounds are wider."""
DEFINITION_PART = "definition.json"
"""The part of a maker's definition that names a companion (`Companion.member`)."""


def named_by_maker(item_type: str) -> Companion | None:
    """Return the companion that the definition of an item of this type names; None if it does not name one."""
    return next((each for each in COMPANIONS.get(item_type, ()) if each.member), None)


def named_in(definition: JsonObject, companion: Companion) -> str:
    """Return the id of the companion that its maker's definition names, as getDefinition returned it; else empty."""
    for part in as_list((as_object(definition.get("definition")) or {}).get("parts")) or []:
        row = as_object(part) or {}
        if row.get("path") == DEFINITION_PART:
            with suppress(ValueError, TypeError, RecursionError):
                found = (as_object(json.loads(base64.b64decode(row.get("payload") or ""))) or {}).get(companion.member)
                return found.lower() if isinstance(found, str) else ""
    return ""
