"""A service principal whose secret or certificate may change while the app runs. Satisfies `Credential`."""

import base64
import binascii
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ClientAuthenticationError

from shared.adapters.connections import azure_transport
from shared.domain.address import read
from shared.domain.secrets import Secret

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proof:
    """The principal's secret or certificate: `read` returns the cached value, `refresh` reads it from its source. A
    certificate is PEM with its private key, or PKCS #12 in base64, as Key Vault returns its certificates."""

    read: Callable[[], Secret]
    refresh: Callable[[], Secret]
    is_certificate: bool = False


class ServicePrincipal:
    """Signs in with the current secret; a new secret gets a new credential. A refused secret is read again from its
    source, once, before the refusal counts. `authority` is that of another cloud; empty: azure-identity's default.
    """

    def __init__(self, tenant_id: str, client_id: str, proof: Proof, authority: str = "") -> None:
        self._tenant_id = tenant_id
        self._client_id = client_id
        self._proof = proof
        self._options: dict[str, Any] = {"transport": azure_transport()}
        if authority:
            self._options["authority"] = authority
        if "://" in authority and read(authority).is_loopback:
            # A local substitute, which is not in Microsoft's list of authorities.
            self._options["disable_instance_discovery"] = True
        self._held: tuple[Secret, Any] | None = None

    def get_token(self, *scopes: str) -> Any:
        """Return an access token. Raises subclasses of SecretError, and azure-identity's errors."""
        secret = self._proof.read()
        try:
            return self._signing_in_with(secret).get_token(*scopes)
        except (ClientAuthenticationError, ValueError):  # refused, or not a certificate
            newer = self._proof.refresh()
            if newer == secret:
                raise
        log.info("what client %s signs in with was rotated; the new one is taken", self._client_id)
        return self._signing_in_with(newer).get_token(*scopes)

    def _signing_in_with(self, secret: Secret) -> Any:
        held = self._held
        if held is None or held[0] != secret:
            held = self._held = (secret, self._credential(secret))
        return held[1]

    def _credential(self, secret: Secret) -> Any:
        import azure.identity as identity

        if self._proof.is_certificate:
            return identity.CertificateCredential(
                self._tenant_id, self._client_id, certificate_data=_certificate(secret), **self._options
            )
        return identity.ClientSecretCredential(self._tenant_id, self._client_id, secret.reveal(), **self._options)


def _certificate(secret: Secret) -> bytes:
    text = secret.reveal()
    if "-----BEGIN" in text:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("the certificate is neither PEM nor PKCS #12 in base64") from None
