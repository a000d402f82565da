"""Every call of an area of the API, made once with success; the answers are validated by the caller's tenant."""

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.simulator.tenant import PARTS, Tenant, completed


def ok(t: Tenant, method: str, url: str, body: Any = None) -> Any:
    """Return the body of a call that succeeds."""
    reply = t.call(method, url, body)
    assert reply.status < 300, (method, url, reply)
    return json.loads(reply.body) if reply.body else None


def play_folders(t: Tenant, workspace: str) -> None:
    """Make every call for folders."""
    root = f"/v1/workspaces/{workspace}/folders"
    one = ok(t, "POST", root, {"displayName": "one"})["id"]
    two = ok(t, "POST", root, {"displayName": "two", "parentFolderId": one})["id"]
    three = ok(t, "POST", root, {"displayName": "three"})["id"]
    ok(t, "GET", root)
    ok(t, "GET", f"{root}?recursive=false&rootFolderId={one}")
    ok(t, "PATCH", f"{root}/{two}", {"displayName": "deux"})
    ok(t, "POST", f"{root}/{two}/move", {"targetFolderId": three})
    ok(t, "GET", f"{root}/{two}")
    items = [t.item(workspace, name=name) for name in ("moved", "moved too")]
    at = f"/v1/workspaces/{workspace}/items"
    ok(t, "POST", f"{at}/{items[0]}/move", {"targetFolderId": two})
    ok(t, "POST", f"{at}/bulkMove", {"items": items, "targetFolderId": one})
    assert t.call("DELETE", f"{root}/{one}").status == 400
    for item in items:
        ok(t, "DELETE", f"{at}/{item}")
    for folder in (two, one, three):
        ok(t, "DELETE", f"{root}/{folder}")


def definition(**parts: str) -> dict[str, Any]:
    """Return a definition; two underscores in a name stand for a slash (before `content`: a dash), one for a point."""
    rows = [
        {
            "path": name.replace("__content", "-content").replace("__", "/").replace("_", "."),
            "payload": base64.b64encode(text.encode()).decode(),
            "payloadType": "InlineBase64",
        }
        for name, text in parts.items()
    ]
    return {"parts": rows}


def play_environments(t: Tenant, workspace: str) -> None:
    """Make every call for environments: files and Spark compute, staged and published."""
    yml = "dependencies:\n- pip:\n  - sums==1.2\n"
    environment = t.item(workspace, "Environment", "played")
    root = f"/v1/workspaces/{workspace}/environments/{environment}"
    for at in (f"{root}/staging/libraries", f"{root}/libraries"):
        assert t.call("GET", at).status == 404
    sent = {"authorization": t.token()}
    for name in ("a.whl", "b.jar"):
        assert t.call("POST", f"{root}/staging/libraries/{name}", raw=b"x", headers=sent).status == 200
    assert t.call("POST", f"{root}/staging/libraries/importExternalLibraries", raw=yml.encode()).status == 200
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="c.py"\r\n\r\nx = 1\r\n--x--\r\n'
    headers = {**sent, "content-type": "multipart/form-data; boundary=x"}
    assert t.call("POST", f"{root}/staging/libraries", raw=form, headers=headers).status == 200
    change = {"driverCores": 4, "sparkProperties": [{"key": "a", "value": "b"}]}
    ok(t, "PATCH", f"{root}/staging/sparkcompute?beta=false", change)
    ok(t, "DELETE", f"{root}/staging/libraries/b.jar")
    ok(t, "DELETE", f"{root}/staging/libraries?libraryToDelete=c.py")
    ok(t, "POST", f"{root}/staging/publish?beta=true")
    if t.get(root)["properties"]["publishDetails"]["state"] == "Running":
        assert t.call("POST", f"{root}/staging/publish?beta=false").status == 400
        ok(t, "POST", f"{root}/staging/cancelPublish")
    t.follow(t.call("POST", f"{root}/staging/publish?beta=false"))
    for beta in ("true", "false"):
        for word in ("libraries", "sparkcompute"):
            ok(t, "GET", f"{root}/{word}?beta={beta}")
            ok(t, "GET", f"{root}/staging/{word}?beta={beta}")
    ok(t, "POST", f"{root}/staging/libraries/removeExternalLibrary", {"name": "sums", "version": "1.2"})
    t.fault({"operation": "never"})
    ok(t, "POST", f"{root}/staging/publish")
    t.model.faults.replace([])
    ok(t, "POST", f"{root}/staging/cancelPublish")


