"""Every call for gateways, private endpoints, external data shares and mirroring, made once with success."""

from collections.abc import Callable
from typing import Any

from tests.simulator.plays import ok
from tests.simulator.tenant import CAPACITY, ME, OTHER, Tenant

TARGET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/orders"
GATEWAY: dict[str, Any] = {
    "type": "VirtualNetwork",
    "displayName": "edge",
    "capacityId": CAPACITY,
    "inactivityMinutesBeforeSleep": 30,
    "virtualNetworkAzureResource": {
        "subscriptionId": OTHER,
        "resourceGroupName": "network",
        "virtualNetworkName": "spoke",
        "subnetName": "fabric",
    },
}
ON_PREMISES: dict[str, Any] = {
    "id": OTHER,
    "type": "OnPremises",
    "displayName": "plant",
    "numberOfMemberGateways": 1,
    "loadBalancingSetting": "Failover",
    "allowCloudConnectionRefresh": False,
    "allowCustomConnectors": False,
    "publicKey": {"exponent": "AQAB", "modulus": "x"},
    "version": "3000.286.14",
}
"""A gateway as it is shown, which only a seed can add."""


def seed_gateway(t: Tenant, shown: dict[str, Any]) -> None:
    """Add a gateway that no call can create, with the caller as its admin."""
    roles = [{"id": ME, "type": "User", "role": "Admin"}]
    assert t.control("POST", "seed", {"gateways": [{**shown, "roleAssignments": roles}]})[0] == 200


def play_gateways(t: Tenant, workspace: str) -> None:
    """Make every call for gateways and their roles."""
    member = {"id": CAPACITY, "displayName": "one", "enabled": True}
    member |= {name: ON_PREMISES[name] for name in ("publicKey", "version")}
    seed_gateway(t, {**ON_PREMISES, "members": [member]})
    ok(t, "PATCH", f"/v1/gateways/{OTHER}", {"type": "OnPremises", "allowCustomConnectors": True})
    ok(t, "GET", f"/v1/gateways/{OTHER}/members")
    one = f"/v1/gateways/{ok(t, 'POST', '/v1/gateways', GATEWAY)['id']}"
    network = GATEWAY["virtualNetworkAzureResource"]
    streaming = {"type": "StreamingVirtualNetwork", "displayName": "stream", "virtualNetworkAzureResource": network}
    ok(t, "POST", "/v1/gateways", streaming)
    ok(t, "GET", "/v1/gateways")
    ok(t, "PATCH", one, {"type": "VirtualNetwork", "inactivityMinutesBeforeSleep": 60, "displayName": "edge 2"})
    ok(t, "GET", one)
    ok(t, "POST", f"{one}/checkStatus")
    ok(t, "GET", f"/v1/connections/supportedConnectionTypes?gatewayId={OTHER}")
    role = {"principal": {"id": CAPACITY, "type": "Group"}, "role": "ConnectionCreator"}
    ok(t, "POST", f"{one}/roleAssignments", role)
    ok(t, "GET", f"{one}/roleAssignments")
    ok(t, "PATCH", f"{one}/roleAssignments/{CAPACITY}", {"role": "Admin"})
    ok(t, "GET", f"{one}/roleAssignments/{CAPACITY}")
    ok(t, "DELETE", f"{one}/roleAssignments/{CAPACITY}")
    ok(t, "DELETE", one)


def play_private_endpoints(t: Tenant, workspace: str) -> None:
    """Make every call for managed private endpoints, before and after Azure has provisioned one."""
    root = f"/v1/workspaces/{workspace}/managedPrivateEndpoints"
    asked = {"name": "orders", "targetPrivateLinkResourceId": TARGET, "targetSubresourceType": "sqlServer"}
    one = f"{root}/{ok(t, 'POST', root, asked)['id']}"
    ok(t, "GET", one)
    t.now += 60.0
    ok(t, "GET", one)
    ok(t, "GET", root)
    ok(t, "DELETE", one)


def play_data_shares(t: Tenant, workspace: str) -> None:
    """Make every call for external data shares."""
    root = f"/v1/workspaces/{workspace}/items/{t.item(workspace, 'Lakehouse', 'shared')}/externalDataShares"
    recipient = {"userprincipalname": "lisa@fabrikam.example", "tenantid": OTHER}
    one = ok(t, "POST", root, {"paths": ["Files/maps"], "recipient": recipient})["id"]
    application = {"type": "ServicePrincipal", "principalId": CAPACITY, "tenantId": OTHER}
    ok(t, "POST", root, {"paths": ["Tables/orders"], "recipient": application})
    ok(t, "GET", root)
    ok(t, "POST", f"{root}/{one}/revoke")
    ok(t, "GET", f"{root}/{one}")
    ok(t, "DELETE", f"{root}/{one}")


PLAYS: tuple[Callable[[Any, str], None], ...] = (play_gateways, play_private_endpoints, play_data_shares)
