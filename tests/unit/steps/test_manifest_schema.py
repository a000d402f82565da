"""The manifest's JSON Schema: never stricter than the check, and strict enough to find typical mistakes."""

import copy
import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import event, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from local import schemas
from local.paths import ROOT
from shared.domain.errors import InvalidInputError
from shared.domain.json import as_object
from shared.domain.manifest import compile_manifest
from shared.steps import KINDS, manifest_schema

SCHEMA = manifest_schema.document()
VALIDATOR = Draft202012Validator(SCHEMA)
GUID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01"
PART = {"path": "notebook-content.py", "text": "print('sales')"}
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
GOOD: dict[str, dict[str, Any]] = {
    "workspace": {"displayName": "w"},
    "lakehouse": {"workspaceId": GUID, "displayName": "bronze"},
    "item": {"workspaceId": GUID, "type": "Notebook", "displayName": "n", "definition": {"parts": [PART]}},
    "folder": {"workspaceId": GUID, "displayName": "Raw"},
    "job": {"workspaceId": GUID, "itemId": GUID, "jobType": "RunNotebook", "parameters": {"rows": 1}},
    "capacity_assignment": {"workspaceId": GUID, "capacityId": GUID},
    "connection_binding": {"workspaceId": GUID, "itemId": GUID, "connectionId": GUID},
    "environment": {
        "workspaceId": GUID,
        "displayName": "Spark",
        "sparkCompute": {"driver_cores": 4},
        "publicLibraries": ["pandas==2.2.3"],
    },
    "git_update": {"workspaceId": GUID, "commit": "0" * 40, "allowDataLoss": ["old.Lakehouse"]},
    "git_connection": {
        "workspaceId": GUID,
        "gitProviderType": "GitHub",
        "ownerName": "contoso",
        "repositoryName": "sales",
        "branchName": "main",
        "connectionId": GUID,
    },
    "domain_assignment": {"workspaceId": GUID, "domainId": GUID},
    "spark_settings": {"workspaceId": GUID, "settings": {"automaticLog": {"enabled": False}}},
    "tags": {"workspaceId": GUID, "itemId": GUID, "tags": [GUID]},
    "warehouse": {"workspaceId": GUID, "displayName": "sales"},
    "sql_endpoint_refresh": {"workspaceId": GUID, "itemId": GUID, "recreateTables": True},
    "shortcut": {
        "workspaceId": GUID,
        "itemId": GUID,
        "path": "Tables",
        "name": "orders",
        "target": {"oneLake": {"workspaceId": GUID, "itemId": GUID, "path": "Tables/orders"}},
    },
    "repository": {
        "workspaceId": GUID,
        "folders": ["/Raw"],
        "items": [{"type": "Notebook", "displayName": "n", "folder": "/Raw"}],
        "order": [{"item": "Notebook/n"}],
    },
    "role_assignment": {"workspaceId": GUID, "principalId": GUID, "principalType": "User", "role": "Admin"},
    "principals": {
        "workspaceId": GUID,
        "principals": [{"principalId": GUID, "principalType": "User", "role": "Admin"}],
    },
    "approval": {"message": "Go on?"},
}


def manifest(kind: str = "lakehouse", **changes: Any) -> dict[str, Any]:
    """Return a manifest with one step of that kind, with changed fields."""
    return {"name": "m", "steps": [{"id": "a", "kind": kind, "with": {**GOOD[kind], **changes}}]}


def is_accepted(data: Any) -> bool:
    """Return True if the check accepts it."""
    try:
        compile_manifest(data, KINDS)
    except InvalidInputError:
        return False
    return True


def is_valid(data: Any) -> bool:
    """Return True if the schema accepts it."""
    return VALIDATOR.is_valid(data)


def test_schema_file_is_up_to_date() -> None:
    """schemas/manifest.schema.json is a valid schema."""
    assert schemas.FILE.read_text(encoding="utf-8") == schemas.text(), "run: make schemas"
    Draft202012Validator.check_schema(SCHEMA)