def play_spark(t: Tenant, workspace: str) -> None:
    """Make every call for Spark pools and settings."""
    root = f"/v1/workspaces/{workspace}/spark"
    sizes = {"autoScale": {"enabled": True, "minNodeCount": 1, "maxNodeCount": 2}}
    executors = {"dynamicExecutorAllocation": {"enabled": True, "minExecutors": 1, "maxExecutors": 1}}
    body = {"name": "pool", "nodeFamily": "MemoryOptimized", "nodeSize": "Small", **sizes, **executors}
    pool = ok(t, "POST", f"{root}/pools", body)["id"]
    ok(t, "GET", f"{root}/pools")
    ok(t, "PATCH", f"{root}/pools/{pool}", {"name": "other"})
    ok(t, "GET", f"{root}/pools/{pool}")
    ok(t, "DELETE", f"{root}/pools/{pool}")
    ok(t, "PATCH", f"{root}/settings", {"automaticLog": {"enabled": False}})
    ok(t, "GET", f"{root}/settings")


SQL = {"type": "SQL", "creationMethod": "Sql"}
SQL["parameters"] = [{"name": n, "dataType": "Text", "value": n} for n in ("server", "database")]  # pyright: ignore[reportArgumentType] - a body
SECRET = "the password that nobody may see again"
BASIC = {"credentials": {"credentialType": "Basic", "username": "u", "password": SECRET}}
OTHER_PRINCIPAL = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c77"


def connect(t: Tenant, name: str = "sql") -> str:
    """Create a connection to server;database, and return its id."""
    body = {"displayName": name, "connectivityType": "ShareableCloud", "connectionDetails": SQL}
    return ok(t, "POST", "/v1/connections", {**body, "credentialDetails": BASIC})["id"]


def play_connections(t: Tenant, workspace: str) -> None:
    """Make every call for connections, and for the items that use them."""
    connection = connect(t)
    root = f"/v1/connections/{connection}"
    ok(t, "GET", "/v1/connections")
    ok(t, "GET", "/v1/connections/supportedConnectionTypes")
    ok(t, "PATCH", root, {"connectivityType": "ShareableCloud", "privacyLevel": "Private"})
    ok(t, "GET", root)
    t.follow(t.call("POST", f"{root}/testConnection"))
    principal = {"id": OTHER_PRINCIPAL, "type": "User"}
    ok(t, "POST", f"{root}/roleAssignments", {"principal": principal, "role": "User"})
    ok(t, "PATCH", f"{root}/roleAssignments/{OTHER_PRINCIPAL}", {"role": "Owner"})
    ok(t, "GET", f"{root}/roleAssignments/{OTHER_PRINCIPAL}")
    ok(t, "GET", f"{root}/roleAssignments")
    ok(t, "DELETE", f"{root}/roleAssignments/{OTHER_PRINCIPAL}")
    source = definition(definition__tables__t_tmdl='source = Sql.Database("server", "database")')
    model = t.item(workspace, "SemanticModel", "bound", definition=completed("SemanticModel", source))
    at = f"/v1/workspaces/{workspace}/items/{model}/connections"
    details = ok(t, "GET", at)["value"][0]["connectionDetails"]
    body = {"id": connection, "connectivityType": "ShareableCloud", "connectionDetails": details}
    bind = f"/v1/workspaces/{workspace}/semanticModels/{model}/bindConnection"
    ok(t, "POST", bind, {"connectionBinding": body})
    assert ok(t, "GET", at)["value"][0]["id"] == connection
    ok(t, "DELETE", root)


