"""The settings of notifications: one webhook, on an allowed host."""

import pytest

from shared import bootstrap, settings
from shared.saga.notify.announcing_journal import AnnouncingJournal

STORAGE = {
    "AzureWebJobsStorage": "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=c2VjcmV0;"
    "BlobEndpoint=http://127.0.0.1:1/acc;QueueEndpoint=http://127.0.0.1:1/acc;TableEndpoint=http://127.0.0.1:1/acc;"
}
HOOK = {"NOTIFY_URL": "https://hooks.example/in?sig=hunter2", "NOTIFY_HOSTS": "other.example, HOOKS.example"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"NOTIFY_HOSTS": ""}, "NOTIFY_HOSTS does not name 'hooks.example'"),
        ({"NOTIFY_HOSTS": "*"}, "NOTIFY_HOSTS does not name 'hooks.example'"),
        ({"NOTIFY_HOSTS": "hooks.example.evil.example"}, "NOTIFY_HOSTS does not name 'hooks.example'"),
        ({"NOTIFY_URL": "https://hooks.example:8443/in"}, "NOTIFY_HOSTS does not name 'hooks.example:8443'"),
        ({"NOTIFY_URL": "https://evil.example\\@hooks.example/in?hunter2"}, "NOTIFY_URL"),
        ({"NOTIFY_URL": "http://hooks.example/in?hunter2"}, "NOTIFY_URL must be https"),
        ({"NOTIFY_URL": "https://anna:hunter2@hooks.example/in"}, "NOTIFY_URL must not name a user"),
        ({"NOTIFY_SECRET_NAME": "hunter2=="}, "NOTIFY_SECRET_NAME"),
        ({"NOTIFY_APP_URL": "http://app.example"}, "NOTIFY_APP_URL must be https"),
    ],
)
def test_webhook_that_is_not_allowed_is_refused(change: dict[str, str], message: str) -> None:
    """The message does not quote what may be a secret."""
    with pytest.raises(settings.SettingsError, match=message) as caught:
        settings.load({**HOOK, **change})
    assert "hunter2" not in str(caught.value)


def test_webhook_on_an_allowed_host() -> None:
    """Hosts are compared without regard to case."""
    found = settings.load({**HOOK, "NOTIFY_APP_URL": "https://app.example/"}).notify
    assert (found.url, found.app_url) == (HOOK["NOTIFY_URL"], "https://app.example")
    assert found.secret_name == "notify-secret"


def test_without_a_webhook_nothing_is_announced() -> None:
    """The journal is the one without notices; with a webhook, it announces."""
    off, on = (bootstrap.build(settings.load({**STORAGE, **more})) for more in ({}, HOOK))
    assert off.notifications is None
    assert not isinstance(off.services.journal, AnnouncingJournal)
    assert on.notifications is not None
    assert isinstance(on.services.journal, AnnouncingJournal)
    assert on.acceptance.journal is on.services.journal
