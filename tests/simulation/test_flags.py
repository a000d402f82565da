"""All combinations of the feature flags, each with the app that bootstrap composes from an environment with these
flags."""

import itertools
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from local.fabric_simulator import control
from shared import bootstrap, settings
from shared.adapters.fabric.client import FabricClient
from shared.adapters.fabric.gate import FabricGate
from shared.adapters.fabric.observed_transport import ObservedTransport
from shared.bootstrap import parts
from shared.cli import pack
from shared.domain.flags import ALL_ON, FeatureFlags
from shared.domain.states import DeploymentState, StepState
from shared.domain.text import parse
from shared.saga.command.verbs import Verb
from shared.steps import KINDS
from tests.fakes import MemoryTelemetry
from tests.simulation.edges import FixedToken, ModelTransport, crashing
from tests.simulation.laws import encoded
from tests.simulation.test_telemetry import event_counts, moves
from tests.simulation.world import World

pytestmark = pytest.mark.law(1)

NAMES = [f.name for f in fields(FeatureFlags)]
COMBINATIONS = [
    FeatureFlags(**dict(zip(NAMES, values, strict=True)))
    for values in itertools.product((False, True), repeat=len(NAMES))
]


def is_in_gate(flags: FeatureFlags) -> bool:
    """Return True for sixteen combinations in which every three flags meet in all eight ways; `make hunt` runs all."""
    a, b, c, d, *others = flags.as_dict().values()
    return others == [a ^ b ^ c, b ^ c ^ d, a ^ c ^ d]


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ENVIRONMENT = {
    "AzureWebJobsStorage": "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=c2VjcmV0;"
    "BlobEndpoint=http://127.0.0.1:1/acc;QueueEndpoint=http://127.0.0.1:1/acc;TableEndpoint=http://127.0.0.1:1/acc;",
    "FABRIC_API_BASE_URL": "http://127.0.0.1",
    "KEY_VAULT_URL": "https://example.vault.azure.net",
}
"""The settings that the flags need; nothing connects to these addresses."""


def loaded(flags: FeatureFlags) -> settings.Settings:
    """Load the settings of an environment with these flags."""
    return settings.load(ENVIRONMENT | {name: str(value).lower() for name, value in flags.as_dict().items()})


class Composed(World):
    """The world around the app that bootstrap composes: the flags decide its policy, gates, attempts and telemetry."""

    def __init__(self, flags: FeatureFlags, seed: int = 0) -> None:
        self.settings = loaded(flags)
        app = bootstrap.build(self.settings)
        telemetry = MemoryTelemetry() if flags.telemetry else None
        super().__init__(seed, app.services.policy, breaker=self.settings.breaker, telemetry=telemetry)
        own = self.services
        self.services = replace(
            app.services,
            journal=own.journal,
            queue=own.queue,
            payloads=own.payloads,
            fabric=own.fabric,
            clock=own.clock,
            new_id=own.new_id,
            jitter=own.jitter,
            telemetry=own.telemetry,
        )

    def _client(self, gate: FabricGate) -> FabricClient:
        transport = crashing(ModelTransport(self.model, self.clock), self.point)
        if self.settings.flags.telemetry:
            transport = ObservedTransport(transport, self.telemetry)
        limiter = parts.rate_limiter(None, self.settings, self.clock, self.telemetry)
        return parts.fabric_client(
            self.settings, FixedToken(), transport, self.breakers, limiter, self.clock, self.clock.advance
        )

    def inject(self, **rule: Any) -> None:
        """Inject a fault into the calls to Fabric."""
        assert control.handle(self.model, "POST", "/_sim/faults", {}, encoded([rule]))[0] == 200


def check_emitted(world: Composed) -> None:
    """Check that with telemetry on every move of the journal has its event and every call its span, and that with
    telemetry off there is neither."""
    telemetry = world.telemetry
    if isinstance(telemetry, MemoryTelemetry):
        assert event_counts(telemetry) == moves(world)
    carried = {call["traceparent"] is not None for call in world.model.calls}
    assert carried == {world.settings.flags.telemetry} == {isinstance(telemetry, MemoryTelemetry)}


def example(name: str) -> dict[str, Any]:
    """Return a manifest of examples/, packed as the command line does."""
    text, folder = pack.read_text(str(EXAMPLES / name))
    return pack.packed(parse(text), folder)


MEDALLION, FAILING = example("medallion.yaml"), example("failing.yaml")
WHOLE = {"contoso-sales-dev": ["bronze", "gold", "silver"]}


