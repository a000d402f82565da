"""Connections of every client: proxies and certificate authorities as `requests` reads them.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE apply to Fabric, storage, sign-in,
Key Vault and the app's API, because all of them use the session of this module.
"""

import re
import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
from certifi import where
from requests.adapters import HTTPAdapter

from shared.adapters.causes import causes_of
from shared.domain.variables import WORKER_THREADS

_POOL = WORKER_THREADS + 32
"""Pooled connections: more than the worker has threads, so that no thread opens a socket of its own for each request;
heartbeats, health checks and telemetry have threads beside those."""
CONNECT_SECONDS, READ_SECONDS = 20, 20
"""How long an attempt of Azure's SDKs waits for a connection, and for each part of an answer. The first is also the
time in which a body must be sent, so a large blob over a slow line needs more than a connection does."""
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes (X509_V_ERR_...) for a certificate whose authority is not among the trusted ones."""


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class EnvironmentSession(requests.Session):
    """A session that uses the environment's proxies and authorities, and reads them once for each host.

    `requests` reads the environment for every request, which takes longer than everything else that it does. It also
    replaces the Authorization header with what ~/.netrc has for the host. This session has an `auth` of its own, so
    `requests` does not read that file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.auth = _unchanged
        self._of_hosts: dict[str, Any] = {}
        adapter = HTTPAdapter(pool_connections=8, pool_maxsize=_POOL, max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Return what `requests` returns, computed once for each scheme, host and port (NO_PROXY may name a port)."""
        if proxies or cert or verify not in (None, True):
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        address = urlsplit(str(url))
        host = f"{address.scheme}://{address.netloc}/"
        found = self._of_hosts.get(host)
        if found is None:
            found = self._of_hosts[host] = super().merge_environment_settings(host, {}, None, None, None)
        return {**found, "stream": self.stream if stream is None else stream}


def azure_transport(connect_seconds: float = 0.0, read_seconds: float = 0.0) -> Any:
    """Return a transport (azure.core's RequestsTransport) for one client of Azure's SDKs.

    The timeouts are its own, because a client with a transport ignores those in its options. The SDK's default is 300 s
    for each attempt, in which a service that hangs would hold a worker's thread.
    """
    from azure.core.pipeline.transport import RequestsTransport

    return RequestsTransport(
        session=EnvironmentSession(),
        session_owner=False,
        connection_timeout=connect_seconds or CONNECT_SECONDS,
        read_timeout=read_seconds or READ_SECONDS,
    )


def no_connection(error: BaseException) -> str:
    """Return the reason and the remedy if a certificate or a proxy prevented the connection, else ''.

    Accepts the errors of requests and of Azure's SDKs. The text contains no address and nothing from the other side.
    """
    causes = causes_of(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted_text(cause)
    for cause in causes:
        refused = re.search(r"Tunnel connection failed: (\d{3})", str(cause)) if isinstance(cause, OSError) else None
        if refused or type(cause).__name__ == "ProxyError":
            how = f"refuses (HTTP {refused[1]})" if refused else "does not answer"
            return (
                f"the proxy {how}: correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, "
                "or name the host in NO_PROXY if it is reached directly"
            )
    return ""


def _untrusted_text(error: ssl.SSLCertVerificationError) -> str:
    text = f"the server's certificate is not accepted ({error.verify_message.rstrip('.')})"
    if error.verify_code not in _UNKNOWN_AUTHORITY:
        return text
    return (
        f"{text}; the trusted authorities are those in {_bundle()}: "
        "set REQUESTS_CA_BUNDLE to a PEM file that also holds the authority of this network"
    )


def _bundle() -> str:
    """Return the file or folder that `requests` reads authorities from."""
    found: Any = requests.Session().merge_environment_settings("https://localhost/", {}, None, None, None)
    return where() if found["verify"] is True else str(found["verify"])
