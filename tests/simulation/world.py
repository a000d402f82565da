"""The whole system in one thread: the real engine, the real orchestrator generator and the real Fabric client over
in-memory ports and the simulator's model, driven by one seeded scheduler. The same seed gives the same run.

The scheduler chooses who goes next, and what befalls a process: every port call is a place, before and after its
effect, where it may die, be overtaken by others, or be held up past its lease. What a real host would deliver again
after a crash is delivered again here.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from durabletask import task

from local.fabric_simulator.http import Request
from local.fabric_simulator.model import FabricModel
from shared.adapters.breaker_registry import CircuitBreakers
from shared.adapters.fabric_gate import FabricGate
from shared.adapters.fabric_http import FabricClient
from shared.adapters.fabric_transport import AnswerLostError
from shared.adapters.rate_limiter import RateLimiter
from shared.domain.breaker import BreakerPolicy
from shared.domain.errors import NotFoundError
from shared.domain.messages import STEP_EVENT, Direction, StepMessage
from shared.domain.policy import EnginePolicy
from shared.domain.rate import RatePolicy
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.domain.telemetry import NoTelemetry, Telemetry
from shared.saga import activities, commands, engine, orchestrator, sweeper
from shared.saga.accept import Acceptance
from shared.saga.delivery import Services
from shared.saga.observed import ObservedJournal
from shared.saga.payloads import Payloads
from shared.saga.progress import Progress
from shared.steps import KINDS, STEPS
from tests.fakes import FakeClock, MemoryBlobs, MemoryBreakers, MemoryJournal, MemoryLocks, MemoryStepQueue

IDENTITY = "00000000-0000-0000-0000-00000000c1c1"
REDELIVERY_SECONDS = 120
SWEEP_SECONDS = 300
_DEEPEST = 2
"""How many deliveries may be going on inside each other."""


class Crash(BaseException):
    """The process dies here. Not an Exception: nothing in the code may catch it."""


class Crashing:
    """A port whose calls may be the last thing that a process does."""

    def __init__(self, port: Any, crash: Callable[[str], None]) -> None:
        self._port, self._crash = port, crash

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._crash(f"before {name}")
            answer = method(*args, **kwargs)
            self._crash(f"after {name}")
            return answer

        return call


def crashing(port: Any, crash: Callable[[str], None]) -> Any:
    """The port, wrapped; Any, for it has whatever methods the port has."""
    return Crashing(port, crash)


class ModelTransport:
    """HTTP without a network: the simulator's model, called."""

    def __init__(self, model: FabricModel, clock: FakeClock) -> None:
        self._model, self._clock = model, clock

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """One call; a reset is an answer that is lost."""
        path, _, query = url.removeprefix("http://127.0.0.1").partition("?")
        parameters = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        reply = self._model.handle(Request(method, path, parameters, dict(headers), body or b""))
        if reply.reset:
            raise AnswerLostError("reset")
        return reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.body


class FixedToken:
    """A token that never ends."""

    def token(self) -> str:
        """It."""
        return f"sim.{IDENTITY}.99999999999"

    def invalidate(self, token: str) -> None:
        """Nothing to forget."""


