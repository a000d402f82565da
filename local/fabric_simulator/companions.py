"""Items that Fabric itself adds to an item that is created.

Source: recordings of microsoft/fabric-cli show the types, the names, when a list first shows a companion, and which
companions are deleted together with their item. Assumptions are marked below.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from local.fabric_simulator.durations import SQL_ENDPOINT_SECONDS
from local.fabric_simulator.store import SQL_ENDPOINT, Item, Workspace
from local.fabric_simulator.world import World


@dataclass(frozen=True)
class Companion:
    """An item that Fabric adds to another.

    `name` and `description` may contain the item's name and, for `{stamp}`, the UTC second in which Fabric creates the
    companion. `made` is the time until it is created, and `shown` the time until a list shows it. Each is a range in
    seconds to draw from, with the most likely value if there is one. `endpoint` is the range of its SQL endpoint, if
    that differs from its type's. `outlives` is True if it stays when the item is deleted; `only_bare` if an item with a
    definition does not have it.
    """

    type: str
    name: str = "{name}"
    made: tuple[float, ...] = (0.0, 0.0)
    shown: tuple[float, ...] = (0.0, 0.0)
    outlives: bool = False
    only_bare: bool = False
    description: str = ""
    endpoint: tuple[float, ...] | None = None


_NARROW = 20
COMPANIONS: dict[str, tuple[Companion, ...]] = {
    # Seconds after the item: of a lakehouse in 310 lists, of the others in 73, 82 and 46.
    "Lakehouse": (Companion(SQL_ENDPOINT, shown=SQL_ENDPOINT_SECONDS),),
    "MirroredDatabase": (Companion(SQL_ENDPOINT, shown=(5.0, 13.0, 8.5)),),
    "CosmosDBDatabase": (Companion(SQL_ENDPOINT, shown=(3.5, 19.0, 15.0)),),
    "SQLDatabase": (Companion(SQL_ENDPOINT, shown=(4.0, 12.0, 7.5)),),
    # An eventhouse that was created with a definition had no database (a trace of fabric-cicd).
    "Eventhouse": (Companion("KQLDatabase", description="{name}", only_bare=True),),
    # In every list after the operation, except of one that was created with a definition. The lakehouse was left after
    # each of six deletions, the flow after none.
    "DigitalTwinBuilder": (
        Companion("Lakehouse", "{name}dtdm", outlives=True, only_bare=True, endpoint=(0.0, 0.0)),
        Companion("DigitalTwinBuilderFlow", "{name}OnDemand", only_bare=True),
    ),
    # A pair for each dataflow, even if older pairs exist; shown even if the dataflow was deleted before. Assumed: a
    # dataflow that is created with a definition has them too (there is no recording of one), and that they are in the
    # dataflow's folder, as recorded SQL endpoints and databases are in that of their item.
    "Dataflow": (
        Companion("Lakehouse", "StagingLakehouseForDataflows_{stamp}", (0.0, 1.0), (2.0, 4.0), outlives=True),
        Companion("Warehouse", "StagingWarehouseForDataflows_{stamp}", (12.0, 44.0), (0.0, 10.0), outlives=True),
    ),
}
"""The companions by item type. A companion that is a lakehouse has a SQL endpoint itself, after `endpoint` seconds if
that is given."""


def add(
    world: World,
    workspace: Workspace,
    item: Item,
    *,
    only: str | None = None,
    endpoint: tuple[float, ...] | None = None,
) -> None:
    """Add the companions of an item that was just created; with `only`, those of that type.

    `endpoint` are the seconds until its SQL endpoint is shown, if they differ from its type's. A companion whose name
    is in use is not created, and then the definition of a digital twin builder does not name it (assumed). If the name
    contains a time, the companion is created a second later instead (assumed).
    """
    for companion in COMPANIONS.get(item.type, ()):
        if (companion.only_bare and item.is_defined) or only not in (None, companion.type):
            continue
        made = item.visible_at + _seconds(world, companion.made)
        while "{stamp}" in companion.name and _is_taken(workspace, companion.type, _name(companion, item, made)):
            made += 1.0
        name = _name(companion, item, made)
        if _is_taken(workspace, companion.type, name):
            continue
        late = world.scaled(world.settings.companion_seconds) if companion.outlives else 0.0
        after = endpoint if endpoint is not None and companion.type == SQL_ENDPOINT else companion.shown
        shown = made + _seconds(world, after) + late
        added = Item(
            world.store.new_id(),
            companion.type,
            name,
            companion.description.format(name=item.name),
            made,
            shown,
            folder_id=item.folder_id,
            maker_id=item.id,
            outlives=companion.outlives,
            shown_between=_range(world, companion, item, after),
        )
        workspace.items[added.id] = added
        add(world, workspace, added, endpoint=companion.endpoint)


def _range(world: World, companion: Companion, item: Item, after: tuple[float, ...]) -> tuple[float, float]:
    """Return the earliest and the latest time at which a list first shows a companion."""
    earliest, latest = companion.made[0] + after[0], companion.made[1] + after[1]
    began, ended = item.shown_between or (item.visible_at, item.visible_at)
    return began + world.scaled(earliest), ended + world.scaled(latest)


def _name(companion: Companion, item: Item, made: float) -> str:
    stamp = datetime.fromtimestamp(made, UTC).strftime("%Y%m%d%H%M%S") if "{stamp}" in companion.name else ""
    return companion.name.format(name=item.name, stamp=stamp)


def _is_taken(workspace: Workspace, item_type: str, name: str) -> bool:
    return any((i.type, i.name.casefold()) == (item_type, name.casefold()) for i in workspace.items.values())


def _seconds(world: World, between: tuple[float, ...]) -> float:
    """Draw a duration from a range; return 0 if the profile has no durations."""
    if not world.is_realistic or between == (0.0, 0.0):
        return 0.0
    low, high, *likely = between
    chance = world.store.chance
    if not likely:
        return world.scaled(chance.uniform(low, high))
    share = (likely[0] - low) / (high - low)  # PERT's distribution: most draws are near the most likely value.
    drawn = chance.betavariate(1 + _NARROW * share, 1 + _NARROW * (1 - share))
    return world.scaled(low + drawn * (high - low))


def eventhouse_of(item: Item) -> str | None:
    """Return the id of the eventhouse that a KQL database is in; None for any other item."""
    if item.type != "KQLDatabase":
        return None
    return item.maker_id or item.creation_payload.get("parentEventhouseItemId")


def of(workspace: Workspace, item: Item, item_type: str) -> Item | None:
    """Return the companion of this type, whether a list shows it yet or not."""
    return next((i for i in workspace.items.values() if i.maker_id == item.id and i.type == item_type), None)


def take_along(workspace: Workspace, item: Item) -> list[Item]:
    """Remove the companions that are deleted together with an item, and the databases in an eventhouse; return them.

    That Fabric deletes the databases that it did not add itself is assumed.
    """
    gone = [
        i for i in workspace.items.values() if (i.maker_id == item.id and not i.outlives) or eventhouse_of(i) == item.id
    ]
    for companion in list(gone):
        del workspace.items[companion.id]
        gone += take_along(workspace, companion)
    return gone


def outlives(maker_type: str, item_type: str) -> bool:
    """Return True if a companion stays when its item is deleted."""
    return any(c.outlives for c in COMPANIONS.get(maker_type, ()) if c.type == item_type)
