"""Microsoft's published OpenAPI (Swagger 2.0) as JSON Schemas, against which an answer of a route can be validated."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from local.fabric_simulator.http import Reply
from tests.simulator.recordings import is_served

NULLABLE = {
    "OperationState": {"percentComplete", "error"},
    "SqlEndpointProperties": {"id", "connectionString"},
    "ConnectionCreationParameter": {"allowedValues"},
    "ItemJobInstance": {"failureReason", "endTimeUtc"},
    "PrivateEndpointConnectionState": {"status", "description", "actionsRequired"},
}
"""Members that recorded traffic shows as null although the published schema does not allow null; nothing else is
relaxed."""
UNSENT = {"POST /v1/workspaces/{workspaceId}/spark/pools": {"Location"}}
"""Headers that recorded answers lack although they are published."""
FORMATS = FormatChecker(formats=("uuid",))  # Times lack a zone in recorded traffic, unlike their published format.


@dataclass(frozen=True)
class Operation:
    """A published operation that the simulator serves."""

    method: str
    path: str
    query: str
    responses: dict[str, Any]
    file: str

    @property
    def name(self) -> str:
        """Return the method and path template, for reports."""
        return f"{self.method} {self.path}"


class Spec:
    """All published files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._documents = {p.as_uri(): json.loads(p.read_text()) for p in sorted(folder.rglob("*.json"))}
        for document in self._documents.values():
            _adapt(document.get("definitions", {}))
        resources = [(uri, Resource(d, DRAFT7)) for uri, d in self._documents.items()]
        self._registry: Registry[Any] = Registry().with_resources(resources)

    @cached_property
    def text(self) -> str:
        """Return the text of all files, to search for a code in."""
        return json.dumps(list(self._documents.values()))

    @cached_property
    def served(self) -> list[tuple[re.Pattern[str], Operation]]:
        """Return the published operations that the simulator serves, those with fewer placeholders first."""
        found: list[tuple[re.Pattern[str], Operation]] = []
        for uri, document in self._documents.items():
            if document.get("basePath") != "/v1":
                continue  # The admin API is a different one.
            for path, operations in document["paths"].items():
                template, _, query = path.partition("?")
                for method, operation in operations.items():
                    name = f"{method.upper()} /v1{re.sub('{[^}]+}', '{id}', template)}"
                    if method != "parameters" and is_served(name):
                        pattern = re.compile(f"{method} /v1{re.sub('{[^}]+}', '([^/]+)', template)}", re.IGNORECASE)
                        where = Operation(method.upper(), f"/v1{template}", query, operation["responses"], uri)
                        found.append((pattern, where))
        return sorted(found, key=lambda row: row[1].path.count("{"))

    def find(self, method: str, path: str, query: str = "") -> Operation | None:
        """Return the published operation of a call, or None if it is not published.

        An operation that is published for each value of `beta` is the beta version if the query does not say otherwise,
        as recordings show.
        """
        found = [o for pattern, o in self.served if pattern.fullmatch(f"{method} {path}")]
        beta = "beta=false" if "beta=false" in query.lower() else "beta=true"
        return next((o for o in found if o.query == beta), found[0] if found else None)

    def problems(self, operation: Operation, reply: Reply) -> list[str]:
        """Return how a reply differs from the published contract."""
        published = operation.responses.get(str(reply.status))
        if published is None:
            if reply.status < 400:
                return [f"status {reply.status} is not published"]
            published = operation.responses["default"]
        found: list[str] = []
        if reply.status in (201, 202, 429):  # A poll's Location and Retry-After depend on the operation's state.
            expected = published.get("headers", {}).keys() - UNSENT.get(operation.name, set())
            found += [f"no {name} header" for name in expected if name not in reply.headers]
        for name, header in published.get("headers", {}).items():
            if header["type"] == "integer" and not reply.headers.get(name, "0").isdecimal():
                found.append(f"{name} is not an integer")
        schema = published.get("schema")
        if schema is None:
            return found if reply.body in (b"", b"null", b"{}") else [*found, "a body where none is published"]
        value = json.loads(reply.body)
        return found if schema.get("type") == "file" else found + self.violations(operation, schema, value)

    def violations(self, operation: Operation, schema: Any, value: Any) -> list[str]:
        """Return how the value differs from a schema of the operation's file."""
        resolver: Any = self._registry.resolver(operation.file)
        validator = Draft7Validator(_absolute(schema, resolver), registry=self._registry, format_checker=FORMATS)
        return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def _absolute(schema: Any, resolver: Any) -> Any:
    """Return the schema of a response, with its reference resolved relative to its file."""
    if isinstance(schema, dict) and "$ref" in schema:
        found = resolver.lookup(schema["$ref"])
        uri = found.resolver._base_uri
        return {"$ref": f"{uri}#{schema['$ref'].partition('#')[2]}"}
    return schema


def _adapt(definitions: dict[str, Any]) -> None:
    """Translate what Swagger expresses otherwise into JSON Schema: discriminators; and allow the recorded nulls."""
    for name, members in NULLABLE.items():
        for member in members & definitions.get(name, {}).get("properties", {}).keys():
            properties = definitions[name]["properties"]
            properties[member] = {"anyOf": [{"type": "null"}, properties[member]]}
    for name, base in definitions.items():
        discriminator = base.get("discriminator")
        if not isinstance(discriminator, str):
            continue
        for sub in definitions.values():
            value = sub.get("x-ms-discriminator-value")
            if value is None or not any(a.get("$ref") == f"#/definitions/{name}" for a in sub.get("allOf", [])):
                continue
            own = {key: part for key, part in sub.items() if key != "allOf"}
            of_this_type = {"properties": {discriminator: {"const": value}}, "required": [discriminator]}
            base.setdefault("allOf", []).append({"if": of_this_type, "then": own})
