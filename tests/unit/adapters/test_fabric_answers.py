"""Fabric's answers in the form that the kinds rely on, whatever their fields hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.fabric_answers import normal, operation_state
from shared.domain.errors import FabricTransientError
from tests.unit.adapters.test_fabric_http import OPERATION, Script, client, ok

ODD: list[Any] = [None, 7, True, [], {"x": 1}, [{"id": "i"}]]
TEXTS = ["id", "displayName", "type", "description", "capacityId", "workspaceId", "role", "connectionString", "path"]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("name", TEXTS)
def test_answer_text_of_another_type_is_absent(name: str, value: Any) -> None:
    """A null, a number for a name, an object for an id: the same as a field that is missing."""
    answer = {name: value, "other": value}
    assert normal(answer) == {"other": value}
    script = Script(ok(answer))
    assert client(script).get("/x") == {"other": value}
    assert client(Script(ok(answer, 201))).send("POST", "/x", {}).body == {"other": value}
    assert client(Script(ok(answer))).result(OPERATION, None) == {"other": value}
    assert list(client(Script(ok({"value": [answer]}))).list("/x")) == [{"other": value}]


def test_answer_empty_name_is_absent_and_empty_words_are_words() -> None:
    """An empty id names nothing; an empty description or file is one."""
    assert normal({"id": "", "displayName": " ", "description": "", "payload": ""}) == {
        "description": "",
        "payload": "",
    }


def test_answer_is_normal_inside_too() -> None:
    """Properties, principals and the parts of a definition."""
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
def test_answer_of_any_shape_is_normal_once_and_for_all(answer: dict[str, Any]) -> None:
    """Each field has its type or is absent, and what is normal stays as it is."""
    found = normal(answer)
    assert normal(found) == found
    assert all(isinstance(found[name], str) for name in TEXTS if name in found)


@pytest.mark.parametrize("page", [{}, {"value": {}}, {"value": "x"}, {"value": 7}, {"data": {}}, {"error": {}}])
def test_list_that_is_no_list_proves_no_absence(page: dict[str, Any]) -> None:
    """An answer without rows is not an empty list: taken for one, it would make the engine create what is there."""
    with pytest.raises(FabricTransientError, match="not a list"):
        list(client(Script(ok(page))).list("/x"))


def test_list_keeps_a_row_that_is_no_object_as_an_empty_one() -> None:
    """It can be nobody's, and a look that has to prove an absence sees that there is something."""
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
def test_operation_word_has_its_state_in_any_case(word: str | None, state: str) -> None:
    """The words of the OpenAPI, and those that Fabric uses elsewhere for the same."""
    assert operation_state(word) == (state, None)
    assert client(Script(ok({"status": word}))).poll(OPERATION, None).state == state


@pytest.mark.parametrize("word", ["Deduped", "x" * 200, "", 7, ["Failed"], {"status": "Failed"}])
def test_operation_word_that_is_unknown_is_running_and_named(word: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is no end that anybody knows; the log and whoever gives up waiting can say which word it was."""
    status = client(Script(ok({"status": word}))).poll(OPERATION, None)
    assert status.state == "running"
    assert status.message is not None
    assert len(status.message) < 100
    assert status.message in caplog.text
