"""A script as people write it by hand: one call after the other, with or without the usual fixed waits."""

import time
from typing import Any

import requests

WAIT_AFTER_WORKSPACE = 10.0
WAIT_AFTER_LAKEHOUSE = 5.0
_TOKEN = "sim.00000000-0000-0000-0000-00000000c1c1.99999999999"  # noqa: S105 - the simulator's own


def deploy(base_url: str, name: str, principals: list[dict[str, str]], *, waits: bool) -> float:
    """Deploy the medallion example; return the seconds until all of it exists, including the SQL endpoint of gold."""
    began = time.monotonic()
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {_TOKEN}"

        def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
            answer = session.request(method, f"{base_url}/v1{path}", json=body, timeout=60)
            answer.raise_for_status()
            return answer.json() if answer.content else {}

        workspace = call("POST", "/workspaces", {"displayName": name})["id"]
        time.sleep(WAIT_AFTER_WORKSPACE if waits else 0)
        lakehouse = ""
        for layer in ("bronze", "silver", "gold"):
            lakehouse = call("POST", f"/workspaces/{workspace}/lakehouses", {"displayName": layer})["id"]
            time.sleep(WAIT_AFTER_LAKEHOUSE if waits else 0)
        for principal in principals:
            body = {"principal": {"id": principal["id"], "type": principal["type"]}, "role": principal["role"]}
            call("POST", f"/workspaces/{workspace}/roleAssignments", body)
        while True:
            shown = call("GET", f"/workspaces/{workspace}/lakehouses/{lakehouse}")
            if shown["properties"]["sqlEndpointProperties"]["provisioningStatus"] == "Success":
                return time.monotonic() - began
            time.sleep(WAIT_AFTER_LAKEHOUSE if waits else 1.0)
