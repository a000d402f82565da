"""How every client reaches the outside: proxies and certificate authorities as `requests` reads them.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE hold for Fabric, storage, sign-in,
Key Vault and the app's API alike, because all of them go through the session that is made here.
"""

import re
import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
from certifi import where
from requests.adapters import HTTPAdapter

from shared.adapters.causes import causes_of

_POOL = 64
"""Pooled connections: above the 32 worker threads, so that none waits for another's socket."""
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes (X509_V_ERR_...) for a certificate whose authority is not among the trusted ones."""


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class EnvironmentSession(requests.Session):
    """A session that obeys the environment's proxies and authorities, and reads them once for each host.

    `requests` reads the environment for every request, which takes longer than all else that it does; and it replaces
    the Authorization header by what ~/.netrc has for the host, which is refused here: a session with an `auth` of its
    own does not look there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.auth = _unchanged
        self._of_hosts: dict[str, Any] = {}
        adapter = HTTPAdapter(pool_connections=8, pool_maxsize=_POOL, max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """As `requests` does, once for each scheme and host (with its port, which NO_PROXY may name)."""
        if proxies or cert or verify not in (None, True):
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        address = urlsplit(str(url))
        host = f"{address.scheme}://{address.netloc}/"
        found = self._of_hosts.get(host)
        if found is None:
            found = self._of_hosts[host] = super().merge_environment_settings(host, {}, None, None, None)
        return {**found, "stream": self.stream if stream is None else stream}


def azure_transport() -> Any:
    """Return a transport (azure.core's RequestsTransport) for one client of Azure's SDKs."""
    from azure.core.pipeline.transport import RequestsTransport

    return RequestsTransport(session=EnvironmentSession(), session_owner=False)


def no_connection(error: BaseException) -> str:
    """Say why no connection came about and what to do, if a certificate or a proxy is why; else return ''.

    Takes the errors of requests and of Azure's SDKs. The text names no address and nothing that the other side said.
    """
    causes = causes_of(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _is_untrusted(cause)
    for cause in causes:
        refused = re.search(r"Tunnel connection failed: (\d{3})", str(cause)) if isinstance(cause, OSError) else None
        if refused or type(cause).__name__ == "ProxyError":
            how = f"refuses (HTTP {refused[1]})" if refused else "does not answer"
            return (
                f"the proxy {how}: correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, "
                "or name the host in NO_PROXY if it is reached directly"
            )
    return ""


def _is_untrusted(error: ssl.SSLCertVerificationError) -> str:
    text = f"the server's certificate is not accepted ({error.verify_message.rstrip('.')})"
    if error.verify_code not in _UNKNOWN_AUTHORITY:
        return text
    return (
        f"{text}; the trusted authorities are those in {_bundle()}: "
        "set REQUESTS_CA_BUNDLE to a PEM file that also holds the authority of this network"
    )


def _bundle() -> str:
    """The file or folder that `requests` takes authorities from."""
    found: Any = requests.Session().merge_environment_settings("https://localhost/", {}, None, None, None)
    return where() if found["verify"] is True else str(found["verify"])
