"""Kind `item` against the simulator: definitions stored and restored, operations, markers, comparison."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps.definition_parts import same_definition, wire_definition
from shared.steps.item import ItemKind
from shared.steps.kind import Snapshot, VerificationError
from tests.unit.steps.tenant import MARKER, PERSON, Tenant, problems

KIND = ItemKind()
CREATE = Intent(IntentAction.CREATE, MARKER)
NOTEBOOK = {"parts": [{"path": "notebook-content.py", "text": "x = 1"}]}


def encoded(text: str) -> str:
    """Return a text in base64."""
    return base64.b64encode(text.encode()).decode()


def wire(text: str, path: str = "notebook-content.py") -> dict[str, Any]:
    """Return a definition of one part, by default a notebook's, as Fabric stores it."""
    return {"parts": [{"path": path, "payload": encoded(text), "payloadType": "InlineBase64"}]}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"type": None}, "$.type"),
        ({"displayName": ""}, "$.displayName"),
        ({"type": "Warehouse", "displayName": "a-b"}, "$.displayName"),
        ({"type": "Report"}, "$.definition"),
        ({"definition": NOTEBOOK, "creationPayload": {"a": 1}}, "$.creationPayload"),
        ({"definition": {"parts": []}}, "$.definition.parts"),
        ({"definition": {}}, "$.definition.parts"),
        ({"definition": {"parts": [{"path": "a"}]}}, "$.definition.parts[0].payload"),
        ({"definition": {"parts": [{"path": "a", "text": 7}]}}, "$.definition.parts[0].text"),
        ({"definition": {"parts": [{"path": "a", "payload": "a b"}]}}, "$.definition.parts[0].payload"),
        ({"definition": {"parts": [{"path": "a", "payload": ["eA=="]}]}}, "$.definition.parts[0].payload"),
        ({"definition": {"parts": [{"path": "a", "text": "", "payloadType": "Url"}]}}, "$.definition.parts[0]"),
        ({"definition": "x"}, "$.definition"),
        ({"definition": {"parts": [{"path": "a", "payload": "eA-_"}]}}, "$.definition.parts[0].payload"),
        ({"type": "Warehouse", "displayName": "w", "definition": NOTEBOOK}, "$.definition"),
        ({"format": "ipynb", "definition": NOTEBOOK}, "$.format"),
        ({"definition": {**NOTEBOOK, "format": "ipynb"}}, "$.definition.format"),
        ({"definition": {"parts": [*NOTEBOOK["parts"], {"path": "n.ipynb", "text": "{}"}]}}, "$.definition.parts"),
        ({"folder": "x"}, "$.folder"),
        ({"description": "x" * 237}, "$.description"),
    ],
)
def test_item_check_names_the_field(change: dict[str, Any], where: str) -> None:
    """A value that Fabric would refuse, or that the app cannot read, is refused at its path."""
    found = problems(KIND, {"workspaceId": PERSON, "type": "Notebook", "displayName": "n", **change})
    assert next(iter(found)).startswith(where)


def test_item_check_treats_a_null_as_an_absent_payload() -> None:
    """`payload: null` beside a text has no effect, and the text is sent."""
    part = {"path": "a", "payload": None, "text": "x"}
    definition = {"parts": [part]}
    assert (
        problems(KIND, {"workspaceId": PERSON, "type": "Notebook", "displayName": "n", "definition": definition}) == {}
    )
    assert wire_definition(definition)["parts"][0]["payload"] == encoded("x")


