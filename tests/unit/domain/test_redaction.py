"""Text that looks like a secret is masked; text that helps a person to find the fault stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import FabricRefusedError
from shared.domain.redaction import MASK, redacted
from tests.growth import is_linear

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0B\n-----END PRIVATE KEY-----"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("AccountName=a;AccountKey=bXkgc2VjcmV0IGtleQ==;EndpointSuffix=x", "bXkgc2VjcmV0IGtleQ"),
        ("Authorization: Bearer sim.someone.1234567890 was refused", "sim.someone.1234567890"),
        ("SharedKey devstoreaccount1:abcdef0123=", "devstoreaccount1:abcdef0123"),
        ("https://a.blob.core.windows.net/c/b?sv=2025&sig=abc%2Fdef%3D&se=1", "abc%2Fdef%3D"),
        ('{"client_secret": "hunter2~x"}', "hunter2~x"),
        ('{\\"client_secret\\": \\"hunter2~x\\"}', "hunter2~x"),
        ("client_id=1&client_secret=hunter2~x&grant_type=g", "hunter2~x"),
        ("{'client_secret': 'hunter2~x', 'scope': 's'}", "hunter2~x"),
        ("x-functions-key: abcDEF123_-==", "abcDEF123_-"),
        (f"the token {JWT} is not valid", "eyJzdWIiOiIxMjM0In0"),
        (f"the key is {PEM} and no other", "kqhkiG9w0B"),
        ("cut off: -----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBg", "MIIEvQIBADANBg"),
    ],
)
def test_text_that_looks_like_a_secret_is_masked(text: str, hidden: str) -> None:
    """A secret is found in the forms that connection strings, requests, addresses and keys have."""
    assert hidden in text
    assert hidden not in redacted(text)
    assert "***" in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "The item type CrystalBall is not valid.",
        "RequestId 932867d7-d6a6-4353-9611-8814ce88f3e7, capacity fad9d3a9-0000-1111-2222-333344445555",
        "The access token is missing.",
        "Access token has expired, resubmit with a new access token",
        "the step's secretName and passwordless sign-in",
    ],
)
def test_helpful_text_stays(text: str) -> None:
    """Fabric's messages, ids, and words that only sound like secrets are unchanged."""
    assert redacted(text) == text


@given(st.text())
def test_redaction_accepts_any_text_and_is_stable(text: str) -> None:
    """A redacted text is not changed again."""
    assert redacted(redacted(text)) == redacted(text)


def test_message_of_fabric_is_redacted_before_it_is_recorded() -> None:
    """The error for the journal, the log and the page is masked already."""
    error = FabricRefusedError(f"no: Bearer {JWT}", call="GET /x", status=400)
    assert "eyJ" not in error.detail + str(error)


@pytest.mark.parametrize("piece", ["eyJ-", "eyJabcdefgh-", "-----BEGIN ", "sig ", "bearer "])
def test_redaction_is_linear_in_the_text(piece: str) -> None:
    """A text of nothing but beginnings of secrets: a search from each of them takes four times as long for twice the
    text."""
    assert is_linear(lambda size: redacted(piece * size), 5_000)
    assert redacted(f"{piece * 3} {JWT}").endswith(f" {MASK}")
