"""Following over a journal in memory: each end's exit code, timeouts, unknown ids, conflicts."""

import io
import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from shared.cli.follow import EXIT_CODES, FollowOptions, follow
from shared.cli.render.output import JsonOutput
from shared.domain.errors import StorageAuthError, StorageUnavailableError
from shared.domain.ports import Change
from shared.domain.states import DeploymentState
from tests.fake_journal import MemoryJournal
from tests.fakes import START, FakeClock
from tests.unit.cli.sample_records import HOSTILE, header

ENDS = [
    (DeploymentState.SUCCEEDED, 0),
    (DeploymentState.COMPENSATED, 1),
    (DeploymentState.REJECTED, 2),
    (DeploymentState.STUCK, 3),
    (DeploymentState.HELD, 3),
    (DeploymentState.FAILED, 3),
    (DeploymentState.CANCELLED, 8),
]


class Followed:
    """A journal, and what following it printed."""

    def __init__(self, *states: DeploymentState, **changes: Any) -> None:
        self.journal = MemoryJournal(FakeClock())
        self.stream = io.StringIO()
        self._left = list(states)
        if self._left:
            self.journal.create(header(self._left.pop(0), **changes), [], "test")

    def sleep(self, seconds: float) -> None:
        """Move the deployment to its next state, in place of sleeping."""
        assert self._left, "follow sleeps although the deployment will not change again"
        before = self.journal.header("d")
        self.journal.write_header(Change(before, before.record.replace(state=self._left.pop(0)), "test", ""))

    def follow(self, sleep: Callable[[float], None] | None = None, **options: Any) -> int:
        """Follow the deployment and return the exit code."""
        options = {"timeout_seconds": None, "resume_command": "follow d", **options}
        return follow(self.journal, "d", JsonOutput(self.stream), FollowOptions(**options), sleep=sleep or self.sleep)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the printed events."""
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.mark.parametrize(("state", "code"), ENDS)
def test_follow_end_is_the_exit_code(state: DeploymentState, code: int) -> None:
    """The last line contains the code too."""
    followed = Followed(state)
    assert followed.follow() == code
    assert followed.events[-1]["event"] == "ended"
    assert followed.events[-1]["exit_code"] == code
    assert EXIT_CODES[state] == code


@pytest.mark.parametrize(
    ("state", "code"),
    [(DeploymentState.CANCELLED, 0), (DeploymentState.COMPENSATED, 1), (DeploymentState.SUCCEEDED, 3)],
)
def test_follow_of_another_end_than_the_goal_is_a_failure(state: DeploymentState, code: int) -> None:
    """If the deployment succeeded before the cancel came, it is not rolled back, and the command was sent: 3, not 2."""
    assert Followed(state).follow(goal=DeploymentState.CANCELLED) == code


def test_follow_continues_until_the_end() -> None:
    """Every state on the way is reported once."""
    way = [DeploymentState.ACCEPTED, DeploymentState.RUNNING, DeploymentState.COMPENSATING, DeploymentState.COMPENSATED]
    followed = Followed(*way)
    assert followed.follow() == 1
    assert [e["state"] for e in followed.events if e["event"] == "state"] == [s.value for s in way]


class UnavailableJournal:
    """A journal whose storage does not respond to some of the reads."""

    def __init__(self, journal: MemoryJournal, *looks: Exception | None) -> None:
        self._journal = journal
        self._looks = list(looks)

    def header(self, deployment_id: str) -> Any:
        """Return the header, or raise the error of this read."""
        error = self._looks.pop(0) if self._looks else None
        if error is not None:
            raise error
        return self._journal.header(deployment_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


UNAVAILABLE = StorageUnavailableError("no connection")


def test_follow_waits_during_an_outage_of_storage() -> None:
    """Storage that responded before and then fails for some reads is reported once, and the deployment is followed to
    its end."""
    followed = Followed(DeploymentState.RUNNING)
    memory = followed.journal
    looks = iter([None, None, DeploymentState.SUCCEEDED])

    def sleep(seconds: float) -> None:
        state = next(looks)
        if state is not None:
            before = memory.header("d")
            memory.write_header(Change(before, before.record.replace(state=state), "test", ""))

    followed.journal = cast("MemoryJournal", UnavailableJournal(memory, None, UNAVAILABLE, UNAVAILABLE))
    assert followed.follow(sleep) == 0
    assert [e["message"] for e in followed.events if e["event"] == "waiting"] == ["no connection"]


@pytest.mark.parametrize("looks", [(UNAVAILABLE,), (None, StorageAuthError("forbidden"))])
def test_follow_of_storage_that_never_responded_or_refuses_is_an_error(looks: tuple[Exception | None, ...]) -> None:
    """A wrong address or a removed role does not correct itself."""
    followed = Followed(DeploymentState.RUNNING)
    followed.journal = cast("MemoryJournal", UnavailableJournal(followed.journal, *looks))
    with pytest.raises(StorageUnavailableError):
        followed.follow(lambda seconds: None)


def test_follow_does_not_wait_for_storage_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer outage ends the command with the error."""
    monkeypatch.setattr("shared.cli.follow.OUTAGE_SECONDS", -1.0)
    followed = Followed(DeploymentState.RUNNING)
    followed.journal = cast("MemoryJournal", UnavailableJournal(followed.journal, None, UNAVAILABLE))
    with pytest.raises(StorageUnavailableError):
        followed.follow(lambda seconds: None)


