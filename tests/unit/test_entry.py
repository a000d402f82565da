"""Everything that the host delivers: commands, step messages, and everything that is neither."""

import base64
import json
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import bootstrap, entry, health, settings
from shared.adapters.breaker.circuit_breakers import CircuitBreakers
from shared.adapters.secrets.environment import EnvironmentSecrets
from shared.adapters.secrets.manager import SecretManager
from shared.domain.access import KEYS, AccessPolicy
from shared.domain.breaker import BreakerPolicy
from shared.domain.errors import InvalidInputError, StorageUnavailableError
from shared.domain.flags import ALL_ON
from shared.domain.messages import COMMAND_EVENT, STEP_EVENT, TARGET_EVENT, Direction, StepMessage
from shared.domain.policy import EnginePolicy
from shared.domain.ports import PoisonSignal
from shared.domain.states import DeploymentState, StepState
from shared.domain.telemetry import PROPERTIES, Event, NoTelemetry
from shared.saga.command import commands
from shared.saga.command.verbs import Verb
from shared.saga.health.monitor import OFF, Check, Monitor
from shared.saga.submission.acceptance import Acceptance, Submission
from shared.steps import KINDS
from tests.fakes import MemoryBlobs, MemoryBreakers, MemorySignals, MemoryTelemetry
from tests.unit.saga.fixture import ERROR, SagaFixture

MESSAGE_ID = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c44"
STEP = {"deployment_id": "d", "ordinal": 3, "direction": "forward"}
CANCEL = {"command": "cancel", "deployment_id": "d", "requested_by": "anna"}
MANIFEST = {"name": "m", "steps": [{"id": "w", "kind": "workspace", "with": {"displayName": "w"}}]}


def raw(value: Any) -> bytes:
    """Return a message's body."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@pytest.mark.parametrize("encode", [raw, lambda v: b"\xef\xbb\xbf" + raw(v), lambda v: base64.b64encode(raw(v))])
def test_entry_reads_commands_and_step_messages_in_any_encoding(encode: Any) -> None:
    """A message may be plain, have a byte order mark, or be in base64."""
    assert commands.read(encode(CANCEL)) == commands.Command(Verb.CANCEL, "d", "anna")
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
        MANIFEST,
    ],
)
def test_entry_reads_anything_but_a_command_as_a_submission(content: Any) -> None:
    """Nothing is raised, and nothing is cancelled by accident."""
    assert commands.read(raw(content)) is None


@pytest.mark.parametrize(
    ("content", "expected_text"),
    [
        ({**CANCEL, "command": "cancell"}, "Did you mean 'cancel'?"),
        ({**CANCEL, "command": "CANCEL"}, "Did you mean 'cancel'?"),
        ({**CANCEL, "command": ["cancel"]}, "an array is not a command"),
        ({**CANCEL, "command": None}, "null is not a command"),
        ({**CANCEL, "command": "cancel\u0000"}, "is not a command"),
        ({"Command": "cancel", "deployment_id": "d"}, "Did you mean 'command'?"),
        ({"comand": "cancel", "deployment_id": "d"}, "Did you mean 'command'?"),
        ({"command": "deploy", "manifest": MANIFEST}, "is not a command"),
        ({**MANIFEST, "COMMAND": "x"}, "Did you mean 'command'?"),
        ({**CANCEL, "deployment_id": 7}, "$.deployment_id"),
        ({**CANCEL, "deployment_id": "a/b"}, "$.deployment_id"),
        ({"command": "cancel"}, "$.deployment_id"),
        ({**CANCEL, "requested_by": "x" * 16_000}, "16000 bytes"),
        (b"command: cancell\ndeployment_id: d", "Did you mean 'cancel'?"),
    ],
)
@pytest.mark.parametrize("entrance", ["queue", "poison"])
def test_entry_invalid_command_claims_no_id(
    host: "Host", caplog: pytest.LogCaptureFixture, content: Any, expected_text: str, entrance: str
) -> None:
    """For any mistake the id stays free for its submission, the log names the mistake, and health warns."""
    if entrance == "queue":
        entry.accept(raw(content), "m", None)
    else:
        entry.poisoned_deployment(raw(content), "m")
    assert list(host.saga.journal.deployments()) == []
    assert expected_text in caplog.text
    assert host.signals.poison_signal() is not None
    entry.accept(raw({"deployment_id": "d", "manifest": MANIFEST}), "m", None)
    assert host.saga.header("d").state is DeploymentState.ACCEPTED


@pytest.mark.parametrize(
    ("requester", "shown"), [(None, "somebody"), ("", "somebody"), (7, "7"), ("x" * 300, "x" * 256)]
)
def test_entry_command_has_a_requester(requester: Any, shown: str) -> None:
    """ "somebody" if nobody is named, and never more than a column holds."""
    assert commands.read(raw({**CANCEL, "requested_by": requester})) == commands.Command(Verb.CANCEL, "d", shown)


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
        {**STEP, "ordinal": True},
        {**STEP, "ordinal": 3.0},
        {**STEP, "deployment_id": "a/b"},
        {**STEP, "deployment_id": ""},
        {**STEP, "deployment_id": 7},
        {**STEP, "direction": "sideways"},
        {**STEP, "direction": []},
    ],
)
def test_entry_drops_a_message_that_is_not_a_step_message(content: Any) -> None:
    """Such a message is not the app's own: it is logged, and does not become poison."""
    assert entry._step_message(raw(content)) is None