def test_item_create_by_operation_is_recognised_verified_and_deleted() -> None:
    """A notebook is created by a long-running operation; it is marked, found, and soft-deleted."""
    tenant = Tenant()
    spec: dict[str, Any] = {"workspaceId": tenant.workspace(), "type": "Notebook", "displayName": "clean"}
    spec |= {"description": "ours", "definition": NOTEBOOK}
    assert KIND.find(tenant.fabric, spec) is None
    resource = tenant.create(KIND, spec)
    stored = tenant.item(spec["workspaceId"], "clean")
    assert stored.description == f"ours [saga:{MARKER}]"
    assert stored.definition == wire("x = 1")
    found = KIND.find(tenant.fabric, {**spec, "displayName": "Clean"})
    assert found is not None
    assert found.resource == resource
    assert KIND.recognises(spec, CREATE, found, uncertain=False)
    assert set(KIND.verify(tenant.fabric, spec, resource, CREATE)) == KIND.outputs
    tenant.compensate(KIND, spec, CREATE, resource)
    assert KIND.locate(tenant.fabric, spec, resource) is None
    assert "hardDelete" not in tenant.model.calls[-1]["path"]


def test_item_bare_create_with_payload_is_sent_as_given() -> None:
    """An item without a definition is created at once, with its creation payload."""
    tenant = Tenant()
    spec: dict[str, Any] = {"workspaceId": tenant.workspace(), "type": "DataPipeline", "displayName": "p"}
    [call] = KIND.apply({**spec, "creationPayload": {"a": None}}, CREATE)
    assert call.body is not None
    assert call.body["creationPayload"] == {"a": None}
    resource = tenant.create(KIND, spec)
    assert resource.type == "DataPipeline"
    assert tenant.item(spec["workspaceId"], "p").description == f"[saga:{MARKER}]"


def test_item_longest_description_fits_with_its_marker() -> None:
    """The space for the marker is reserved, so that Fabric accepts the longest valid description."""
    tenant = Tenant()
    spec = {"workspaceId": tenant.workspace(), "type": "DataPipeline", "displayName": "p", "description": "d" * 236}
    assert problems(KIND, spec) == {}
    tenant.create(KIND, spec)
    assert len(tenant.item(spec["workspaceId"], "p").description) == 256


@pytest.mark.parametrize(
    ("item_type", "path"), [("Notebook", "notebook-content.py"), ("DataPipeline", "pipeline-content.json")]
)
def test_item_update_is_compensated(item_type: str, path: str) -> None:
    """Definition and description are stored before and restored after, by operations (Notebook) or at once."""
    tenant = Tenant()
    old, new = wire('{"x": "old"}', path), {"parts": [{"path": path, "text": '{"x": 1}'}]}
    row = {"type": item_type, "displayName": "clean", "description": "theirs", "definition": old}
    spec: dict[str, Any] = {"workspaceId": tenant.workspace(items=[row]), "type": item_type, "displayName": "clean"}
    spec |= {"description": "ours", "definition": new}
    found, intent = tenant.image(KIND, spec)
    assert KIND.changes(spec, found) == ["description", "definition"]
    assert [c.operation_kind for c in KIND.apply(spec, intent)] == ["updateDefinition", "item"]
    tenant.send(KIND.apply(spec, intent))
    stored = tenant.item(spec["workspaceId"], "clean")
    assert stored.description == "ours"
    assert stored.definition == wire('{"x": 1}', path)
    KIND.verify(tenant.fabric, spec, found.resource, intent)
    tenant.compensate(KIND, spec, intent, found.resource)
    assert stored.description == "theirs"
    assert stored.definition is not None
    assert same_definition(stored.definition, old)


def test_item_with_the_same_definition_makes_no_call() -> None:
    """Only a changed description is patched."""
    tenant = Tenant()
    row = {"type": "Notebook", "displayName": "n", "definition": wire("x = 1")}
    spec: dict[str, Any] = {"workspaceId": tenant.workspace(items=[row]), "type": "Notebook", "displayName": "n"}
    _, intent = tenant.image(KIND, {**spec, "definition": NOTEBOOK})
    assert KIND.apply({**spec, "definition": NOTEBOOK}, intent) == []
    [call] = KIND.apply({**spec, "definition": NOTEBOOK, "description": "new"}, intent)
    assert call.method == "PATCH"


