"""The parameters of a job: a map in the manifest, and the form that Fabric expects for the job's type."""

from typing import Any

from shared.domain.fields import Fields, Words, type_name
from shared.domain.json import JsonObject

NAME_LIMIT = 256
"""Characters of a parameter's name. Source: published OpenAPI, job_scheduling.json, Parameter.name."""
_MAXIMUM = 100
_WORDS = {str: "string", bool: "bool", int: "int", float: "float"}
"""The types of a notebook's parameters. Source: fabric-docs, notebook public API; fabric-cli's `job run -P`."""
_TYPES = {str: "Text", bool: "Boolean", int: "Integer", float: "Number"}
"""The types of parameters of every other job. Source: published OpenAPI, ItemJobParameterType."""


def check_parameters(spec: Fields) -> None:
    """Check `parameters` and `executionData`."""
    values = spec.any_object(
        "parameters",
        words=Words(
            "Parameters by name: texts, numbers, true or false. They are stored with the deployment, so they must not "
            "be secrets.",
            {"environment": "test", "rows": 100},
        ),
    )
    data = spec.any_object(
        "executionData",
        words=Words("More data for the job, as Fabric's API expects it for its type.", {"tableName": "sales"}),
    )
    if values is None:
        return
    if len(values) > _MAXIMUM:
        spec.problem("parameters", f"has {len(values)} parameters; at most {_MAXIMUM} are allowed")
    for name, value in values.items():
        if not name.strip() or len(name) > NAME_LIMIT:
            spec.problem("parameters", f"a name must have 1 to {NAME_LIMIT} characters, not {name[:64]!r}")
        if type(value) not in _WORDS:
            what = type_name(value)
            spec.problem("parameters", f"'{name[:64]}' must be a string, a number, true or false, not {what}")
    if data is not None and "parameters" in data:
        spec.problem("executionData", "must not contain parameters if `parameters` has values")


def execution(spec: JsonObject) -> JsonObject | None:
    """Return the body of the call that starts the job; None if it has neither parameters nor data."""
    values: dict[str, Any] = spec.get("parameters") or {}
    data: JsonObject = dict(spec.get("executionData") or {})
    job_type = str(spec["jobType"]).lower()
    body: JsonObject = {}
    if values and job_type == "runnotebook":
        data["parameters"] = {name: {"value": value, "type": _WORDS[type(value)]} for name, value in values.items()}
    elif values and job_type == "pipeline":
        data["parameters"] = values
    elif values:
        body["parameters"] = [
            {"name": name, "type": _TYPES[type(value)], "value": value} for name, value in values.items()
        ]
    if data:
        body["executionData"] = data
    return body or None
