"""A schedule: a few deployments at one target, and everything that can go wrong, all drawn from one seed.

First comes a phase of chaos: crashes, faults, other actors, lost orchestrations, and people who ask for anything. Then
comes a calm phase without faults. laws.py has what must hold at the end.
"""

import logging
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from local.fabric_simulator import control
from local.fabric_simulator.store import Item, Workspace
from shared.domain.breaker import BreakerPolicy
from shared.domain.errors import NotFoundError
from shared.domain.flags import FeatureFlags
from shared.domain.json import content_hash
from shared.domain.policy import EnginePolicy
from shared.domain.rate import RatePolicy
from shared.domain.states import DeploymentState, StepState
from shared.saga.command.verbs import Verb, allowed_verbs
from shared.saga.sweep.sweeper import MAX_OPERATION
from tests.simulation import laws
from tests.simulation.companions import Companions
from tests.simulation.edges import WORKSPACE, Crash
from tests.simulation.git_in_schedule import GitInSchedule
from tests.simulation.in_schedule import InSchedule
from tests.simulation.jobs_in_schedule import JobsInSchedule
from tests.simulation.orchestration import HANGS
from tests.simulation.other_actors import OtherActors
from tests.simulation.restored import Restored
from tests.simulation.room import ScarceRoom
from tests.simulation.settings_in_schedule import SettingsInSchedule
from tests.simulation.world import World

FAULTS: dict[str, dict[str, Any]] = {
    "answer lost": {"reset": "after"},
    "reset before": {"reset": "before"},
    "503": {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "x"}},
    "500 after the effect": {"status": 500, "effect": "after", "body": {"errorCode": "UnknownError", "message": "x"}},
    "429": {"status": 429, "body": {"errorCode": "RequestBlocked", "message": "x"}, "headers": {"Retry-After": "7"}},
    "operation fails": {"operation": "fail"},
    "operation for ever": {"operation": "never"},
}
Move = tuple[str, str, str]
"""Which kind of record (`deployment` or `step`), from which state, to which state."""
SPEEDS = (0.0, 0.0, 0.0, 2.0, 2 * EnginePolicy().step_lease_seconds, 6 * EnginePolicy().step_lease_seconds)
"""The longest duration of a call to Fabric, in seconds: usually none, and at most well beyond the lease."""
CHAOS_STEPS = 260
CALM_HOURS = 6.0
"""As long again as the six hours in which people handle held deployments: by then everything must have ended."""
PRINCIPAL = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c0"


@dataclass
class Report:
    """The events of a schedule, and how it ended.

    `moves` are the moves of transitions.py that deployments and steps made. `trace` is a digest of every call to Fabric
    with its time; it is the same if a seed was replayed exactly.
    """

    seed: int
    occurred: Counter[str]
    ended: Counter[str]
    moves: Counter[Move]
    trace: str = ""
    violations: list[str] = field(default_factory=lambda: list[str]())


def manifest(chance: random.Random) -> dict[str, Any]:
    """Draw a workspace with lakehouses, items and roles, in a random order, perhaps with a step that cannot succeed."""
    policy = ["adopt", "adopt", "update", "fail"]
    steps: list[dict[str, Any]] = [{"id": "ws", "kind": "workspace", "with": {"displayName": "sales"}}]
    if chance.random() < 0.5:
        steps[0]["with"] |= {
            "description": chance.choice(["words", "other words"]),
            "ifExists": chance.choice(policy[:3]),
        }
    for name in chance.sample(["bronze", "silver", "gold"], chance.randint(0, 3)):
        spec = {"workspaceId": WORKSPACE, "displayName": name, "description": chance.choice(["", "tables"])}
        steps.append({"id": name, "kind": "lakehouse", "with": {**spec, "ifExists": chance.choice(policy)}})
    for name in chance.sample(["clean", "join"], chance.randint(0, 2)):
        part = {"path": "notebook-content.py", "text": f"x = {chance.randint(1, 2)}"}
        spec = {"workspaceId": WORKSPACE, "type": "Notebook", "displayName": name, "definition": {"parts": [part]}}
        steps.append({"id": name, "kind": "item", "with": {**spec, "ifExists": chance.choice(policy)}})
    for i in range(chance.randint(0, 2)):
        spec = {"workspaceId": WORKSPACE, "principalId": f"{PRINCIPAL}{i}", "principalType": "User"}
        spec["role"] = chance.choice(["Viewer", "Member"])
        steps.append({"id": f"role{i}", "kind": "role_assignment", "with": spec})
    if chance.random() < 0.4:
        spec = {"workspaceId": WORKSPACE, "type": "CrystalBall", "displayName": "ball"}
        steps.append({"id": "ball", "kind": "item", "with": spec})
    for i, step in enumerate(steps[1:], start=1):
        step["needs"] = [s["id"] for s in steps[1:i] if chance.random() < 0.25]
        if chance.random() < 0.08:
            step["timeout"] = "3m"
    on_failure = "hold" if chance.random() < 0.1 else "rollback"
    return {"name": "m", "target": "T", "onFailure": on_failure, "labels": {"suite": "laws"}, "steps": steps}


