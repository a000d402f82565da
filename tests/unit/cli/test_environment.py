"""`retire --label`: what is rolled back, in which order, and when it stops."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.cli import environment
from shared.domain.labels import has_labels
from shared.domain.records import DeploymentRecord
from shared.domain.states import DeploymentState as D
from tests.command_line import Done, run
from tests.unit.cli.sample_records import header

LEFT = {D.SUCCEEDED, D.FAILED, D.HELD, D.RUNNING, D.ACCEPTED, D.STUCK, D.COMPENSATING}
ENDS = {"retire": D.COMPENSATED, "cancel": D.CANCELLED, "compensate": D.COMPENSATED}


class Storage:
    """A journal whose deployments obey a command at once, except those in `stuck`."""

    def __init__(self, *states: D, stuck: tuple[str, ...] = ()) -> None:
        self.journal, self.sent, self.stuck = self, list[tuple[str, str]](), stuck
        names = "abcdefgh"[: len(states)]
        self.rows = {
            name: header(state, deployment_id=name, labels={"pr": "7"})
            for name, state in zip(names, states, strict=True)
        }

    def page(self, limit: int, *, states: tuple[D, ...], labels: Mapping[str, str]) -> list[DeploymentRecord]:
        """Return the deployments that match, newest (last) first."""
        rows = [row for row in reversed(self.rows.values()) if row.state in states and has_labels(row.labels, labels)]
        return rows[:limit]

    def header(self, deployment_id: str) -> Any:
        """Return the present header; one that is being rolled back is done when it is read again."""
        row = self.rows[deployment_id]
        if row.state is D.COMPENSATING:
            self.rows[deployment_id] = row.replace(state=D.COMPENSATED)
        return type("V", (), {"record": row})()

    def steps(self, _: str) -> list[Any]:
        """Return no steps."""
        return []

    def submit(self, text: str) -> None:
        """Carry out a command."""
        message = json.loads(text)
        name, verb = message["deployment_id"], message["command"]
        self.sent.append((verb, name))
        row = self.rows[name]
        state = D.STUCK if name in self.stuck else ENDS[verb]
        self.rows[name] = row.replace(state=state, sequence=row.sequence + 1)


def retire(storage: Storage, monkeypatch: pytest.MonkeyPatch, *options: str) -> Done:
    """Run the command on these deployments."""
    monkeypatch.setattr(environment, "connect", lambda _: storage)
    return run("retire", *options, environment={})


def test_environment_is_rolled_back_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each deployment gets the verb that its state allows. The command waits for one that is being rolled back, and
    leaves alone one that is rolled back."""
    states = (D.COMPENSATED, D.SUCCEEDED, D.SUCCEEDED, D.FAILED, D.COMPENSATING, D.HELD, D.RUNNING)
    storage = Storage(*states)
    done = retire(storage, monkeypatch, "--label", "pr=7", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    assert storage.sent == [("cancel", "g"), ("cancel", "f"), ("compensate", "d"), ("retire", "c"), ("retire", "b")]
    assert not {row.state for row in storage.rows.values()} & LEFT


def test_environment_stops_at_what_cannot_be_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The older deployment stays, because the newer one may use its resources; the exit code says so."""
    storage = Storage(D.SUCCEEDED, D.SUCCEEDED, D.SUCCEEDED, stuck=("b",))
    assert retire(storage, monkeypatch, "--label", "pr=7", "--wait").returncode == 3
    assert storage.sent == [("retire", "c"), ("retire", "b")]


def test_environment_without_waiting_asks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app then keeps the order: an older one waits until no later deployment uses its resources."""
    storage = Storage(D.SUCCEEDED, D.SUCCEEDED)
    assert retire(storage, monkeypatch, "--label", "pr=7").returncode == 0
    assert storage.sent == [("retire", "b"), ("retire", "a")]


def test_environment_of_other_labels_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """All labels must match; without any deployment there is nothing to do."""
    storage = Storage(D.SUCCEEDED)
    done = retire(storage, monkeypatch, "--label", "pr=7", "--label", "team=x", "--wait")
    assert (done.returncode, storage.sent) == (0, [])
    assert "0 deployments with pr=7, team=x have resources" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("a", "--label", "pr=7"), ("--label", "pr")])
def test_environment_needs_one_id_or_labels(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent unless it is known what to roll back."""
    storage = Storage(D.SUCCEEDED)
    assert retire(storage, monkeypatch, *arguments).returncode == 2
    assert storage.sent == []
