"""An address is parsed like the library that connects parses it; an address that two parsers read differently is
refused."""

import pytest
import requests
from urllib3.util import parse_url

from shared.adapters.remote_api import RemoteApi, key_header
from shared.domain.address import AddressError, read, secure
from shared.domain.errors import SagaError
from shared.settings import SettingsError, load

NASTY = [
    "http://evil.example\\@127.0.0.1/",
    "http://127.0.0.1\\@evil.example/",
    "http://127.0.0.1\\.evil.example/",
    "http://evil.example#@127.0.0.1/",
    "http://evil.example/\\127.0.0.1",
    "http://127.0.0.1@evil.example/",
    "http://user:password@127.0.0.1/",
    "http://@127.0.0.1/",
    "http://[::1",
    "http://::1]",
    "http://[::1%25evil.example]/",
    "http://[fe80::1%25lo]/",
    "http://127.0.0.1%2eevil.example/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:port/",
    "http://127.0.0.1: 80/",
    "http://127.0.0.1 .evil.example/",
    "http://127.0.0.1\t.evil.example/",
    "http://127.0.0.1\n",
    "\ufeffhttp://127.0.0.1/",
    "http://127.0.0.1\u200b/",
    "http://localho\u017ft/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://\u03b1.example/",
    "https://a..example/",
    "https://.example/",
    "https://./",
    f"https://{'a' * 64}.example/",
    "\u201chttp://127.0.0.1/\u201d",
    "http:127.0.0.1",
    "http:/127.0.0.1",
    "http:///127.0.0.1",
    "//127.0.0.1/",
    "127.0.0.1:7071",
    "localhost",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "javascript://127.0.0.1/",
    "http://",
    "http://?",
    "http://*/",
    "",
    " ",
    "http://" + "a" * 5_000,
]
PLAIN = [
    ("http://127.0.0.1:7071", "127.0.0.1", 7071, True),
    ("http://LOCALHOST/", "localhost", None, True),
    ("http://[::1]:7071/api", "::1", 7071, True),
    ("https://App.Example:443/api/", "app.example", 443, False),
    ("https://a_b.example", "a_b.example", None, False),
    ("https://[2001:db8::1]/x", "2001:db8::1", None, False),
    # Spellings of loopback that a resolver may know, and that this program does not trust.
    ("http://127.1/", "127.1", None, False),
    ("http://0x7f000001/", "0x7f000001", None, False),
    ("http://2130706433/", "2130706433", None, False),
    ("http://localhost./", "localhost.", None, False),
    ("http://127.0.0.1.evil.example/", "127.0.0.1.evil.example", None, False),
]


@pytest.mark.parametrize("text", NASTY)
def test_address_that_parsers_may_read_differently_is_refused(text: str) -> None:
    """By the one parser, and so for every address: the app's, Fabric's and the vault's."""
    with pytest.raises(AddressError):
        read(text)
    with pytest.raises(SagaError):
        RemoteApi(text, key_header("key"))
    if not text.strip():
        return  # An empty setting counts as absent.
    for name in ("FABRIC_API_BASE_URL", "FABRIC_SAGA_URL", "AzureWebJobsStorage__blobServiceUri"):
        with pytest.raises(SettingsError, match=name):
            load({name: f"{text}x"})
    if text.endswith("\n"):
        return  # A line end after a setting is not a part of its value.
    with pytest.raises(SettingsError, match="KEY_VAULT_URL"):
        load({"FEATURE_USE_AZURE_KEYVAULT": "true", "KEY_VAULT_URL": text.replace("http:", "https:")})


@pytest.mark.parametrize(("text", "host", "port", "is_loopback"), PLAIN)
def test_address_is_parsed_like_the_connection_uses_it(
    text: str, host: str, port: int | None, is_loopback: bool
) -> None:
    """Host and port are those of the request that is sent."""
    found = read(text)
    assert (found.host, found.port, found.is_loopback) == (host, port, is_loopback)
    sent = parse_url(requests.Request("GET", text).prepare().url or "")
    assert ((sent.host or "").strip("[]").lower(), sent.port) == (found.host, found.port)


@pytest.mark.parametrize(("text", "host", "port", "is_loopback"), PLAIN)
def test_address_over_http_is_for_this_machine_only(text: str, host: str, port: int | None, is_loopback: bool) -> None:
    """Over http, anybody on the way could read the key."""
    if is_loopback or text.startswith("https:"):
        assert secure(text, "the key").host == host
        return
    with pytest.raises(AddressError, match="must be https: over http the key could be read on the way"):
        secure(text, "the key")
