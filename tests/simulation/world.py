"""The whole system in one thread: the real engine, the real orchestrator generator and the real Fabric client over
in-memory ports and the simulator's model, driven by one seeded scheduler. The same seed gives the same run.

The scheduler chooses what runs next, and what happens to a process. At every port call, before and after its effect and
between the writes of one call, a process may die, be overtaken by others, or be held up past its lease. All that a real
host would deliver again, after a crash or during a delivery that takes too long, is delivered again here. A call to
Fabric takes up to `pace` seconds; in the meantime a process that is not held up sends its heartbeats.
"""

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from local.fabric_simulator.model import FabricModel
from shared.adapters.breaker.circuit_breakers import CircuitBreakers
from shared.adapters.fabric.client import FabricClient
from shared.adapters.fabric.gate import FabricGate
from shared.adapters.fabric.rate_limiter import RateLimiter
from shared.adapters.fabric.transport import AnswerLostError
from shared.domain.breaker import BreakerPolicy
from shared.domain.errors import NotFoundError
from shared.domain.messages import STEP_EVENT, TARGET_EVENT, Direction, StepMessage
from shared.domain.policy import EnginePolicy
from shared.domain.ports import Fabric, Telemetry
from shared.domain.rate import RatePolicy
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.domain.telemetry import NoTelemetry
from shared.saga import waking_locks
from shared.saga.command import commands, handling
from shared.saga.command.verbs import Verb
from shared.saga.notify.announcing_journal import AnnouncingJournal
from shared.saga.observed_journal import ObservedJournal
from shared.saga.orchestration import activities, names, views
from shared.saga.orchestration.progress import Progress
from shared.saga.payloads import Payloads
from shared.saga.step import execution
from shared.saga.step.delivery import Services
from shared.saga.submission.acceptance import Acceptance, opened
from shared.saga.sweep import sweeper
from shared.steps import KINDS, STEPS
from tests.fake_journal import MemoryJournal
from tests.fakes import (
    FakeClock,
    MemoryBlobs,
    MemoryBreakers,
    MemoryDeployedItems,
    MemoryLocks,
    MemoryRates,
    MemoryStepQueue,
)
from tests.simulation.edges import Crash, FixedToken, HeartbeatBlock, Heartbeats, Network, crashing
from tests.simulation.news import NewsDesk
from tests.simulation.orchestration import Orchestration

REDELIVERY_SECONDS = 120
SWEEP_SECONDS = 300
_CRASH_FACTOR_IN_FLIGHT = 5
"""How many times likelier a process is to die with a call in flight than elsewhere, because it spends most of its time
there."""
_MAX_STALL = 180.0
"""The longest time that a process may be held up, in seconds: past every lease, and past the host's redelivery."""
_ROWS_AT_ONCE = 4
"""Rows that one request writes: so few that even small step graphs need several requests, as large ones do."""
_SECOND_SWEEP = 0.2
"""How often the timer fires again at once, if processes overtake each other: two sweeps run side by side. Otherwise it
waits for the end of a sweep, as a host does. A third sweep beside them would only take time: in a slow Fabric, sweeps
within sweeps within a sweep took 96 days, and the deployments were forgotten (seed 12000826)."""
_MAX_DEPTH = 2
"""How many deliveries may run inside each other."""