def play_shortcuts(t: Tenant, workspace: str) -> None:
    """Make every call for shortcuts."""
    lakehouse = t.item(workspace, "Lakehouse", "with_shortcuts")
    root = f"/v1/workspaces/{workspace}/items/{lakehouse}/shortcuts"
    target = {"oneLake": {"workspaceId": workspace, "itemId": lakehouse, "path": "Files"}}
    ok(t, "POST", root, {"path": "Files", "name": "one", "target": target})
    ok(
        t,
        "POST",
        f"{root}?shortcutConflictPolicy=CreateOrOverwrite",
        {"path": "Files", "name": "one", "target": target},
    )
    rows = [{"path": "Files", "name": name, "target": target} for name in ("one", "two")]
    t.follow(t.call("POST", f"{root}/bulkCreate", {"createShortcutRequests": rows}))
    ok(t, "GET", root)
    ok(t, "GET", f"{root}/Files/two")
    ok(t, "DELETE", f"{root}/Files/two")
    t.follow(t.call("POST", f"/v1/workspaces/{workspace}/onelake/resetShortcutCache"))


CRON = {
    "enabled": True,
    "configuration": {
        "type": "Cron",
        "startDateTime": "2026-01-01T00:00:00",
        "endDateTime": "2027-01-01T00:00:00",
        "localTimeZoneId": "UTC",
        "interval": 10,
    },
}


def play_schedules(t: Tenant, workspace: str) -> None:
    """Make every call for schedules, through the generic collection and the one of pipelines."""
    item, lakehouse = t.item(workspace, name="scheduled"), t.item(workspace, "Lakehouse", "scheduled")
    views = f"lakehouses/{lakehouse}/jobs/refreshMaterializedLakeViews"
    for root in (f"items/{item}/jobs/Pipeline", f"dataPipelines/{item}/jobs/execute", views):
        at = f"/v1/workspaces/{workspace}/{root}/schedules"
        one = f"{at}/{ok(t, 'POST', at, CRON)['id']}"
        ok(t, "GET", at)
        ok(t, "GET", one)
        ok(t, "PATCH", one, {**CRON, "enabled": False})
        ok(t, "DELETE", one)


def play_jobs(t: Tenant, workspace: str) -> None:
    """Make every call for jobs, through the generic collection and those of types."""
    pipeline, notebook, lakehouse = (
        t.item(workspace, n, f"jobs_{n}") for n in ("DataPipeline", "Notebook", "Lakehouse")
    )
    root = f"/v1/workspaces/{workspace}"
    for at in (
        f"items/{pipeline}/jobs/instances?jobType=Pipeline",
        f"items/{pipeline}/jobs/Pipeline/instances",
        f"dataPipelines/{pipeline}/jobs/execute/instances",
        f"lakehouses/{lakehouse}/jobs/tableMaintenance/instances",
        f"lakehouses/{lakehouse}/jobs/refreshMaterializedLakeViews/instances",
        f"notebooks/{notebook}/jobs/execute/instances?beta=false",
    ):
        reply = t.call("POST", f"{root}/{at}")
        assert (reply.status, reply.headers["Retry-After"]) == (202, "60"), (at, reply)
        ok(t, "GET", reply.headers["Location"])
    job = reply.headers["Location"].rpartition("/")[2]
    assert ok(t, "GET", f"{root}/notebooks/{notebook}/jobs/execute/instances/{job}?beta=true")["id"] == job
    job = ok(t, "GET", f"{root}/items/{pipeline}/jobs/instances")["value"][0]["id"]
    ok(t, "GET", f"{root}/dataPipelines/{pipeline}/jobs/execute/instances")
    ok(t, "GET", f"{root}/dataPipelines/{pipeline}/jobs/execute/instances/{job}")
    t.fault({"operation": "never"})
    reply = t.call("POST", f"{root}/items/{pipeline}/jobs/Pipeline/instances")
    t.model.faults.replace([])
    assert t.call("POST", f"{reply.headers['Location']}/cancel").status == 202
    assert ok(t, "GET", reply.headers["Location"])["status"] == "Cancelled"


