"""The description of one operation for the OpenAPI document. Each row of the table of routes has one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shared.domain.json import JsonObject
from shared.web.http import JSON
from shared.web.schemas import ID


def parameter(name: str, schema: JsonObject, description: str, place: str = "query") -> JsonObject:
    """Return a parameter as OpenAPI describes it."""
    return {"name": name, "in": place, "required": place == "path", "schema": schema, "description": description}


ID_IN_PATH = parameter("id", ID, "The deployment's id.", "path")
IF_NONE_MATCH = parameter("If-None-Match", {"type": "string"}, "The ETag of the caller's copy.", "header")
NOT_MODIFIED: Mapping[int, tuple[None, str]] = {304: (None, "The caller's copy is current.")}


@dataclass(frozen=True, eq=False)
class OperationDoc:
    """The description of one operation, and the parameters that the app accepts.

    `answers` maps each status to the schema and the description of its response. `problems` are the statuses of the
    operation's own errors; the errors that every operation can return are added. A request whose address has a query
    parameter that is not in `parameters` is refused. `etag` says when a response has an ETag, `headers` and `links`
    what its success has beside that.
    """

    tag: str
    summary: str
    answers: Mapping[int, tuple[str | None, str]]
    problems: tuple[int, ...] = ()
    parameters: tuple[JsonObject, ...] = ()
    body: str | None = None
    is_body_required: bool = True
    description: str = ""
    media_type: str = JSON
    etag: Literal["never", "sometimes", "always"] = "never"
    headers: JsonObject = field(default_factory=dict[str, object])
    links: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def query(self) -> tuple[str, ...]:
        """The query parameters that an address may have."""
        return tuple(p["name"] for p in self.parameters if p["in"] == "query")

    @property
    def repeatable(self) -> tuple[str, ...]:
        """The query parameters that an address may have several times."""
        return tuple(p["name"] for p in self.parameters if p["in"] == "query" and p["schema"].get("type") == "array")


UNDOCUMENTED = OperationDoc("meta", "", {})
"""The description of a row that has none. A test finds it; the app still starts."""
