"""JSON Schemas of the OpenAPI document.

Those of records come from their dataclasses and that of a manifest from its checks, so that they cannot drift; small
schemas are written here.
"""

import inspect
from collections.abc import Collection
from dataclasses import is_dataclass
from datetime import datetime
from enum import StrEnum
from types import NoneType
from typing import Any, TypeAliasType, get_args, get_origin, get_type_hints

from shared.domain.access import Role
from shared.domain.breaker import BreakerState
from shared.domain.deployment_ids import DEPLOYMENT_ID
from shared.domain.json import JsonObject
from shared.domain.labels import LABELS
from shared.domain.records import (
    AuditEntry,
    Chain,
    DeploymentRecord,
    Intent,
    Link,
    Operation,
    RecordedError,
    Resource,
    StepRecord,
)
from shared.domain.states import DeploymentState, OnFailure
from shared.saga.command.verbs import VERBS
from shared.saga.dry_run.result import Action
from shared.steps import manifest_schema
from shared.web.cursors import NEXT

_PLAIN: dict[Any, JsonObject] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    Any: {},
}
TEXT: JsonObject = {"type": "string", "pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"}
"""A name or text: no control characters."""
LINE: JsonObject = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"}
"""A text in an address: one line without bidirectional overrides."""
ID: JsonObject = {"type": "string", "pattern": f"^{DEPLOYMENT_ID.pattern}$"}
EXAMPLE: JsonObject = {
    "name": "sales",
    "target": "contoso-sales-dev",
    "steps": [
        {"id": "workspace", "kind": "workspace", "with": {"displayName": "contoso-sales-dev"}},
        {
            "id": "bronze",
            "kind": "lakehouse",
            "with": {"workspaceId": "${{ steps.workspace.outputs.id }}", "displayName": "bronze"},
        },
    ],
}


MAX_DIGESTS = 1_000
"""Digests in one question for missing files."""


def ref(name: str) -> JsonObject:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def of(cls: type[Any], omit: Collection[str] = (), **added: JsonObject) -> JsonObject:
    """Return the schema of a record's `to_json`, which omits fields that are None; all other fields are required."""
    properties: JsonObject = {}
    required: list[str] = []
    for name, hint in get_type_hints(cls).items():
        if name in omit:
            continue
        options = [option for option in (get_args(hint) or (hint,)) if option is not NoneType]
        is_optional = NoneType in get_args(hint)
        properties[name] = _of_type(options[0] if is_optional else hint)
        if not is_optional:
            required.append(name)
    text = " ".join((inspect.getdoc(cls) or "").split())
    return {"type": "object", "description": text, "properties": {**properties, **added}, "required": required}


def _of_type(hint: Any) -> JsonObject:
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if isinstance(hint, TypeAliasType) or get_origin(hint) is dict:
        return {"type": "object"}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _of_type(get_args(hint)[0])}
    cls: type[Any] = hint
    if issubclass(cls, StrEnum):
        return {"type": "string", "enum": [str(member) for member in cls]}
    if is_dataclass(cls):
        return ref(cls.__name__)
    raise TypeError(f"add the schema of {hint} to shared/web/schemas.py")


def _object(required: Collection[str], **properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(required)}


def items_of(name: str, **more: JsonObject) -> JsonObject:
    """Return the schema of a list in an object, so that fields can be added beside the list."""
    return _object(["items", *more], items={"type": "array", "items": ref(name)}, **more)


_STRING: JsonObject = {"type": "string"}
_STRINGS: JsonObject = {"type": "array", "items": _STRING}
_TIME: JsonObject = _PLAIN[datetime]
_VERSION: JsonObject = {"type": "integer", "description": "The version of the record's schema."}
_STATE: JsonObject = {"type": "string", "enum": [str(state) for state in DeploymentState]}
_ALLOWED: JsonObject = {"type": "array", "items": {"type": "string", "enum": [str(verb) for verb in VERBS]}}


def _text(maximum: int, **more: Any) -> JsonObject:
    return {**TEXT, "maxLength": maximum, **more}


def _command_request(*required: str) -> JsonObject:
    """Return the schema of a verb's body: the requester and the reason."""
    optional = {"type": ["string", "null"]}
    properties: JsonObject = {
        "requested_by": _requester(),
        "reason": {**_text(500), **optional, "description": "The reason, recorded in the audit."},
        "step": {**_text(256), **optional},
    }
    properties |= {"step": _text(256, minLength=1)} if "step" in required else {}
    properties |= (
        {"reason": _text(500, minLength=1, description="The reason, recorded in the audit.")}
        if "reason" in required
        else {}
    )
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _requester() -> JsonObject:
    """Return the schema of a requester in a body: one line, as in the query."""
    nullable = {"type": ["string", "null"]}
    return {**LINE, **nullable, "maxLength": 256, "description": "The requester, as the caller states it."}


