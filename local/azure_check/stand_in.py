"""Serve a stand-in for Azure Resource Manager and Log Analytics: one resource group as infra/ creates it.

**Synthetic**: its answers have the shapes of the published reference and of the types in tests/infra/azure_types.json,
and no answer of Azure was recorded. Its logs are the envelopes that a stand-in for Application Insights received
(local/ingestion.py), so telemetry is seen only if the app has sent it.
"""

import contextlib
import json
import re
import threading
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from local.azure_check.expected import RIGHTS, ROLES, alerts
from local.ingestion import Ingestion

SUBSCRIPTION, GROUP, APP = "00000000-0000-0000-0000-00000000a2b1", "rg-rehearsal", "func-rehearsal"
CLIENT_ID, PRINCIPAL_ID = "00000000-0000-0000-0000-00000000c11e", "00000000-0000-0000-0000-0000000097a1"
TOKEN = "stand-in"  # noqa: S105 - the stand-in accepts this text and no other
WORKSPACE = "00000000-0000-0000-0000-00000000109a"
_BASE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
_VERSIONS = {
    "resources": "2021-04-01",
    "Microsoft.Web/sites": "2024-11-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2024-11-30",
    "Microsoft.Storage/storageAccounts": "2024-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.KeyVault/vaults": "2024-11-01",
    "Microsoft.OperationalInsights/workspaces": "2025-02-01",
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Insights/scheduledQueryRules": "2023-12-01",
    "Microsoft.Insights/metricAlerts": "2018-03-01",
    "Microsoft.Insights/webtests": "2022-06-15",
    "Microsoft.Insights/actionGroups": "2023-01-01",
}
_PAGE = 4


def _made() -> dict[str, dict[str, Any]]:
    """Return the properties of each resource of the group, by `type/name`."""
    return {
        f"Microsoft.Web/sites/{APP}": {
            "state": "Running",
            "httpsOnly": True,
            "functionAppConfig": {
                "runtime": {"name": "python", "version": "3.13"},
                "scaleAndConcurrency": {
                    "alwaysReady": [{"name": "durable", "instanceCount": 1}],
                    "maximumInstanceCount": 40,
                },
            },
        },
        "Microsoft.ManagedIdentity/userAssignedIdentities/id-other": {"clientId": "other", "principalId": "other"},
        "Microsoft.ManagedIdentity/userAssignedIdentities/id-app": {
            "clientId": CLIENT_ID,
            "principalId": PRINCIPAL_ID,
        },
        "Microsoft.Storage/storageAccounts/st": {"allowSharedKeyAccess": False, "allowBlobPublicAccess": False},
        "Microsoft.Insights/components/appi": {"DisableLocalAuth": True},
        "Microsoft.KeyVault/vaults/kv": {"enableRbacAuthorization": True, "enablePurgeProtection": True},
        "Microsoft.OperationalInsights/workspaces/log": {"customerId": WORKSPACE},
        "Microsoft.Insights/metricAlerts/ma": {"enabled": True},
        "Microsoft.Insights/webtests/ready": {"Enabled": True},
        "Microsoft.Insights/actionGroups/ag": {"emailReceivers": [{"name": "operators"}]},
        **{
            f"Microsoft.Insights/scheduledQueryRules/sqr-{name}": {
                "displayName": f"fabric-saga: {name}",
                "enabled": True,
            }
            for name in alerts()
        },
        **{
            f"Microsoft.Authorization/roleAssignments/{index}": {
                "principalId": PRINCIPAL_ID,
                "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/"
                + next(identity for identity, name in ROLES.items() if name == right.role),
                "scope": f"{_BASE}/providers/{right.kind}/"
                + {"storageAccounts": "st", "components": "appi", "vaults": "kv"}[right.kind.split("/")[1]],
            }
            for index, right in enumerate(sorted(RIGHTS))
        },
    }