def objects(schema: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Return every object of the schema that has its own fields, by path."""
    found: list[tuple[str, dict[str, Any]]] = []
    if (as_object(schema) or {}).get("additionalProperties") is False:
        found.append((path, schema))
    for name, member in (as_object(schema) or {}).items():
        found += objects(member, f"{path}/{name}")
    return found


def test_schema_explains_every_field() -> None:
    """Each field has a description, and an example that is valid by the schema of the field."""
    for path, schema in objects(SCHEMA):
        for name, field in schema["properties"].items():
            if field == {"type": "null"}:
                continue
            assert "description" in field, f"{path}.{name}: add `words=Words(...)` where the kind reads the field"
            part = Draft202012Validator({**field, "$defs": SCHEMA["$defs"]})
            assert part.is_valid(field["examples"][0]), f"{path}.{name}"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_schema_accepts_the_examples(file: Any) -> None:
    """Each is valid as it is written, and names the schema's place for the editor."""
    text = file.read_text()
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named
    assert (file.parent / named[1]).resolve() == schemas.FILE


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_schema_and_check_agree_on_an_ordinary_step(kind: str) -> None:
    """Both accept one of every kind, and both refuse an unknown field and a missing one."""
    assert is_accepted(manifest(kind))
    assert is_valid(manifest(kind))
    for wrong in (manifest(kind, colour="red"), {"name": "m", "steps": [{"id": "a", "kind": kind}]}):
        assert not is_accepted(wrong)
        assert not is_valid(wrong)


def changed(**changes: Any) -> dict[str, Any]:
    """Return the manifest with changed fields of its own."""
    return {**manifest(), **changes}


def stepped(**changes: Any) -> dict[str, Any]:
    """Return the manifest with changed fields of its step."""
    whole = manifest()
    whole["steps"][0] |= changes
    return whole


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        changed(name=None),
        changed(name="  "),
        changed(name="x" * 101),
        changed(steps=[]),
        changed(onfailure="hold"),
        changed(concurrency="wait"),
        changed(expiresAfter="1 week"),
        changed(keepFor=10),
        changed(traceparent="mine"),
        stepped(id="9a"),
        stepped(kind="lakehous"),
        stepped(needs="a"),
        stepped(needs=[1]),
        stepped(timeout=0),
        stepped(timeout=True),
        stepped(onFailure="retry"),
        {"name": "m", "steps": [{"id": "a", "kind": "lakehouse", "with": None}]},
        manifest(displayName="no-hyphens"),
        manifest(workspaceId="mine"),
        manifest(enableSchemas="yes"),
        manifest(ifExists="replace"),
        manifest("workspace", displayName=1),
        manifest("item", type="Lakehouse", displayName="no-hyphens"),
        manifest("item", type="Report", definition=None),
        manifest("item", definition={"parts": []}),
        manifest("item", definition={"parts": [{"path": "a"}]}),
        manifest("item", definition={"parts": [{"path": "a", "text": "b", "payload": "Yg=="}]}),
        manifest("item", creationPayload={}),
        manifest("role_assignment", role="Owner"),
        manifest("principals", csv="principal_id,role,description,type\n"),
        manifest("principals", principals=None),
        manifest("principals", principals=[{"principalId": GUID, "role": "Admin"}]),
        manifest("approval", default="yes"),
        manifest("approval", approvers="anna"),
    ],
    ids=str,
)
def test_schema_and_check_find_the_same_mistake(wrong: Any) -> None:
    """A typical mistake is found in the editor, and again at the submission."""
    assert not is_accepted(wrong)
    assert not is_valid(wrong)


REFERENCE = "${{ steps.ws.outputs.id }}"
ODD = st.sampled_from(["", " ", "x", REFERENCE, f"a{REFERENCE}", GUID, "10m", "1.5h ", "2 d", "a\n", "x" * 300]) | (
    st.sampled_from(
        [None, 0, 1, 60, 61.5, 1e9, True, False, [], {}, ["x"], [None], "\u00a0", "adopt", "Group", "Lakehouse"]
    )
)


def fields_of(schema: dict[str, Any]) -> list[str]:
    """Return the names of the fields."""
    return sorted(schema["properties"])


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid manifest of any kind, with one to four values replaced by odd ones, at any level."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    whole: dict[str, Any] = copy.deepcopy(manifest(kind))
    step = whole["steps"][0]
    places: list[tuple[dict[str, Any], list[str]]] = [
        (whole, [n for n in fields_of(SCHEMA) if n not in ("steps", "id")]),
        (step, [n for n in fields_of(SCHEMA["$defs"]["ManifestStep"]) if n not in ("with", "kind")]),
        (step["with"], fields_of(SCHEMA["$defs"][f"With_{kind}"])),
    ]
    if kind == "item":
        places += [(step["with"]["definition"], ["format"]), (step["with"]["definition"]["parts"][0], list(PART))]
    if kind == "principals":
        places.append((step["with"]["principals"][0], fields_of(SCHEMA["$defs"]["With_role_assignment"])))
    for _ in range(draw(st.integers(1, 4))):
        at, names = draw(st.sampled_from(places))
        at[draw(st.sampled_from(names))] = draw(ODD)
    if draw(st.booleans()):
        whole["steps"].append({"id": "ws", "kind": "workspace", "with": {"displayName": "w"}})
    return whole


@given(mutants())
def test_schema_raises_no_false_alarm(data: dict[str, Any]) -> None:
    """The schema accepts whatever the check accepts."""
    if is_accepted(data):
        event("accepted")
        assert [error.message for error in VALIDATOR.iter_errors(data)] == []


def test_schema_has_patterns_that_editors_can_read() -> None:
    """They are written for Python, and JavaScript, the language of editors, must accept each of them too."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js")
    patterns = sorted(set(re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(SCHEMA))))
    assert len(patterns) > 5
    script = f"for (const p of [{','.join(patterns)}]) new RegExp(p, 'u')"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
