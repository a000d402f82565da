"""What the host hands over: commands, step messages, and everything that is neither."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import bootstrap, entry
from shared.adapters.breaker_registry import CircuitBreakers
from shared.domain.breaker import BreakerPolicy
from shared.domain.flags import ALL_ON
from shared.domain.messages import COMMAND_EVENT, STEP_EVENT, Direction, StepMessage
from shared.domain.states import DeploymentState, StepState
from shared.domain.telemetry import NoTelemetry
from shared.saga import commands
from shared.saga.accept import Acceptance
from shared.steps import KINDS
from tests.fakes import MemoryBlobs, MemoryBreakers
from tests.unit.saga.rows import ERROR, Room

STEP = {"deployment_id": "d", "ordinal": 3, "direction": "forward"}
CANCEL = {"command": "cancel", "deployment_id": "d", "requested_by": "anna"}
MANIFEST = {"name": "m", "steps": [{"id": "w", "kind": "workspace", "with": {"displayName": "w"}}]}


def raw(value: Any) -> bytes:
    """A message's body."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.mark.parametrize("encode", [raw, lambda v: b"\xef\xbb\xbf" + raw(v), lambda v: base64.b64encode(raw(v))])
def test_entry_reads_commands_and_step_messages_in_any_encoding(encode: Any) -> None:
    """Plain, with a byte order mark, and in base64."""
    assert commands.read(encode(CANCEL)) == commands.Command(commands.Verb.CANCEL, "d", "anna")
    assert entry._step_message(encode(STEP)) == StepMessage("d", 3, Direction.FORWARD)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"{",
        b"[" * 1_900,
        [],
        7,
        None,
        {},
        {**CANCEL, "command": "delete"},
        {**CANCEL, "deployment_id": 7},
        {**CANCEL, "deployment_id": "a/b"},
        {**CANCEL, "deployment_id": "x" * 101},
        {**CANCEL, "requested_by": "x" * 4_000},
        {"command": "cancel"},
        MANIFEST,
    ],
)
def test_entry_what_is_no_command_is_a_submission(content: Any) -> None:
    """Nothing is raised, and nothing is cancelled by chance."""
    assert commands.read(raw(content)) is None


@pytest.mark.parametrize(("who", "shown"), [(None, "somebody"), ("", "somebody"), (7, "7"), ("x" * 300, "x" * 256)])
def test_entry_command_says_who(who: Any, shown: str) -> None:
    """Somebody, where nobody is named; never more than a column holds."""
    assert commands.read(raw({**CANCEL, "requested_by": who})) == commands.Command(commands.Verb.CANCEL, "d", shown)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"{",
        b"[" * 100_000,
        [],
        7,
        None,
        {},
        {**STEP, "ordinal": "3"},
        {**STEP, "ordinal": -1},
        {**STEP, "ordinal": 10**9},
        {**STEP, "ordinal": None},
        {**STEP, "deployment_id": "a/b"},
        {**STEP, "deployment_id": ""},
        {**STEP, "deployment_id": 7},
        {**STEP, "direction": "sideways"},
        {**STEP, "direction": []},
    ],
)
def test_entry_what_is_no_step_message_is_dropped(content: Any) -> None:
    """It was not put there by this app: logged, and not tried until it is poison."""
    assert entry._step_message(raw(content)) is None


@given(st.binary(max_size=200))
def test_entry_reading_never_breaks(content: bytes) -> None:
    """Whatever bytes arrive."""
    commands.read(content)
    entry._step_message(content)


