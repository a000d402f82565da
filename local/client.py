"""Call the HTTP services of a stack."""

import json
import urllib.request
from typing import Any


def fetch(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
    """Send GET, or POST if there is a body; return the response as JSON, or as text if it is not JSON.

    Raises urllib.error.HTTPError for an error status, and OSError.
    """
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own address
        text = response.read().decode()
    try:
        return json.loads(text)
    except ValueError:
        return text
