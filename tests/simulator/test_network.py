"""Gateways, private endpoints, external data shares and mirroring in the simulator."""

from typing import Any

import pytest

from tests.simulator.plays import ok
from tests.simulator.plays_network import GATEWAY, ON_PREMISES, TARGET, seed_gateway
from tests.simulator.tenant import CAPACITY, OTHER, Tenant, code_of


@pytest.fixture
def t() -> Tenant:
    """Return a tenant in which nothing takes time."""
    return Tenant()


def test_gateway_name_is_unique_in_any_case(t: Tenant) -> None:
    """A create and a rename with a name in use are refused; a gateway may keep its own."""
    one = ok(t, "POST", "/v1/gateways", GATEWAY)["id"]
    again = t.call("POST", "/v1/gateways", {**GATEWAY, "displayName": "EDGE"})
    assert (again.status, code_of(again)) == (409, "DuplicateGatewayName")
    other = ok(t, "POST", "/v1/gateways", {**GATEWAY, "displayName": "other"})["id"]
    change = {"type": "VirtualNetwork", "displayName": "edge"}
    assert code_of(t.call("PATCH", f"/v1/gateways/{other}", change)) == "DuplicateGatewayName"
    assert t.call("PATCH", f"/v1/gateways/{one}", change).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"type": "OnPremises"},
        {"displayName": ""},
        {"displayName": "x" * 201},
        {"capacityId": "none"},
        {"inactivityMinutesBeforeSleep": 31},
        {"numberOfMemberGateways": 10},
        {"numberOfMemberGateways": True},
        {"virtualNetworkAzureResource": {"subnetName": "fabric"}},
        {"virtualNetworkAzureResource": "spoke"},
    ],
)
def test_gateway_with_invalid_input_is_refused(t: Tenant, change: dict[str, Any]) -> None:
    """Each member outside the published limits is refused, and no gateway is created."""
    reply = t.call("POST", "/v1/gateways", {**GATEWAY, **change})
    assert (reply.status, code_of(reply)) == (400, "InvalidInput")
    assert t.get("/v1/gateways")["value"] == []


def test_gateway_is_managed_by_its_admins(t: Tenant) -> None:
    """Another principal does not see it, sees it with a role, and changes it only as an admin."""
    one = f"/v1/gateways/{ok(t, 'POST', '/v1/gateways', GATEWAY)['id']}"
    assert code_of(t.call("GET", one, identity=OTHER)) == "GatewayNotFound"
    role = {"principal": {"id": OTHER, "type": "User"}, "role": "ConnectionCreator"}
    ok(t, "POST", f"{one}/roleAssignments", role)
    assert t.get(one, identity=OTHER)["displayName"] == "edge"
    assert t.call("DELETE", one, identity=OTHER).status == 403
    assert t.call("POST", f"{one}/roleAssignments", role).status == 409
    ok(t, "PATCH", f"{one}/roleAssignments/{OTHER}", {"role": "Admin"})
    assert t.call("DELETE", one, identity=OTHER).status == 200


def test_connection_types_depend_on_the_gateway(t: Tenant) -> None:
    """A gateway does not know the workspace's identity, and one on premises signs in to Windows."""
    seed_gateway(t, ON_PREMISES)
    network = ok(t, "POST", "/v1/gateways", GATEWAY)["id"]

    def credentials(query: str) -> list[str]:
        rows = t.get(f"/v1/connections/supportedConnectionTypes{query}")["value"]
        return next(row["supportedCredentialTypes"] for row in rows if row["type"] == "SQL")

    assert "WorkspaceIdentity" in credentials("")
    assert credentials(f"?gatewayId={network}") == ["Basic", "OAuth2", "ServicePrincipal"]
    assert "Windows" in credentials(f"?gatewayId={OTHER}")