def play_warehouses(t: Tenant, workspace: str) -> None:
    """Make every call for restore points and SQL endpoints."""
    warehouse, lakehouse = t.item(workspace, "Warehouse", "points"), t.item(workspace, "Lakehouse", "points")
    root = f"/v1/workspaces/{workspace}"
    points = f"{root}/warehouses/{warehouse}/restorePoints"
    one = t.follow(t.call("POST", points, {"displayName": "before", "description": "d"}))["id"]
    ok(t, "GET", points)
    ok(t, "PATCH", f"{points}/{one}", {"displayName": "b"})
    ok(t, "GET", f"{points}/{one}")
    t.follow(t.call("POST", f"{points}/{one}/restore"))
    ok(t, "DELETE", f"{points}/{one}")
    t.now += 60
    rows = t.get(f"{root}/lakehouses/{lakehouse}")["properties"]["sqlEndpointProperties"]
    t.follow(t.call("POST", f"{root}/sqlEndpoints/{rows['id']}/refreshMetadata", {}))
    ok(t, "GET", f"{root}/sqlEndpoints")
    for at in (f"sqlEndpoints/{rows['id']}", f"warehouses/{warehouse}"):
        ok(t, "GET", f"{root}/{at}/connectionString")


def play_domains(t: Tenant, workspace: str) -> None:
    """Make every call for domains and tags."""
    domain = ok(t, "POST", "/v1/admin/domains", {"displayName": "sales"})["id"]
    admin = f"/v1/admin/domains/{domain}"
    ok(t, "PATCH", admin, {"contributorsScope": "AdminsOnly"})
    ok(t, "POST", f"/v1/workspaces/{workspace}/assignToDomain", {"domainId": domain})
    for url in (admin, "/v1/admin/domains", f"{admin}/workspaces", "/v1/domains", f"/v1/domains/{domain}"):
        ok(t, "GET", url)
    assert t.get(f"/v1/workspaces/{workspace}")["domainId"] == domain
    ok(t, "POST", f"/v1/workspaces/{workspace}/unassignFromDomain")
    ok(t, "POST", f"{admin}/assignWorkspaces", {"workspacesIds": [workspace]})
    ok(t, "POST", f"{admin}/unassignWorkspaces", {"workspacesIds": [workspace]})
    ok(t, "DELETE", admin)
    tag = ok(t, "POST", "/v1/admin/tags/bulkCreateTags", {"createTagsRequest": [{"displayName": "gold"}]})["tags"][0]
    item = t.item(workspace, name="tagged")
    for at in (f"/v1/workspaces/{workspace}", f"/v1/workspaces/{workspace}/items/{item}"):
        ok(t, "POST", f"{at}/applyTags", {"tags": [tag["id"]]})
        assert t.get(at)["tags"] == [{"id": tag["id"], "displayName": "gold"}]
        ok(t, "POST", f"{at}/unapplyTags", {"tags": [tag["id"]]})
    ok(t, "GET", "/v1/tags")
    ok(t, "PATCH", f"/v1/admin/tags/{tag['id']}", {"displayName": "silver"})
    ok(t, "DELETE", f"/v1/admin/tags/{tag['id']}")


def play_recovery(t: Tenant, workspace: str) -> None:
    """Make every call for deleted items."""
    t.update_settings(item_recovery=True)
    item = t.item(workspace, name="back")
    root = f"/v1/workspaces/{workspace}"
    ok(t, "DELETE", f"{root}/items/{item}")
    ok(t, "GET", f"{root}/recoverableItems")
    ok(t, "POST", f"{root}/recoverableItems/{item}/recover")
    ok(t, "DELETE", f"{root}/items/{item}")
    ok(t, "DELETE", f"{root}/recoverableItems/{item}")
    t.update_settings(item_recovery=False)


