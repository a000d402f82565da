"""The circuit breaker and the rate limit in the whole system: steps wait instead of failing, and no call is made in
vain."""

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.breaker import BreakerPolicy, BreakerState
from shared.domain.errors import ConflictError, StorageUnavailableError
from shared.domain.rate import RatePolicy
from shared.domain.states import DeploymentState
from tests.fakes import MemoryTelemetry
from tests.simulation.test_laws import FAULTS, MEDALLION, WS, check_laws, failing
from tests.simulation.world import World

POLICY = BreakerPolicy()


def attempts(world: World) -> dict[str, int]:
    """Return the number of failed attempts by step."""
    return {row.record.step_id: row.record.attempt for row in world.journal.steps("d")}


def test_open_breaker_reschedules_the_step_and_it_succeeds_later() -> None:
    """No call is made while the breaker is open; then the steps continue, and none has used an attempt."""
    world = World(breaker=POLICY)
    world.breakers.get("items").open()
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.SUCCEEDED]
    check_laws(world)
    assert set(attempts(world).values()) == {0}
    began = world.journal.header("d").record.accepted_at.timestamp()
    early = [c for c in world.model.calls if c["at"] - began < 30]
    assert early
    assert not [c for c in early if "/items" in c["path"] or "/lakehouses" in c["path"]]
    lakehouses = [row.record for row in world.journal.steps("d") if row.record.kind == "lakehouse"]
    assert min(row.deliveries for row in lakehouses) > 1
    assert world.breakers.get("items").status().state is BreakerState.CLOSED


@pytest.mark.parametrize("workers", [1, 5])
def test_failing_service_opens_the_breaker_and_gets_few_calls(workers: int) -> None:
    """Items answer 503 for twenty minutes: there are a few calls and then single probes; in the end the deployment
    succeeds."""
    world = World(breaker=POLICY, workers=workers)
    world.model.faults.replace([{"match": {"path": ".*/items"}, "action": {"status": 503}}])
    world.submit(MEDALLION)
    world.run(hours=1 / 3, sweeping=False)
    unavailable = [c for c in world.model.calls if c["status"] == 503]
    assert 5 <= len(unavailable) <= 20, Counter(c["path"] for c in unavailable)
    assert max(attempts(world).values()) <= 5
    world.model.faults.replace([])
    assert world.run() == [DeploymentState.SUCCEEDED]
    check_laws(world)


def test_failing_service_gets_many_calls_without_the_breaker() -> None:
    """The same twenty minutes without a breaker: attempts run out and the deployment is rolled back."""
    world = World()
    world.model.faults.replace([{"match": {"path": ".*/items"}, "action": {"status": 503}}])
    world.submit(MEDALLION)
    world.run(hours=1 / 3, sweeping=False)
    assert len([c for c in world.model.calls if c["status"] == 503]) > 40


@settings(max_examples=60, deadline=None)
@example(seed=0, rules=[({"reset": "after"}, "POST", 0.5)] * 3, rate=0.0, workers=1, fails=False)
@given(
    seed=st.integers(0, 2**32),
    rules=st.lists(
        st.tuples(st.sampled_from(FAULTS), st.sampled_from(["POST", "GET", "DELETE"]), st.floats(0.02, 0.6)),
        min_size=1,
        max_size=3,
    ),
    rate=st.sampled_from([0.0, 0.0, 0.05]),
    workers=st.sampled_from([1, 3]),
    fails=st.booleans(),
)
def test_law_any_fault_and_crash_behind_breaker_and_rate(
    seed: int, rules: list[tuple[dict[str, Any], str, float]], rate: float, workers: int, fails: bool
) -> None:
    """The laws also hold if the gate rejects calls at any place, and if workers that hold the probe die."""
    world = World(seed, crash_rate=rate, breaker=POLICY, rate=RatePolicy(30), workers=workers)
    world.model.faults.replace([{"match": {"method": m}, "when": {"probability": p}, "action": a} for a, m, p in rules])
    world.submit(failing() if fails else MEDALLION)
    world.run(hours=1.0)
    world.model.faults.replace([])
    world.crash_rate = 0.0
    world.run(hours=24.0)
    check_laws(world)


def test_breakers_storage_down_does_not_stop_deployments(caplog: pytest.LogCaptureFixture) -> None:
    """The breaker is then local to the process, reports that once, and works."""
    world = World(breaker=POLICY)

    world.breaker_store.read = world.breaker_store.write = _down
    world.model.faults.replace([{"match": {"path": ".*/items"}, "when": {"times": 12}, "action": {"status": 503}}])
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.SUCCEEDED]
    check_laws(world)
    assert not world.breakers.get("items").status().is_shared
    assert len([r for r in caplog.records if "the storage of the circuit breakers fails" in r.message]) == 1
    assert len([r for r in caplog.records if "'items' is open" in r.message]) >= 1