@dataclass
class Operators:
    """The requests of people, whether they make sense or not, and what their manifests and settings allow.

    Hasty people allow no second attempt, hold what failed, and continue it themselves: so steps fail at a lost answer,
    while the resource that they created still exists.
    """

    chance: random.Random
    policy: EnginePolicy
    asks: dict[int, int]
    is_hasty: bool
    releases_stuck: random.Random | None = None

    @classmethod
    def of(cls, seed: int) -> "Operators":
        """Draw the people from the seed."""
        chance = random.Random(f"{seed}/persons")
        is_hasty = chance.random() < 0.12
        flags = FeatureFlags(rollback=chance.random() < 0.8, retry_logic=not is_hasty and chance.random() < 0.9)
        asks = Counter(chance.randrange(CHAOS_STEPS) for _ in range(chance.choice([0, 3, 12, 30])))
        releasing = random.Random(f"{seed}/release")
        return cls(
            chance, EnginePolicy().under(flags), dict(asks), is_hasty, releasing if releasing.random() < 0.3 else None
        )

    def amend(self, manifest: dict[str, Any]) -> None:
        """Add approvals to the steps, and hold more often."""
        chance, steps = self.chance, manifest["steps"]
        for i in range(chance.choice([0, 0, 0, 1, 2])):
            spec = {"message": "Continue?", "default": chance.choice(["reject", "approve", "approve"])}
            needs = [s["id"] for s in steps if chance.random() < 0.3]
            gate = {"id": f"gate{i}", "kind": "approval", "needs": needs, "with": spec}
            before = len(steps)
            steps.append({**gate, "timeout": chance.choice(["4m", "20m"])})
            for step in chance.sample(steps[:before], min(before, chance.randint(0, 2))):
                if step["id"] not in needs and not _leads_to(steps, needs, step["id"]):
                    step["needs"] = [*step.get("needs", []), f"gate{i}"]
        if chance.random() < 0.1:
            manifest["concurrency"] = "reject"
        if self.is_hasty or chance.random() < 0.25:
            manifest["onFailure"] = "hold"
        if manifest["onFailure"] == "hold" and chance.random() < 0.5:
            manifest["keepFor"] = chance.choice(["2m", "1h"])

    def ask(self, world: World, ids: list[str]) -> None:
        """Send one request, to the queue or directly; usually for a verb that is allowed."""
        chance, which = self.chance, self.chance.choice(ids)
        try:
            header = world.journal.header(which).record
        except NotFoundError:
            return
        steps = [s.record for s in world.journal.steps(which)]
        allowed = allowed_verbs(header, steps)
        allowed = [verb for verb in allowed if verb is not Verb.RELEASE]
        verb = chance.choice(allowed) if allowed and chance.random() < 0.8 else chance.choice(_ASKED)
        if verb in (Verb.CANCEL, Verb.RETIRE) and chance.random() < 0.8:
            return
        step = chance.choice([s.step_id for s in steps if s.kind == "approval"] or ["ws"])
        for _ in range(chance.choice([1, 1, 1, 2])):
            if chance.random() < 0.7:
                world.post_command(verb.value, which, step)
            else:
                with suppress(Crash):
                    world.occurred[f"granted {verb.value}"] += world.ask(verb, which, step).accepted

    def release_stuck(self, world: World, ids: list[str], likely: float) -> None:
        """Release a stuck deployment with probability `likely`, perhaps during a try to compensate it, and sometimes
        ask for a release when nothing is stuck."""
        if self.releases_stuck is None or self.releases_stuck.random() >= likely:
            return
        which = self.releases_stuck.choice(ids)
        with suppress(NotFoundError, Crash):
            if world.state(which) is not DeploymentState.STUCK and self.releases_stuck.random() < 0.9:
                return
            if self.releases_stuck.random() < 0.5:
                world.post_command(Verb.RELEASE.value, which)
            else:
                world.occurred["granted release"] += world.ask(Verb.RELEASE, which).accepted

    def handle_what_waits(self, world: World, deployment_id: str) -> None:
        """Resume, roll back or keep a deployment that waits for a person.

        People handle every held deployment, many failed ones and few that succeeded. Of those that succeeded after they
        were resumed they handle more, because a rollback must also remove what the failed attempt had begun.
        """
        header = world.journal.header(deployment_id).record
        likely = _HANDLED.get(header.state, 0.0)
        if any(e.before in _REOPENED and e.after == "running" for e in world.journal.audit(deployment_id)):
            likely = max(likely, 0.8)
        verbs = allowed_verbs(header)
        if not verbs or header.state not in _HANDLED or self.chance.random() >= likely:
            return
        goes_on = Verb.RESUME in verbs and self.chance.random() < 0.5
        verb = Verb.RESUME if goes_on else self.chance.choice(verbs)
        world.occurred[f"{verb.value} of {header.state.value}"] += 1
        world.ask(verb, deployment_id)


