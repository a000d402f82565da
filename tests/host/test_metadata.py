"""Properties of a JSON body as trigger metadata, as the real host passes them
(azure-functions-host, Utility.ApplyBindingData)."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from local.functions_host import trigger_metadata
from tests.host.hosts import Served
from tests.waiting import eventually

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MESSAGE = SimpleNamespace(
    id="storage's", dequeue_count=2, pop_receipt="r", expires_on=NOW, inserted_on=NOW, next_visible_on=NOW
)


def metadata(body: str | bytes) -> dict[str, Any]:
    """Return what the worker receives: for each name the one member that is set."""
    found = trigger_metadata.of(MESSAGE, body.encode() if isinstance(body, str) else body)
    return {name: (data.WhichOneof("data"), next(iter(vars(data).values()))) for name, data in found.items()}


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        ('{"id": "a/b"}', "Id", ("string", "a/b")),
        ('{"ID": 7}', "Id", ("string", "7")),
        ('{"id": true}', "Id", ("string", "True")),
        ('{"id": {"a": 1}}', "Id", ("json", '{"a": 1}')),
        (' {"dequeuecount": 9}\n', "DequeueCount", ("string", "9")),
        ('{"other": "x"}', "other", ("string", "x")),
        ('{"insertionTime": "soon"}', "InsertionTime", ("string", "soon")),
        ('{"insertionTime": "2026-05-06T07:08:09Z"}', "InsertionTime", ("string", "05/06/2026 07:08:09")),
    ],
)
def test_metadata_top_level_properties_replace_it(body: str, name: str, expected: tuple[str, str]) -> None:
    """Names are compared without regard to case, and values become text as .NET writes them."""
    assert metadata(body)[name] == expected


@pytest.mark.parametrize(
    "body", ['{"id": null}', '{"id": [1]}', '[{"id": "x"}]', "id: x", '{"id": "x"', '"id"', b"\xff", "[" * 9_000, ""]
)
def test_metadata_of_other_bodies_is_the_messages_own(body: str | bytes) -> None:
    """Nulls and arrays are left out; what is no JSON object has no properties."""
    assert metadata(body) == metadata(b"x")
    assert metadata(body)["Id"] == ("string", "storage's")


def test_metadata_reaches_the_function(host: Served) -> None:
    """A function sees the body's `id` as the message's."""
    host.put("fails", {"id": "a/b"})
    assert eventually(lambda: host.traces("fails", id="a/b"))


def test_metadata_time_that_is_none_fails_before_the_app(host: Served) -> None:
    """The worker cannot read the property: no delivery reaches the function, and the message is poison in the end."""
    host.put("unwritable", {"insertionTime": "soon"})
    assert host.take("unwritable-poison", 1) == ['{"insertionTime": "soon"}']
    assert not host.traces("unwritable")
