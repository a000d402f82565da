"""Who we are to Fabric: azure-identity's credentials behind one cache that renews before the end.

azure-identity is heavy, so it is imported when the first credential is built and not before.
"""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from shared.domain.errors import FabricAuthError, FabricTransientError

SCOPE = "https://api.fabric.microsoft.com/.default"
"""The scope of the Fabric REST API (fabric-cicd and fabric-cli ask for the same)."""
REFRESH_BEFORE_SECONDS = 300.0
"""A token is renewed this long before it ends, so that none ends under way."""
SIMULATOR_IDENTITY = "00000000-0000-0000-0000-00000000c1c1"


class Credential(Protocol):
    """The part of azure.core's TokenCredential that is used."""

    def get_token(self, *scopes: str) -> Any:
        """An access token: `.token` and `.expires_on` (epoch seconds)."""
        ...


class SimulatorCredential:
    """Tokens that only the simulator takes: `sim.<identity>.<expiry>`. Refuses to exist for any other host."""

    def __init__(self, base_url: str, identity: str = SIMULATOR_IDENTITY, life_seconds: float = 3600.0) -> None:
        if urlsplit(base_url).hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError("FABRIC_CREDENTIAL=simulator is for a simulator on this machine only")
        self._identity = str(uuid.UUID(identity))
        self._life = life_seconds

    def get_token(self, *scopes: str) -> Any:
        """A token that lives for `life_seconds`."""
        expires = int(time.time() + self._life)
        return _SimulatorToken(f"sim.{self._identity}.{expires}", expires)


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
    client_secret: Callable[[], str] = lambda: "",
    certificate_path: str = "",
) -> Credential:
    """`service_principal` (secret or certificate), `managed_identity`, `default`, or `simulator`.

    Raises FabricAuthError naming the setting that is missing; never with a secret in it.
    """
    if kind == "simulator":
        return SimulatorCredential(base_url)
    import azure.identity as identity

    if kind == "managed_identity":
        return identity.ManagedIdentityCredential(client_id=client_id or None)
    if kind == "default":
        # No browser and no prompt: nobody sits in front of a function.
        return identity.DefaultAzureCredential(exclude_interactive_browser_credential=True)
    missing = [name for name, value in (("AZURE_TENANT_ID", tenant_id), ("AZURE_CLIENT_ID", client_id)) if not value]
    secret = client_secret()
    if not secret and not certificate_path:
        missing.append("AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH")
    if missing:
        raise FabricAuthError(f"FABRIC_CREDENTIAL=service_principal needs {', '.join(missing)}", call="sign in")
    if certificate_path:
        return identity.CertificateCredential(tenant_id, client_id, certificate_path)
    return identity.ClientSecretCredential(tenant_id, client_id, secret)


class TokenSource:
    """One token for all threads: renewed by one of them before it ends, the old one serving while it lives."""

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

    def token(self) -> str:
        """A token that lives. Raises FabricAuthError where none can be had."""
        token, expires = self._token, self._expires
        if token and self._now() < expires - self._refresh_before:
            return token
        # While one thread renews, the others go on with what still lives.
        if not self._lock.acquire(blocking=not (token and self._now() < expires)):
            return token
        try:
            if self._token != token or (self._token and self._now() < self._expires - self._refresh_before):
                return self._token or self._renewed()
            return self._renewed()
        finally:
            self._lock.release()

    def invalidate(self, token: str) -> None:
        """Fabric refused it: forget it, unless another thread has renewed it already."""
        with self._lock:
            if self._token == token:
                self._token, self._expires = "", 0.0

    def _renewed(self) -> str:
        try:
            if self._credential is None:
                self._credential = self._make()
            found = self._credential.get_token(self._scope)
        except FabricAuthError:
            raise
        except Exception as error:
            if self._token and self._now() < self._expires:
                return self._token
            # azure-identity's texts are long and quote requests; the kind of the error is what helps.
            kind = type(error).__name__
            if kind in ("ServiceRequestError", "ServiceResponseError", "ServiceRequestTimeoutError"):
                raise FabricTransientError(f"the sign-in service does not answer ({kind})", call="sign in") from None
            raise FabricAuthError(
                f"no token could be had ({kind}): check tenant, client id, secret or identity", call="sign in"
            ) from None
        self._token, self._expires = found.token, float(found.expires_on)
        return self._token
