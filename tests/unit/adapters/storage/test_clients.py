"""The limits of Azure Storage that the emulator does not enforce, and keys made from any text."""

import re
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.storage.clients import (
    ENTITY_BYTES,
    ESCAPED_CHARACTERS,
    KEY_CHARACTERS,
    PROPERTIES,
    STRING_CHARACTERS,
    StorageClients,
    checked_entity,
    checked_key,
    escape_key,
    mapped,
)
from shared.domain.errors import LimitError, StorageAuthError, StorageUnavailableError

KEYS = {"PartitionKey": "p", "RowKey": "r"}
ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("x" * STRING_CHARACTERS, True),
        ("x" * (STRING_CHARACTERS + 1), False),
        ("漢" * STRING_CHARACTERS, True),
        ("😀" * (STRING_CHARACTERS // 2), True),
        ("😀" * (STRING_CHARACTERS // 2) + "x", False),
        ("\ud800" * STRING_CHARACTERS, True),
    ],
)
def test_entity_property_is_measured_in_utf16(text: str, fits: bool) -> None:
    """The limit is 32,768 UTF-16 code units; a character outside the basic plane counts as two."""
    if fits:
        assert checked_entity({**KEYS, "a": text}) > 2 * len(text)
    else:
        with pytest.raises(LimitError, match="property 'a' has 32769 characters"):
            checked_entity({**KEYS, "a": text})


def test_entity_above_one_mebibyte_is_refused() -> None:
    """No property is too long, but all of them together are."""
    whole = {f"p{i:02d}": "x" * STRING_CHARACTERS for i in range(15)}
    size = checked_entity({**KEYS, **whole})
    rest = (ENTITY_BYTES - size - 8 - 2 * len("rest")) // 2
    assert checked_entity({**KEYS, **whole, "rest": "x" * rest}) <= ENTITY_BYTES
    with pytest.raises(LimitError, match=r"an entity has \d+ bytes"):
        checked_entity({**KEYS, **whole, "rest": "x" * (rest + 1)})


def test_entity_has_at_most_252_properties() -> None:
    maximum: dict[str, Any] = {f"p{i}": i for i in range(PROPERTIES)}
    checked_entity(maximum)
    with pytest.raises(LimitError, match="253 properties"):
        checked_entity({**maximum, "more": True})


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.one_of(st.text(), st.integers(), st.booleans())))
def test_entity_size_is_never_underestimated(properties: dict[str, Any]) -> None:
    """The sum is at least the result of Azure's own formula."""
    azure = sum(
        8 + 2 * len(name) + (4 + 2 * len(v) if isinstance(v, str) else 8) - 4 * isinstance(v, str)
        for name, v in properties.items()
    )
    assert checked_entity(properties) >= azure


@pytest.mark.parametrize("character", [*"/\\#?\t\n\r\x00\x1f\x7f\x80\x9f"])
@pytest.mark.parametrize("shape", ["{}", "a{}b", "{}a", "a{}"])
def test_key_with_a_forbidden_character_is_refused(character: str, shape: str) -> None:
    with pytest.raises(LimitError, match="a test cannot be a key"):
        checked_key(shape.format(character), "a test")


@pytest.mark.parametrize("key", ["", " ", "a b", "'", "%", "+", "é漢😀", "\xa0", "x" * KEY_CHARACTERS])
def test_key_that_is_legal_is_unchanged(key: str) -> None:
    assert checked_key(key, "a test") == key


def test_key_that_is_too_long_is_refused() -> None:
    """The limit is 1,024 characters."""
    with pytest.raises(LimitError, match="1025 characters"):
        checked_key("x" * (KEY_CHARACTERS + 1), "a test")


@given(ANY_TEXT)
@example("\ud800")
@example("漢" * 256)
@example("=h" + "0" * 64)
@example("/\\#?%'\x00\x7f\x9f")
def test_escaped_text_is_always_a_key(text: str) -> None:
    """For any name of a target the key is legal on Azure, needs no quoting in a filter, and does not depend on case."""
    key = escape_key(text)
    assert checked_key(key, "a test") == key
    assert len(key) <= ESCAPED_CHARACTERS
    assert re.fullmatch(r"[A-Za-z0-9._ =-]*", key)


@given(ANY_TEXT, ANY_TEXT)
@example("=", "=3d")
@example("é", "e\u0301")
@example("a", "A")
@example("漢" * 256, "漢" * 255 + "字")
@example("漢" * 256, escape_key("漢" * 256))
def test_escaping_is_one_to_one(one: str, other: str) -> None:
    """Two names never share a key, and a name always has the same key."""
    assert (escape_key(one) == escape_key(other)) == (one == other)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_escaping_can_be_reversed(text: str) -> None:
    """Every escape in a short key is the hex code of UTF-8."""
    key = escape_key(text)
    assert re.sub(b"=([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), key.encode()).decode() == text


@pytest.mark.parametrize(
    ("status", "kind"), [(401, StorageAuthError), (403, StorageAuthError), (500, None), (409, None)]
)
def test_storage_error_has_its_status_and_no_address(status: int, kind: type[Exception] | None) -> None:
    """The vendor's text, with addresses and signatures, is dropped; a refusal is distinguished from an outage."""
    error = HttpResponseError("https://account.example/?sig=SECRET key=SECRET")
    error.status_code = status
    with pytest.raises(StorageUnavailableError) as caught, mapped("table", "write"):
        raise error
    assert type(caught.value) is (kind or StorageUnavailableError)
    assert f"table storage, write: HTTP {status}" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_storage_without_a_response_is_unavailable() -> None:
    """The text contains no address."""
    with (
        pytest.raises(
            StorageUnavailableError, match=r"queue storage, send: no answer \(ServiceRequestError\)"
        ) as caught,
        mapped("queue", "send"),
    ):
        raise ServiceRequestError("https://account.example failed")
    assert "example" not in str(caught.value)


def test_storage_that_is_not_configured_names_the_settings() -> None:
    with pytest.raises(StorageUnavailableError, match="AzureWebJobsStorage__tableServiceUri"):
        StorageClients("", table_uri="https://t.example", credential=lambda: None)