def test_item_without_a_definition_stores_only_the_description() -> None:
    """A manifest without a definition reads none, differs only in the description, and restores only the
    description."""
    tenant = Tenant()
    row = {"type": "Notebook", "displayName": "n", "definition": wire("old"), "description": "theirs"}
    spec: dict[str, Any] = {"workspaceId": tenant.workspace(items=[row]), "type": "Notebook", "displayName": "n"}
    found, intent = tenant.image(KIND, spec)
    assert KIND.changes(spec, found) == []
    assert intent.before == {"description": "theirs"}
    changed = {**spec, "description": "ours"}
    assert KIND.changes(changed, found) == ["description"]
    tenant.send(KIND.apply(changed, intent))
    tenant.compensate(KIND, changed, intent, found.resource)
    assert tenant.item(spec["workspaceId"], "n").description == "theirs"


def test_item_verify_finds_another_type_and_another_description() -> None:
    """The error names the difference; an adopted item may have any description."""
    tenant = Tenant()
    row = {"type": "Notebook", "displayName": "n", "description": "theirs"}
    spec = {"workspaceId": tenant.workspace(items=[row]), "type": "Notebook", "displayName": "n", "description": "ours"}
    found = KIND.find(tenant.fabric, spec)
    assert found is not None
    with pytest.raises(VerificationError, match="a different description"):
        KIND.verify(tenant.fabric, spec, found.resource, CREATE)
    KIND.verify(tenant.fabric, spec, found.resource, Intent(IntentAction.ADOPT, MARKER))
    with pytest.raises(VerificationError, match="is a Notebook, not a Report"):
        KIND.verify(tenant.fabric, {**spec, "type": "Report"}, found.resource, CREATE)


def test_item_format_is_sent() -> None:
    """A definition's format is sent on create, and is requested for the before-image."""
    tenant = Tenant()
    row = {"type": "Notebook", "displayName": "n", "definition": wire("old")}
    spec: dict[str, Any] = {"workspaceId": tenant.workspace(items=[row]), "type": "Notebook", "displayName": "n"}
    spec["definition"] = {"parts": [{"path": "n.ipynb", "text": "{}"}], "format": "ipynb"}
    [call] = KIND.apply(spec, CREATE)
    assert call.body is not None
    assert call.body["definition"]["format"] == "ipynb"
    request: list[Any] = []
    send = tenant.fabric.send
    tenant.fabric.send = lambda *given: request.append(given) or send(*given)  # type: ignore[method-assign]
    tenant.image(KIND, spec)
    assert request[0][3] == {"format": "ipynb"}


MODEL = {
    "path": "definition.pbism",
    "text": '{"$schema": "https://developer.microsoft.com/json-schemas/fabric/item/semanticModel/'
    'definitionProperties/1.0.0/schema.json", "version": "4.2"}',
}
"""A part as Fabric writes it: it would add the schema and raise the version."""
JOB = {"parts": [{"path": "SparkJobDefinitionV1.json", "text": "{}"}, {"path": "Main/main.py", "text": "x"}]}


@pytest.mark.parametrize(
    ("item_type", "definition", "inferred"),
    [
        ("Notebook", {"parts": [{"path": "n.ipynb", "text": "{}"}]}, "ipynb"),
        ("SparkJobDefinition", JOB, "SparkJobDefinitionV2"),
        ("SemanticModel", {"parts": [{"path": "model.bim", "text": "{}"}, MODEL]}, "TMSL"),
    ],
)
def test_item_format_is_inferred_from_the_parts_and_used_everywhere(
    item_type: str, definition: dict[str, Any], inferred: str
) -> None:
    """The manifest does not set it, but create, before-image, update and compensation use it."""
    tenant = Tenant()
    old = {"parts": [p if p is MODEL else {**p, "text": '{"x": "old"}'} for p in definition["parts"]]}
    workspace = tenant.workspace()
    spec: dict[str, Any] = {"workspaceId": workspace, "type": item_type, "displayName": "n", "definition": old}
    assert problems(KIND, spec) == {}
    resource = tenant.create(KIND, spec)
    stored = tenant.item(workspace, "n")
    assert stored.definition is not None
    assert (stored.definition["format"], len(stored.definition["parts"])) == (inferred, len(definition["parts"]))
    request: list[Any] = []
    send = tenant.fabric.send
    tenant.fabric.send = lambda *given: request.append(given) or send(*given)  # type: ignore[method-assign]
    spec["definition"] = definition
    _, intent = tenant.image(KIND, spec)
    assert request[0][3] == {"format": inferred}
    tenant.send(KIND.apply(spec, intent))
    assert same_definition(definition, stored.definition)
    tenant.compensate(KIND, spec, intent, resource)
    assert stored.definition["format"] == inferred
    assert same_definition(old, stored.definition)