@given(st.binary(max_size=200))
def test_entry_reads_any_bytes_without_an_error(content: bytes) -> None:
    with suppress(InvalidInputError):
        commands.read(content)
    entry._step_message(content)


class Host:
    """An app over memory, and the calls of its orchestrations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, access: AccessPolicy = KEYS) -> None:
        self.saga = SagaFixture()
        self.orchestrations = self.saga.orchestrations.received
        self.submitted: list[str] = []
        blobs = self.blobs = MemoryBlobs()
        services = replace(self.saga.services, policy=EnginePolicy(access=access))
        acceptance = Acceptance(self.saga.journal, blobs, services.payloads, self.saga.clock, KINDS, access=access)
        breakers = CircuitBreakers(MemoryBreakers(), BreakerPolicy(), self.saga.clock.now)
        secrets = SecretManager(EnvironmentSecrets(lambda name: ""))
        checks: dict[str, Check] = {"storage": lambda: None}
        telemetry, self.signals = NoTelemetry(), MemorySignals()
        monitor = Monitor(checks, cache_seconds=0.0, now=self.saga.clock.now, telemetry=telemetry)
        self.app = bootstrap.App(
            services,
            acceptance,
            self.saga.locks,
            breakers,
            checks,
            ALL_ON,
            telemetry,
            secrets,
            self.signals,
            monitor,
            submit=lambda text, delay_seconds=0.0: self.submitted.append(text),
        )
        monkeypatch.setattr(bootstrap, "app", lambda: self.app)
        monkeypatch.setattr(bootstrap, "orchestrations", lambda client: self.saga.orchestrations)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_entry_accept_starts_accepted_deployments_only(host: Host) -> None:
    """A repetition, which may follow a crash, starts it too. A rejected submission and a conflict are not started."""
    message = raw({"deployment_id": "d", "manifest": MANIFEST})
    entry.accept(message, "m", None)
    entry.accept(message, "m", None)
    entry.accept(raw({"deployment_id": "d", "manifest": {**MANIFEST, "name": "other"}}), "m", None)
    entry.accept(b"\xff", MESSAGE_ID, None)
    assert host.orchestrations == [("start", "d")] * 2
    assert json.loads(host.blobs.get(host.saga.header("d").manifest_hash)) == MANIFEST, "redeploy reads it"
    assert host.saga.header(f"unreadable-{MESSAGE_ID}").state is DeploymentState.REJECTED


def test_entry_cancel_is_recorded_and_wakes_the_orchestration(host: Host) -> None:
    """The journal has the requester; unknown and ended deployments are not changed."""
    host.saga.deployment(DeploymentState.RUNNING, StepState.PENDING)
    host.saga.deployment(DeploymentState.SUCCEEDED, deployment_id="e")
    for deployment_id in ("d", "e", "gone"):
        entry.accept(raw({**CANCEL, "deployment_id": deployment_id}), "m", None)
    assert host.saga.header().cancel_requested_by == "anna"
    assert host.orchestrations == [("start", "d"), ("d", COMMAND_EVENT, "cancel")]


def test_entry_refuses_the_queue_if_it_must_prove_who_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission is recorded as rejected and a command in the audit; neither has an effect. The queue's copy of a
    submission that came over HTTP completes it."""
    host = Host(monkeypatch, AccessPolicy(signs_in=True, queue_needs_identity=True))
    entry.accept(raw({"deployment_id": "q", "manifest": MANIFEST}), "m", None)
    assert host.saga.header("q").state is DeploymentState.REJECTED
    assert "QUEUE_NEEDS_IDENTITY" in host.saga.header("q").problems[0]["message"]
    host.saga.deployment(DeploymentState.RUNNING, StepState.PENDING)
    entry.accept(raw({**CANCEL, "deployment_id": "d"}), "m", None)
    assert host.saga.header().cancel_requested_by is None
    assert "QUEUE_NEEDS_IDENTITY" in host.saga.journal.audit("d")[-1].reason
    assert host.orchestrations == []
    host.app.acceptance.submit(Submission("h", MANIFEST, "anna", requester_id="a"))
    entry.accept(raw({"deployment_id": "h", "manifest": MANIFEST}), "m", None)
    assert (host.saga.header("h").state, host.saga.header("h").requester_id) == (DeploymentState.ACCEPTED, "a")
    assert host.orchestrations == [("start", "h")]


