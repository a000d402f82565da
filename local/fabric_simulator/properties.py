"""The `properties` that a typed GET adds to an item, with the members that recordings show for its type."""

import uuid
from collections.abc import Callable

from local.fabric_simulator import companions, publishing
from local.fabric_simulator.store import SQL_ENDPOINT, Item, Workspace, stamp
from local.fabric_simulator.world import Body, World

_Created = Callable[[World, Workspace, Item], Body]


def properties(world: World, workspace: Workspace, item: Item) -> Body | None:
    """Return the properties of the item; None if its type has none."""
    made = _BY_TYPE.get(item.type)
    return made(world, workspace, item) if made else None


def _derived(item: Item, word: str) -> str:
    """Return an id that is derived from the item's, so that it is the same in every response."""
    return str(uuid.uuid5(uuid.UUID(item.id), word))


def _one_lake(workspace: Workspace, item: Item) -> str:
    return f"https://onelake.dfs.fabric.microsoft.com/{workspace.id}/{item.id}"


def _host(item: Item, service: str) -> str:
    return f"{item.id[:8]}.{service}.fabric.microsoft.com"


def _endpoint(world: World, workspace: Workspace, item: Item) -> Body:
    endpoint = companions.of(workspace, item, SQL_ENDPOINT)
    ready = endpoint is not None and endpoint.visible_at <= world.clock()
    return {
        "connectionString": _host(item, "datawarehouse") if ready else None,
        "id": endpoint.id if endpoint is not None and ready else None,
        "provisioningStatus": "Success" if ready else "InProgress",
    }


def _lakehouse(world: World, workspace: Workspace, item: Item) -> Body:
    root = _one_lake(workspace, item)
    body: Body = {
        "oneLakeTablesPath": f"{root}/Tables",
        "oneLakeFilesPath": f"{root}/Files",
        "sqlEndpointProperties": _endpoint(world, workspace, item),
    }
    if item.creation_payload.get("enableSchemas"):
        body["defaultSchema"] = "dbo"
    return body


def _mirrored(world: World, workspace: Workspace, item: Item) -> Body:
    """Return the properties: a path only once the SQL endpoint is there, and no endpoint at all in the first second."""
    endpoint = _endpoint(world, workspace, item)
    if world.is_realistic and world.clock() < item.created_at + world.scaled(1.0):
        return {"oneLakeTablesPath": None, "sqlEndpointProperties": None}
    path = f"{_one_lake(workspace, item)}/Tables" if endpoint["id"] else None
    return {"oneLakeTablesPath": path, "sqlEndpointProperties": endpoint}


def _environment(world: World, workspace: Workspace, item: Item) -> Body:
    return {"publishDetails": publishing.details(item, world.clock())}


def _kusto(item: Item) -> Body:
    host = f"trd-{item.id[:8]}.z0.kusto.fabric.microsoft.com"
    return {"queryServiceUri": f"https://{host}", "ingestionServiceUri": f"https://ingest-{host}"}


def _eventhouse(world: World, workspace: Workspace, item: Item) -> Body:
    databases = [i.id for i in workspace.items.values() if companions.eventhouse_of(i) == item.id]
    databases = databases or [_derived(item, "database")]  # if seeded or created by a definition
    return {**_kusto(item), "databasesItemIds": databases, "minimumConsumptionUnits": 0.0}


def _kql_database(world: World, workspace: Workspace, item: Item) -> Body:
    parent = companions.eventhouse_of(item) or _derived(item, "eventhouse")
    kind = item.creation_payload.get("databaseType") or "ReadWrite"
    return {"parentEventhouseItemId": parent, **_kusto(item), "databaseType": kind}


_FIRST_BACKUP_SECONDS = 285.0
"""Until a database has a restore point: 283 s in the one recording that shows when; absent in three, after 26 s."""


def _minute(at: float) -> str:
    return f"{stamp(at)[:19]}Z"


def _sql_database(world: World, workspace: Workspace, item: Item) -> Body:
    name, server = f"{item.name}-{item.id}", f"{_host(item, 'database')},1433"
    first_backup = item.visible_at + world.scaled(_FIRST_BACKUP_SECONDS if world.is_realistic else 0.0)
    points: Body = {"earliestRestorePoint": _minute(first_backup), "latestRestorePoint": _minute(first_backup)}
    connection = (
        f"Data Source={server};Initial Catalog={name};Multiple Active Result Sets=False;Connect Timeout=30;"
        "Encrypt=True;Trust Server Certificate=False"
    )
    return {
        "connectionInfo": connection,
        "connectionString": connection,
        "databaseName": name,
        "serverFqdn": server,
        **(points if world.clock() >= first_backup else {}),
        "backupRetentionDays": item.creation_payload.get("backupRetentionDays") or 7,
        "collation": item.creation_payload.get("collation") or "SQL_Latin1_General_CP1_CI_AS",
    }


def _warehouse(world: World, workspace: Workspace, item: Item) -> Body:
    payload = item.creation_payload
    collation = payload.get("collationType") or payload.get("defaultCollation") or "Latin1_General_100_BIN2_UTF8"
    host = _host(item, "datawarehouse")
    times = {"createdDate": stamp(item.created_at), "lastUpdatedTime": stamp(item.created_at)}
    shown = {"connectionInfo": host, "connectionString": host, **times}
    return {**shown, "collationType": collation, "creationMode": "New"}


def _twin_flow(world: World, workspace: Workspace, item: Item) -> Body:
    own = {"referenceType": "ById", "itemId": item.maker_id or _derived(item, "builder"), "workspaceId": workspace.id}
    return {"digitalTwinBuilderItemReference": item.creation_payload.get("digitalTwinBuilderItemReference") or own}


_BY_TYPE: dict[str, _Created] = {
    "Lakehouse": _lakehouse,
    "MirroredDatabase": _mirrored,
    "Environment": _environment,
    "DigitalTwinBuilderFlow": _twin_flow,
    "Eventhouse": _eventhouse,
    "KQLDatabase": _kql_database,
    "SQLDatabase": _sql_database,
    "Warehouse": _warehouse,
    "Dataflow": lambda world, workspace, item: {"isParametric": False},
    "MLExperiment": lambda world, workspace, item: {"mlFlowExperimentId": item.id},
    "SparkJobDefinition": lambda world, workspace, item: {"oneLakeRootPath": _one_lake(workspace, item)},
    "VariableLibrary": lambda world, workspace, item: {"activeValueSetName": item.value_set},
}
SHOWN_ON_UPDATE = frozenset(_BY_TYPE)
"""Types whose typed PATCH returns properties: those that have any. It is so in the recordings of five types, which are
all that were recorded; for the others the published specification says it."""