def _redeploy_request() -> JsonObject:
    """Return the schema of a redeployment's body: the new id, the requester and the labels."""
    optional = {"type": ["string", "null"]}
    new_id = {**ID, **optional, "description": "The new deployment's id; without it, a new one for each request."}
    labels = {**LABELS, "type": ["object", "null"], "description": "In place of all labels that the manifest has."}
    return {**_object([], id=new_id, requested_by=_requester(), labels=labels), "additionalProperties": False}


def schemas() -> JsonObject:
    """Return all schemas of the document by name."""
    manifest = manifest_schema.definitions(ref("")["$ref"])
    manifest["Manifest"]["examples"] = [EXAMPLE]
    manifest["ManifestStep"] = _by_kind(manifest["ManifestStep"])
    return {
        **_records(),
        **_deployments(),
        **_plans(),
        **_commands(),
        **_operations(),
        **_payloads(),
        **manifest,
        "Problem": _problem(),
    }


def _by_kind(step: JsonObject) -> JsonObject:
    """Return the schema of a step with one alternative for each kind, in place of one condition for each.

    Both accept the same steps. An editor names the wrong field better with conditions; a program that generates steps
    has to try every combination of them.
    """
    kinds = [
        {
            "properties": {**rule["if"]["properties"], **rule["then"]["properties"]},
            "required": [*rule["if"]["required"], *rule["then"]["required"]],
        }
        for rule in step["allOf"]
    ]
    return {**{name: part for name, part in step.items() if name != "allOf"}, "anyOf": kinds}


def _records() -> JsonObject:
    """Return the schemas of the persisted records."""
    return {
        "Resource": of(Resource),
        "Operation": of(Operation),
        "Intent": of(Intent, omit=("before",)),
        "RecordedError": of(RecordedError),
        "Chain": of(Chain),
        "Link": of(Link),
        "Step": of(StepRecord, omit=("spec", "claim"), version=_VERSION, asks=ref("Question")),
        "Question": {
            **_object([], message=_STRING, approvers=_STRINGS, separationOfDuties={"type": "boolean"}),
            "description": "The message of an approval, and who may answer.",
        },
        "Header": of(DeploymentRecord, version=_VERSION),
    }


