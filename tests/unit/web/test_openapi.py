"""The table of routes, the functions app and the OpenAPI document say the same."""

import json
from dataclasses import fields
from typing import Any

import jsonschema
import pytest

from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.web import openapi, page, schemas
from shared.web.api import ROUTES
from shared.web.http import Request
from tests.registered import functions
from tests.unit.web.conftest import DOCUMENT, Api


def served() -> dict[str, dict[str, Any]]:
    """The HTTP triggers that the host is told of, by function."""
    found: dict[str, dict[str, Any]] = {}
    for function in functions():
        trigger = function.get_trigger()
        if trigger is not None and trigger.type == "httpTrigger":
            bindings = [str(b["type"]) for b in json.loads(function.get_function_json())["bindings"]]
            found[str(function.get_function_name())] = {**trigger.get_dict_repr(), "bindings": bindings}
    return found


def test_every_route_is_registered_as_the_table_says_and_no_other_is() -> None:
    """Name, path, method, auth level, and the durable client exactly where it is needed; either way round."""
    functions = served()
    assert set(functions) == {route.name for route in ROUTES} | set(openapi.OF_THE_APP)
    for name, path in openapi.OF_THE_APP.items():
        function, method = functions[name], "HEAD" if name.endswith("_head") else "GET"
        assert (function["route"], [str(m.value) for m in function["methods"]]) == (path, [method])
        is_anonymous = str(function["authLevel"].value).lower() == "anonymous"
        assert (
            is_anonymous == (path != "health") == (DOCUMENT["paths"][f"/{path}"][method.lower()].get("security") == [])
        )
    for route in ROUTES:
        function = functions[route.name]
        assert (function["route"], [str(m.value) for m in function["methods"]]) == (route.path, [route.method])
        assert str(function["authLevel"].value).lower() == ("anonymous" if route.is_anonymous else "function")
        assert ("durableClient" in function["bindings"]) == route.needs_engine


def test_every_route_is_in_the_document_and_no_other_is() -> None:
    """By operation id, with the security that the route has."""
    documented = {
        operation["operationId"]: (path.lstrip("/"), method.upper(), operation.get("security") != [])
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    expected = {route.name: (route.path, route.method, not route.is_anonymous) for route in ROUTES}
    assert {name: documented[name] for name in expected} == expected
    assert set(documented) == set(expected) | set(openapi.OF_THE_APP) == set(openapi.OPERATIONS)


def test_document_has_exactly_the_parameters_that_a_route_declares() -> None:
    """Those of its address, by name; those that may be repeated are arrays."""
    for route in ROUTES:
        described = {
            p["name"]: p["schema"].get("type") == "array"
            for p in DOCUMENT["paths"][f"/{route.path}"][route.method.lower()].get("parameters", [])
            if p["in"] == "query"
        }
        assert described == {name: name in route.repeatable for name in route.query}


def test_document_of_head_has_no_bodies() -> None:
    """HEAD is answered as GET is, without the content."""
    for path in ("/health", "/health/live", "/health/ready"):
        get, head = (DOCUMENT["paths"][path][method]["responses"] for method in ("get", "head"))
        assert set(get) == set(head)
        assert not any("content" in response for response in head.values())


def test_document_is_sound() -> None:
    """Every schema is one, every reference leads somewhere, every schema is used."""
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(DOCUMENT)
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, f"nothing uses {name}"
    assert text.count('"$ref"') == sum(
        text.count(f'"#/components/schemas/{name}"') for name in DOCUMENT["components"]["schemas"]
    )


@pytest.mark.parametrize("record", [DeploymentRecord, StepRecord, AuditEntry])
def test_schemas_have_every_field_of_the_records(record: type[Any]) -> None:
    """A field that is added to a record is in the document, without anybody thinking of it."""
    assert set(schemas.of(record)["properties"]) == {field.name for field in fields(record)}


def test_example_is_accepted(api: Api) -> None:
    """What the document shows as a manifest is one."""
    assert api.ask("POST", "deployments", schemas.EXAMPLE).status == 202


def test_document_is_served_to_anybody_and_only_once(api: Api) -> None:
    """With a tag."""
    reply = api.ask("GET", "openapi.json")
    assert json.loads(reply.body) == DOCUMENT
    assert api.ask("GET", "openapi.json", headers={"If-None-Match": reply.headers["ETag"]}).status == 304


@pytest.fixture
def folder(tmp_path: Any) -> Any:
    """A page's folder."""
    (tmp_path / "index.html").write_text("<p>page</p>")
    (tmp_path / "app.js").write_text("1")
    (tmp_path / "notes.md").write_text("no")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "x.js").write_text("no")
    return tmp_path


def get(folder: Any, **route: str) -> Any:
    """Ask for a file of the page."""
    return page.serve(Request("GET", "/api/dashboard", route), folder)


def test_page_is_served_under_a_strict_policy(folder: Any) -> None:
    """Nothing from elsewhere, nothing inline, in nobody's frame; revalidated each time."""
    reply = get(folder)
    assert (reply.body, reply.content_type) == (b"<p>page</p>", "text/html; charset=utf-8")
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["Cache-Control"] == "no-cache"
    assert get(folder, file="app.js").content_type.startswith("text/javascript")


@pytest.mark.parametrize(
    "name", ["notes.md", "../page.py", "deeper/x.js", "deeper", "", ".", "..", "%2e%2e", "INDEX.HTML", "/etc/passwd"]
)
def test_page_serves_nothing_but_its_files(folder: Any, name: str) -> None:
    """A name that is not exactly one of them is 404."""
    with pytest.raises(page.HttpError) as caught:
        get(folder, file=name)
    assert caught.value.status == 404
