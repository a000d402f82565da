"""The fake API of the page's tests gives only answers that the real API's document describes."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.web import openapi
from shared.web.api import ROUTES
from shared.web.http import Request
from tests.page import scenes
from tests.page.fake_api import KEY, FakeApi
from tests.waiting import PATIENCE_SECONDS

DOCUMENT: dict[str, Any] = json.loads(openapi.serve(Request("GET", "/api/openapi.json"), ROUTES).body)
ANSWERS = [
    ("/deployments", "/deployments", 200),
    ("/deployments", "/deployments?state=stuck&open=true&limit=2", 200),
    *(("/deployments/{id}", f"/deployments/build-{90_000 - i}", 200) for i in range(4)),
    *(("/deployments/{id}/audit", f"/deployments/build-{90_000 - i}/audit", 200) for i in range(4)),
    ("/deployments/{id}/audit", "/deployments/build-90000/audit?cursor=1", 200),
    ("/breakers", "/breakers", 200),
    ("/orphans", "/orphans", 200),
]
COMMANDS = [
    ("/deployments/{id}/cancel", "/deployments/build-90000/cancel", {"requested_by": "a person", "reason": "why"}, 202),
    ("/deployments/{id}/cancel", "/deployments/build-90000/cancel", {}, 202),
    ("/deployments/{id}/approve", "/deployments/build-90000/approve", {"step": "go-live", "requested_by": "x"}, 202),
    ("/deployments/{id}/resume", "/deployments/build-89997/resume", {"reason": "why"}, 202),
    ("/breakers/{name}/reset", "/breakers/items/reset", {}, 200),
]
"""Commands as the page sends them: test_deployment.py asserts these bodies."""


@pytest.fixture(scope="module")
def api() -> Iterator[FakeApi]:
    """Start a fake with a deployment of each state."""
    running = FakeApi(scenes.world())
    yield running
    running.close()


def ask(api: FakeApi, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Send a request to the fake."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{api.base}/api{path}", data=data, method=method)  # noqa: S310 - our own
    request.add_header("x-functions-key", KEY)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def check(schema: dict[str, Any], value: Any) -> None:
    """Raise unless the value matches that schema of the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft202012Validator(whole).validate(value)  # type: ignore[reportUnknownMemberType]


def operation(method: str, path: str) -> dict[str, Any]:
    """Return the document's operation, with or without the prefix."""
    found = DOCUMENT["paths"].get(path) or DOCUMENT["paths"][f"/api{path}"]
    return found[method.lower()]


def schema_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the body, whatever its media type."""
    return next(iter(answer["content"].values()))["schema"]


@pytest.mark.parametrize(("path", "address", "status"), ANSWERS)
def test_contract_fake_answers_as_the_document_describes(api: FakeApi, path: str, address: str, status: int) -> None:
    """Each answer of the fake that a page's test relies on is possible for the real API."""
    got, body = ask(api, "GET", address)
    assert got == status
    check(schema_of(operation("GET", path)["responses"][str(status)]), body)


@pytest.mark.parametrize(("path", "address", "body", "status"), COMMANDS)
def test_contract_document_allows_the_commands(
    api: FakeApi, path: str, address: str, body: dict[str, Any], status: int
) -> None:
    """The real API accepts what the page sends, and could give the fake's answers."""
    described = operation("POST", path)
    if "requestBody" in described:
        check(schema_of(described["requestBody"]), body)
    got, answer = ask(api, "POST", address, body)
    assert got == status
    check(schema_of(described["responses"][str(status)]), answer)


def test_contract_check_can_fail(api: FakeApi) -> None:
    """A header without its state is reported."""
    _, body = ask(api, "GET", "/deployments")
    del body["items"][0]["state"]
    with pytest.raises(Exception, match="'state' is a required property"):
        check(schema_of(operation("GET", "/deployments")["responses"]["200"]), body)