class Host:
    """An app over memory, and what its orchestrations are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = Room()
        self.told = self.room.told.heard
        blobs = MemoryBlobs()
        services = self.room.services
        acceptance = Acceptance(self.room.journal, blobs, services.payloads, self.room.clock, KINDS)
        breakers = CircuitBreakers(MemoryBreakers(), BreakerPolicy(), self.room.clock.now)
        app = bootstrap.App(
            services,
            acceptance,
            self.room.locks,
            breakers,
            {"storage": lambda: None},
            ALL_ON,
            NoTelemetry(),
            submit=lambda text, delay_seconds=0.0: None,
        )
        monkeypatch.setattr(bootstrap, "app", lambda: app)
        monkeypatch.setattr(bootstrap, "orchestrations", lambda client: self.room.told)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host."""
    return Host(monkeypatch)


def test_entry_accept_starts_what_is_accepted_and_only_that(host: Host) -> None:
    """Accepted: started, also the second time, which may follow a crash. Rejected or in conflict: not."""
    message = raw({"deployment_id": "d", "manifest": MANIFEST})
    entry.accept(message, "m", None)
    entry.accept(message, "m", None)
    entry.accept(raw({"deployment_id": "d", "manifest": {**MANIFEST, "name": "other"}}), "m", None)
    entry.accept(b"\xff", "m", None)
    assert host.told == [("start", "d")] * 2
    assert host.room.header("unreadable-m").state is DeploymentState.REJECTED


def test_entry_cancel_notes_and_tells(host: Host) -> None:
    """The journal says who, the orchestration is woken; the unknown and the ended are left alone."""
    host.room.deployment(DeploymentState.RUNNING, StepState.PENDING)
    host.room.deployment(DeploymentState.SUCCEEDED, deployment_id="e")
    for deployment_id in ("d", "e", "gone"):
        entry.accept(raw({**CANCEL, "deployment_id": deployment_id}), "m", None)
    assert host.room.header().cancel_requested_by == "anna"
    assert host.told == [("start", "d"), ("d", COMMAND_EVENT, "cancel")]


def test_entry_poisoned_step_fails_and_is_told(host: Host) -> None:
    """The deployment can turn back; garbage and unknown steps are dropped."""
    host.room.deployment(DeploymentState.RUNNING, StepState.PENDING)
    entry.poisoned_step(raw({**STEP, "ordinal": 0}), None)
    entry.poisoned_step(raw({**STEP, "ordinal": 9}), None)
    entry.poisoned_step(b"junk", None)
    entry.execute_step(b"junk", None)
    entry.execute_step(raw({**STEP, "ordinal": 9}), None)
    assert host.room.states() == [StepState.FAILED]
    assert host.told == [("d", STEP_EVENT, "failed")]


def test_entry_poisoned_deployment_is_recorded(host: Host) -> None:
    """Under the id that it asked for."""
    entry.poisoned_deployment(raw({"deployment_id": "p", "manifest": MANIFEST}), "m")
    assert host.room.header("p").state is DeploymentState.REJECTED


def test_entry_activities_reach_the_app(host: Host) -> None:
    """Each activity's small JSON in and out, from the begin to the end."""
    host.room.deployment(DeploymentState.ACCEPTED, StepState.PENDING)
    view = entry.begin("d")
    assert view["next"] == "run"
    entry.dispatch({"deployment_id": "d", "ordinals": [0], "direction": "forward"})
    assert host.room.sent() == [(0, "forward")]
    assert entry.reconcile({"deployment_id": "d", "progress": view["progress"], "tick": 1})["next"] == "run"
    assert entry.turn_back("d")["next"] == "run"
    host.room.change(0, state=StepState.FAILED, error=ERROR)
    assert entry.begin_compensation("d")["next"] == "run"
    assert host.room.states() == [StepState.COMPENSATED]
    assert entry.finish("d") == {"next": "ended", "state": "compensated"}


def test_entry_sweep_starts_what_nothing_moves(host: Host) -> None:
    """The timer."""
    host.room.deployment(DeploymentState.RUNNING, StepState.PENDING)
    host.room.clock.advance(61)
    entry.sweep(None)
    assert host.told == [("start", "d")]


def test_entry_ready_is_the_checks(host: Host) -> None:
    """As the monitor sees it."""
    assert entry.ready()[0]