def play_bulk(t: Tenant, workspace: str) -> None:
    """Make every call for many definitions."""
    root = f"/v1/workspaces/{workspace}/items"
    t.item(workspace, "Notebook", "bulk", definition=PARTS)
    export = t.follow(t.call("POST", f"{root}/bulkExportDefinitions?beta=true", {"mode": "All"}))
    wanted = [part for part in export["definitionParts"] if "/bulk.Notebook/" in part["path"]]
    body = {"definitionParts": wanted, "options": {"allowPairingByName": True}}
    result = t.follow(t.call("POST", f"{root}/bulkImportDefinitions?beta=true", body))
    assert [row["operationType"] for row in result["importItemDefinitionsDetails"]] == ["Update"]


GITHUB = {
    "gitProviderType": "GitHub",
    "ownerName": "contoso",
    "repositoryName": "sales",
    "branchName": "main",
    "directoryName": "fabric",
}


def git_connection(t: Tenant, name: str = "git") -> str:
    """Create a connection to the repository's provider, and return its id."""
    url = {"name": "url", "dataType": "Text", "value": "https://github.example/contoso/sales"}
    details = {"type": "GitHubSourceControl", "creationMethod": "GitHubSourceControl.Contents", "parameters": [url]}
    body = {"displayName": name, "connectivityType": "ShareableCloud", "connectionDetails": details}
    credentials = {"credentials": {"credentialType": "Key", "key": SECRET}}
    return ok(t, "POST", "/v1/connections", {**body, "credentialDetails": credentials})["id"]


def connect_git(t: Tenant, workspace: str, connection: str) -> str:
    """Connect a workspace with the branch, and return the path of its git calls."""
    root = f"/v1/workspaces/{workspace}/git"
    credentials = {"source": "ConfiguredConnection", "connectionId": connection}
    ok(t, "POST", f"{root}/connect", {"gitProviderDetails": GITHUB, "myGitCredentials": credentials})
    return root


def play_git(t: Tenant, _: str) -> None:
    """Make every call of git integration, in a workspace of its own."""
    workspace = t.workspace("with git")
    t.item(workspace, "Notebook", "committed", definition=definition(notebook__content_py="x = 1"))
    t.control("POST", "git", {"gitProviderDetails": GITHUB, "files": {"fabric/README.md": "empty"}})
    ok(t, "GET", f"/v1/workspaces/{workspace}/git/connection")
    connection = git_connection(t)
    root = connect_git(t, workspace, connection)
    ok(t, "GET", f"{root}/connection")
    ok(t, "GET", f"{root}/myGitCredentials")
    ok(t, "PATCH", f"{root}/myGitCredentials", {"source": "ConfiguredConnection", "connectionId": connection})
    assert t.follow(t.call("POST", f"{root}/initializeConnection", {}))["requiredAction"] == "CommitToGit"
    t.follow(t.call("POST", f"{root}/commitToGit", {"mode": "All", "comment": "first"}))
    status = t.follow(t.call("GET", f"{root}/status"))
    assert (status["changes"], status["workspaceHead"]) == ([], status["remoteCommitHash"])
    ok(t, "GET", f"{root}/connection")
    t.follow(t.call("POST", f"{root}/updateFromGit", {"remoteCommitHash": status["remoteCommitHash"]}))
    ok(t, "POST", f"{root}/disconnect")


PLAYS: tuple[Callable[[Any, str], None], ...] = (
    play_folders,
    play_environments,
    play_spark,
    play_connections,
    play_shortcuts,
    play_schedules,
    play_jobs,
    play_warehouses,
    play_domains,
    play_recovery,
    play_bulk,
    play_git,
)
