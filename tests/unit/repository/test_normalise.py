"""Two definitions that Fabric only writes differently are equal; anything else is a difference, shown line by line."""

import base64
import json
import lzma
from collections.abc import Iterator
from typing import Any

import pytest

from shared.repository import normalise
from shared.repository.normalise import Change, PartChange
from tests.conftest import reference

COMPARED = {"Notebook", "MirroredDatabase", "Report", "SemanticModel", "SparkJobDefinition", "MountedDataFactory"}


def decoded(definition: dict[str, Any]) -> dict[str, bytes]:
    return {part["path"]: base64.b64decode(part["payload"]) for part in definition["parts"]}


def definition_of(message: Any) -> dict[str, bytes] | None:
    """Return the parts of a request or response, if it has a definition."""
    definition = message.get("definition") if isinstance(message, dict) else None
    return decoded(definition) if isinstance(definition, dict) and definition.get("parts") else None


def recorded_pairs() -> Iterator[tuple[str, str, dict[str, bytes], dict[str, bytes]]]:
    """Yield what was sent as an item's definition, and what the item's next getDefinition answered, of one type."""
    with lzma.open(reference("fabric_traffic") / "all_conversations.jsonl.xz", "rt") as lines:
        for line in lines:
            sent: dict[str, tuple[str, dict[str, bytes]]] = {}
            conversation = json.loads(line)
            for exchange in conversation["exchanges"]:
                request, response = exchange.get("request"), exchange.get("response")
                live, own = definition_of(response), definition_of(request)
                if own is not None and isinstance(request, dict) and request.get("type"):
                    sent = {request["type"]: (str(conversation.get("name")), own)}
                elif own is not None:
                    sent = {}
                if live is not None and ".platform" in live:
                    item_type = json.loads(live[".platform"])["metadata"]["type"]
                    if item_type in sent and sent[item_type][1].keys() - {".platform"} <= live.keys():
                        yield sent[item_type][0], item_type, sent[item_type][1], live


def test_what_fabric_reads_back_is_not_a_change() -> None:
    """In every recording, the definition that was created is unchanged when it is read back."""
    types: set[str] = set()
    for name, item_type, sent, live in recorded_pairs():
        types.add(item_type)
        assert normalise.changes(item_type, sent, live) == (), name
    assert types >= COMPARED


def test_a_changed_letter_in_what_was_sent_is_a_change() -> None:
    """The comparison does not become blind: each text part with another letter in it is reported."""
    count = 0
    for name, item_type, sent, live in recorded_pairs():
        for path, content in sent.items():
            changed = content.replace(b"a", b"b", 1)
            if path == ".platform" or changed == content:
                continue
            count += 1
            assert normalise.changes(item_type, {**sent, path: changed}, live) or is_ignored(path, content), (
                name,
                path,
            )
    assert count > 10


def is_ignored(path: str, content: bytes) -> bool:
    """Return True if the first letter a of a part is not compared: a schema, a connection, an empty field."""
    return (
        path in ("definition.pbir", "definition.pbism", "SparkJobDefinitionV1.json")
        or b"$schema" in content[: content.find(b"a") + 80]
    )


