"""The identity that a token was issued for, read from the token."""

import base64
import json
from typing import Any

import pytest

from shared.adapters.fabric.token_identity import identity_of

OID = "0F3F6F0E-52a4-4a35-9d4e-7f2f4f6a1c01"


def _jwt(claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize("padding", ["", "x", "xx", "xxx"])
def test_identity_is_the_object_id_in_the_token(padding: str) -> None:
    """It is the claim `oid` of a JWT, or the middle part of a simulator token; ids are compared in lower case."""
    assert identity_of(_jwt({"oid": OID, "name": f"ü{padding}"})) == OID.lower()
    assert identity_of(f"sim.{OID}.99999999999") == OID.lower()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b",
        "a.b.c",
        "a.!.c",
        "a.W10.c",
        "a.bnVsbA.c",
        _jwt({}),
        _jwt({"oid": 7}),
        _jwt({"oid": "me"}),
        _jwt([]),
    ],
)
def test_identity_that_a_token_does_not_contain_is_empty(token: str) -> None:
    """Then no principal counts as the app's own."""
    assert identity_of(token) == ""
