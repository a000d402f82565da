"""Reads http(s) addresses with the parser of the library that connects.

Parsers disagree on odd addresses: `http://evil.example\\@127.0.0.1/` is loopback to urllib.parse, and urllib3, which
connects, goes to evil.example. So the result of urllib3 counts, and an address that two parsers might read differently
is refused.
"""

import re
from dataclasses import dataclass

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""The names of this machine. Other spellings (127.1, 0x7f000001, an IPv6 zone) count as another machine."""
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]{1,4096}")
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"(?:{_LABEL}\.){{0,126}}{_LABEL}\.?|\[[0-9A-Fa-f:.]+\]")


class AddressError(ValueError):
    """An address that cannot be used. The message says why and does not quote it, because it may contain a password."""


@dataclass(frozen=True)
class Address:
    """An http(s) address. `host` is in lower case and without brackets; `port` is None for the scheme's default."""

    scheme: str
    host: str
    port: int | None = None
    path: str = ""
    query: str = ""

    @property
    def is_loopback(self) -> bool:
        """Return True if it is an address of this machine."""
        return self.host in LOOPBACK

    @property
    def netloc(self) -> str:
        """Return host and port as a request names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the address without its query and without a slash at its end."""
        return f"{self.scheme}://{self.netloc}{self.path}".rstrip("/")


def read(text: str, *, may_name_user: bool = False) -> Address:
    """Read an absolute http(s) address. Raises AddressError.

    A name or password before the host is refused unless `may_name_user`, and dropped then; so is a fragment.
    """
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        if not _CHARACTERS.fullmatch(text):
            raise AddressError("is not an http(s) address: it has a character that no address has")
        found = parse_url(text)
    except LocationParseError:
        raise AddressError("is not an http(s) address") from None
    host = found.host or ""
    # Another parser may read a host with percent codes or a zone as a different host.
    if found.scheme not in ("http", "https") or not _HOST.fullmatch(host) or host.lower() not in text.lower():
        raise AddressError("is not an http(s) address")
    if found.port == 0 or found.fragment is not None:
        raise AddressError("is not an http(s) address: no port 0 and no '#'")
    if not may_name_user and "@" in re.split("[/?#]", text.partition("//")[2])[0]:
        raise AddressError("must not name a user or a password")
    return Address(found.scheme, host.strip("[]").lower(), found.port, found.path or "", found.query or "")


def secure(text: str, what: str) -> Address:
    """Read an address that `what` (the key, the token) may be sent to: https, or this machine. Raises AddressError."""
    address = read(text)
    if address.scheme != "https" and not address.is_loopback:
        raise AddressError(f"must be https: over http {what} could be read on the way")
    return address