def test_item_format_is_not_a_reference() -> None:
    """It decides how the parts are read, before any step runs."""
    definition = {**NOTEBOOK, "format": "${{ steps.a.outputs.x }}"}
    spec = {"workspaceId": PERSON, "type": "Notebook", "displayName": "n", "definition": definition}
    assert set(problems(KIND, spec)) == {"$.definition.format"}


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_item_base64_in_lines_is_accepted_and_sent_in_one(end: str) -> None:
    """Tools wrap it at 76 columns."""
    content = bytes(range(256))
    whole = base64.b64encode(content).decode()
    wrapped = end.join(whole[i : i + 76] for i in range(0, len(whole), 76)) + end
    definition = {"parts": [{"path": "a.bin", "payload": wrapped}]}
    spec = {"workspaceId": PERSON, "type": "Map", "displayName": "n", "definition": definition}
    assert problems(KIND, spec) == {}
    assert wire_definition(definition)["parts"][0]["payload"] == whole
    assert same_definition(definition, {"parts": [{"path": "a.bin", "payload": whole}]})


BY_PATH = '{"version": "4.0", "datasetReference": {"byPath": {"path": "../Sales.SemanticModel"}}}'
BY_CONNECTION = '{"datasetReference": {"byPath": null, "byConnection": {"connectionString": "semanticmodelid=1"}}}'


@pytest.mark.parametrize("name", ["text", "payload"])
@pytest.mark.parametrize("text", [BY_PATH, BY_CONNECTION, "{", "[]", "7", '{"datasetReference": []}'])
def test_item_report_that_references_its_model_by_path_is_refused(name: str, text: str) -> None:
    """Fabric's API accepts no path; the problem says what to write."""
    part = {"path": "definition.pbir", name: text if name == "text" else encoded(text)}
    definition = {"parts": [part, {"path": "report.json", "text": "{}"}]}
    found = problems(KIND, {"workspaceId": PERSON, "type": "Report", "displayName": "r", "definition": definition})
    assert list(found) == ([f"$.definition.parts[0].{name}"] if text == BY_PATH else [])
    assert all("byConnection" in message and "${{ steps.<model>.outputs.id }}" in message for message in found.values())


def test_item_definitions_are_compared_by_their_content() -> None:
    """`.platform`, spacing in JSON and line ends do not count; text, JSON values and paths do."""

    def parts(**texts: str) -> dict[str, Any]:
        return {"parts": [{"path": path, "text": text} for path, text in texts.items()]}

    assert same_definition(parts(a='{"x": 1, "y": 2}'), parts(a='{"y":2,"x":1}'))
    assert same_definition(parts(a="1\r\n2"), parts(a="1\n2"))
    platform = {"parts": [{"path": ".platform", "text": "{}"}, {"path": "a", "text": "1"}]}
    assert same_definition(platform, parts(a="1"))
    assert not same_definition(parts(a="1"), parts(a="2"))
    assert not same_definition(parts(a="1"), parts(b="1"))
    assert not same_definition(parts(a="1"), {})


@given(first=st.text(), second=st.text())
def test_item_comparison_never_fails(first: str, second: str) -> None:
    """Any parts can be compared, and each equals itself."""
    one, two = ({"parts": [{"path": "a", "payload": encoded(t)}]} for t in (first, second))
    assert same_definition(one, one)
    assert same_definition(one, two) == same_definition(two, one)