_ASKED = [verb for verb in Verb if verb is not Verb.RELEASE]
_HANDLED = {DeploymentState.HELD: 1.0, DeploymentState.FAILED: 0.5, DeploymentState.SUCCEEDED: 0.15}
"""States in which a deployment waits for a person, and the probability that one handles it each time that they look."""
_REOPENED = ("held", "failed")


@dataclass
class Hangs:
    """Orchestrations that the durable engine counts as running and that do nothing any more, in some schedules."""

    chance: random.Random
    likely: float

    @classmethod
    def of(cls, seed: int) -> "Hangs":
        """Draw from the seed how likely they are."""
        chance = random.Random(f"{seed}/hangs")
        return cls(chance, chance.choice([0.0, 0.0, 0.004, 0.02]))

    def occur(self, world: World) -> None:
        """Perhaps let one hang."""
        live = [each for each in world.orchestrations.values() if not each.is_over]
        if live and self.chance.random() < self.likely:
            how = self.chance.choice(HANGS)
            self.chance.choice(live).hang(how)
            world.occurred[f"orchestration hangs: {how} lost"] += 1


@dataclass
class Pauses:
    """A capacity that is paused for a while, in some schedules: everything in its workspaces answers with an error."""

    chance: random.Random
    likely: float

    @classmethod
    def of(cls, seed: int) -> "Pauses":
        """Draw from the seed how likely a pause, or its end, is."""
        chance = random.Random(f"{seed}/pauses")
        return cls(chance, 0.03 if chance.random() < 0.1 else 0.0)

    def occur(self, world: World) -> None:
        """Perhaps pause it, or let it run again."""
        if self.chance.random() < self.likely:
            how = "" if world.model.settings.paused_capacity else self.chance.choice(["404", "404", "400", "500"])
            world.model.update_settings({"paused_capacity": how})
            world.occurred["capacity paused"] += how != ""


def _leads_to(steps: list[dict[str, Any]], begin: list[str], end: str) -> bool:
    """Return True if a step of `begin` needs the step `end`, directly or through others; a reference needs `ws`."""
    by_id = {
        s["id"]: [*s.get("needs", []), *(["ws"] if s["kind"] not in ("workspace", "approval") else [])] for s in steps
    }
    seen, left = set[str](), list(begin)
    while left:
        step = left.pop()
        if step == end:
            return True
        if step not in seen:
            seen.add(step)
            left += by_id[step]
    return False


