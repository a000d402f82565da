"""An app that signs in its callers, with the stand-in for Entra: what a key, a token, the queue and the command line
may do."""

import json
from collections.abc import Iterator

import pytest
import requests

from local.stack import APPLICATION
from shared.domain.json import JsonObject
from tests.e2e.conftest import Running, finish, make_stack
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.e2e
APP, TENANT = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01", "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c02"
DEPLOYER, READER = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c03", "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c04"
CALLERS = {DEPLOYER: "Deployer", READER: "Reader"}
SCOPE = f"api://{APP}/.default"
MANIFEST = {"name": "signed", "steps": [{"id": "w", "kind": "workspace", "with": {"displayName": "signed"}}]}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Start a stack whose callers sign in at its vault's stand-in for Entra."""
    settings = {"SIGN_IN_CLIENT_ID": APP, "SIGN_IN_TENANT_ID": TENANT, "QUEUE_NEEDS_IDENTITY": "true"}
    stack = make_stack(has_vault=True, environment=settings)
    try:
        running = Running(stack.up())
        running.vault("secrets", {"name": "azure-client-secret", "value": "a-secret"})
        rows = {name: {"secrets": ["a-secret"], "roles": [role]} for name, role in CALLERS.items()}
        running.vault("clients", {APPLICATION: {"secrets": ["a-secret"]}, **rows})
        yield running
    finally:
        finish(stack)


def token(running: Running, client: str) -> str:
    """Return a token that the stand-in issues to a service principal."""
    url = f"{running.stack.vault_url}/{TENANT}/oauth2/v2.0/token"
    form = {"client_id": client, "client_secret": "a-secret", "scope": SCOPE, "grant_type": "client_credentials"}
    answer = requests.post(url, data=form, verify=str(running.stack.vault_ca_file), timeout=PATIENCE_SECONDS)
    return answer.json()["access_token"]


def sent(
    running: Running, method: str, path: str, bearer: str = "", body: JsonObject | None = None
) -> requests.Response:
    """Send a request to the host."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    url = running.stack.functions_url + path
    return requests.request(method, url, headers=headers, json=body, timeout=PATIENCE_SECONDS)


def test_callers_have_their_roles_and_a_key_opens_nothing(running: Running) -> None:
    """A reader reads; a deployer deploys; the master key of the host has no role; health says how callers prove
    themselves."""
    reader, deployer = token(running, READER), token(running, DEPLOYER)
    keyed = requests.get(
        f"{running.stack.functions_url}/api/deployments",
        headers={"x-functions-key": running.stack.function_key},
        timeout=PATIENCE_SECONDS,
    )
    assert (keyed.status_code, keyed.json()["sign_in"]) == (401, "/.auth/login/aad")
    assert sent(running, "GET", "/api/deployments", reader).status_code == 200
    assert sent(running, "POST", "/api/deployments?id=r", reader, MANIFEST).status_code == 403
    assert sent(running, "POST", "/api/deployments?id=s", deployer, MANIFEST).status_code == 202
    eventually(lambda: sent(running, "GET", "/api/deployments/s", reader).json()["state"] == "succeeded")
    assert sent(running, "GET", "/api/deployments/s", reader).json()["requester_id"] == DEPLOYER
    assert sent(running, "GET", "/api/deployments/r", reader).status_code == 404
    assert (
        sent(running, "GET", "/api/health", reader).json()["checks"]["sign_in:callers"][0]["observedValue"]
        == "signed in"
    )
    assert sent(running, "GET", "/api/health/live").status_code == 200


def test_queue_that_proves_nobody_starts_nothing(running: Running) -> None:
    """The submission is recorded as rejected, with what to do instead."""
    message = json.dumps({"deployment_id": "q", "manifest": {**MANIFEST, "name": "queued"}})
    running.put("deployments", message.encode())
    reader = token(running, READER)
    eventually(lambda: sent(running, "GET", "/api/deployments/q", reader).status_code == 200)
    found = sent(running, "GET", "/api/deployments/q", reader).json()
    assert found["state"] == "rejected"
    assert "signed in" in found["problems"][0]["message"]


def test_command_line_signs_in_with_its_own_identity(running: Running) -> None:
    """It uses azure-identity's chain, here with the variables of a service principal; no key is set. A missing role is
    said in the app's words, and another tenant's client is not signed in."""
    stack = running.stack
    environment = {
        "FABRIC_SAGA_URL": stack.functions_url,
        "FABRIC_SAGA_SCOPE": SCOPE,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": READER,
        "AZURE_CLIENT_SECRET": "a-secret",
        "AZURE_AUTHORITY_HOST": stack.vault_url,
        "REQUESTS_CA_BUNDLE": str(stack.vault_ca_file),
        "FUNCTION_KEY": "",
    }
    assert running.cli("list", environment=environment).returncode == 0
    refused = running.cli("retire", "s", environment=environment)
    assert refused.returncode == 4
    assert "needs the app role Deployer or Operator" in refused.stdout + refused.stderr
    unknown = running.cli("list", environment={**environment, "AZURE_CLIENT_SECRET": "wrong"})
    assert unknown.returncode == 4
    assert "az login" in unknown.stdout + unknown.stderr
    assert "wrong" not in unknown.stderr + unknown.stdout
