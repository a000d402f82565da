"""Leads the peers' requests to the simulator, and signs them in. Runs in the peers' environment.

The peers are not changed: their HTTP library sends each request for a host of Microsoft to a port of this machine, and
refuses every other host. The tokens are signed with a key that is made here, and which stands in for Microsoft Entra's;
the simulator receives its own form of token.
"""

import base64
import io
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

ME = "5a6a0000-1111-4000-8000-000000000001"
TENANT = "5a6a0000-1111-4000-8000-000000000002"
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_API = ("api.fabric.microsoft.com", "api.powerbi.com")
_OPERATIONS = "wabi-simulated-redirect.analysis.windows.net"
_ENTRA = "login.microsoftonline.com"
_send = requests.adapters.HTTPAdapter.send


def token(audience: str) -> str:
    """Return a token for an audience, as Microsoft Entra would sign it."""
    now = int(time.time())
    claims = {"aud": audience, "oid": ME, "tid": TENANT, "iat": now, "exp": now + 3600, "upn": "me@contoso.example"}
    return jwt.encode(claims, _KEY, algorithm="RS256", headers={"kid": "peers"})


def lead_to(port: int, operations_port: int) -> None:
    """Send all requests of this process to these ports."""

    def send(adapter: Any, request: Any, **options: Any) -> Any:
        parts = urlsplit(request.url)
        if parts.hostname == _ENTRA:
            return _entra(request)
        if parts.hostname in _API:
            at = port
        elif parts.hostname == _OPERATIONS or parts.netloc == f"127.0.0.1:{operations_port}":
            at = operations_port
        else:
            raise requests.ConnectionError(f"{request.method} {request.url} would leave this machine")
        request.url = parts._replace(scheme="http", netloc=f"127.0.0.1:{at}").geturl()
        request.headers["Authorization"] = f"Bearer sim.{ME}.{int(time.time()) + 3600}"
        options |= {"verify": False, "proxies": {}}
        return _send(adapter, request, **options)

    requests.adapters.HTTPAdapter.send = send


def _number(value: int) -> str:
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _entra(request: Any) -> Any:
    """Return the answer to a question for Microsoft Entra's keys or configuration."""
    numbers = _KEY.public_key().public_numbers()
    key = {"kty": "RSA", "use": "sig", "kid": "peers", "n": _number(numbers.n), "e": _number(numbers.e)}
    body = {"keys": [key], "jwks_uri": f"https://{_ENTRA}/keys", "issuer": f"https://{_ENTRA}/{TENANT}"}
    response = requests.Response()
    response.status_code, response.url, response.request = 200, request.url, request
    response.raw = io.BytesIO(json.dumps(body).encode())
    response.headers["Content-Type"] = "application/json"
    return response


def ports() -> tuple[int, int]:
    """Return the simulator's ports from the environment."""
    return int(os.environ["SIMULATOR_PORT"]), int(os.environ["SIMULATOR_OPERATIONS_PORT"])