def test_entry_poisoned_step_fails_and_raises_its_event(host: Host) -> None:
    """The deployment can be rolled back; invalid messages and unknown steps are dropped."""
    host.saga.deployment(DeploymentState.RUNNING, StepState.PENDING)
    entry.poisoned_step(raw({**STEP, "ordinal": 0}), None)
    entry.poisoned_step(raw({**STEP, "ordinal": 9}), None)
    entry.poisoned_step(b"junk", None)
    entry.execute_step(b"junk", None)
    entry.execute_step(raw({**STEP, "ordinal": 9}), None)
    assert host.saga.states() == [StepState.FAILED]
    assert host.orchestrations == [("d", STEP_EVENT, "failed")]
    assert host.signals.poison_signal() == PoisonSignal(3, host.saga.clock.now(), "deployment-steps")


def test_entry_poisoned_deployment_is_recorded(host: Host) -> None:
    """It is recorded under the id in the submission."""
    entry.poisoned_deployment(raw({"deployment_id": "p", "manifest": MANIFEST}), "m")
    assert host.saga.header("p").state is DeploymentState.REJECTED
    assert host.signals.poison_signal() == PoisonSignal(1, host.saga.clock.now(), "deployments")


def test_entry_poisoned_command_is_recorded_and_claims_no_id(host: Host) -> None:
    """The requester finds it in the deployment's audit; a future deployment with that id is not rejected because of
    it."""
    host.saga.deployment(DeploymentState.RUNNING, StepState.PENDING)
    for deployment_id in ("d", "yet-to-come"):
        entry.poisoned_deployment(raw({**CANCEL, "deployment_id": deployment_id}), "m")
    last = host.saga.journal.audit("d")[-1]
    assert (last.actor, "cancel" in last.reason, "another manifest" in last.reason) == ("anna", True, False)
    assert [header.deployment_id for header in host.saga.journal.deployments()] == ["d"]


@pytest.mark.parametrize(
    "message",
    [
        {"deployment_id": "d", "manifest": MANIFEST},
        {**MANIFEST, "id": "d"},
        CANCEL,
        b"id: d\nname: m\nsteps: []",
        base64.b64encode(raw(CANCEL)),
    ],
)
def test_entry_message_that_an_outage_poisoned_is_sent_again(host: Host, message: Any) -> None:
    """It could not be recorded at its first delivery: it is put on its queue unchanged, and is not counted as
    poison."""
    entry.poisoned_deployment(raw(message), "m", 2)
    assert host.submitted == [raw(message).decode()]
    assert (list(host.saga.journal.deployments()), host.signals.poison_signal()) == ([], None)


