"""The app's identity for Fabric: azure-identity's credentials behind one cache that renews a token before its end.

azure-identity takes long to import, so it is imported when the first credential is built.
"""

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from shared.adapters.causes import log_cause
from shared.adapters.connections import azure_transport, no_connection
from shared.adapters.fabric.service_principal import Proof, ServicePrincipal
from shared.domain.address import AddressError, read
from shared.domain.errors import (
    FabricAuthError,
    FabricError,
    FabricTransientError,
    SecretError,
    SecretNotFoundError,
    VaultAuthError,
    VaultUnavailableError,
)

log = logging.getLogger(__name__)

SCOPE = "https://api.fabric.microsoft.com/.default"
"""The scope of the Fabric REST API (fabric-cicd and fabric-cli ask for the same)."""
REFRESH_BEFORE_SECONDS = 300.0
"""A token is renewed this long before it ends, so that none ends during a call."""
RETRY_SECONDS = 15.0
"""How long a failed renewal is not tried again while the old token is valid."""
VAULT_WAIT_SECONDS, MAX_VAULT_WAIT_SECONDS = 10.0, 300.0
"""When a step comes back after the vault did not respond: at its Retry-After, within these bounds."""
SIMULATOR_IDENTITY = "00000000-0000-0000-0000-00000000c1c1"


class Credential(Protocol):
    """The method of azure.core's TokenCredential that is used."""

    def get_token(self, *scopes: str) -> Any:
        """Return an access token with `.token` and `.expires_on` (epoch seconds)."""
        ...


class SimulatorCredential:
    """Makes tokens that only the simulator accepts: `sim.<identity>.<expiry>`. Raises ValueError for any other host."""

    def __init__(self, base_url: str, identity: str = SIMULATOR_IDENTITY, life_seconds: float = 3600.0) -> None:
        if not _is_loopback(base_url):
            raise ValueError("FABRIC_CREDENTIAL=simulator is for a simulator on this machine only")
        self._identity = str(uuid.UUID(identity))
        self._life = life_seconds

    def get_token(self, *scopes: str) -> Any:
        """Return a token that is valid for `life_seconds`."""
        expires = int(time.time() + self._life)
        return _SimulatorToken(f"sim.{self._identity}.{expires}", expires)


def _is_loopback(url: str) -> bool:
    try:
        return read(url).is_loopback
    except AddressError:
        return False


class _SimulatorToken:
    def __init__(self, token: str, expires_on: int) -> None:
        self.token = token
        self.expires_on = expires_on


def build_credential(
    kind: str,
    *,
    base_url: str,
    tenant_id: str = "",
    client_id: str = "",
    proof: Proof | None = None,
    certificate_path: str = "",
    authority: str = "",
) -> Credential:
    """Return a credential of a kind: `service_principal` (by `proof`, or by the certificate in a file),
    `managed_identity`, `default` or `simulator`.

    Raises FabricAuthError, which names all that is missing and never contains a secret, and VaultUnavailableError.
    """
    if kind == "simulator":
        return SimulatorCredential(base_url)
    # They log the full answers of the sign-in service; TokenSource reports what is safe of them.
    for vendor in ("azure.identity", "msal"):
        logging.getLogger(vendor).setLevel(logging.CRITICAL)
    import azure.identity as identity

    if kind == "managed_identity":
        return identity.ManagedIdentityCredential(client_id=client_id or None, transport=azure_transport())
    if kind == "default":
        # No browser and no prompt, because a function has no user.
        # The public cloud, which would be asked about an authority, knows Microsoft's only, and may be out of reach.
        return identity.DefaultAzureCredential(
            exclude_interactive_browser_credential=True,
            disable_instance_discovery=bool(authority),
            transport=azure_transport(),
        )
    missing = [name for name, value in (("AZURE_TENANT_ID", tenant_id), ("AZURE_CLIENT_ID", client_id)) if not value]
    if not certificate_path:
        missing += _missing_proof(proof)
    if missing:
        raise FabricAuthError(f"FABRIC_CREDENTIAL=service_principal needs {', '.join(missing)}", call="sign in")
    if certificate_path or proof is None:
        return identity.CertificateCredential(tenant_id, client_id, certificate_path, transport=azure_transport())
    return ServicePrincipal(tenant_id, client_id, proof, authority)


