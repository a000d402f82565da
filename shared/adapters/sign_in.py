"""Verifies the tokens that Microsoft Entra ID signed for callers of this app. Only a signature proves a caller; nothing
else in a request is believed.

The claims are those of https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference.
The checks are those of https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens.
"""

import logging
import threading
import time
from collections.abc import Callable

import jwt
import requests

from shared.adapters.causes import log_cause
from shared.adapters.connections import EnvironmentSession, no_connection
from shared.domain.access import Caller, Role
from shared.domain.errors import SignInError, SignInUnavailableError
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.printable import escaped

log = logging.getLogger(__name__)

PUBLIC_CLOUD = "https://login.microsoftonline.com"
KEYS_SECONDS = 24 * 3600.0
"""How long Entra's keys are used. Entra announces new keys long before it signs with them."""
REFRESH_SECONDS, RETRY_SECONDS = 60.0, 5.0
"""Unknown keys, which anybody can name in a forged token, make the keys be read again at most this often; and without
any keys, the sign-in service is asked at most this often."""
LEEWAY_SECONDS = 60.0
"""How far Entra's clock and this machine's may differ."""
MAX_TOKEN = 16_000
"""Characters. App Service passes headers of at most 64 KiB in total; a token with 200 groups has about 10,000."""
_TIMEOUTS_SECONDS = (5.0, 10.0)
_NAMES = ("preferred_username", "upn", "app_displayname", "name", "azp", "appid")


def read_json(url: str) -> JsonObject:
    """Return a JSON document of Entra. Raises SignInUnavailableError."""
    try:
        with EnvironmentSession() as session:
            answer = session.get(url, timeout=_TIMEOUTS_SECONDS, allow_redirects=False)
        found = as_object(answer.json()) if answer.status_code == 200 else None
    except (requests.RequestException, ValueError) as error:
        why = no_connection(error) or type(error).__name__
        raise log_cause(SignInUnavailableError(f"the sign-in service cannot be read: {why}"), error) from None
    if found is None:
        raise SignInUnavailableError(f"the sign-in service answers {answer.status_code} for its keys")
    return found


class TokenVerifier:
    """Verifies tokens for one app registration of one tenant. Safe for several threads."""

    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        authority: str = PUBLIC_CLOUD,
        *,
        read: Callable[[str], JsonObject] = read_json,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenant = tenant_id
        self._audiences = [client_id, f"api://{client_id}"]
        self._authority = (authority or PUBLIC_CLOUD).rstrip("/")
        self._read, self._now = read, now
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._issuers: list[str] = []
        self._read_at = self._tried_at = float("-inf")

    def verify(self, token: str) -> Caller:
        """Return the caller whom a token proves.

        Raises SignInError if it proves nobody, and SignInUnavailableError if Entra's keys cannot be read now.
        """
        try:
            if len(token) > MAX_TOKEN:
                raise SignInError(f"the token has more than {MAX_TOKEN} characters")
            key = self._key(str(jwt.get_unverified_header(token).get("kid") or ""))
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._audiences,
                issuer=self._issuers,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:  # the header of an HTTP request may be any bytes
            raise SignInError(_reason(error)) from None
        if claims.get("tid") not in (None, self._tenant):
            raise SignInError("the token is from another tenant")
        return caller_of(claims)

    def check(self) -> None:
        """Read the keys if they are old. Raises SignInUnavailableError, for a monitor."""
        if self._age(self._read_at) >= KEYS_SECONDS:
            self._refresh()

    def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys or self._age(self._read_at) >= KEYS_SECONDS:
            self._refresh()
        if key_id not in self._keys:
            raise SignInError("the token is not signed with a key of this tenant")
        return self._keys[key_id]

    def _refresh(self) -> None:
        """Read the keys, unless that was tried a moment ago. Callers whose key is known do not wait for this.

        Raises SignInUnavailableError if there are no keys.
        """
        with self._lock:
            if self._age(self._tried_at) < (REFRESH_SECONDS if self._keys else RETRY_SECONDS):
                if not self._keys:
                    raise SignInUnavailableError("the sign-in service could not be read a moment ago; try again")
                return
            self._tried_at = self._now()
            try:
                self._keys, self._issuers = self._fetched()
                self._read_at = self._now()
            except SignInUnavailableError as error:
                if not self._keys:
                    raise
                log.warning("%s; the keys of before serve", error)

    def _age(self, moment: float) -> float:
        return self._now() - moment

    def _fetched(self) -> tuple[dict[str, jwt.PyJWK], list[str]]:
        base = f"{self._authority}/{self._tenant}"
        document = self._read(f"{base}/v2.0/.well-known/openid-configuration")
        rows = as_list(self._read(str(document.get("jwks_uri"))).get("keys")) or []
        found = [(row["kid"], _signing_key(row)) for row in rows if _is_signing_key(row)]
        keys = {key_id: key for key_id, key in found if key is not None}
        if not keys:
            raise SignInUnavailableError("the sign-in service has no key that signs tokens")
        # A registration that accepts tokens of version 1 gets them with the issuer of version 1.
        return keys, [str(document.get("issuer")), f"https://sts.windows.net/{self._tenant}/"]


def _is_signing_key(row: object) -> bool:
    key = as_object(row) or {}
    return key.get("kty") == "RSA" and key.get("use", "sig") == "sig" and isinstance(key.get("kid"), str)


def _signing_key(row: JsonObject) -> jwt.PyJWK | None:
    """Return a key that Entra publishes; None for one that cannot be read, because the others still serve."""
    try:
        return jwt.PyJWK(row, "RS256")
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        log.warning("a key of the sign-in service cannot be read: %s", type(error).__name__)
        return None


def caller_of(claims: JsonObject) -> Caller:
    """Return the caller that verified claims describe. Raises SignInError if they name nobody.

    A token of a person with too many groups has `_claim_names` in place of `groups`.
    """
    object_id = claims.get("oid")
    if not isinstance(object_id, str) or not object_id:
        raise SignInError("the token has no object id (claim oid)")
    names = [str(claims[name]) for name in _NAMES if isinstance(claims.get(name), str) and claims[name]]
    roles = {word for word in as_list(claims.get("roles")) or [] if isinstance(word, str)}
    groups = {group.lower() for group in as_list(claims.get("groups")) or [] if isinstance(group, str)}
    is_overage = "groups" in (as_object(claims.get("_claim_names")) or {}) or claims.get("hasgroups") in (True, "true")
    return Caller(
        name=escaped((names or [object_id])[0].strip())[:256],
        object_id=object_id.lower(),
        roles=frozenset(role for role in Role if role.value in roles),
        groups=frozenset(groups),
        has_all_groups=not is_overage,
    )


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired; sign in again"),
    (jwt.ImmatureSignatureError, "the token is not valid yet; compare the clocks"),
    (jwt.InvalidAudienceError, "the token is for another application: ask for the scope of this app's registration"),
    (jwt.InvalidIssuerError, "the token is from another tenant"),
    (jwt.InvalidSignatureError, "the token's signature is not valid"),
    (jwt.MissingRequiredClaimError, "the token lacks a claim that every token of Entra has"),
)


def _reason(error: Exception) -> str:
    """Return a reason that quotes nothing of the token."""
    return next((text for kind, text in _REASONS if isinstance(error, kind)), "it is not a token of Entra")