def test_flags_of_the_gate_cover_every_three() -> None:
    rows = [list(flags.as_dict().values()) for flags in COMBINATIONS if is_in_gate(flags)]
    for chosen in itertools.combinations(range(len(NAMES)), 3):
        assert {tuple(row[i] for i in chosen) for row in rows} == set(itertools.product((False, True), repeat=3))


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(
            flags,
            id="".join("01"[v] for v in flags.as_dict().values()),
            marks=() if is_in_gate(flags) else pytest.mark.hunt,
        )
        for flags in COMBINATIONS
    ],
)
def test_flags_every_combination_ends_lawfully(flags: FeatureFlags) -> None:
    """The medallion succeeds; with a failing last step it is rolled back, or, with rollback off, left and released. All
    of that is reported as events, or none of it."""
    world = Composed(flags)
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert world.names() == WHOLE
    check_emitted(world)
    world = Composed(flags)
    world.submit(FAILING)
    assert world.run() == [DeploymentState.COMPENSATED if flags.rollback else DeploymentState.FAILED]
    assert world.names() == ({} if flags.rollback else {"contoso-sales-test": ["bronze", "gold", "silver"]})
    check_emitted(world)
    free = world.locks.acquire(world.journal.header("d").record.target, "the next", world.clock.now(), 60)
    assert free.holder == "the next"


def test_flags_medallion_is_the_example() -> None:
    """The manifest of the combinations is the one of the examples, with every kind expanded that expands."""
    assert {"medallion", "medallion-failing"} == {MEDALLION["name"], FAILING["name"]}
    assert {s["kind"] for s in MEDALLION["steps"]} <= set(KINDS)


def test_flag_rollback_off_leaves_everything_and_lets_a_person_decide() -> None:
    """Nothing is compensated, and the sweeper leaves the deployment alone. Rolled back on request, the workspace is as
    it was."""
    world = Composed(replace(ALL_ON, rollback=False))
    world.submit(FAILING)
    assert world.run() == [DeploymentState.FAILED]
    world.clock.advance(world.policy.orphan_grace_seconds + 1)
    before = (world.names(), world.journal.header("d"), world.journal.steps("d"))
    assert not any(v for k, v in world.sweep().counts().items() if k != "seen")
    assert (world.names(), world.journal.header("d"), world.journal.steps("d")) == before
    assert not [c for c in world.model.calls if c["method"] == "DELETE"]
    assert world.ask(Verb.COMPENSATE).accepted
    assert world.run() == [DeploymentState.COMPENSATED]
    assert world.names() == {}


def test_flag_rollback_off_cancel_stops_and_compensates_nothing() -> None:
    """The deployment ends `failed` and names who cancelled it. After a resume it succeeds."""
    world = Composed(replace(ALL_ON, rollback=False))
    world.inject(match={"method": "POST", "path": ".*/items"}, when={"times": 1}, action={"operation": "never"})
    world.submit(MEDALLION)
    while not world.names().get("contoso-sales-dev"):
        if not world.step():
            world.pass_time()
    world.ask(Verb.CANCEL)
    for operation in world.model.store.operations.values():
        operation.over_at = operation.over_at or world.clock.now().timestamp()
    assert world.run() == [DeploymentState.FAILED]
    error = world.journal.header("d").record.error
    assert error is not None
    assert error.message == "cancelled by tester"
    assert world.names()["contoso-sales-dev"]
    assert world.ask(Verb.RESUME).accepted
    assert world.run() == [DeploymentState.SUCCEEDED]


def test_flag_retry_logic_off_fails_at_the_first_error_and_still_rolls_back() -> None:
    """One 503 fails the step; with the flag on, the same fault changes nothing."""
    for flags, end in ((ALL_ON, DeploymentState.SUCCEEDED), (replace(ALL_ON, retry_logic=False), None)):
        world = Composed(flags)
        world.inject(match={"method": "POST", "path": ".*/lakehouses"}, when={"nth": 1}, action={"status": 503})
        world.submit(MEDALLION)
        assert world.run() == [end or DeploymentState.COMPENSATED]
        assert world.names() == (WHOLE if end else {})


def test_flag_retry_logic_off_still_obeys_retry_after() -> None:
    """A 429 is not a failure, and waiting as long as it asks is not a retry."""
    world = Composed(replace(ALL_ON, retry_logic=False))
    throttled = {"status": 429, "headers": {"Retry-After": "9"}}
    world.inject(match={"method": "POST"}, when={"times": 3}, action=throttled)
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert [c["status"] for c in world.model.calls].count(429) == 3


def test_flag_retry_logic_off_reads_once() -> None:
    """In-process attempts are retries too: a read that fails once fails the step."""
    for flags, reads in ((ALL_ON, 2), (replace(ALL_ON, retry_logic=False), 1)):
        world = Composed(flags)
        world.inject(match={"method": "GET", "path": "/v1/workspaces"}, when={"nth": 1}, action={"status": 503})
        world.submit({**MEDALLION, "steps": MEDALLION["steps"][:1]})
        world.run()
        first = next(s.record for s in world.journal.steps("d"))
        assert (first.state is StepState.SUCCEEDED) == (reads == 2)


@pytest.mark.parametrize("is_on", [True, False])
def test_flag_circuit_breaker(is_on: bool, caplog: pytest.LogCaptureFixture) -> None:
    """With the flag on, failures open the breaker, and it closes again. With the flag off, no breaker exists."""
    world = Composed(replace(ALL_ON, circuit_breaker=is_on))
    world.inject(match={"path": ".*/lakehouses"}, when={"times": 10}, action={"status": 503})
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert any("' is open" in r.message for r in caplog.records) == is_on
    assert bool(world.breaker_store.all()) == is_on