class Orchestration:
    """One run of the generator, with durabletask's own task classes and no replay."""

    def __init__(self, world: "World", state: dict[str, Any]) -> None:
        self._world = world
        self.is_busy = False
        self.deployment_id: str = state["deployment_id"]
        self.activity: tuple[str, Any, task.CompletableTask] | None = None
        self.timers: list[tuple[datetime, task.CompletableTask]] = []
        self._waiting: dict[str, list[task.CompletableTask]] = {}
        self._events: dict[str, list[Any]] = {}
        self.is_over = False
        self._begin(state)

    def _begin(self, state: dict[str, Any]) -> None:
        self._next_state: dict[str, Any] | None = None
        self.timers, self._waiting = [], {}
        self._generator = orchestrator.run(self, state)
        self._advance(None)

    # What the generator calls.

    def call_activity(self, activity: str, *, input: Any = None) -> Any:
        """Schedule it; the scheduler decides when it runs."""
        found: task.CompletableTask = task.CompletableTask()
        self.activity = (activity, json.loads(json.dumps(input)), found)
        return found

    def create_timer(self, fire_at: timedelta) -> Any:
        """A timer on the fake clock."""
        found: task.CompletableTask = task.CompletableTask()
        self.timers.append((self._world.clock.now() + fire_at, found))
        return found

    def wait_for_external_event(self, name: str) -> Any:
        """The next event, perhaps one that came before."""
        found: task.CompletableTask = task.CompletableTask()
        if self._events.get(name):
            found.complete(self._events[name].pop(0))
        else:
            self._waiting.setdefault(name, []).append(found)
        return found

    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
        """Begin again when the generator returns."""
        assert save_events
        self._next_state = json.loads(json.dumps(new_input))

    # What the world calls.

    def raise_event(self, name: str, payload: Any) -> None:
        """Deliver an event."""
        if self._waiting.get(name):
            self._waiting[name].pop(0).complete(payload)
            self._step()
        else:
            self._events.setdefault(name, []).append(payload)

    def run_activity(self) -> None:
        """Run what is scheduled; a crash leaves it scheduled, as a durable engine would."""
        assert self.activity is not None
        name, given, found = self.activity
        self.is_busy = True
        try:
            answer = self._world.activity(name, given)
        finally:
            self.is_busy = False
        if self._world.orchestrations.get(self.deployment_id) is not self:
            return  # lost meanwhile: nobody hears the answer
        self.activity = None
        found.complete(json.loads(json.dumps(answer)))
        self._step()

    def fire(self, now: datetime) -> bool:
        """Fire a timer that is due."""
        for i, (due, found) in enumerate(self.timers):
            if due <= now:
                del self.timers[i]
                found.complete(None)
                self._step()
                return True
        return False

    def _step(self) -> None:
        if not self.is_over and self._current.is_complete:
            self._advance(self._current.get_result())

    def _advance(self, value: Any) -> None:
        try:
            self._current = self._generator.send(value)
            while self._current.is_complete:
                self._current = self._generator.send(self._current.get_result())
        except StopIteration:
            if self._next_state is None:
                self.is_over = True
            else:
                self._begin(self._next_state)