def test_item_comparison_accepts_deep_json() -> None:
    """A part that is nested deeper than a parser accepts is compared as bytes."""
    deep = "[" * 200_000
    assert same_definition({"parts": [{"path": "a", "text": deep}]}, {"parts": [{"path": "a", "text": deep}]})


def test_item_platform_is_sent_without_its_description() -> None:
    """The description of a new item comes from the step, with the marker, and not from the folder's `.platform`."""
    platform = '{"metadata": {"type": "Notebook", "displayName": "n", "description": "theirs"}}'
    tenant = Tenant()
    place = tenant.workspace()
    definition = {"parts": [*NOTEBOOK["parts"], {"path": ".platform", "text": platform}]}
    spec = {"workspaceId": place, "type": "Notebook", "displayName": "n", "definition": definition}
    sent = {part["path"]: base64.b64decode(part["payload"]) for part in wire_definition(definition)["parts"]}
    assert b"theirs" not in sent[".platform"]
    assert sent["notebook-content.py"] == b"x = 1"
    tenant.create(KIND, spec)
    assert tenant.item(place, "n").description == f"[saga:{MARKER}]"
    half = [{"path": ".platform", "text": r'{"metadata": {"description": "d"}, "config": "\ud83d"}'}]
    assert json.loads(base64.b64decode(wire_definition({"parts": half})["parts"][0]["payload"]))["config"] == "\ud83d"
    broken = {"parts": [{"path": ".platform", "text": "no JSON"}]}
    assert base64.b64decode(wire_definition(broken)["parts"][0]["payload"]) == b"no JSON"


@pytest.mark.parametrize("item_type", ["SemanticModel", "MirroredDatabase"])
def test_item_that_fabric_rewrites_reads_back_otherwise(item_type: str) -> None:
    """What Fabric returns differs from what was sent although nobody changed it: of a semantic model in its content, of
    a mirrored database only in its spacing. Neither counts as a change."""
    model = {"path": "definition.pbism", "text": '{"version": "4.0", "settings": {}}'}
    table = {"path": "definition/model.tmdl", "text": "model Model"}
    mirror = {"path": "mirroring.json", "text": '{"properties": {}}'}
    definition = {"parts": [model, table] if item_type == "SemanticModel" else [mirror]}
    tenant = Tenant()
    place = tenant.workspace()
    spec = {"workspaceId": place, "type": item_type, "displayName": "n", "definition": definition}
    tenant.create(KIND, spec)
    stored = tenant.item(place, "n").definition
    assert stored is not None
    assert stored["parts"][0]["payload"] != wire_definition(definition)["parts"][0]["payload"]
    assert same_definition(definition, stored) == (item_type == "MirroredDatabase")
    found, intent = tenant.image(KIND, spec)
    assert KIND.changes(spec, Snapshot(found.resource, intent.before or {})) == []
    assert KIND.apply(spec, intent) == []


@pytest.mark.parametrize(("live", "changed"), [(None, []), ("08:00", []), ("09:00", ["definition"])])
def test_item_schedules_are_compared_if_fabric_returns_them(live: str | None, changed: list[str]) -> None:
    """A different schedule counts as a change; a schedule that Fabric does not return does not."""
    content = {"path": "pipeline-content.json", "text": "{}"}
    definition = {"parts": [content, {"path": ".schedules", "text": '{"times": ["08:00"]}'}]}
    parts = [content, *([{"path": ".schedules", "text": f'{{"times": ["{live}"]}}'}] if live else [])]
    spec = {"workspaceId": PERSON, "type": "DataPipeline", "displayName": "n", "definition": definition}
    image = {"description": "", "definition": wire_definition({"parts": parts})}
    assert KIND.changes(spec, Snapshot(Resource("DataPipeline", "i", "n", PERSON), image)) == changed
