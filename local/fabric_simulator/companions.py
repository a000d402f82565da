"""Items that Fabric adds by itself beside an item that is created.

Recorded (microsoft/fabric-cli): which types, under which names, when a list first showed them, and which go at once
when the item that they were made for is deleted. Facts that are assumed are marked below.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from local.fabric_simulator.durations import SQL_ENDPOINT_SECONDS
from local.fabric_simulator.store import SQL_ENDPOINT, Item, Workspace
from local.fabric_simulator.world import World


@dataclass(frozen=True)
class Companion:
    """One item that comes with another.

    `name` is made from the item's own name and, for `{stamp}`, the UTC second in which Fabric makes the companion.
    `made` is when that is and `shown` how long a list takes to show it, in seconds, each a range to draw from.
    """

    type: str
    name: str = "{name}"
    made: tuple[float, float] = (0.0, 0.0)
    shown: tuple[float, float] = (0.0, 0.0)
    outlives: bool = False
    only_bare: bool = False


_LATER_ENDPOINT = Companion(SQL_ENDPOINT, shown=(5.0, 50.0))
COMPANIONS: dict[str, tuple[Companion, ...]] = {
    # Lists: not shown 22 s after at the latest, from 4 s on at the earliest; a trace of fabric-cicd: 11 to 15 s.
    "Lakehouse": (Companion(SQL_ENDPOINT, shown=SQL_ENDPOINT_SECONDS),),
    "MirroredDatabase": (_LATER_ENDPOINT,),
    "CosmosDBDatabase": (_LATER_ENDPOINT,),
    "SQLDatabase": (Companion(SQL_ENDPOINT, shown=(0.0, 5.0)),),
    # One created with a definition had no database (a trace of fabric-cicd).
    "Eventhouse": (Companion("KQLDatabase", only_bare=True),),
    # In every list after the operation was over. The lakehouse stood after each of six deletions, the flow after none.
    "DigitalTwinBuilder": (
        Companion("Lakehouse", "{name}dtdm", outlives=True),
        Companion("DigitalTwinBuilderFlow", "{name}OnDemand"),
    ),
    # A pair for each dataflow, also when older pairs stand; shown even when the dataflow was deleted before. That one
    # created with a definition has them too is assumed: none is on record.
    "Dataflow": (
        Companion("Lakehouse", "StagingLakehouseForDataflows_{stamp}", (0.0, 1.0), (2.0, 4.0), outlives=True),
        Companion("Warehouse", "StagingWarehouseForDataflows_{stamp}", (12.0, 44.0), (0.0, 10.0), outlives=True),
    ),
}
"""What comes with an item, by its type. A companion that is a lakehouse has a SQL endpoint in turn."""


def add(world: World, workspace: Workspace, item: Item, *, only: str | None = None) -> None:
    """Add the companions of an item that was just created, or `only` those of one type; each is shown when its time
    has come. Under a name that is taken none is made, or, if a time is in it, one a second later (assumed)."""
    for companion in COMPANIONS.get(item.type, ()):
        if (companion.only_bare and item.definition is not None) or only not in (None, companion.type):
            continue
        made = item.visible_at + _seconds(world, companion.made)
        while "{stamp}" in companion.name and _is_taken(workspace, companion.type, _name(companion, item, made)):
            made += 1.0
        name = _name(companion, item, made)
        if _is_taken(workspace, companion.type, name):
            continue
        late = world.scaled(world.settings.companion_seconds) if companion.outlives else 0.0
        shown = made + _seconds(world, companion.shown) + late
        added = Item(
            world.store.new_id(),
            companion.type,
            name,
            "",
            made,
            shown,
            folder_id=item.folder_id,
            maker_id=item.id,
            outlives=companion.outlives,
        )
        workspace.items[added.id] = added
        add(world, workspace, added)


def _name(companion: Companion, item: Item, made: float) -> str:
    stamp = datetime.fromtimestamp(made, UTC).strftime("%Y%m%d%H%M%S") if "{stamp}" in companion.name else ""
    return companion.name.format(name=item.name, stamp=stamp)


def _is_taken(workspace: Workspace, item_type: str, name: str) -> bool:
    return any((i.type, i.name.casefold()) == (item_type, name.casefold()) for i in workspace.items.values())


def _seconds(world: World, between: tuple[float, float]) -> float:
    """A duration of the profile; none when everything happens at once."""
    if not world.is_realistic or between == (0.0, 0.0):
        return 0.0
    return world.scaled(world.store.chance.uniform(*between))


def of(workspace: Workspace, item: Item, item_type: str) -> Item | None:
    """The companion of that type, shown or not."""
    return next((i for i in workspace.items.values() if i.maker_id == item.id and i.type == item_type), None)


def take_along(workspace: Workspace, item: Item) -> None:
    """Remove the companions that go with an item."""
    for companion in [i for i in workspace.items.values() if i.maker_id == item.id and not i.outlives]:
        del workspace.items[companion.id]
        take_along(workspace, companion)