@pytest.mark.parametrize(
    ("item_type", "path", "one", "other"),
    [
        ("Notebook", "notebook-content.py", "x = 1\r\ny = 2\r\n", "x = 1\ny = 2"),
        ("Notebook", "notebook-content.py", "\ufeffx = 1", "x = 1\n"),
        ("DataPipeline", "pipeline-content.json", '{"b": 1, "a": {"é": 2}}', '{\n"a":{"\\u00e9":2},"b":1}\n'),
        ("VariableLibrary", "variables.json", '{"variables": []}', '{"$schema": "x/2.0.0", "variables": []}'),
        ("Environment", "Setting/Sparkcompute.yml", "# note\na: 1\nb: [x]\n", "b:\r\n- x\r\na: 1\r\n"),
        ("SemanticModel", "definition.pbism", '{"version": "4.0"}', '{"$schema": "s", "version": "4.2"}'),
        ("SparkJobDefinition", "SparkJobDefinitionV1.json", '{"a": "x", "b": "", "c": []}', '{"a": "x", "b": null}'),
        (
            "Report",
            "definition.pbir",
            '{"datasetReference": {"byConnection": {"pbiModelDatabaseName": "94D8E448-add6-49fc-a93e-932eb195dea7"}}}',
            '{"datasetReference": {"byConnection": {"connectionString": '
            '"Data Source=x;semanticmodelid=94d8e448-add6-49fc-a93e-932eb195dea7"}}}',
        ),
        (
            "Notebook",
            "notebook-content.ipynb",
            '{"cells": [{"source": ["a\\n", "b"], "outputs": [1], "execution_count": 3}], "metadata": {"n": null}}',
            '{"cells": [{"source": "a\\nb", "outputs": []}], "metadata": {}, "nbformat_minor": 5}',
        ),
    ],
)
def test_the_same_content_in_another_form_is_unchanged(item_type: str, path: str, one: str, other: str) -> None:
    sent, live = {path: one.encode()}, {path: other.encode(), ".platform": b"{}"}
    assert normalise.changes(item_type, sent, live) == ()
    assert normalise.digest(item_type, sent) == normalise.digest(item_type, live)


@pytest.mark.parametrize(
    ("item_type", "path", "one", "other"),
    [
        ("Notebook", "notebook-content.py", "x = 1\n\ny", "x = 1\ny"),
        ("Notebook", "notebook-content.py", "x = 1 ", "x = 1"),
        ("DataPipeline", "pipeline-content.json", '{"a": [1, 2]}', '{"a": [2, 1]}'),
        ("DataPipeline", "pipeline-content.json", '{"a": 1}', '{"a": "1"}'),
        ("Report", "definition.pbir", '{"version": "4.0", "datasetReference": {}}', '{"version": "5.0"}'),
        ("KQLDatabase", "DatabaseSchema.kql", ".create table A", ".create table B"),
    ],
)
def test_other_content_is_changed(item_type: str, path: str, one: str, other: str) -> None:
    sent, live = {path: one.encode()}, {path: other.encode()}
    assert normalise.changes(item_type, sent, live) == (PartChange(path, Change.CHANGED),)
    assert normalise.digest(item_type, sent) != normalise.digest(item_type, live)


def test_parts_that_only_fabric_adds_are_no_change_and_others_are() -> None:
    live = {"notebook-content.py": b"x", "notebook-settings.json": b"{}", ".schedules": b"{}", "Resources/a.py": b"y"}
    found = normalise.changes("Notebook", {"notebook-content.py": b"x", "Resources/b.py": b"z"}, live)
    assert found == (PartChange("Resources/a.py", Change.REMOVED), PartChange("Resources/b.py", Change.ADDED))


def test_difference_is_shown_line_by_line_in_one_layout() -> None:
    """JSON in another layout shows only the value that changed."""
    sent, live = {"p.json": b'{"a": 1, "b": {"c": "new"}}'}, {"p.json": b'{\n"b": {"c": "old"},\n"a": 1}'}
    (change,) = normalise.changes("DataPipeline", sent, live)
    shown = normalise.lines("DataPipeline", change, sent, live)
    assert [line for line in shown if line[0] in "+-"] == ['-    "c": "old"', '+    "c": "new"']


def test_difference_of_binary_and_of_long_parts_is_short() -> None:
    sent, live = {"a.whl": b"\xff\x00" * 10, "b.txt": b"x\n" * 1000}, {"a.whl": b"\xff", "b.txt": b"y" * 1000}
    binary, text = normalise.changes("Environment", sent, live)
    assert normalise.lines("Environment", binary, sent, live) == ["  binary: 1 bytes, would be 20"]
    shown = normalise.lines("Environment", text, sent, live)
    assert len(shown) == 201
    assert shown[-1].endswith("more lines")
    assert max(map(len, shown)) < 310


def test_platform_metadata_comes_without_the_marker() -> None:
    content = json.dumps(
        {"metadata": {"type": "Notebook", "displayName": "A", "description": "text [saga:1]"}}
    ).encode()
    found = normalise.platform_metadata(content, lambda text: text.removesuffix(" [saga:1]"))
    assert found == {"displayName": "A", "description": "text"}
