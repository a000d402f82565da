"""The webhook that receives notifications: one address, which the settings allow, and no other."""

from collections.abc import Callable
from datetime import datetime

import requests

from shared.adapters.connections import EnvironmentSession, no_connection
from shared.adapters.fabric.errors import retry_after
from shared.domain.errors import SecretError
from shared.domain.json import JsonObject
from shared.domain.notices import MEDIA_TYPE, body_of, signed_headers
from shared.domain.ports import Refusal
from shared.domain.secrets import Secret
from shared.domain.version import VERSION

TIMEOUTS_SECONDS = (5.0, 10.0)
"""To connect, and to wait for the status."""
_MAY_PASS = frozenset({408, 425, 429})


class Webhook:
    """Implements the port `Receiver`. A redirect is refused, and the body of a response is not read."""

    def __init__(self, url: str, secret: Callable[[], Secret], now: Callable[[], datetime]) -> None:
        """`url` is checked by the settings; its path and query may be a secret, so no message contains them."""
        self._url, self._secret, self._now = url, secret, now
        self._session: requests.Session = EnvironmentSession()

    def send(self, event_id: str, event: JsonObject) -> Refusal | None:
        """Post an event, signed with the present secret."""
        body = body_of(event)
        try:
            signed = signed_headers(self._secret().reveal(), event_id, self._now(), body)
        except (SecretError, ValueError) as error:
            return Refusal(f"it cannot be signed: {error}")
        headers = {"Content-Type": MEDIA_TYPE, "User-Agent": f"fabric-saga/{VERSION}", **signed}
        try:
            with self._session.post(
                self._url, data=body, headers=headers, timeout=TIMEOUTS_SECONDS, allow_redirects=False, stream=True
            ) as answer:
                return _refusal(answer, self._now())
        except requests.RequestException as error:
            return Refusal(no_connection(error) or f"the webhook does not answer ({type(error).__name__})")


def _refusal(answer: requests.Response, now: datetime) -> Refusal | None:
    status = answer.status_code
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return Refusal(f"the webhook answers {status}: redirects are not followed; set its final address", False)
    wait = retry_after(answer.headers, now) or 0.0
    return Refusal(f"the webhook answers {status}", status >= 500 or status in _MAY_PASS, wait)