def test_follow_timeout_prints_how_to_continue() -> None:
    """The exit code is 9, and the output has the command that follows the deployment again."""
    followed = Followed(DeploymentState.RUNNING)
    assert followed.follow(timeout_seconds=-1, resume_command="follow d --url https://app.example") == 9
    assert followed.events[-1]["message"].endswith("follow it with: follow d --url https://app.example")
    assert followed.events[-1]["event"] == "timeout"


def test_follow_of_an_unknown_id_is_a_bad_request() -> None:
    """After the waiting time the error names both possible causes."""
    followed = Followed()
    assert followed.follow(unknown_seconds=-1) == 2
    assert followed.events[-1]["error"] == "not_found"
    assert "the app does not read the queue" in followed.events[-1]["message"]


def test_follow_of_an_own_submission_that_nobody_accepts_is_a_timeout() -> None:
    """It is not a bad request, because the submission waits on the queue."""
    assert Followed().follow(unknown_seconds=-1, expected_hash="hash") == 9
    assert Followed().follow(unknown_seconds=-1, is_sent=True) == 9


def test_follow_of_an_unknown_id_waits_for_it() -> None:
    """An id is unknown while its message is still on the queue."""
    followed = Followed()

    def arrive(seconds: float) -> None:
        followed.journal.create(header(DeploymentState.SUCCEEDED), [], "test")

    assert followed.follow(arrive) == 0


def test_follow_reports_an_unknown_id_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who mistyped the id sees why nothing happens, and for how long."""
    monkeypatch.setattr("shared.cli.follow.QUIET_SECONDS", -1.0)
    followed = Followed()
    naps: list[float] = []

    def arrive_at_the_third(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            followed.journal.create(header(DeploymentState.SUCCEEDED), [], "test")

    assert followed.follow(arrive_at_the_third) == 0
    [text] = [e["message"] for e in followed.events if e["event"] == "waiting"]
    assert "no deployment 'd' yet" in text
    assert "waiting for 60 s" in text


def test_follow_timeout_shortens_the_wait_for_an_unknown_id() -> None:
    assert Followed().follow(timeout_seconds=-1, unknown_seconds=60) == 2


@pytest.mark.parametrize("state", [DeploymentState.RUNNING, DeploymentState.SUCCEEDED])
def test_follow_of_a_conflict_is_a_bad_request_at_once(state: DeploymentState) -> None:
    """The end of a deployment that has the id but another manifest is never reported."""
    followed = Followed(state, name=HOSTILE)
    assert followed.follow(expected_hash="another") == 2
    assert followed.events[-1]["error"] == "conflict"
    assert "\x1b" not in followed.events[-1]["message"]


def test_follow_of_the_own_manifest_is_not_a_conflict() -> None:
    assert Followed(DeploymentState.SUCCEEDED).follow(expected_hash="hash") == 0


def test_follow_of_a_stuck_deployment_waits_for_the_end_of_the_retry() -> None:
    """For `compensate --wait`: the state is `stuck` all the time, and the command ends with the retry."""
    followed = Followed(DeploymentState.STUCK, retry_began_at=START)

    def sleep(_: float) -> None:
        before = followed.journal.header("d")
        after = before.record.replace(state=DeploymentState.COMPENSATED, retry_began_at=None)
        followed.journal.write_header(Change(before, after, "test", ""))

    assert followed.follow(sleep, goal=DeploymentState.COMPENSATED) == 0


def test_follow_of_a_release_waits_for_its_end() -> None:
    """For `release --wait`: a released deployment stays `stuck` until no step is in progress, and then the goal is
    reached."""
    followed = Followed(DeploymentState.STUCK, DeploymentState.FAILED, release_write=1)
    passing = {"is_passing": lambda header: header.is_being_released}  # pyright: ignore
    assert followed.follow(goal=DeploymentState.FAILED, **passing) == 0


@pytest.mark.parametrize("state", [DeploymentState.SUCCEEDED, DeploymentState.COMPENSATED, DeploymentState.REJECTED])
@pytest.mark.parametrize("expected", [None, "0" * 64, "another"])
def test_follow_of_a_forgotten_deployment_ends_at_once(state: DeploymentState, expected: str | None) -> None:
    """After its retention the id is not unknown: the result is its end, or a conflict with the submission."""
    followed = Followed(state, manifest_hash="0" * 64)
    followed.journal.purge("d")
    code = followed.follow(expected_hash=expected)
    assert code == (2 if expected == "another" else EXIT_CODES[state])
    last = followed.events[-1]
    if expected == "another":
        assert last["error"] == "conflict"
    else:
        assert (last["event"], last["state"]) == ("forgotten", state.value)
        assert "past its retention" in last["message"]
