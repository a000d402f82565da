"""Secrets from Azure Key Vault, by azure-keyvault-secrets. Implements `SecretSource`; the vendor's errors end here.

The SDK is imported when the first secret is read. It uses https only, and sends its token only to a host inside the
domain that the vault's challenge names. A local substitute on loopback has no domain, so this check is off there.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from shared.adapters.causes import log_cause
from shared.adapters.connections import azure_transport, no_connection
from shared.domain.address import read
from shared.domain.errors import SecretNotFoundError, VaultAuthError, VaultUnavailableError
from shared.domain.json import as_object
from shared.domain.secrets import Secret

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

_PROBE = "health-probe"
"""A name that need not exist: the answer "not found" proves that address, sign-in and role are right."""
_UNUSABLE = frozenset({"SecretDisabled", "SecretNotYetValid", "SecretExpired"})


class KeyVaultSecrets:
    """One vault. Thread-safe. No request is sent before the first secret is read."""

    def __init__(
        self,
        url: str,
        credential: Callable[[], Any],
        *,
        connect_seconds: float = 3.0,
        read_seconds: float = 4.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url
        self._credential = credential
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._now = now
        self._lock = threading.Lock()
        self._client: SecretClient | None = None

    def fetch(self, name: str) -> Secret:
        """Return the latest version of a secret. Raises SecretNotFoundError (missing, disabled, expired, not valid
        yet), VaultAuthError, VaultUnavailableError. Takes at most about fifteen seconds, and never waits for a
        Retry-After."""
        with _mapped(f"secret '{name}'"):
            found = self._connected().get_secret(name)
        about = found.properties
        # Key Vault returns secrets outside their dates, for recovery; a sign-in with one is refused later, unclearly.
        if about.expires_on is not None and about.expires_on <= self._now():
            raise SecretNotFoundError(f"secret '{name}' expired at {about.expires_on:%Y-%m-%d %H:%M} UTC in the vault")
        if about.not_before is not None and about.not_before > self._now():
            raise SecretNotFoundError(f"secret '{name}' is valid from {about.not_before:%Y-%m-%d %H:%M} UTC only")
        if not found.value:
            raise SecretNotFoundError(f"secret '{name}' is empty in the vault")
        return Secret(found.value)

    def ping(self) -> None:
        """Read one secret. Raises VaultAuthError, VaultUnavailableError; a missing secret is a healthy answer."""
        try:
            self.fetch(_PROBE)
        except SecretNotFoundError:
            return

    def _connected(self) -> "SecretClient":
        with self._lock:
            if self._client is None:
                from azure.keyvault.secrets import SecretClient

                self._client = SecretClient(
                    self._url,
                    self._credential(),
                    transport=azure_transport(self._connect_seconds, self._read_seconds),
                    verify_challenge_resource=not read(self._url).is_loopback,
                    # A worker never sleeps: a Retry-After of the vault is raised as an error at once.
                    retry_total=1,
                    retry_status=0,
                    retry_backoff_factor=0.2,
                    logging_enable=False,
                )
            return self._client


@contextmanager
def _mapped(what: str) -> Generator[None]:
    """Turn the vendor's errors into the app's, in one line, without addresses, tokens or values."""
    try:
        yield
    except (AzureError, ValueError) as error:
        raise log_cause(_own_error(what, error), error) from None


def _own_error(what: str, error: AzureError | ValueError) -> SecretNotFoundError | VaultUnavailableError:
    if isinstance(error, ResourceNotFoundError):
        return SecretNotFoundError(f"{what} is not in the vault")
    if isinstance(error, HttpResponseError):
        status, code, inner = _codes(error)
        if inner in _UNUSABLE:
            return SecretNotFoundError(f"{what} may not be used: {inner} in the vault")
        if status in (401, 403) or isinstance(error, ClientAuthenticationError):
            answer = f"HTTP {status} {inner or code}" if status else type(error).__name__
            return VaultAuthError(
                f"{what}: the vault, or the sign-in to it, refuses ({answer}): grant the app's identity the role "
                "'Key Vault Secrets User', and let the vault's firewall admit it"
            )
        text = f"{what}: the vault answers HTTP {status} {code}"
        return VaultUnavailableError(text, retry_after_seconds=_retry_after(error))
    # ValueError: the challenge names another domain than the vault's address.
    reason = no_connection(error) or f"the vault does not answer ({type(error).__name__})"
    return VaultUnavailableError(f"{what}: {reason}")


def _codes(error: HttpResponseError) -> tuple[int | None, str, str]:
    """Return status, error code and inner code; a code that is not one plain word is empty."""
    inner = as_object(getattr(error.error, "innererror", None)) or {}
    return error.status_code, _word(getattr(error.error, "code", None)), _word(inner.get("code"))


def _word(text: object) -> str:
    return text if isinstance(text, str) and text.isalnum() and len(text) <= 64 else ""


def _retry_after(error: HttpResponseError) -> float | None:
    headers: Any = getattr(error.response, "headers", None)
    text = "" if headers is None else str(headers.get("Retry-After", ""))
    return float(text) if text.isdigit() and len(text) < 6 else None