@pytest.mark.parametrize("name", ["dequeueCount", "DEQUEUECOUNT"])
def test_entry_message_that_names_its_own_delivery_is_recorded_at_once(host: Host, name: str) -> None:
    """The host reports a body's `dequeueCount` as the message's; trusted, it would send the message again for ever."""
    entry.poisoned_deployment(raw({"id": "d", **MANIFEST, name: 4}), MESSAGE_ID, 4)
    assert host.submitted == []
    assert host.saga.header("d").state is DeploymentState.REJECTED


def test_entry_step_that_an_outage_poisoned_is_sent_again(host: Host) -> None:
    """The step does not fail because of a setting that was wrong for a while."""
    host.saga.deployment(DeploymentState.RUNNING, StepState.PENDING)
    entry.poisoned_step(raw({**STEP, "ordinal": 0}), None, 2)
    assert (host.saga.states(), host.saga.sent()) == ([StepState.PENDING], [(0, "forward")])
    assert (host.orchestrations, host.signals.poison_signal()) == ([], None)


@pytest.mark.parametrize("message", [MANIFEST, b"\xff", {"command": "cancell", "id": "d"}])
def test_entry_message_without_an_id_is_not_sent_again(host: Host, message: Any) -> None:
    """As a new message it would be a new deployment; it is recorded and counted, as at a first delivery."""
    entry.poisoned_deployment(raw(message), "m", 2)
    assert host.submitted == []
    assert host.signals.poison_signal() is not None


@pytest.mark.parametrize("is_step", [True, False])
def test_entry_poisoned_message_stays_while_the_app_cannot_be_built(
    host: Host, monkeypatch: pytest.MonkeyPatch, is_step: bool
) -> None:
    """The function fails, so that the host keeps the message; nothing is dropped."""

    def unbuilt() -> Any:
        raise settings.SettingsError(["FEATURE_USE_ROLLBACK"])

    monkeypatch.setattr(bootstrap, "app", unbuilt)
    message = raw(STEP if is_step else {"deployment_id": "d", "manifest": MANIFEST})
    poisoned: Any = entry.poisoned_step if is_step else entry.poisoned_deployment
    for delivery in (1, 2):
        with pytest.raises(settings.SettingsError):
            poisoned(message, "m", delivery)