class World:
    """Everything, and the scheduler."""

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
        telemetry: Telemetry | None = None,
    ) -> None:
        self.telemetry = telemetry or NoTelemetry()
        self.chance = random.Random(seed)
        self.crash_rate, self.overtake_rate, self.stall_rate = crash_rate, overtake_rate, stall_rate
        self.befell: Counter[str] = Counter()
        self._depth = 0
        self.clock = FakeClock()
        self.model = FabricModel(lambda: self.clock.now().timestamp(), seed=seed)
        self.journal = MemoryJournal(self.clock)
        self.queue = MemoryStepQueue(self.clock)
        self.locks = MemoryLocks()
        blobs = MemoryBlobs()
        payloads = Payloads(blobs)
        self.breaker_store = MemoryBreakers()
        self.gates = [self._gate(breaker, rate) for _ in range(workers)]
        self.fabrics = [self._client(gate) for gate in self.gates]
        self.fabric = self.fabrics[0]
        self.policy = policy or EnginePolicy()
        journal = crashing(self.journal, self._point)
        self.services = Services(
            journal=ObservedJournal(journal, telemetry, self.clock.now) if telemetry else journal,
            queue=crashing(self.queue, self._point),
            payloads=payloads,
            fabric=self.fabric,
            clock=self.clock,
            kinds=STEPS,
            policy=self.policy,
            new_id=lambda: f"{self.chance.getrandbits(64):016x}",
            jitter=self.chance.random,
            telemetry=self.telemetry,
        )
        self.acceptance = Acceptance(self.services.journal, blobs, payloads, self.clock, KINDS)
        self.inbox: list[tuple[datetime, str, bytes]] = []
        self.orchestrations: dict[str, Orchestration] = {}
        self.ready: list[StepMessage] = []
        self.log: list[str] = []
        self._next_sweep = self.clock.now() + timedelta(seconds=SWEEP_SECONDS)

    def _gate(self, breaker: BreakerPolicy | None, rate: RatePolicy | None) -> FabricGate:
        """What one worker's calls pass; the breakers' records are shared by all workers."""
        store = crashing(self.breaker_store, self._may_die)
        self.breakers = CircuitBreakers(store, breaker or BreakerPolicy(), self.clock.now, self.telemetry)
        limiter = RateLimiter(rate, self.clock.now) if rate else None
        return FabricGate(self.breakers if breaker else None, limiter, self.clock.now)

    def _client(self, gate: FabricGate) -> FabricClient:
        transport = crashing(ModelTransport(self.model, self.clock), self._point)
        return FabricClient(
            "http://127.0.0.1", FixedToken(), transport, gate=gate, now=self.clock.now, sleep=self.clock.advance
        )

    def _may_die(self, where: str) -> None:
        if self.crash_rate and self.chance.random() < self.crash_rate:
            self.befell["crash"] += 1
            raise Crash(where)

    def _point(self, where: str) -> None:
        """Between any two effects: die here, let others go first, or be held up."""
        self._may_die(where)
        if self._depth >= _DEEPEST:
            return
        if self.overtake_rate and self.chance.random() < self.overtake_rate:
            self.befell["overtaken"] += 1
            self._others(self.chance.randint(1, 6))
        elif self.stall_rate and self.chance.random() < self.stall_rate:
            self.befell["held up"] += 1
            # A call that was let go is on its way for less than the margin that is kept before one is sent.
            longest = self.policy.step_lease_seconds * (0.3 if where.endswith("exchange") else 2.0)
            self.clock.advance(self.chance.uniform(0.0, longest))
            self._others(40, is_last=where.endswith("exchange"))

    def _others(self, most: int, *, is_last: bool = False) -> None:
        depth, self._depth = self._depth, _DEEPEST if is_last else self._depth + 1
        try:
            for _ in range(most):
                if not self.step():
                    break
        finally:
            self._depth = depth

    def submit(self, manifest: dict[str, Any], deployment_id: str = "d") -> DeploymentState:
        """Accept a manifest and start it."""
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
        """Put a submission on the queue; it is accepted when its turn comes, and again after a crash."""
        message = json.dumps({"deployment_id": deployment_id, "manifest": manifest}).encode()
        self.inbox.append((self.clock.now(), deployment_id, message))

    def post_command(self, verb: str, deployment_id: str, step: str = "") -> None:
        """Put a command on the queue; it is handled when its turn comes, and again after a crash."""
        data = {"command": verb, "deployment_id": deployment_id, "requested_by": "tester", "step": step}
        self.inbox.append((self.clock.now(), deployment_id, json.dumps(data).encode()))

    def _accept(self, entry: tuple[datetime, str, bytes]) -> None:
        """As entry.accept does."""
        self.inbox.remove(entry)
        _, deployment_id, message = entry
        try:
            command = commands.read(message)
            if command is not None:
                with suppress(NotFoundError):
                    if commands.handle(self.services, self.locks, self, command).accepted:
                        self.befell[f"granted {command.verb.value}"] += 1
                return
            header = self.acceptance.accept(message, "message").header
            self._point("before start")
            if header.state not in DEPLOYMENT_ENDED:
                self.start(deployment_id)
        except Crash as crash:
            self.log.append(f"crash {crash} in accept")
            self.inbox.append((self.clock.now() + timedelta(seconds=REDELIVERY_SECONDS), deployment_id, message))

    # The port Orchestrations.

    def start(self, deployment_id: str) -> None:
        """Start it unless it runs."""
        if not self.is_running(deployment_id):
            self.orchestrations[deployment_id] = Orchestration(self, {"deployment_id": deployment_id})

    def raise_event(self, deployment_id: str, name: str, payload: Any) -> None:
        """Tell it something."""
        if self.is_running(deployment_id):
            self.orchestrations[deployment_id].raise_event(name, payload)

    def is_running(self, deployment_id: str) -> bool:
        """Whether there is one that has not ended."""
        found = self.orchestrations.get(deployment_id)
        return found is not None and not found.is_over

    def lose_orchestration(self, deployment_id: str) -> None:
        """As if the task hub were gone."""
        self.orchestrations.pop(deployment_id, None)

    def cancel(self, deployment_id: str) -> None:
        """As a command on the queue would."""
        self.ask(commands.Verb.CANCEL, deployment_id)

    def ask(self, verb: commands.Verb, deployment_id: str = "d", step: str = "") -> commands.Answer:
        """As a command on the queue would. Raises NotFoundError, and Crash where the process dies on the way."""
        command = commands.command(verb, deployment_id, "tester", "a test", step)
        return commands.handle(self.services, self.locks, self, command)

    def activity(self, name: str, given: Any) -> Any:
        """Run an activity as function_app.py would."""
        services, locks = self.services, self.locks
        if name == "begin_deployment":
            return activities.begin(services, locks, given)
        if name == "dispatch_steps":
            direction = Direction(given["direction"])
            for ordinal in given["ordinals"]:
                services.queue.send(StepMessage(given["deployment_id"], ordinal, direction))
            return None
        if name == "turn_back":
            return activities.turn_back(services, given)
        if name == "begin_compensation":
            return activities.begin_compensation(services, locks, given)
        if name == "finish_deployment":
            return activities.finish(services, locks, given)
        assert name == "reconcile_deployment"
        progress = Progress.from_json(given["progress"])
        return activities.reconcile(services, locks, given["deployment_id"], progress, given["tick"])

    def deliver(self, message: StepMessage) -> None:
        """One delivery, as the host makes it: a crash or an error brings the message back later."""
        try:
            settled = engine.execute_step(self._worker(), message)
            if settled is not None:
                self.raise_event(
                    settled.deployment_id, STEP_EVENT, {"ordinal": settled.ordinal, "state": settled.state.value}
                )
        except Crash as crash:
            self.log.append(f"crash {crash} in {message}")
            self.queue.send(message, REDELIVERY_SECONDS)

    def _worker(self) -> Services:
        if len(self.fabrics) == 1:
            return self.services
        return replace(self.services, fabric=self.chance.choice(self.fabrics))

    def step(self) -> bool:
        """One thing happens; False where nothing can but the passing of time."""
        self.ready += self.queue.due()
        live = [o for o in self.orchestrations.values() if not o.is_over]
        choices: list[Callable[[], None]] = [lambda m=m: self._take(m) for m in self.ready]
        choices += [lambda o=o: self._act(o) for o in live if o.activity is not None and not o.is_busy]
        choices += [lambda e=e: self._accept(e) for e in self.inbox if e[0] <= self.clock.now()]
        if choices:
            self.chance.choice(choices)()
            return True
        return any(o.fire(self.clock.now()) for o in live if not o.is_busy)

    def _take(self, message: StepMessage) -> None:
        self.ready.remove(message)
        self.deliver(message)

    def _act(self, orchestration: Orchestration) -> None:
        try:
            orchestration.run_activity()
        except Crash as crash:
            self.log.append(f"crash {crash} in activity")

    def run(self, *deployment_ids: str, hours: float = 24.0, sweeping: bool = True) -> list[DeploymentState]:
        """Run until these have ended, or `hours` have passed on the clock. Their states."""
        wanted = deployment_ids or ("d",)
        end = self.clock.now() + timedelta(hours=hours)
        while self.clock.now() < end:
            if all(self.has_ended(d) for d in wanted):
                break
            if not self.step():
                self._pass_time(end, sweeping)
        return [self.state(d) for d in wanted]

    def pass_time(self) -> None:
        """Nothing can be done now: go on to when something can."""
        self._pass_time(self.clock.now() + timedelta(days=1), True)

    def _pass_time(self, end: datetime, sweeping: bool) -> None:
        moments = [due for due, _, _ in self.queue.waiting] + [due for due, _, _ in self.inbox]
        moments += [due for o in self.orchestrations.values() if not o.is_over for due, _ in o.timers]
        moments += [self._next_sweep] if sweeping else []
        target = min([*moments, end])
        self.clock.advance(max(0.001, (target - self.clock.now()).total_seconds()))
        if sweeping and self.clock.now() >= self._next_sweep:
            self._next_sweep = self.clock.now() + timedelta(seconds=SWEEP_SECONDS)
            try:
                self.sweep()
            except Crash as crash:
                self.log.append(f"crash {crash} in the sweeper")

    def sweep(self, *, dry_run: bool = False) -> sweeper.Swept:
        """The timer's run; a crash ends it."""
        return sweeper.sweep(self.services, self.locks, self, dry_run=dry_run)

    def forget(self, deployment_id: str) -> None:
        """The engine's history is gone."""
        self.orchestrations.pop(deployment_id, None)

    def state(self, deployment_id: str = "d") -> DeploymentState:
        """Where a deployment stands."""
        return self.journal.header(deployment_id).record.state

    def has_ended(self, deployment_id: str) -> bool:
        """Whether it was accepted and is over."""
        try:
            return self.state(deployment_id) in DEPLOYMENT_ENDED
        except NotFoundError:
            return False

    def names(self) -> dict[str, list[str]]:
        """What Fabric holds: items by workspace."""
        return {w.name: sorted(i.name for i in w.items.values()) for w in self.model.store.workspaces.values()}
