"""`release` on the command line: what it needs, what it sends, and what it refuses."""

import json
from typing import Any

import pytest

from shared.cli import verbs
from shared.cli.render.output import verdict
from shared.domain.records import DeploymentRecord, RecordedError
from shared.domain.states import DeploymentState
from tests.command_line import run
from tests.unit.cli.sample_records import header


class Storage:
    """A journal with one header, and the sent messages."""

    def __init__(self, record: DeploymentRecord) -> None:
        self.journal, self.sent, self._record = self, list[dict[str, Any]](), record

    def header(self, _: str) -> Any:
        """Return the present header."""
        return type("V", (), {"record": self._record})()

    def submit(self, text: str) -> None:
        """Record a message."""
        self.sent.append(json.loads(text))


@pytest.mark.parametrize("reason", [(), ("--reason", " ")])
def test_release_needs_a_reason(reason: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad request that names the option; nothing is sent."""
    storage = Storage(header(DeploymentState.STUCK))
    monkeypatch.setattr(verbs, "connect", lambda _: storage)
    done = run("release", "d", *reason, environment={})
    assert done.returncode == 2
    assert "--reason" in done.stdout + done.stderr
    assert storage.sent == []


@pytest.mark.parametrize("state", DeploymentState)
def test_release_is_sent_only_for_a_stuck_deployment(state: DeploymentState, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every other state the command line names the possible commands."""
    storage = Storage(header(state))
    monkeypatch.setattr(verbs, "connect", lambda _: storage)
    done = run("release", "d", "--reason", "theirs", environment={})
    if state is DeploymentState.STUCK:
        assert done.returncode == 0
        assert [(m["command"], m["reason"]) for m in storage.sent] == [("release", "theirs")]
    else:
        assert (done.returncode, storage.sent) == (2, [])
        assert "release is not possible" in done.stdout + done.stderr


def test_resume_of_a_released_deployment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rollback has begun; `compensate` is possible."""
    storage = Storage(header(DeploymentState.FAILED, release_write=7))
    monkeypatch.setattr(verbs, "connect", lambda _: storage)
    done = run("resume", "d", environment={})
    assert (done.returncode, storage.sent) == (2, [])
    assert "resume is not possible; possible now: compensate" in done.stdout + done.stderr


def test_released_deployment_differs_from_one_without_rollback() -> None:
    """Its main sentence does not say that nothing was rolled back."""
    error = RecordedError("released by anna: theirs; 1 step is not rolled back", "By hand.")
    text = verdict(header(DeploymentState.FAILED, release_write=7, error=error))
    assert "NOT everything is rolled back: released by anna" in text
    assert "NOTHING is rolled back" in verdict(header(DeploymentState.FAILED, error=error))