def many(lakehouses: int) -> dict[str, Any]:
    """Return a manifest of a workspace with many lakehouses that can run in parallel."""
    steps: list[dict[str, Any]] = [MEDALLION["steps"][0]]
    steps += [
        {"id": f"l{i}", "kind": "lakehouse", "with": {"workspaceId": WS, "displayName": f"l{i}"}}
        for i in range(lakehouses)
    ]
    return {"name": "many", "steps": steps}


def throttled(world: World) -> int:
    """Return the number of calls that Fabric answered with 429."""
    return len([c for c in world.model.calls if c["status"] == 429])


@pytest.mark.parametrize("seed", range(3))
def test_rate_keeps_150_lakehouses_inside_the_quota(seed: int) -> None:
    """There is no 429, and the run takes about as many minutes as the quota requires."""
    world = World(seed, rate=RatePolicy(180), breaker=POLICY)
    world.model.settings.quota_per_minute = 200
    world.submit(many(150))
    began = world.clock.now()
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert throttled(world) == 0
    assert set(attempts(world).values()) == {0}
    minutes = (world.clock.now() - began).total_seconds() / 60
    assert minutes <= len(world.model.calls) / 180 + 1


def test_rate_off_runs_into_the_quota() -> None:
    """Without the limit Fabric answers 429, which shows that the test above would notice it."""
    world = World()
    world.model.settings.quota_per_minute = 200
    world.submit(many(150))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert throttled(world) > 100


@pytest.mark.parametrize("workers", [3, 5])
def test_rate_of_several_workers_is_one_rate(workers: int) -> None:
    """All workers claim shares of one window: none of their calls gets a 429, and they use as much of the quota as one
    worker would."""
    world = World(rate=RatePolicy(180), workers=workers)
    world.model.settings.quota_per_minute = 200
    world.submit(many(150))
    began = world.clock.now()
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert throttled(world) == 0
    assert set(attempts(world).values()) == {0}
    minutes = (world.clock.now() - began).total_seconds() / 60
    assert minutes <= len(world.model.calls) / 160 + 1
    assert world.rate_store.writes <= len(world.model.calls) / 2


def test_rate_without_storage_adapts_to_one_quota() -> None:
    """While storage fails, each worker begins with the whole quota, because it knows of no other worker. Few calls get
    a 429, and the deployment succeeds."""
    world = World(rate=RatePolicy(180), workers=3)
    world.rate_store.read = world.rate_store.write = _down
    world.model.settings.quota_per_minute = 200
    world.submit(many(150))
    assert world.run() == [DeploymentState.SUCCEEDED]
    alone = World(workers=3)
    alone.model.settings.quota_per_minute = 200
    alone.submit(many(150))
    alone.run()
    assert throttled(world) <= 10 * 3 < throttled(alone)
    assert set(attempts(world).values()) == {0}


def test_rate_follows_a_smaller_quota_and_emits_it() -> None:
    """Another program uses half of the quota: the workers' common limit falls, few calls get a 429, and the deployment
    succeeds. One worker emits each fall."""
    telemetry = MemoryTelemetry()
    world = World(rate=RatePolicy(180), workers=3, telemetry=telemetry)
    world.model.settings.quota_per_minute = 100
    world.submit(many(100))
    assert world.run() == [DeploymentState.SUCCEEDED]
    assert 0 < throttled(world) <= len(world.model.calls) / 20
    lowered = [s.properties for s in telemetry.signals if s.name == "RateLowered"]
    assert 0 < len(lowered) <= throttled(world)
    assert all(each["is_shared"] and each["limit"] < 180 for each in lowered)


@pytest.mark.parametrize("fault", ["unavailable", "answer lost", "another worker was faster"])
def test_rate_survives_a_fault_at_each_of_its_exchanges(fault: str) -> None:
    """One exchange with the table of the rate fails, or its answer is lost, or another worker has written in between:
    the deployment succeeds, no step uses an attempt, and the workers share the rate again."""
    count = _run_with_fault_at(fault, -1)
    assert count > 5
    for number in range(count):
        _run_with_fault_at(fault, number)


def _run_with_fault_at(fault: str, number: int) -> int:
    """Run a deployment with a fault at one exchange, and return the number of exchanges."""
    world = World(rate=RatePolicy(40), workers=2)
    seen = itertools.count()

    def failing(method: Any) -> Any:
        def exchange(*arguments: Any) -> Any:
            if next(seen) != number:
                return method(*arguments)
            if fault == "another worker was faster" and len(arguments) == 2:
                raise ConflictError("the rate of 'platform' changed since it was read")
            if fault == "answer lost":
                method(*arguments)
            raise StorageUnavailableError("table storage, write 'rates': no answer")

        return exchange

    world.rate_store.read, world.rate_store.write = failing(world.rate_store.read), failing(world.rate_store.write)
    world.submit(MEDALLION)
    assert world.run() == [DeploymentState.SUCCEEDED], number
    assert set(attempts(world).values()) == {0}
    return next(seen)


def _down(*_: Any, **__: Any) -> Any:
    raise StorageUnavailableError("table storage, read 'rates': no answer")
