"""The settings of notifications."""

from dataclasses import dataclass

from shared.domain import address
from shared.domain.environment import Reader, SettingsError, addressed


@dataclass(frozen=True)
class NotifySettings:
    """The webhook of notifications (empty: none), the name of the secret that signs them, and the app's own address for
    links."""

    url: str
    secret_name: str
    app_url: str


def read_notify(read: Reader) -> NotifySettings:
    """Read the settings. Raises SettingsError, also if the webhook's host is not allowed."""
    url = read.text("NOTIFY_URL")
    allowed = {each.strip().lower() for each in read.text("NOTIFY_HOSTS").split(",")} - {""}
    host = addressed("NOTIFY_URL", lambda: address.secure(url, "an event")).netloc if url else ""
    if host and host not in allowed:  # the rest of the address may be a secret
        raise SettingsError(f"NOTIFY_HOSTS does not name {host[:100]!r}, the host of NOTIFY_URL; add it")
    return NotifySettings(url, read.secret_name("NOTIFY_SECRET_NAME"), read.secure("NOTIFY_APP_URL").rstrip("/"))