@dataclass
class AzureStandIn:
    """The resource group, which a test may change, and the app's function key."""

    key: str
    ingestion: Ingestion | None
    resources: dict[str, dict[str, Any]] = field(default_factory=_made)
    requests: list[str] = field(default_factory=lambda: list[str]())

    def answer(self, method: str, url: str, body: Any, token: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of a request."""
        split = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.requests.append(f"{method} {split.path}")
        if token != f"Bearer {TOKEN}":
            return 401, _error("InvalidAuthenticationToken")
        if method == "POST" and split.path == f"/v1/workspaces/{WORKSPACE}/query":
            return 200, self._logs(str(body["query"]))
        if method == "POST" and split.path.endswith(f"/sites/{APP}/host/default/listkeys"):
            return 200, {"masterKey": "unused", "functionKeys": {"default": self.key}, "systemKeys": {}}
        if method != "GET" or not split.path.startswith(f"{_BASE}/"):
            return 404, _error("ResourceGroupNotFound")
        return self._read(split.path.removeprefix(f"{_BASE}/"), query)

    def _read(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        name = path.removeprefix("providers/")
        kind = "/".join(name.split("/")[:2])
        if query.get("api-version") != _VERSIONS.get(kind):
            return 400, _error("NoRegisteredProviderFound")
        if path == "resources":
            wanted = re.fullmatch(r"resourceType eq '([\w./]+)'", query.get("$filter", ""))
            kinds = wanted[1] if wanted else ""
            return 200, self._page([n for n in self.resources if n.startswith(f"{kinds}/")], path, query)
        if name in self.resources:
            return 200, self._row(name)
        if name != kind:
            return 404, _error("ResourceNotFound")
        rows = [each for each in self.resources if each.startswith(f"{kind}/")]
        if kind.endswith("/roleAssignments"):
            of = query.get("$filter", "").removeprefix("principalId eq '").removesuffix("'")
            rows = [each for each in rows if self.resources[each]["principalId"] == of]
        return 200, self._page(rows, path, query)

    def _page(self, names: list[str], path: str, query: dict[str, str]) -> dict[str, Any]:
        start = int(query.get("$skiptoken", "0"))
        page: dict[str, Any] = {"value": [self._row(name) for name in names[start : start + _PAGE]]}
        if start + _PAGE < len(names):
            given = "&".join(f"{name}={value}" for name, value in query.items() if name != "$skiptoken")
            page["nextLink"] = f"{self.address}{_BASE}/{path}?{given}&$skiptoken={start + _PAGE}"
        return page

    address: str = ""

    def _row(self, name: str) -> dict[str, Any]:
        kind, _, own = name.rpartition("/")
        return {"id": f"{_BASE}/providers/{name}", "name": own, "type": kind, "properties": self.resources[name]}

    def _logs(self, query: str) -> dict[str, Any]:
        """Answer the one query of the check: the events of a deployment by name."""
        wanted = re.search(r"deployment_id == '([\w-]+)'", query)
        seen = Counter(
            str(envelope["data"]["baseData"]["name"])
            for envelope in (self.ingestion.of_kind("EventData") if self.ingestion else [])
            if wanted and _deployment_of(envelope) == wanted[1]
        )
        columns = [{"name": "event", "type": "string"}, {"name": "rows", "type": "long"}]
        return {"tables": [{"name": "PrimaryResult", "columns": columns, "rows": [list(row) for row in seen.items()]}]}


@contextlib.contextmanager
def serving(key: str, ingestion: Ingestion | None = None) -> Generator[AzureStandIn]:
    """Serve the stand-in on a free port of loopback."""
    stand_in = AzureStandIn(key, ingestion)
    server = _Server(stand_in)
    stand_in.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()


class StandInCredential:
    """A credential whose token the stand-in accepts."""

    @property
    def token(self) -> str:
        """Return the text for the header."""
        return TOKEN

    def get_token(self, *scopes: str) -> "StandInCredential":
        """Return the token, whatever it is for."""
        return self


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stand_in: AzureStandIn) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stand_in = stand_in


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self._handle(json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}"))

    def do_GET(self) -> None:
        self._handle({})

    def _handle(self, body: Any) -> None:
        assert isinstance(self.server, _Server)  # noqa: S101 - for the type checker
        token = self.headers.get("authorization", "")
        status, answer = self.server.stand_in.answer(self.command, self.path, body, token)
        content = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (("content-type", "application/json"), ("x-sim-synthetic", "true")):
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _deployment_of(envelope: dict[str, Any]) -> str:
    properties: dict[str, Any] = envelope["data"]["baseData"].get("properties") or {}
    return str(properties.get("deployment_id"))


def _error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "synthetic"}}
