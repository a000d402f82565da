"""The table of routes, the functions app and the OpenAPI document agree."""

import json
import re
from dataclasses import fields
from typing import Any

import jsonschema
import pytest

import function_app
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.web import page, schemas
from shared.web.api import ROUTES
from shared.web.http import Request
from tests.registered import functions
from tests.unit.web.conftest import DOCUMENT, Api


def served() -> dict[str, dict[str, Any]]:
    """Return the HTTP triggers that the app registers, by function."""
    found: dict[str, dict[str, Any]] = {}
    for function in functions():
        trigger = function.get_trigger()
        if trigger is not None and trigger.type == "httpTrigger":
            bindings = [str(b["type"]) for b in json.loads(function.get_function_json())["bindings"]]
            found[str(function.get_function_name())] = {**trigger.get_dict_repr(), "bindings": bindings}
    return found


def test_every_route_is_registered_with_the_values_of_its_row() -> None:
    """Name, path, method, auth level, and the durable client exactly where the row asks for it; no other function."""
    functions = served()
    assert set(functions) == {route.name for route in ROUTES}
    for route in ROUTES:
        function = functions[route.name]
        assert (function["route"], [str(m.value) for m in function["methods"]]) == (route.path, [route.method])
        assert str(function["authLevel"].value).lower() == ("anonymous" if route.is_anonymous else "function")
        assert ("durableClient" in function["bindings"]) == route.needs_engine


def test_every_route_has_a_description() -> None:
    """A row without one starts all the same; this test names it."""
    missing = [route.name for route in ROUTES if not (route.doc.summary and route.doc.answers)]
    assert not missing, f"add an OperationDoc with summary and answers to these rows of shared/web/api.py: {missing}"


def test_every_health_route_has_an_answer() -> None:
    """function_app.py supplies them; a missing one would answer 500."""
    names = {route.name.removesuffix("_head") for route in ROUTES if route.doc.tag == "health"}
    assert names == set(function_app.HEALTH), "HEALTH in function_app.py must name every health route of api.py"


def test_every_route_is_in_the_document() -> None:
    """It is found by its operation id, with the path, the method and the security of its row; there is no other
    operation."""
    documented = {
        operation["operationId"]: (path.lstrip("/"), method.upper(), operation.get("security") == [])
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
    }
    assert documented == {route.name: (route.path, route.method, route.is_anonymous) for route in ROUTES}


def test_document_describes_every_parameter_of_a_path() -> None:
    for route in ROUTES:
        described = [p["name"] for p in route.doc.parameters if p["in"] == "path"]
        assert described == re.findall(r"{(\w+)}", route.path), f"correct the path's parameters of {route.name}"


def test_document_of_head_has_no_bodies() -> None:
    """HEAD is answered like GET, without the content."""
    for path in ("/health", "/health/live", "/health/ready"):
        get, head = (DOCUMENT["paths"][path][method]["responses"] for method in ("get", "head"))
        assert set(get) == set(head)
        assert not any("content" in response for response in head.values())


def test_document_is_valid() -> None:
    """Every schema is valid, every reference resolves, and every schema is used."""
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
    """A field that is added to a record appears in the document without further work."""
    assert set(schemas.of(record)["properties"]) == {field.name for field in fields(record)}


def test_example_in_the_document_is_accepted(api: Api) -> None:
    assert api.ask("POST", "deployments", schemas.EXAMPLE).status == 202


def test_document_is_served_to_anybody_and_cached(api: Api) -> None:
    """The answer has an ETag."""
    reply = api.ask("GET", "openapi.json")
    assert json.loads(reply.body) == DOCUMENT
    assert api.ask("GET", "openapi.json", headers={"If-None-Match": reply.headers["ETag"]}).status == 304


@pytest.fixture
def folder(tmp_path: Any) -> Any:
    """Write a page's folder."""
    (tmp_path / "index.html").write_text("<p>page</p>")
    (tmp_path / "app.js").write_text("1")
    (tmp_path / "notes.md").write_text("no")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "x.js").write_text("no")
    return tmp_path


def get(folder: Any, **route: str) -> Any:
    """Request a file of the page."""
    return page.serve(Request("GET", "/api/dashboard", route), folder)


def test_page_is_served_under_a_strict_policy(folder: Any) -> None:
    """Nothing from other hosts, nothing inline, in no frame; revalidated at each request."""
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
def test_page_serves_only_its_own_files(folder: Any, name: str) -> None:
    """Any name that is not exactly one of them is 404."""
    with pytest.raises(page.HttpError) as caught:
        get(folder, file=name)
    assert caught.value.status == 404
