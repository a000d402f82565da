"""Reads the object id from an access token. It is the app's own token, so its signature need not be verified."""

import base64
import json

from shared.domain.fields import GUID
from shared.domain.json import as_object


def identity_of(token: str) -> str:
    """Return the object id in the token, in lower case; empty if the token does not contain it.

    Entra's tokens are JWTs with the claim `oid`, for a user, a service principal and a managed identity alike; the
    simulator's are `sim.<object id>.<expiry>`.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    identity = parts[1] if parts[0] == "sim" else _claim(parts[1])
    return identity.lower() if GUID.fullmatch(identity) else ""


def _claim(payload: str) -> str:
    try:
        claims = as_object(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    except (ValueError, RecursionError):
        return ""
    return str((claims or {}).get("oid", ""))
