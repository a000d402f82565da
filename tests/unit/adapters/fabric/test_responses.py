"""Fabric's responses in the form that the kinds need, whatever their fields contain."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.fabric.responses import normal, operation_state
from shared.domain.errors import FabricTransientError
from tests.unit.adapters.fabric.test_client import OPERATION, Script, client, ok

ODD: list[Any] = [None, 7, True, [], {"x": 1}, [{"id": "i"}]]
TEXTS = ["id", "displayName", "type", "description", "capacityId", "workspaceId", "role", "connectionString", "path"]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", TEXTS)
def test_response_text_of_another_type_is_absent(name: str, value: Any) -> None:
    """A null, a number for a name or an object for an id counts as a missing field."""
    answer = {name: value, "other": value}
    assert normal(answer) == {"other": value}
    script = Script(ok(answer))
    assert client(script).get("/x") == {"other": value}
    assert client(Script(ok(answer, 201))).send("POST", "/x", {}).body == {"other": value}
    assert client(Script(ok(answer))).result(OPERATION, None) == {"other": value}
    assert list(client(Script(ok({"value": [answer]}))).list("/x")) == [{"other": value}]


def test_response_empty_name_is_absent_and_empty_text_is_kept() -> None:
    """An empty id names nothing; an empty description or file is a valid value."""
    assert normal({"id": "", "displayName": " ", "description": "", "payload": ""}) == {
        "description": "",
        "payload": "",
    }


def test_response_is_normalised_inside_too() -> None:
    """This includes properties, principals and the parts of a definition."""
    answer = {
        "properties": {"sqlEndpointProperties": {"id": None, "connectionString": 7}, "defaultSchema": "dbo"},
        "principal": {"id": "p", "type": None},
        "definition": {"parts": [None, {"path": "a", "payload": "", "payloadType": 7}], "format": None},
    }
    assert normal(answer) == {
        "properties": {"sqlEndpointProperties": {}, "defaultSchema": "dbo"},
        "principal": {"id": "p"},
        "definition": {"parts": [{}, {"path": "a", "payload": ""}]},
    }
    assert normal({"properties": [], "principal": "p", "definition": None}) == {}


def test_response_about_git_and_exports_is_normalised_too() -> None:
    """Rows that are not objects are empty ones, which the kinds refuse or leave out."""
    assert normal({"gitSyncDetails": 7, "gitConnectionState": ["x"], "folderId": 7, "connectivityType": {}}) == {}
    assert normal({"changes": [None, {"itemMetadata": {"itemIdentifier": "x", "displayName": 7}}]}) == {
        "changes": [{}, {"itemMetadata": {}}]
    }
    assert normal({"itemDefinitionsIndex": [7], "definitionParts": {}}) == {"itemDefinitionsIndex": [{}]}


@given(
    st.dictionaries(
        st.sampled_from([*TEXTS, "properties", "definition", "parts", "principal"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from([*TEXTS, "parts", "definition"]), inner, max_size=3)
            ),
            max_leaves=8,
        ),
    )
)
def test_response_of_any_shape_is_normalised_once(answer: dict[str, Any]) -> None:
    """Each field has its type or is absent, and a normalised response stays unchanged."""
    found = normal(answer)
    assert normal(found) == found
    assert all(isinstance(found[name], str) for name in TEXTS if name in found)


@pytest.mark.parametrize("page", [{}, {"value": {}}, {"value": "x"}, {"value": 7}, {"data": {}}, {"error": {}}])
def test_list_that_is_not_a_list_proves_no_absence(page: dict[str, Any]) -> None:
    """A response without rows is not an empty list; if it counted as one, existing resources would be created again."""
    with pytest.raises(FabricTransientError, match="not a list"):
        list(client(Script(ok(page))).list("/x"))


def test_list_keeps_a_row_that_is_not_an_object_as_an_empty_one() -> None:
    """Nobody can own such a row, but a look that has to prove an absence sees that something exists."""
    page = {"value": [None, {"id": "a"}, 7]}
    assert list(client(Script(ok(page))).list("/x")) == [{}, {"id": "a"}, {}]
    assert list(client(Script(ok({"value": None}))).list("/x")) == [{}]
    assert list(client(Script(ok({"value": []}))).list("/x")) == []


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Succeeded", "succeeded"),
        ("SUCCEEDED", "succeeded"),
        ("Completed", "succeeded"),
        ("Failed", "failed"),
        ("Cancelled", "failed"),
        ("Running", "running"),
        ("NotStarted", "running"),
        ("Undefined", "running"),
        (None, "running"),
    ],
)
def test_operation_status_is_mapped_in_any_case(word: str | None, state: str) -> None:
    """This holds for the statuses in the OpenAPI document, and for those that Fabric uses elsewhere for the same
    state."""
    assert operation_state(word) == (state, None)
    assert client(Script(ok({"status": word}))).poll(OPERATION, None).state == state


@pytest.mark.parametrize("word", ["Deduped", "x" * 200, "", 7, ["Failed"], {"status": "Failed"}])
def test_unknown_operation_status_is_running_and_logged(word: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows it as a final state; the log and the error of a later timeout name it."""
    status = client(Script(ok({"status": word}))).poll(OPERATION, None)
    assert status.state == "running"
    assert status.message is not None
    assert len(status.message) < 100
    assert status.message in caplog.text
