"""Adds the areas of the API to the state that the control API shows. An empty area adds nothing."""

from local.fabric_simulator import folders, jobs, publishing, tags
from local.fabric_simulator.connections import Connections
from local.fabric_simulator.domains import InDomain
from local.fabric_simulator.gateways import Gateways
from local.fabric_simulator.git_sync import GitLink
from local.fabric_simulator.item_connections import Bindings
from local.fabric_simulator.recovery import Bin
from local.fabric_simulator.schedules import Schedules
from local.fabric_simulator.shortcuts import OneLakePaths
from local.fabric_simulator.spark_pools import Spark
from local.fabric_simulator.store import Item, Store, Workspace
from local.fabric_simulator.world import Body


def of_item(item: Item, now: float) -> Body:
    """Return folder, shortcuts, schedules, bindings, value set and publish of an item."""
    bound = item.part(Bindings).by_source.items()
    body: Body = {
        "folderId": item.folder_id,
        "shortcuts": list(item.part(OneLakePaths).shortcuts.values()),
        "schedules": [{"jobType": s.job_type, **s.shown} for s in item.part(Schedules).by_id.values()],
        "bindings": [{"type": kind, "path": path, "connectionId": to} for (kind, path), to in bound],
        "jobs": jobs.state(item),
        "tags": tags.shown(item),
        "activeValueSetName": item.value_set if item.type == "VariableLibrary" else None,
    }
    if item.type == "Environment":
        body["publishDetails"] = publishing.details(item, now)
        body["unpublishedChanges"] = publishing.is_changed(item)
    return {name: value for name, value in body.items() if value not in (None, [])}


def of_workspace(workspace: Workspace) -> Body:
    """Return folders, Spark pools, Spark settings that somebody changed, domain, tags, connection to Git and
    recoverable items of a workspace."""
    spark, link = workspace.part(Spark), workspace.part(GitLink).link
    body: Body = {
        "domainId": workspace.part(InDomain).domain_id,
        "tags": tags.shown(workspace),
        "recoverable": [
            {"id": i, "type": d.item.type, "displayName": d.item.name} for i, d in workspace.part(Bin).by_id.items()
        ],
        "folders": [folders.shown(f, workspace) for f in workspace.part(folders.Folders).by_id.values()],
        "sparkPools": list(spark.pools.values()),
        "sparkSettings": spark.settings if spark.settings != Spark().settings else None,
        "gitConnection": {**link.details, "isInitialized": link.is_initialized} if link else None,
    }
    return {name: value for name, value in body.items() if value}


def of_tenant(store: Store) -> Body:
    """Return the connections and gateways."""
    body: Body = {
        "connections": [c.shown for c in store.part(Connections).by_id.values()],
        "gateways": [g.shown for g in store.part(Gateways).by_id.values()],
    }
    return {name: rows for name, rows in body.items() if rows}