def _missing_proof(proof: Proof | None) -> list[str]:
    """Return what to name as missing if neither secret nor certificate is available."""
    try:
        if proof is not None:
            proof.read()
            return []
    except SecretNotFoundError as error:
        return [f"a secret or AZURE_CLIENT_CERTIFICATE_PATH ({error})"]
    return ["AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH"]


class TokenSource:
    """One token for all threads. One thread renews it before it ends; the others use the old one while it is valid."""

    def __init__(
        self,
        credential: Callable[[], Credential],
        scope: str = SCOPE,
        *,
        refresh_before_seconds: float = REFRESH_BEFORE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._make = credential
        self._scope = scope
        self._refresh_before = refresh_before_seconds
        self._now = now
        self._lock = threading.Lock()
        self._credential: Credential | None = None
        self._token = ""
        self._expires = 0.0
        self._quiet_until = 0.0

    def token(self) -> str:
        """Return a valid token. Raises FabricAuthError if the sign-in is refused, FabricTransientError if it cannot be
        made now."""
        token, expires, now = self._token, self._expires, self._now()
        if token and (now < expires - self._refresh_before or now < min(expires, self._quiet_until)):
            return token
        # While one thread renews the token, the others use the old one as long as it is valid.
        if not self._lock.acquire(blocking=not (token and now < expires)):
            return token
        try:
            if self._token != token or (self._token and self._now() < self._expires - self._refresh_before):
                return self._token or self._renewed()
            return self._renewed()
        finally:
            self._lock.release()

    def check(self) -> None:
        """Raise as `token` does, for a monitor. A valid token is not renewed here: a sign-in that hangs would exceed
        the monitor's time limit, and a working app would be reported as failing."""
        if not self._token or self._now() >= self._expires:
            self.token()

    def invalidate(self, token: str) -> None:
        """Forget a token that Fabric refused, unless another thread has renewed it already."""
        with self._lock:
            if self._token == token:
                # The credential too, because azure-identity caches tokens and would return the refused one again.
                self._token, self._expires, self._credential = "", 0.0, None

    def _renewed(self) -> str:
        try:
            if self._credential is None:
                self._credential = self._make()
            found = self._credential.get_token(self._scope)
        except Exception as error:
            failure = _failure(error)
            if self._token and self._now() < self._expires:
                log.warning("%s; the token of before serves while it lives", failure)
                self._quiet_until = self._now() + RETRY_SECONDS
                return self._token
            raise log_cause(failure, error) from None
        self._token, self._expires, self._quiet_until = found.token, float(found.expires_on), 0.0
        return self._token


def _failure(error: Exception) -> FabricError:
    """Return the app's error for a failed sign-in. azure-identity's texts are long and quote requests, so only the type
    of the error and Entra's code are kept."""
    if isinstance(error, FabricError):
        return error
    if isinstance(error, VaultUnavailableError) and not isinstance(error, VaultAuthError):
        # Fabric was not called, so this does not count as an attempt; the step's own timeout bounds the wait.
        wait = min(MAX_VAULT_WAIT_SECONDS, max(VAULT_WAIT_SECONDS, error.retry_after_seconds or 0.0))
        return FabricTransientError(str(error), call="sign in", retry_after_seconds=wait, counts_as_attempt=False)
    if isinstance(error, SecretError):
        return FabricAuthError(str(error), call="sign in")
    kind = type(error).__name__
    if why := no_connection(error):
        return FabricTransientError(why, call="sign in")
    if kind in ("ServiceRequestError", "ServiceResponseError", "ServiceRequestTimeoutError"):
        return FabricTransientError(f"the sign-in service does not answer ({kind})", call="sign in")
    code = re.search(r"AADSTS[0-9]{4,8}", str(error))
    text = f"{kind}, {code[0]}" if code else kind
    return FabricAuthError(
        f"no token could be had ({text}): check tenant, client id, secret or identity", call="sign in"
    )
