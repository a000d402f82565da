"""A notice is sent, tried again, given up, or dropped because the journal does not prove it."""

from datetime import timedelta
from typing import Any

import pytest

from examples.notifications import receiver
from shared.domain.errors import ConflictError
from shared.domain.json import JsonObject
from shared.domain.notices import PAUSES_SECONDS, UNWRITTEN_SECONDS, Notice, NoticeKind
from shared.domain.ports import Change, Refusal
from shared.domain.records import RecordedError
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.domain.telemetry import Event
from shared.saga.notify.announcing_journal import AnnouncingJournal
from shared.saga.notify.delivery import Notifications
from tests.fakes import START, MemoryTelemetry
from tests.unit.saga.fixture import SagaFixture, row

APP = "https://app.example"


class Desk:
    """A saga whose journal announces, and the webhook."""

    def __init__(self) -> None:
        self.saga = SagaFixture()
        self.telemetry = MemoryTelemetry()
        self.announced: list[Notice] = []
        self.later: list[tuple[Notice, float]] = []
        self.sent: list[JsonObject] = []
        self.refusal: Refusal | None = None
        inner, now = self.saga.journal, self.saga.clock.now
        self.saga.journal = AnnouncingJournal(inner, self.announced.append, now)  # type: ignore[assignment] - the port
        self.notifications = Notifications(
            inner, self.saga.services.payloads, self.saga.clock, self, self._again, self.telemetry, APP
        )

    def send(self, event_id: str, event: JsonObject) -> Refusal | None:
        """Receive an event."""
        assert event["id"] == event_id
        if self.refusal is None:
            self.sent.append(event)
        return self.refusal

    def _again(self, notice: Notice, delay_seconds: float) -> None:
        self.later.append((notice, delay_seconds))

    def deliver(self) -> None:
        """Handle everything that was announced."""
        while self.announced:
            self.notifications.deliver(self.announced.pop(0))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("before", "after", "kind", "words"),
    [
        (D.RUNNING, D.SUCCEEDED, "ended", "m on target succeeded."),
        (D.RUNNING, D.HELD, "held", "m on target failed and is held: decide whether to resume or to roll it back."),
        (D.COMPENSATING, D.COMPENSATED, "ended", "m on target failed and was rolled back."),
        (D.COMPENSATING, D.STUCK, "stuck", "m on target is stuck: its rollback is not complete."),
    ],
)
def test_notice_of_a_move_becomes_an_event(desk: Desk, before: D, after: D, kind: str, words: str) -> None:
    """It has the state, the labels, the link and the error; the example's cards say the same."""
    desk.saga.deployment(before, S.SUCCEEDED, labels={"pr": "7"}, requested_by="anna")
    error = RecordedError("step s: no", "Ask for a role.") if after is not D.SUCCEEDED else None
    desk.saga.change_header(state=after, error=error)
    desk.deliver()
    [event] = desk.sent
    assert event["type"] == f"fabric-saga.deployment.{kind}"
    assert (event["specversion"], event["subject"], event["source"]) == ("1.0", "d", APP)
    data = event["data"]
    assert (data["state"], data["labels"], data["requested_by"]) == (after.value, {"pr": "7"}, "anna")
    assert data["page"] == f"{APP}/api/dashboard#/deployments/d"
    assert data.get("error") == (None if error is None else {"message": "step s: no", "remedy": "Ask for a role."})
    assert receiver.sentence(event) == words
    card = receiver.teams_message(event)["attachments"][0]["content"]
    assert (card["body"][0]["inlines"][0]["text"], card["actions"][0]["url"]) == (words, data["page"])
    slack = receiver.slack_message(event)
    assert (slack["text"], slack["blocks"][-1]["elements"][0]["url"]) == (words, data["page"])
    assert all(block["text"]["type"] == "plain_text" for block in slack["blocks"][:2])


def test_card_for_teams_shows_text_from_outside_as_it_is(desk: Desk) -> None:
    """A manifest's name, an error of Fabric and a requester's name may contain Markdown, which a TextBlock and the
    facts of a FactSet would show as a link."""
    link = "[Approve](https://evil.example)"
    desk.saga.deployment(D.COMPENSATING, S.SUCCEEDED, requested_by=link)
    desk.saga.change_header(state=D.STUCK, error=RecordedError(link, link))
    desk.deliver()
    [event] = desk.sent
    card = receiver.teams_message({**event, "data": {**event["data"], "name": link}})["attachments"][0]["content"]
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    runs = [run for block in card["body"] for run in block["inlines"]]
    assert {run["type"] for run in runs} == {"TextRun"}
    assert sum(link in run["text"] for run in runs) == 4


def approval(desk: Desk) -> None:
    """Let an approval start to wait."""
    desk.saga.deployment(D.RUNNING, row(0, S.PENDING, kind="approval", spec={"message": "Go?", "approvers": ["anna"]}))
    ask(desk)


def ask(desk: Desk) -> None:
    """Write that the step waits for a person, as its delivery does."""
    now, (_, before) = desk.saga.clock.now(), desk.saga.journal.step("d", 0)
    after = before.record.replace(started_at=now, deadline_at=now + timedelta(hours=1))
    desk.saga.journal.write_step(Change(before, after, "test", "waits for a person"))


def test_notice_of_an_approval_has_its_question(desk: Desk) -> None:
    """Later writes of the waiting step announce nothing more."""
    approval(desk)
    desk.saga.change(0, deliveries=3)
    desk.deliver()
    [event] = desk.sent
    asks = event["data"]["approval"]
    assert (asks["step"], asks["message"], asks["approvers"]) == ("s0", "Go?", ["anna"])
    assert ("Question", "Go?") in receiver.details(event)