def test_entry_poisoned_deployment_is_recorded_even_if_it_cannot_be_counted(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count is for monitors; the record is what matters."""

    def down(queue: str, at: datetime) -> None:
        raise StorageUnavailableError("down")

    monkeypatch.setattr(host.signals, "record_poison_message", down)
    entry.poisoned_deployment(raw({"deployment_id": "p", "manifest": MANIFEST}), "m")
    assert host.saga.header("p").state is DeploymentState.REJECTED


def test_entry_wakes_the_deployment_that_a_script_names(host: Host) -> None:
    """The message is not a submission: it takes no id, and a deployment that does not run is not started."""
    entry.accept(raw({"wake": "d"}), "m", None)
    assert host.orchestrations == [("d", TARGET_EVENT, "None")]
    assert list(host.saga.journal.deployments()) == []


@pytest.mark.parametrize("leave", ["finish", "begin", "begin_compensation"])
def test_entry_activity_that_leaves_the_target_wakes_the_next(host: Host, leave: str) -> None:
    """It uses the client of its own invocation."""
    ended = {"begin_compensation": {"cancel_requested_by": "anna"}}.get(leave, {})
    state = DeploymentState.SUCCEEDED if leave != "begin_compensation" else DeploymentState.RUNNING
    host.app = replace(
        host.app, services=replace(host.app.services, policy=replace(host.app.services.policy, rollback=False))
    )
    host.saga.deployment(state, StepState.SUCCEEDED, **ended)
    host.saga.clock.advance(1)
    host.saga.deployment(DeploymentState.ACCEPTED, StepState.PENDING, deployment_id="next")
    assert getattr(entry, leave)("d", None)["next"] == "ended"
    assert host.orchestrations == [("next", TARGET_EVENT, "None")]


def test_entry_activities_reach_the_app(host: Host) -> None:
    """Each activity's small JSON is passed in and out, from the begin to the end."""
    host.saga.deployment(DeploymentState.ACCEPTED, StepState.PENDING)
    view = entry.begin("d", None)
    assert view["next"] == "run"
    entry.dispatch({"deployment_id": "d", "ordinals": [0], "direction": "forward"})
    assert host.saga.sent() == [(0, "forward")]
    assert entry.reconcile({"deployment_id": "d", "progress": view["progress"], "tick": 1})["next"] == "run"
    assert entry.record_failure("d")["next"] == "run"
    host.saga.change(0, state=StepState.FAILED, error=ERROR)
    assert entry.begin_compensation("d", None)["next"] == "run"
    assert host.saga.states() == [StepState.COMPENSATED]
    assert entry.finish("d", None) == {"next": "ended", "state": "compensated"}


def test_entry_sweep_restarts_a_deployment_without_an_orchestration(host: Host) -> None:
    host.saga.deployment(DeploymentState.RUNNING, StepState.PENDING)
    host.saga.clock.advance(61)
    entry.sweep(None)
    assert host.orchestrations == [("start", "d")]
    last = host.signals.last_sweep()
    assert last is not None
    assert (last.at, last.seconds, last.counts["restarted"]) == (host.saga.clock.now(), 0.0, 1)


def test_entry_dry_sweep_logs_what_it_would_do(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the ids, and does not report anything as done."""
    caplog.set_level("INFO")
    host.app = replace(host.app, sweep_dry_run=True)
    host.saga.deployment(DeploymentState.RUNNING, StepState.PENDING)
    host.saga.deployment(DeploymentState.REJECTED, deployment_id="old", due_at=host.saga.clock.now())
    host.saga.clock.advance(61)
    entry.sweep(None)
    assert host.orchestrations == []
    assert 'would have handled: {"restarted": ["d"], "purged": ["old"]}' in caplog.text
    assert "had no orchestration" not in caplog.text


def test_entry_sweep_emits_its_counts(host: Host) -> None:
    """One event has the counts that health keeps too."""
    telemetry = MemoryTelemetry()
    host.app = replace(host.app, telemetry=telemetry)
    host.saga.deployment(DeploymentState.RUNNING, StepState.PENDING)
    host.saga.deployment(DeploymentState.HELD, deployment_id="e")
    host.saga.clock.advance(61)
    entry.sweep(None)
    (found,) = telemetry.events(Event.SWEEP_FINISHED)
    assert set(found.properties) == set(PROPERTIES[Event.SWEEP_FINISHED])
    last = host.signals.last_sweep()
    assert last is not None
    assert last.counts.items() <= found.properties.items()
    assert (found.properties["seen"], found.properties["restarted"], found.properties["held"]) == (2, 1, 1)


def test_entry_health_is_coarse_for_anybody_and_complete_for_operators(host: Host) -> None:
    """Both show the same round."""
    assert health.ready() == (True, {"status": "pass", "checks": {"storage": [{"status": "pass"}]}})
    passed, body = health.details()
    assert passed
    assert body["checks"]["storage:responseTime"][0]["observedUnit"] == "s"


@pytest.mark.parametrize("is_on", [True, False])
def test_entry_health_lists_for_operators_what_is_switched_off(host: Host, is_on: bool) -> None:
    """The list is there only if a protection is off; the answer of `ready` does not contain it."""
    host.app = replace(host.app, flags=replace(ALL_ON, rollback=is_on))
    _, reported = health.details()
    assert ("off: FEATURE_USE_ROLLBACK; not ready for production" in str(reported.get("notes"))) == (not is_on)
    assert ("notes" in reported) == (not is_on)
    assert "notes" not in health.ready()[1]


def test_entry_health_that_is_off_checks_nothing_and_says_so(host: Host) -> None:
    """Ready and details return the same, and no check is run."""

    def asked() -> None:
        raise AssertionError

    monitor = Monitor({"storage": asked}, cache_seconds=0.0, now=host.saga.clock.now, telemetry=NoTelemetry())
    host.app = replace(host.app, flags=replace(ALL_ON, health_checks=False), health=monitor)
    assert health.ready() == health.details() == (True, OFF)
    assert "FEATURE_USE_HEALTH_CHECKS" in OFF["notes"][0]
