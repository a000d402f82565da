"""Notices: which moves are announced, and how an event is signed."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.paths import ROOT
from shared.domain import transitions
from shared.domain.notices import UNWRITTEN_SECONDS, Notice, NoticeKind, of_header, signed_headers
from shared.domain.states import DEPLOYMENT_ENDED
from shared.domain.states import DeploymentState as D

AT = datetime(2021, 2, 25, 14, 48, 50, tzinfo=UTC)
NOTICES = st.builds(
    Notice,
    st.text(max_size=20),
    st.sampled_from(["deployment", "step_00001"]),
    st.integers(0, 10**6),
    st.sampled_from(NoticeKind),
    st.datetimes(timezones=st.just(UTC)),
    st.integers(0, 9),
)


def test_notice_is_signed_as_standard_webhooks_does() -> None:
    """The expected signature is the example of that specification's libraries."""
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_notice_of_another_body_has_another_signature(one: bytes, other: bytes) -> None:
    """A secret that is not base64 signs too."""
    signatures = {body: signed_headers("plain" * 5, "id", AT, body)["webhook-signature"] for body in (one, other)}
    assert len(set(signatures.values())) == len({one, other})


def test_notice_is_not_signed_with_a_damaged_secret() -> None:
    with pytest.raises(ValueError, match="is not base64"):
        signed_headers("whsec_!", "id", AT, b"")


@pytest.mark.parametrize("secret", ["whsec_", "whsec_AAAA", "", "hunter2", "whsec_" + "A" * 28])
def test_notice_is_not_signed_with_a_key_that_can_be_guessed(secret: str) -> None:
    """Standard Webhooks asks for 24 bytes; with an empty key everybody could sign. The message quotes nothing of it."""
    with pytest.raises(ValueError, match=r"key has \d+ bytes: give it at least 24") as caught:
        signed_headers(secret, "id", AT, b"")
    assert not secret or secret not in str(caught.value)


def test_notice_of_every_move_into_an_end_a_hold_or_a_stuck_state() -> None:
    """No other legal move is announced."""
    announced = {(a, b): of_header(a, b) for a, b in transitions.DEPLOYMENT_TRANSITIONS}
    for (before, after), kind in announced.items():
        wanted = {D.HELD: NoticeKind.HELD, D.STUCK: NoticeKind.STUCK}.get(after)
        wanted = NoticeKind.ENDED if after in DEPLOYMENT_ENDED else wanted
        assert kind is (None if before is after else wanted)


def test_notice_waits_for_its_write_longer_than_a_function_may_run() -> None:
    """A process that is held up between the announcement and the write may still write."""
    hours, minutes, seconds = map(int, json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":"))
    assert hours * 3600 + minutes * 60 + seconds < UNWRITTEN_SECONDS


@given(NOTICES)
def test_notice_survives_its_message(notice: Notice) -> None:
    assert Notice.from_json(notice.to_json()) == notice
    assert notice.again().event_id == notice.event_id


@pytest.mark.parametrize("change", [{"kind": "party"}, {"created_at": "2026-01-01T00:00:00"}, {"sequence": None}])
def test_message_that_is_not_a_notice_is_refused(change: dict[str, object]) -> None:
    data = Notice("d", "deployment", 1, NoticeKind.ENDED, AT).to_json() | change
    data = {name: value for name, value in data.items() if value is not None}
    with pytest.raises((KeyError, TypeError, ValueError)):
        Notice.from_json(data)