def run(seed: int) -> Report:
    """Run the schedule of a seed."""
    random.seed(seed)  # tenacity draws its waits from the module's generator.
    chance, operators = random.Random(seed), Operators.of(seed)
    crashes, overtakes, stalls = chance.choice([(0, 0.02, 0), (0.02, 0.02, 0.004), (0.06, 0, 0), (0, 0.05, 0.02)])
    breaker = BreakerPolicy() if chance.random() < 0.5 else None
    rate = RatePolicy() if chance.random() < 0.3 else None
    pace = random.Random(f"{seed}/pace").choice(SPEEDS)
    world = World(
        seed,
        operators.policy,
        crash_rate=crashes,
        overtake_rate=overtakes,
        stall_rate=stalls,
        breaker=breaker,
        rate=rate,
        pace=pace,
    )
    world.services = replace(world.services, content=ScarceRoom(seed, world.occurred))
    world.wake_faults = random.Random(f"{seed}/wake faults").choice([0.0, 0.0, 0.5])
    other_actors = OtherActors(world, chance)
    if chance.random() < 0.4:
        other_actors.seed_workspace()
    restored = Restored.of(seed, world)
    restored.prepare(other_actors)
    added = Added(
        InSchedule.of(seed, world),
        JobsInSchedule.of(seed, world),
        SettingsInSchedule.of(seed, world),
        GitInSchedule.of(seed, world, other_actors),
    )
    chosen = [(name, "", 0.25) for name in FAULTS if chance.random() < 0.25]
    chosen += [("answer lost", "POST", 0.4)] if operators.is_hasty else []
    rules = [
        {
            "match": {"method": method or chance.choice(["POST", "GET", "DELETE", "PATCH"])},
            "when": {"probability": round(chance.uniform(0.02, maximum), 3)},
            "action": FAULTS[name],
        }
        for name, method, maximum in chosen
    ]
    rules += restored.rules()
    chosen += [("definition refused", "POST", 0.5) for _ in restored.rules()]
    control.handle(world.model, "POST", "/_sim/faults", {}, laws.encoded(rules))
    ids = [f"d{i}" for i in range(chance.choice([1, 1, 2, 3]))]
    world.occurred["others at its target"] = len(ids) - 1
    events = _events(chance, ids)
    companions = Companions.of(seed, world, other_actors, CHAOS_STEPS)
    _chaos(world, other_actors, companions, restored, added, Hangs.of(seed), Pauses.of(seed), events, chance, operators)
    for (name, _, _), rule in zip(chosen, world.model.faults.shown(), strict=True):
        world.occurred[name] += rule["injected"]
    companions.is_calm = True
    _calm(world, other_actors, ids, chance, operators)
    ended = Counter(world.state(d).value for d in ids)
    moves = Counter(_move(before.state, after.state) for before, after in world.journal.history)
    trace = content_hash([world.model.calls, world.clock.now().isoformat()])
    violations = [*laws.violations(world, other_actors, ids)]
    return Report(seed, world.occurred, ended, moves, trace, violations or added.violations(ids))


@dataclass
class Added:
    """The repository, the job, the settings and the update from Git that some seeds add to every manifest."""

    repository: InSchedule
    jobs: JobsInSchedule
    settings: SettingsInSchedule
    git: GitInSchedule

    def amend(self, manifest: dict[str, Any]) -> None:
        """Add it to a manifest."""
        self.repository.amend(manifest)
        self.jobs.amend(manifest)
        self.settings.amend(manifest)
        self.git.amend(manifest)

    def violations(self, ids: list[str]) -> list[str]:
        """Check the laws that are about what was added."""
        found = [*self.jobs.violations(ids), *self.settings.violations(ids), *self.git.violations(ids)]
        return [*found, *self.repository.violations(ids)]


def _move(before: StepState | DeploymentState, after: StepState | DeploymentState) -> Move:
    return ("step" if isinstance(before, StepState) else "deployment", before.value, after.value)


def _wait_for_all(world: World, ids: list[str], *, until_stuck: bool) -> None:
    """Let time pass until all have ended. People cancel what is held; the deployment that waited behind it may then be
    held too.

    With `until_stuck`, stop as soon as another actor has to remove what blocks a rollback.
    """
    for _ in range(6):
        world.run(*ids, hours=1.0)
        if until_stuck and any(world.state(d) is DeploymentState.STUCK for d in ids):
            return
        for deployment_id in ids:
            if world.state(deployment_id) is DeploymentState.HELD:
                world.occurred["held"] += 1
                world.cancel(deployment_id)
    world.run(*ids, hours=CALM_HOURS)


def attempt(seed: int) -> Report:
    """Run a seed without logs; an exception is a violation too."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return run(seed)
    except Exception as error:
        return Report(seed, Counter(), Counter(), Counter(), "", [f"ended in {error!r}"])
    finally:
        logging.disable(level)  # the next test of this process may read the log


def _events(chance: random.Random, ids: list[str]) -> dict[int, list[tuple[str, str]]]:
    """Draw what happens when, by the number of the scheduler's step."""
    events: dict[int, list[tuple[str, str]]] = {}

    def at(step: int, what: str, which: str = "") -> None:
        events.setdefault(step, []).append((what, which))

    for i, deployment_id in enumerate(ids):
        begin = 0 if i == 0 else chance.randint(0, 120)
        at(begin, "submit", deployment_id)
        for what, likely in (("submit", 0.15), ("lose", 0.2), ("cancel", 0.15), ("double", 0.25)):
            if chance.random() < likely:
                at(begin + chance.randint(1, 150), what, deployment_id)
    if chance.random() < 0.3:
        at(chance.randint(5, 150), "other actor")
    return events