class World:
    """The whole system, and the scheduler."""

    def __init__(
        self,
        seed: int = 0,
        policy: EnginePolicy | None = None,
        *,
        crash_rate: float = 0.0,
        overtake_rate: float = 0.0,
        stall_rate: float = 0.0,
        breaker: BreakerPolicy | None = None,
        rate: RatePolicy | None = None,
        workers: int = 1,
        pace: float = 0.0,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.telemetry = telemetry or NoTelemetry()
        self.chance = random.Random(seed)
        self.crash_rate, self.overtake_rate, self.stall_rate = crash_rate, overtake_rate, stall_rate
        self.pace = pace
        self.occurred: Counter[str] = Counter()
        self._depth = 0
        self.clock = FakeClock()
        self.heartbeats = Heartbeats(self.clock)
        self._first_of_process = 0
        self._effects_due: list[datetime] = []
        self.late_calls: list[tuple[datetime, Callable[[], object]]] = []
        self._is_heartbeat = False
        self.model = FabricModel(lambda: self.clock.now().timestamp(), seed=seed)
        self.journal = MemoryJournal(self.clock, self.point, _ROWS_AT_ONCE)
        self.queue = MemoryStepQueue(self.clock)
        self.locks = MemoryLocks()
        self.wake_faults = 0.0
        self._wakes = random.Random(f"{seed}/wakes")
        self._engine: Any = crashing(self, self.point)
        self.blobs = MemoryBlobs()
        blobs = crashing(self.blobs, self.point)
        self.deployed = MemoryDeployedItems()
        payloads = Payloads(blobs)
        self.breaker_store = MemoryBreakers()
        self.rate_store = MemoryRates()
        self._breaker, self._rate = breaker, rate
        self._processes = itertools.count()
        self.gates = [self._gate(breaker, rate) for _ in range(workers)]
        self.fabrics = [self._client(gate) for gate in self.gates]
        self.fabric = self.fabrics[0]
        self.policy = policy or EnginePolicy()
        journal = crashing(self.journal, self.point)
        self.news = NewsDesk(self.journal, Payloads(self.blobs), self.clock)
        watched = ObservedJournal(journal, telemetry, self.clock.now) if telemetry else journal
        self.services = Services(
            journal=AnnouncingJournal(watched, self.news.announce, self.clock.now),
            queue=self._crashing_queue(),
            payloads=payloads,
            fabric=self.fabric,
            clock=self.clock,
            kinds=STEPS,
            policy=self.policy,
            new_id=lambda: f"{self.chance.getrandbits(64):016x}",
            jitter=self.chance.random,
            telemetry=self.telemetry,
            heartbeat=self.heartbeats,
            deployed=crashing(self.deployed, self.point),
        )
        self._held = waking_locks.by_event(crashing(self.locks, self.point), journal, self._engine)
        self.acceptance = Acceptance(self.services.journal, blobs, payloads, self.clock, KINDS)
        self.inbox: list[tuple[datetime, str, bytes]] = []
        self.orchestrations: dict[str, Orchestration] = {}
        self.ready: list[StepMessage] = []
        self._in_hand: list[StepMessage] = []
        self._is_sweeping = True
        self._sweeps, self._may_overlap = 0, False
        self.log: list[str] = []
        self.activities: list[tuple[datetime, str, str]] = []
        self._next_sweep = self.clock.now() + timedelta(seconds=SWEEP_SECONDS)

    def _crashing_queue(self) -> Any:
        """Return the queue of steps, with a crash or others' turns between the messages of one `send_all` too."""
        queue = crashing(self.queue, self.point)

        def send_all(messages: Sequence[StepMessage]) -> None:
            for message in messages:
                queue.send(message)

        queue.send_all = send_all
        return queue

    def _gate(self, breaker: BreakerPolicy | None, rate: RatePolicy | None) -> FabricGate:
        """Return the gate of one worker; all workers share the records of the breakers and of the rate."""
        store = crashing(self.breaker_store, self._may_die)
        self.breakers = CircuitBreakers(store, breaker or BreakerPolicy(), self.clock.now, self.telemetry)
        rates = crashing(self.rate_store, self._may_die)
        name = f"worker{next(self._processes)}"
        limiter = RateLimiter(rate, self.clock.now, rates, self.telemetry, name) if rate else None
        return FabricGate(self.breakers if breaker else None, limiter, self.clock.now)

    def _client(self, gate: FabricGate) -> FabricClient:
        return FabricClient(
            "http://127.0.0.1", FixedToken(), Network(self), gate=gate, now=self.clock.now, sleep=self._let_pass
        )

    def _may_die(self, where: str) -> None:
        if self.crash_rate and not self._is_heartbeat and self.chance.random() < self.crash_rate:
            self.occurred["crash"] += 1
            raise Crash(where)

    def point(self, where: str) -> None:
        """Between two effects, let the process die, be overtaken, or be held up."""
        self._may_die(where)
        if self._depth >= _MAX_DEPTH or self._is_heartbeat:
            return
        if self.overtake_rate and self.chance.random() < self.overtake_rate:
            self.occurred["overtaken"] += 1
            self._others(self.chance.randint(1, 6))
        elif self.stall_rate and self.chance.random() < self.stall_rate:
            self.occurred["held up"] += 1
            seconds = self.chance.uniform(0.0, _MAX_STALL)
            held_up = self.heartbeats.blocks[self._first_of_process :]
            for block in held_up:
                block.is_frozen = True
            self._let_pass(seconds)
            if seconds > REDELIVERY_SECONDS:
                self._redeliver()
            self._others(40, is_last=where.endswith("exchange"))
            for block in held_up:
                block.is_frozen = False

    def call_seconds(self) -> float:
        """Return the duration of the next call to Fabric, in seconds."""
        return self.chance.uniform(0.0, self.pace) if self.pace else 0.0

    @contextmanager
    def in_flight(self, method: str) -> Generator[None]:
        """Mark the time from the last check of the lease to the effect of a call that changes something.

        The engine assumes that this takes less than `late_call_seconds`, whatever happens to the process, so no more
        time than that may pass here.
        """
        if method == "GET":
            yield
            return
        due = self.clock.now() + timedelta(seconds=self.policy.late_call_seconds * 0.9)
        self._effects_due.append(due)
        try:
            yield
        finally:
            self._effects_due.remove(due)

    def send_late_call(self, seconds: float, effect: Callable[[], object]) -> None:
        """Send a call that takes effect after `seconds`, even if its sender is dead by then."""
        due = min([self.clock.now() + timedelta(seconds=seconds), *self._effects_due])
        if self.chance.random() < self.crash_rate * _CRASH_FACTOR_IN_FLIGHT:
            self.occurred["effect after the crash"] += 1
            self.late_calls.append((due, effect))
            raise Crash("on its way")
        self.others_while((due - self.clock.now()).total_seconds())

    def others_while(self, seconds: float) -> None:
        """Let time pass for a process that waits for an answer, while others continue."""
        self._let_pass(seconds)
        if self._depth < _MAX_DEPTH:
            self._others(self.chance.randint(0, 4))

    def _let_pass(self, seconds: float) -> None:
        """Let time pass, but not past the effect of a call in flight, and do what becomes due in that time."""
        end = min([self.clock.now() + timedelta(seconds=seconds), *self._effects_due])
        while True:
            late = [entry for entry in self.late_calls if entry[0] <= end]
            until = min([due for due, _ in late], default=end)
            beating_blocks = [block for block in self.heartbeats.blocks if not block.is_frozen and block.due <= until]
            for block in beating_blocks:
                block.skip_to_last(until)
            first = min([block.due for block in beating_blocks] + [due for due, _ in late], default=None)
            if first is None:
                break
            self._advance_to(first)
            for entry in [e for e in late if e[0] <= first]:
                self.late_calls.remove(entry)
                with suppress(AnswerLostError):
                    entry[1]()
            for block in [b for b in beating_blocks if b.due <= first]:
                self._send_heartbeat(block)
        self._advance_to(end)

    def _advance_to(self, moment: datetime) -> None:
        self.clock.advance(max(0.0, (moment - self.clock.now()).total_seconds()))
        self.news.deliver()

    def _send_heartbeat(self, block: HeartbeatBlock) -> None:
        was, self._is_heartbeat = self._is_heartbeat, True
        try:
            goes_on = block.heartbeat()
        finally:
            self._is_heartbeat = was
        self.occurred["heartbeat"] += 1
        block.has_renewed = goes_on
        block.due = self.clock.now() + timedelta(seconds=block.seconds if goes_on else 86400.0)

    def _others(self, maximum: int, *, is_last: bool = False) -> None:
        depth, self._depth = self._depth, _MAX_DEPTH if is_last else self._depth + 1
        first, self._first_of_process = self._first_of_process, len(self.heartbeats.blocks)
        try:
            for _ in range(maximum):
                if not self.step():
                    break
        finally:
            self._depth, self._first_of_process = depth, first

    def _redeliver(self) -> None:
        """Deliver again, as queue and engine do after a time limit: others may take the work that is in progress."""
        self.occurred["delivered again in mid-delivery"] += len(self._in_hand)
        self.ready += self._in_hand
        for orchestration in self.orchestrations.values():
            orchestration.is_busy = False

    def submit(self, manifest: dict[str, Any], deployment_id: str = "d") -> DeploymentState:
        """Accept a manifest and start its orchestration."""
        message = json.dumps({"deployment_id": deployment_id, "manifest": manifest}).encode()
        while True:
            try:
                header = self.acceptance.accept(message, "message").header
            except Crash as crash:
                self.log.append(f"crash {crash} in accept")
                continue
            if header.state not in DEPLOYMENT_ENDED:
                self.start(deployment_id)
            return header.state

    def post(self, manifest: dict[str, Any], deployment_id: str) -> None:
        """Put a submission on the queue. It is accepted when its turn comes, and again after a crash."""
        message = json.dumps({"deployment_id": deployment_id, "manifest": manifest}).encode()
        self.inbox.append((self.clock.now(), deployment_id, message))

    def submit_text(self, text: str) -> None:
        """Put a message of a process without the durable engine on the queue `deployments`."""
        self.inbox.append((self.clock.now(), "a script's", text.encode()))

    def post_command(self, verb: str, deployment_id: str, step: str = "") -> None:
        """Put a command on the queue. It is handled when its turn comes, and again after a crash."""
        data = {"command": verb, "deployment_id": deployment_id, "requested_by": "tester", "step": step}
        data["reason"] = "a test"
        self.inbox.append((self.clock.now(), deployment_id, json.dumps(data).encode()))

    def _accept(self, entry: tuple[datetime, str, bytes]) -> None:
        """Handle a message of the queue `deployments` as `entry.accept` does."""
        self.inbox.remove(entry)
        _, deployment_id, message = entry
        try:
            woken = waking_locks.read_wake(opened(message))
            if woken is not None:
                self._engine.raise_event(woken, TARGET_EVENT, {})
                return
            command = commands.read(message)
            if command is not None:
                with suppress(NotFoundError):
                    if self._handle(command).accepted:
                        self.occurred[f"granted {command.verb.value}"] += 1
                return
            header = self.acceptance.accept(message, "message").header
            if header.state not in DEPLOYMENT_ENDED:
                self._engine.start(deployment_id)
        except Crash as crash:
            self.log.append(f"crash {crash} in accept")
            self.inbox.append((self.clock.now() + timedelta(seconds=REDELIVERY_SECONDS), deployment_id, message))

    # The port Orchestrations.

    def start(self, deployment_id: str) -> None:
        """Start an orchestration unless it is running."""
        if not self.is_running(deployment_id):
            self.orchestrations[deployment_id] = Orchestration(self, {"deployment_id": deployment_id})

    def raise_event(self, deployment_id: str, name: str, payload: Any) -> None:
        """Deliver an event at once; one that wakes a deployment may be lost or come twice."""
        times = 1
        if name == TARGET_EVENT and self._wakes.random() < self.wake_faults:
            times = self._wakes.choice([0, 0, 2, 3])
            self.occurred["wake-up doubled" if times else "wake-up lost"] += 1
        for _ in range(times):
            self.deliver_event(deployment_id, name, payload)

    def deliver_event(self, deployment_id: str, name: str, payload: Any) -> None:
        """Hand an event to its orchestration, if that runs."""
        if self.is_running(deployment_id):
            self.orchestrations[deployment_id].raise_event(name, payload)

    def running_since(self, deployment_id: str) -> datetime | None:
        return self.orchestrations[deployment_id].started_at if self.is_running(deployment_id) else None

    def abandon(self, deployment_id: str) -> None:
        """End an orchestration that hangs."""
        self.occurred["orchestration abandoned"] += 1
        self.lose_orchestration(deployment_id)

    def is_running(self, deployment_id: str) -> bool:
        found = self.orchestrations.get(deployment_id)
        return found is not None and not found.is_over

    def lose_orchestration(self, deployment_id: str) -> None:
        """Lose an orchestration, as if the task hub were deleted."""
        self.orchestrations.pop(deployment_id, None)

    def cancel(self, deployment_id: str) -> None:
        """Cancel a deployment."""
        self.ask(Verb.CANCEL, deployment_id)

    def ask(self, verb: Verb, deployment_id: str = "d", step: str = "") -> handling.CommandResult:
        """Handle a command as if it came from the queue. Raises NotFoundError, and Crash if the process dies."""
        command = commands.command(verb, deployment_id, "tester", "a test", step)
        return self._handle(command)

    def _handle(self, command: commands.Command) -> handling.CommandResult:
        return handling.handle(self.services, self._held, self._engine, command)

    def activity(self, name: str, given: Any) -> Any:
        """Run an activity as function_app.py does."""
        services, locks = self.services, self._held
        self.activities.append((self.clock.now(), _deployment_of(given), name))
        if name == names.BEGIN_DEPLOYMENT:
            return views.to_json(activities.begin(services, locks, given))
        if name == names.DISPATCH_STEPS:
            direction = Direction(given["direction"])
            return activities.dispatch(services, given["deployment_id"], given["ordinals"], direction)
        if name == names.RECORD_FAILURE:
            return views.to_json(activities.record_failure(services, given))
        if name == names.BEGIN_COMPENSATION:
            return views.to_json(activities.begin_compensation(services, locks, given))
        if name == names.FINISH_DEPLOYMENT:
            return views.to_json(activities.finish(services, locks, given))
        assert name == names.RECONCILE_DEPLOYMENT
        progress = Progress.from_json(given["progress"])
        return views.to_json(activities.reconcile(services, locks, given["deployment_id"], progress))

    def deliver(self, message: StepMessage) -> None:
        """Deliver a message once, as the host does: after a crash or an error it is delivered again later."""
        self._in_hand.append(message)
        worker = self._worker()
        try:
            settled = execution.execute_step(worker, message)
            if settled is not None:
                payload = {"ordinal": settled.ordinal, "state": settled.state.value}
                self._engine.raise_event(settled.deployment_id, STEP_EVENT, payload)
        except Crash as crash:
            self.log.append(f"crash {crash} in {message}")
            self.queue.send(message, REDELIVERY_SECONDS)
            self._restart(worker.fabric)
        finally:
            self._in_hand.remove(message)

    def _worker(self) -> Services:
        if len(self.fabrics) == 1:
            return self.services
        return replace(self.services, fabric=self.chance.choice(self.fabrics))

    def _restart(self, fabric: Fabric) -> None:
        """Let a new process take the place of one that died: it knows nothing of the shares that the other claimed."""
        for index in [i for i, each in enumerate(self.fabrics) if self._rate and each is fabric]:
            self.gates[index] = self._gate(self._breaker, self._rate)
            self.fabrics[index] = self._client(self.gates[index])
            if index == 0:
                self.fabric = self.fabrics[0]
                self.services = replace(self.services, fabric=self.fabric)

    def step(self) -> bool:
        """Do one thing, and return False if nothing can happen until time passes."""
        self.ready += self.queue.due()
        live = [o for o in self.orchestrations.values() if not o.is_over]
        choices: list[Callable[[], None]] = [lambda m=m: self._take(m) for m in self.ready]
        choices += [lambda o=o: self._act(o) for o in live if o.activity is not None and not o.is_busy]
        choices += [lambda e=e: self._accept(e) for e in self.inbox if e[0] <= self.clock.now()]
        choices += [self._sweep_in_time] if self._is_sweep_due() else []
        if choices:
            self.chance.choice(choices)()
            return True
        return any(o.fire(self.clock.now()) for o in live if not o.is_busy)

    def _take(self, message: StepMessage) -> None:
        if message is not self.ready[0]:
            self.occurred["message out of order"] += 1
        self.ready.remove(message)
        self.deliver(message)

    def _act(self, orchestration: Orchestration) -> None:
        try:
            orchestration.run_activity()
        except Crash as crash:
            self.log.append(f"crash {crash} in activity")

    def run(self, *deployment_ids: str, hours: float = 24.0, sweeping: bool = True) -> list[DeploymentState]:
        """Run until these deployments have ended or `hours` have passed on the clock, and return their states."""
        wanted = deployment_ids or ("d",)
        self._run(hours, sweeping, lambda: all(self.has_ended(d) for d in wanted))
        return [self.state(d) for d in wanted]

    def pass_hours(self, hours: float, *, sweeping: bool = True) -> None:
        """Let everything happen that happens in these hours."""
        self._run(hours, sweeping, lambda: False)

    def _run(self, hours: float, sweeping: bool, is_over: Callable[[], bool]) -> None:
        self._is_sweeping = sweeping
        end = self.clock.now() + timedelta(hours=hours)
        while self.clock.now() < end and not is_over():
            if not self.step():
                self._pass_time(end)
        self._is_sweeping = True

    def pass_time(self) -> None:
        """Advance the clock to the time when something can happen."""
        self._pass_time(self.clock.now() + timedelta(days=1))

    def _pass_time(self, end: datetime) -> None:
        moments = [due for due, _, _ in self.queue.waiting] + [due for due, _, _ in self.inbox]
        moments += [due for o in self.orchestrations.values() if not o.is_over for due, _ in o.timers]
        moments += [self._next_sweep] if self._is_sweeping else []
        target = min([*moments, end])
        self._let_pass(max(0.001, (target - self.clock.now()).total_seconds()))

    def _is_sweep_due(self) -> bool:
        may_start = self._sweeps < (2 if self._may_overlap else 1)
        return may_start and self._is_sweeping and self.clock.now() >= self._next_sweep

    def _sweep_in_time(self) -> None:
        self._may_overlap = bool(self.overtake_rate) and self.chance.random() < _SECOND_SWEEP
        self._next_sweep = self.clock.now() + timedelta(seconds=0 if self._may_overlap else SWEEP_SECONDS)
        try:
            self.sweep()
        except Crash as crash:
            self.log.append(f"crash {crash} in the sweeper")

    def sweep(self, *, dry_run: bool = False) -> sweeper.SweepReport:
        """Run the sweeper once."""
        self._sweeps += 1
        try:
            return sweeper.sweep(self.services, self._held, self._engine, dry_run=dry_run)
        finally:
            self._sweeps -= 1

    def forget(self, deployment_id: str) -> None:
        """Delete the engine's history of a deployment."""
        self.orchestrations.pop(deployment_id, None)

    def state(self, deployment_id: str = "d") -> DeploymentState:
        return self.journal.header(deployment_id).record.state

    def has_ended(self, deployment_id: str) -> bool:
        """Return True if a deployment was accepted and has ended."""
        try:
            return self.state(deployment_id) in DEPLOYMENT_ENDED
        except NotFoundError:
            return False

    def names(self) -> dict[str, list[str]]:
        """Return the names of the items that Fabric has, by workspace."""
        return {w.name: sorted(i.name for i in w.standing()) for w in self.model.store.workspaces.values()}


def _deployment_of(given: Any) -> str:
    """Return the deployment that an activity is about, from its input."""
    return given if isinstance(given, str) else given["deployment_id"]