def _deployments() -> JsonObject:
    """Return the schemas of deployments, their lists and their audit."""
    return {
        "Deployment": {
            "allOf": [
                ref("Header"),
                _object(["steps", "allowed"], steps={"type": "array", "items": ref("Step")}, allowed=_ALLOWED),
            ]
        },
        "Deployments": items_of("Header", next=NEXT),
        "Part": _object(["name", "digest"], name=_STRING, digest={"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        "Parts": items_of("Part"),
        "Accepted": _object(
            ["deployment_id", "state", "target", "manifest_hash"],
            deployment_id=ID,
            state=_STATE,
            target=_STRING,
            manifest_hash={"type": "string", "pattern": "^[0-9a-f]{64}$"},
            message={
                "type": "string",
                "description": "Present if the deployment is past its retention: nothing runs again.",
            },
        ),
        "AuditEntry": of(AuditEntry, version=_VERSION, step_id=_STRING),
        "Audit": items_of("AuditEntry", next=NEXT),
    }


def _plans() -> JsonObject:
    """Return the schemas of step graphs and of dry runs."""
    return {
        "Graph": _object(
            ["name", "target", "steps", "waves"],
            name=_STRING,
            target=_STRING,
            steps={"type": "array", "items": ref("GraphStep")},
            waves={"type": "array", "items": _STRINGS, "description": "Ids of steps that can run in parallel."},
        ),
        "GraphStep": _object(
            ["id", "kind", "needs", "timeout_seconds", "on_failure"],
            id=_STRING,
            kind=_STRING,
            needs=_STRINGS,
            timeout_seconds={"type": "number"},
            on_failure={"type": "string", "enum": [str(word) for word in OnFailure]},
        ),
        "DryRun": _object(
            ["name", "target", "changes", "steps"],
            name=_STRING,
            target=_STRING,
            changes={"type": "integer", "description": "The number of steps that would change something in Fabric."},
            steps={"type": "array", "items": ref("StepChange")},
        ),
        "StepChange": _object(
            ["id", "kind", "action", "name", "fields", "files", "lines", "restorable", "reason", "resource"],
            id=_STRING,
            kind=_STRING,
            action={"type": "string", "enum": [str(action) for action in Action]},
            name=_STRING,
            fields={**_STRINGS, "description": "The fields that an update would change."},
            reason=_STRING,
            files={**_STRINGS, "description": "The parts of the definition that differ."},
            lines={**_STRINGS, "description": "The differences of these parts, line by line."},
            restorable={
                **_STRING,
                "description": "How completely a rollback restores it: exact, lossy or no; empty if not known.",
            },
            resource={
                "oneOf": [{"type": "null"}, ref("FoundResource")],
                "description": "The existing resource, or null.",
            },
        ),
        "FoundResource": _object(
            ["type", "id", "name", "parent_id"],
            type=_STRING,
            id=_STRING,
            name=_STRING,
            parent_id={"type": ["string", "null"]},
        ),
    }


def _commands() -> JsonObject:
    """Return the schemas of the verbs' requests and their response."""
    return {
        "CommandRequest": _command_request(),
        "StepCommandRequest": _command_request("step"),
        "RedeployRequest": _redeploy_request(),
        "CommandRequestWithReason": _command_request("reason"),
        "CommandAccepted": _object(
            ["deployment_id", "state", "message"], deployment_id=ID, state=_STATE, message=_STRING
        ),
    }


def _payloads() -> JsonObject:
    """Return the schemas of the files of repositories."""
    digest: JsonObject = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    digests: JsonObject = {"type": "array", "items": digest, "maxItems": MAX_DIGESTS}
    return {
        "PayloadDigests": {**_object(["digests"], digests=digests), "additionalProperties": False},
        "MissingPayloads": _object(["missing"], missing=digests),
        "Payload": _object(["digest", "size"], digest=digest, size={"type": "integer"}),
        "PayloadContent": {"type": "string", "format": "binary"},
    }


def _operations() -> JsonObject:
    """Return the schemas of breakers, orphans and health."""
    return {
        "Breaker": _object(
            ["name", "state", "failures", "reason", "is_shared"],
            name=_STRING,
            state={"type": "string", "enum": [str(state) for state in BreakerState]},
            failures={"type": "integer", "minimum": 0},
            reason=_STRING,
            is_shared={"type": "boolean", "description": "False while storage fails: the state is this worker's own."},
            opened_at=_TIME,
            retry_at=_TIME,
        ),
        "Breakers": items_of("Breaker"),
        "Orphan": _object(
            ["deployment_id", "step_id", "resource"], deployment_id=ID, step_id=_STRING, resource=ref("Resource")
        ),
        "Orphans": items_of(
            "Orphan",
            looked_at={
                "type": "integer",
                "description": "The number of deployments that were searched for this response.",
            },
            is_complete={"type": "boolean", "description": "True if no other deployment awaits its orphan check."},
        ),
        "Me": _object(
            ["signed_in", "name", "object_id", "roles"],
            signed_in={"type": "boolean", "description": "False with a function key: nobody is identified."},
            name=_STRING,
            object_id=_STRING,
            roles={"type": "array", "items": {"type": "string", "enum": [str(role) for role in Role]}},
        ),
        "Health": _object(["status"], status={"type": "string", "enum": ["pass", "warn", "fail"]}),
    }


def _problem() -> JsonObject:
    count = {
        "type": "integer",
        "description": "Only in the last entry, if there are more problems: how many it represents.",
    }
    problem = _object(["path", "message"], path=_STRING, message=_STRING, count=count)
    return {
        **_object(
            ["type", "title", "status", "detail", "instance"],
            type=_STRING,
            title=_STRING,
            status={"type": "integer"},
            detail={"type": "string", "description": "The error, and what to do next."},
            instance=_STRING,
            problems={
                "type": "array",
                "items": problem,
                "description": "The first hundred problems of the input, with their paths.",
            },
            deployment_id=_STRING,
            state=_STATE,
            allowed=_ALLOWED,
            sign_in={"type": "string", "description": "With 401: the path where a browser signs in."},
            deployment={
                **ref("Header"),
                "description": "The remaining header of a deployment past its retention.",
            },
            correlation_id={"type": "string", "description": "Find the details in the app's log by this id."},
        ),
        "description": "Problem details (RFC 9457).",
    }