def _chaos(
    world: World,
    other_actors: OtherActors,
    companions: Companions,
    restored: Restored,
    added: "Added",
    hangs: "Hangs",
    pauses: "Pauses",
    events: dict[int, list[tuple[str, str]]],
    chance: random.Random,
    operators: Operators,
) -> None:
    manifests: dict[str, dict[str, Any]] = {}
    ids = sorted({which for row in events.values() for what, which in row if what == "submit"})
    for step in range(CHAOS_STEPS):
        for _ in range(operators.asks.get(step, 0)):
            operators.ask(world, ids)
        operators.release_stuck(world, ids, 0.05)
        companions.act_at(step)
        hangs.occur(world)
        pauses.occur(world)
        for what, which in events.get(step, []):
            if what == "submit":
                drawn = manifest(chance)
                if which not in manifests:
                    operators.amend(drawn)
                    companions.amend(drawn)
                    restored.amend(drawn)
                    added.amend(drawn)
                world.post(manifests.setdefault(which, drawn), which)
            elif what == "lose":
                world.lose_orchestration(which)
                world.occurred["orchestration lost"] += 1
            elif what == "cancel":
                _cancel(world, which)
            elif what == "double":
                _double(world, chance)
            else:
                other_actors.appear()
        if not world.step():
            world.pass_time()


def _cancel(world: World, deployment_id: str) -> None:
    with suppress(Crash, NotFoundError):
        world.cancel(deployment_id)
        world.occurred["cancel"] += 1


def _double(world: World, chance: random.Random) -> None:
    """Deliver messages twice, some of them much later."""
    for _, _, message in list(world.queue.waiting):
        world.queue.send(message, chance.choice([0, 1, 200, 2000]))
        world.occurred["message doubled"] += 1
    world.ready += list(world.ready)


def _calm(world: World, other_actors: OtherActors, ids: list[str], chance: random.Random, operators: Operators) -> None:
    """End all faults and operations, let other actors remove what blocks a rollback, and let time pass."""
    world.crash_rate = world.stall_rate = 0.0
    world.model.faults.replace([])
    world.model.update_settings({"paused_capacity": ""})
    now = world.model.store
    for operation in now.operations.values():
        if operation.over_at is None:
            operation.over_at = world.clock.now().timestamp()
    late: list[tuple[Workspace, Item]] = []
    for workspace in now.workspaces.values():
        for item in workspace.items.values():
            if item.id in other_actors.unfinished():
                item.visible_at = world.clock.now().timestamp()
                late.append((workspace, item))
    for workspace, item in late:
        world.model.add_companions(workspace, item)
    for hours in (0.2, 0.5, 1.0, 1.0):
        world.run(*ids, hours=hours)
        for deployment_id in ids:
            operators.handle_what_waits(world, deployment_id)
        operators.release_stuck(world, ids, 0.7)
    _wait_for_all(world, ids, until_stuck=True)
    if not all(world.has_ended(d) for d in ids):
        other_actors.remove_blocking_items()
        _wait_for_all(world, ids, until_stuck=False)
    if not all(world.has_ended(d) for d in ids):
        return  # A deployment that has not ended by now is a violation; more hours would not help.
    if chance.random() < 0.3:
        other_actors.appear()
    for _ in range(4):
        world.clock.advance(max(world.policy.orphan_grace_seconds, MAX_OPERATION.total_seconds()) + 1)
        swept = [world.sweep() for _ in range(3)]
        if swept[-1].orphans_left:  # health names them: something of other actors is in them
            other_actors.remove_blocking_items()
            swept.append(world.sweep())
        if all(world.has_ended(d) for d in ids) and not swept[-1].tasks:
            break
        world.run(*ids, hours=1.0)  # A deployment that was retired while its target was locked is rolled back now.
        if not all(world.has_ended(d) for d in ids):
            other_actors.remove_blocking_items()
            world.run(*ids, hours=CALM_HOURS)