def test_notice_of_an_approval_that_is_decided_is_dropped(desk: Desk) -> None:
    """Nobody is asked for what was decided in the meantime."""
    approval(desk)
    desk.saga.change(0, state=S.SUCCEEDED)
    desk.deliver()
    assert (desk.sent, desk.later) == ([], [])


def test_notice_of_an_approval_whose_number_another_write_took_is_dropped(desk: Desk) -> None:
    """Two workers announced the question, and only the second one wrote it: people are asked once."""
    desk.saga.deployment(D.RUNNING, row(0, S.PENDING, kind="approval", spec={"message": "Go?"}))
    _, before = desk.saga.journal.step("d", 0)
    desk.saga.change(0, deliveries=1)
    late = before.record.replace(started_at=desk.saga.clock.now())
    with pytest.raises(ConflictError):
        desk.saga.journal.write_step(Change(before, late, "test", "waits for a person"))
    ask(desk)
    assert [notice.sequence for notice in desk.announced] == [1, 2]
    desk.deliver()
    assert [event["id"] for event in desk.sent] == ["d/step_00000/2"]


def test_notice_of_a_move_that_was_not_written_is_dropped_in_time(desk: Desk) -> None:
    """The write may still come, so the notice comes again while a function may run; a process that died wrote
    nothing."""
    desk.saga.deployment(D.RUNNING, S.SUCCEEDED)
    notice = Notice("d", "deployment", desk.saga.header().sequence + 1, NoticeKind.ENDED, desk.saga.clock.now())
    desk.notifications.deliver(notice)
    assert desk.later == [(notice, 10.0)]
    desk.saga.clock.advance(UNWRITTEN_SECONDS + 1)
    desk.notifications.deliver(notice)
    assert (len(desk.later), desk.sent) == (1, [])


def test_notice_whose_number_another_write_took_is_dropped(desk: Desk) -> None:
    """Only the audit's move of that number is announced, also after later moves."""
    desk.saga.deployment(D.RUNNING, S.SUCCEEDED)
    desk.saga.change_header(cancel_requested_by="anna")
    number = desk.saga.header().sequence
    desk.saga.change_header(state=D.COMPENSATING)
    for sequence, kind in ((number, NoticeKind.ENDED), (number + 1, NoticeKind.ENDED), (number + 1, NoticeKind.HELD)):
        desk.notifications.deliver(Notice("d", "deployment", sequence, kind, desk.saga.clock.now()))
    desk.notifications.deliver(Notice("nobody", "deployment", 1, NoticeKind.ENDED, desk.saga.clock.now()))
    assert (desk.sent, desk.later) == ([], [])


def test_notice_of_a_hold_that_is_over_is_still_sent(desk: Desk) -> None:
    """The audit proves the move; the event has the state of that time."""
    desk.saga.deployment(D.RUNNING, S.FAILED)
    desk.saga.change_header(state=D.HELD)
    desk.saga.change_header(state=D.RUNNING)
    desk.deliver()
    assert [event["data"]["state"] for event in desk.sent] == ["held"]


def test_notice_is_given_up_after_the_last_try(desk: Desk) -> None:
    """The pauses grow, Retry-After is obeyed up to an hour, and the end is an event for the alert."""
    desk.saga.deployment(D.RUNNING, S.SUCCEEDED)
    desk.saga.change_header(state=D.SUCCEEDED)
    desk.refusal = Refusal("the webhook answers 503", True, 40.0)
    desk.deliver()
    while len(desk.later) <= len(PAUSES_SECONDS):
        before = len(desk.later)
        desk.notifications.deliver(desk.later[-1][0])
        if len(desk.later) == before:
            break
    assert [delay for _, delay in desk.later] == [40.0, *PAUSES_SECONDS[1:]]
    [failed] = desk.telemetry.events(Event.NOTIFICATION_FAILED)
    assert failed.properties == {"deployment_id": "d", "kind": "ended", "message": "the webhook answers 503"}
    desk.refusal = Refusal("the webhook answers 429", True, 10**6)
    desk.notifications.deliver(desk.later[0][0])
    assert desk.later[-1][1] == 3600.0


def test_notice_that_is_refused_for_good_is_not_repeated(desk: Desk) -> None:
    desk.saga.deployment(D.RUNNING, S.SUCCEEDED)
    desk.saga.change_header(state=D.SUCCEEDED)
    desk.refusal = Refusal("the webhook answers 410", False)
    desk.deliver()
    assert desk.later == []
    assert len(desk.telemetry.events(Event.NOTIFICATION_FAILED)) == 1


def test_queue_that_fails_stops_no_deployment() -> None:
    """The move is written all the same."""

    def broken(notice: Notice) -> None:
        raise OSError("no queue")

    saga: Any = SagaFixture()
    saga.deployment(D.RUNNING, S.SUCCEEDED)
    saga.journal = AnnouncingJournal(saga.journal, broken, saga.clock.now)
    saga.change_header(state=D.SUCCEEDED)
    assert saga.header().state is D.SUCCEEDED


@pytest.mark.parametrize(
    "changes",
    [{"attempt": "1"}, {"attempt": -1}, {"sequence": True}, {"sequence": None}, {"row": 3}, {"deployment_id": ["d"]}],
)
def test_notify_message_with_another_type_is_no_notice(changes: dict[str, Any]) -> None:
    """It is dropped when it is read, not after each of its deliveries has failed."""
    whole = Notice("d", "deployment", 1, NoticeKind.ENDED, START).to_json()
    assert Notice.from_json(whole).to_json() == whole
    with pytest.raises(TypeError):
        Notice.from_json({**whole, **changes})