def test_seeded_connection_type_is_listed_and_used(t: Tenant) -> None:
    """A connector of a later release can be added; a connection of it needs its parameters."""
    url = {"name": "shop", "dataType": "Text", "required": True, "allowedValues": None}
    row = {"type": "Shopify", "creationMethods": [{"name": "Shopify.Contents", "parameters": [url]}]}
    row |= {"supportedCredentialTypes": ["Key"], "supportedConnectionEncryptionTypes": ["NotEncrypted"]}
    assert t.control("POST", "seed", {"connectionTypes": [{"creationMethods": []}]})[0] == 400
    t.control("POST", "seed", {"connectionTypes": [row]})
    assert t.get("/v1/connections/supportedConnectionTypes")["value"][-1] == row
    details: dict[str, Any] = {"type": "Shopify", "creationMethod": "Shopify.Contents", "parameters": []}
    credentials = {"credentials": {"credentialType": "Key"}}
    body = {"displayName": "shop", "connectivityType": "ShareableCloud", "credentialDetails": credentials}
    refused = t.call("POST", "/v1/connections", {**body, "connectionDetails": details})
    assert code_of(refused) == "InvalidConnectionDetails"
    details["parameters"] = [{"name": "shop", "dataType": "Text", "value": "contoso"}]
    assert ok(t, "POST", "/v1/connections", {**body, "connectionDetails": details})["connectionDetails"] == {
        "type": "Shopify",
        "path": "contoso",
    }


def test_private_endpoint_needs_a_capacity_and_time() -> None:
    """Without a capacity every call is refused; with one the endpoint waits for Azure, and then for its approval."""
    t = Tenant(profile="realistic")
    bare, place = t.workspace("bare"), t.workspace("place", capacityId=CAPACITY)
    assert code_of(t.call("GET", f"/v1/workspaces/{bare}/managedPrivateEndpoints")) == "UnsupportedSku"
    root = f"/v1/workspaces/{place}/managedPrivateEndpoints"
    made = ok(t, "POST", root, {"name": "orders", "targetPrivateLinkResourceId": TARGET})
    assert (made["provisioningState"], made["connectionState"]["status"]) == ("Provisioning", None)
    assert t.call("POST", root, {"name": "ORDERS", "targetPrivateLinkResourceId": TARGET}).status == 409
    t.now += 120.0
    assert t.get(f"{root}/{made['id']}")["connectionState"] == {"status": "Pending", "actionsRequired": "None"}
    approved = {"status": "Approved", "description": "by hand", "actionsRequired": "None"}
    endpoint = {"id": made["id"], "connectionState": approved}
    t.control("POST", "seed", {"workspaces": [{"id": place, "privateEndpoints": [endpoint]}]})
    assert t.get(root)["value"][0]["connectionState"] == approved
    assert t.get(root)["value"][0]["name"] == "orders"


@pytest.mark.parametrize("body", [{}, {"paths": ["Files"]}, {"paths": ["Files/a"], "recipient": {"type": "Group"}}])
def test_data_share_with_invalid_input_is_refused(t: Tenant, body: dict[str, Any]) -> None:
    """The root of a lakehouse cannot be shared, and a share needs its recipient."""
    place = t.workspace()
    root = f"/v1/workspaces/{place}/items/{t.item(place, 'Lakehouse', 'shared')}/externalDataShares"
    assert code_of(t.call("POST", root, {"recipient": {"userPrincipalName": "a@b.example"}, **body})) == "InvalidInput"
    assert t.get(root)["value"] == []


def test_mirroring_is_initialized_started_and_stopped() -> None:
    """The states follow each other with time; nothing can be started before the database is initialized."""
    t = Tenant(profile="realistic")
    place = t.workspace()
    root = f"/v1/workspaces/{place}/mirroredDatabases/{t.item(place, 'MirroredDatabase', 'copy')}"

    def state() -> str:
        return ok(t, "POST", f"{root}/getMirroringStatus")["status"]

    assert state() == "Initializing"
    assert code_of(t.call("POST", f"{root}/startMirroring")) == "MirroringNotInitialized"
    t.now += 20.0
    states = [state()]
    for word in ("startMirroring", "stopMirroring"):
        ok(t, "POST", f"{root}/{word}")
        states.append(state())
        t.now += 30.0
        states.append(state())
    assert states == ["Initialized", "Starting", "Running", "Stopping", "Stopped"]
    assert ok(t, "POST", f"{root}/getTablesMirroringStatus")["data"] == []
    lake = t.item(place, "Lakehouse", "l")
    assert code_of(t.call("POST", f"/v1/workspaces/{place}/mirroredDatabases/{lake}/getMirroringStatus")) == (
        "ItemNotFound"
    )
