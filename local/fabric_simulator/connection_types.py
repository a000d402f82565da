"""The connectors of which a connection can be made. Fabric's releases add and remove some: there are about 250.

This module has those that deployments of Fabric's items use; `POST /_sim/seed` adds others. Source: recordings of
microsoft/fabric-cli, January 2026; those before October 2025 lack the credentials for user-controlled code.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from local.fabric_simulator.gateways import Gateways
from local.fabric_simulator.http import Answer, Request
from local.fabric_simulator.world import Body, World, rows_field


@dataclass(frozen=True)
class ConnectionType:
    """A connector: how a connection is made, with which parameters and credentials.

    `in_code` is True if code of a user may use its connections; then it may with all credentials but OAuth2. `windows`
    are the credentials through an on-premises gateway, if they are not the same.
    """

    method: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ("OAuth2",)
    is_encrypted: bool = False
    in_code: bool = False
    is_test_optional: bool = False
    windows: tuple[str, ...] | None = None


_URL, _SERVER = ("url",), ("server", "database")
_OPEN = ("OAuth2", "ServicePrincipal")
_OWN = (*_OPEN, "WorkspaceIdentity")
_STORAGE = ("Key", "OAuth2", "SharedAccessSignature", "ServicePrincipal", "WorkspaceIdentity")
TYPES: dict[str, ConnectionType] = {
    "SQL": ConnectionType(
        "Sql", ("server",), ("database",), ("Basic", *_OWN), True, True, windows=("Basic", "Windows", *_OPEN)
    ),
    "AnalysisServices": ConnectionType(
        "AnalysisServices",
        ("server",),
        ("database",),
        ("Basic", "OAuth2", "WorkspaceIdentity"),
        in_code=True,
        windows=("Windows",),
    ),
    "SharePoint": ConnectionType(
        "SharePointList",
        ("sharePointSiteUrl",),
        (),
        ("Anonymous", *_OWN),
        in_code=True,
        windows=("Anonymous", "Windows", *_OPEN),
    ),
    "Web": ConnectionType(
        "Web",
        _URL,
        (),
        ("Anonymous", "Basic", *_OWN),
        in_code=True,
        is_test_optional=True,
        windows=("Anonymous", "Basic", "Windows", *_OPEN),
    ),
    "OData": ConnectionType(
        "OData",
        _URL,
        (),
        ("Anonymous", "Basic", "Key", "OAuth2"),
        in_code=True,
        is_test_optional=True,
        windows=("Anonymous", "Basic", "Windows", "OAuth2"),
    ),
    "MySql": ConnectionType("MySql", _SERVER, (), ("Basic",), True, True, windows=("Basic", "Windows")),
    "PostgreSQL": ConnectionType("PostgreSql", _SERVER, (), ("Basic", "OAuth2"), True, True),
    "AzureBlobs": ConnectionType("AzureBlobs", ("account", "domain"), (), ("Anonymous", *_STORAGE), in_code=True),
    "AzureDataLakeStorage": ConnectionType("AzureDataLakeStorage", ("server", "path"), (), _STORAGE, in_code=True),
    "Lakehouse": ConnectionType("Lakehouse.Contents"),
    "PowerPlatformDataflows": ConnectionType("PowerPlatform.Dataflows"),
    "AmazonS3": ConnectionType("AmazonS3.Storage", (), ("url", "roleArn"), ("Basic", *_OPEN)),
    "AmazonS3Compatible": ConnectionType("AmazonS3Compatible.Storage", _URL, (), ("Basic",)),
    "AzureDatabricksWorkspace": ConnectionType("AzureDatabricksWorkspace.Actions", _URL, (), ("Key", *_OPEN)),
    "AzureFunction": ConnectionType("AzureFunction.Contents", ("functionAppUrl",), (), ("Key", "Anonymous")),
    "AzureKeyVault": ConnectionType("AzureKeyVault.Actions", ("accountName",), (), _OPEN),
    "AzureServiceBus": ConnectionType("AzureServiceBus.Contents", ("hostName",), (), ("Basic",)),
    "EventHub": ConnectionType("EventHub.Contents", ("endpoint", "entityPath"), (), ("OAuth2", "Basic")),
    "FabricDataPipelines": ConnectionType("FabricDataPipelines.Actions", credentials=_OWN),
    "GoogleCloudStorage": ConnectionType("GoogleCloudStorage.Storage", (), _URL, ("Basic",)),
    "HttpServer": ConnectionType("HttpServer.Contents", _URL, (), ("OAuth2", "Basic", "Anonymous")),
    "Notebook": ConnectionType("Notebook.Actions", credentials=_OPEN),
    "PowerBIDatasets": ConnectionType("PowerBIDatasets.Actions", credentials=_OWN),
    "AzureDevOpsSourceControl": ConnectionType("AzureDevOpsSourceControl.Contents", _URL, (), _OPEN),
    "GitHubSourceControl": ConnectionType("GitHubSourceControl.Contents", (), _URL, ("Key",)),
}
"""The connectors by type."""
_CLOUD_ONLY = frozenset({"AzureDevOpsSourceControl", "GitHubSourceControl"})
"""Types that an on-premises gateway does not have."""


@dataclass
class MoreTypes:
    """Connectors that were seeded, as lists show them."""

    rows: list[Body] = field(default_factory=lambda: list[Body]())


def known(world: World) -> dict[str, list[ConnectionType]]:
    """Return the ways to make a connection, by type, with those of seeded types."""
    found = {name: [each] for name, each in TYPES.items()}
    for row in world.store.part(MoreTypes).rows:
        found.setdefault(str(row["type"]), [_way(method) for method in rows_field(row, "creationMethods")])
    return found


def _way(method: Body) -> ConnectionType:
    parameters = rows_field(method, "parameters")
    needed = tuple(str(p["name"]) for p in parameters if p.get("required"))
    return ConnectionType(
        str(method.get("name")), needed, tuple(str(p["name"]) for p in parameters if not p.get("required"))
    )


def supported(world: World, request: Request) -> Answer:
    """Answer GET supportedConnectionTypes: those of the cloud, or of a gateway's type."""
    gateway = world.store.part(Gateways).by_id.get(request.query.get("gatewayId", "").lower())
    kind = str(gateway.shown["type"]) if gateway else ""
    rows = [_row(name, each, kind) for name, each in TYPES.items() if kind != "OnPremises" or name not in _CLOUD_ONLY]
    more = [row for row in world.store.part(MoreTypes).rows if row["type"] not in TYPES]
    return world.page([*rows, *more], request.query, request.path)


def _row(name: str, each: ConnectionType, gateway: str) -> Body:
    credentials = each.credentials
    if gateway:
        credentials = tuple(c for c in credentials if c != "WorkspaceIdentity")
    if gateway == "OnPremises" and each.windows:
        credentials = each.windows
    in_code = [] if gateway == "OnPremises" else [c for c in credentials if c != "OAuth2"]
    is_encrypted = each.is_encrypted and not (gateway == "OnPremises" and name == "SQL")
    return {
        "type": name,
        "creationMethods": [{"name": each.method, "parameters": list(_parameters(each))}],
        "supportedCredentialTypes": list(credentials),
        "supportedConnectionEncryptionTypes": ["NotEncrypted", *(["Encrypted"] if is_encrypted else [])],
        "supportsSkipTestConnection": name != "AnalysisServices" if gateway else each.is_test_optional,
        "supportedCredentialTypesForUsageInUserControlledCode": in_code if each.in_code else None,
    }


def _parameters(each: ConnectionType) -> Iterable[Body]:
    for name in (*each.required, *each.optional):
        yield {"name": name, "dataType": "Text", "required": name in each.required, "allowedValues": None}
