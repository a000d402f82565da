"""Entra's token endpoint for service principals (secret or certificate), the keys and the tokens of the app's callers,
and a function app's identity endpoint."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from local.fabric_simulator.http import Answer, Request

IDENTITY_PATH = "/msi/token"


@dataclass
class Client:
    """An application with its accepted secrets and certificates. A rotation adds one, and removes the old one later."""

    secrets: list[str] = field(default_factory=lambda: list[str]())
    certificates: list[str] = field(default_factory=lambda: list[str]())
    """As PEM, without the private key."""
    roles: list[str] = field(default_factory=lambda: list[str]())
    """The app roles that its tokens for an application have."""


class SigningKey:
    """One of the tenant's keys, as its discovery document publishes them."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id

    @cached_property
    def _private(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def public(self) -> dict[str, Any]:
        """Return the public key as a row of the key set."""
        row: dict[str, Any] = RSAAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        return {**row, "kid": self.key_id, "use": "sig"}

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a token with these claims."""
        return jwt.encode(claims, self._private, "RS256", headers={"kid": self.key_id})


@dataclass
class Entra:
    """Issues tokens for Fabric, in the form that the simulator reads, and for the vault."""

    url: str
    identity_header: str = ""
    life_seconds: int = 3600
    now: Callable[[], float] = time.time
    clients: dict[str, Client] = field(default_factory=lambda: dict[str, Client]())
    issued: list[str] = field(default_factory=lambda: list[str]())
    """Every issued token, for tests that search for tokens where none may be."""
    signing_keys: dict[str, "SigningKey"] = field(default_factory=lambda: {"key-1": SigningKey("key-1")})
    """The keys that the tenant publishes, by their id. The last one signs."""
    echoes: bool = False
    """If True, a refusal quotes the request. No real service should do that, and the app must not emit any of it."""

    def accepts_vault_token(self, token: str) -> bool:
        """Return True if the token was issued for the vault and has not expired."""
        kind, _, expiry = token.partition(".")
        return kind == "vlt" and expiry.isdigit() and int(expiry) > self.now()

    def sign_in(self, tenant: str, client_id: str, **claims: Any) -> str:
        """Return a token of version 2 for a caller of the app, signed with the newest key. `claims` (`oid`, `roles`,
        `groups`, ...) are added, and None removes one. Source of the form:
        https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference."""
        now = int(self.now())
        made = {
            "aud": client_id,
            "iss": f"{self.url}/{tenant}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + self.life_seconds,
            "tid": tenant,
            "ver": "2.0",
        }
        kept = {name: value for name, value in {**made, **claims}.items() if value is not None}
        self.issued.append(list(self.signing_keys.values())[-1].sign(kept))
        return self.issued[-1]

    def handle(self, request: Request) -> Answer:
        """Answer OpenID discovery, the token endpoint of any tenant, and the identity endpoint."""
        if request.path == IDENTITY_PATH:
            return self._identity(request)
        tenant, _, rest = request.path.strip("/").partition("/")
        if rest == "v2.0/.well-known/openid-configuration":
            base = f"{self.url}/{tenant}/oauth2/v2.0"
            endpoints = {
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "jwks_uri": f"{self.url}/{tenant}/discovery/v2.0/keys",
            }
            return Answer(200, {"issuer": f"{self.url}/{tenant}/v2.0", **endpoints})
        if rest == "discovery/v2.0/keys":
            return Answer(200, {"keys": [key.public() for key in self.signing_keys.values()]})
        if request.method == "POST" and rest == "oauth2/v2.0/token":
            return self._token(tenant, {k: v[0] for k, v in parse_qs(request.body.decode()).items()})
        return Answer(404, {"error": "not_found"})

    def _token(self, tenant: str, form: dict[str, str]) -> Answer:
        client = self.clients.get(form.get("client_id", ""))
        if client is None:
            return _refused("unauthorized_client", "AADSTS700016: Application was not found in the directory.")
        if "client_assertion" in form:
            if not self._is_signed(client, form["client_assertion"]):
                return self._invalid(
                    "AADSTS700027: The certificate with identifier used to sign is not registered.", form
                )
        elif form.get("client_secret") not in client.secrets:
            return self._invalid("AADSTS7000215: Invalid client secret provided.", form)
        scope, client_id = form.get("scope", ""), form["client_id"]
        if scope.startswith("api://"):
            audience = scope.removeprefix("api://").removesuffix("/.default")
            token = self.sign_in(tenant, audience, oid=client_id, azp=client_id, idtyp="app", roles=client.roles)
        else:
            token = self._issue(scope, client_id)
        return Answer(200, {"token_type": "Bearer", "expires_in": self.life_seconds, "access_token": token})

    def _identity(self, request: Request) -> Answer:
        if not self.identity_header or request.headers.get("x-identity-header") != self.identity_header:
            return Answer(401, {"statusCode": 401, "message": "The identity header is missing or wrong."})
        resource = request.query.get("resource", "")
        token, expires_on = self._issue(resource, "managed-identity"), int(self.now()) + self.life_seconds
        return Answer(
            200, {"access_token": token, "expires_on": str(expires_on), "resource": resource, "token_type": "Bearer"}
        )

    def _issue(self, scope: str, client_id: str) -> str:
        expiry = int(self.now()) + self.life_seconds
        is_for_vault = scope.startswith("https://vault.azure.net")
        self.issued.append(f"vlt.{expiry}" if is_for_vault else f"sim.{client_id}.{expiry}")
        return self.issued[-1]

    def _invalid(self, description: str, form: dict[str, str]) -> Answer:
        return _refused("invalid_client", f"{description} {form}" if self.echoes else description)

    def _is_signed(self, client: Client, assertion: str) -> bool:
        for pem in client.certificates:
            key: Any = x509.load_pem_x509_certificate(pem.encode()).public_key()
            try:
                jwt.decode(assertion, key, ["RS256", "PS256"], options={"verify_aud": False})
            except jwt.PyJWTError:
                continue
            return True
        return False


def _refused(error: str, description: str) -> Answer:
    return Answer(401, {"error": error, "error_description": description, "error_codes": [7000215]})
