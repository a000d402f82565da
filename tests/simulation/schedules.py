"""One schedule: a few deployments at one target, and everything that can go wrong, all drawn from one seed.

First a chaotic phase (crashes, faults, strangers, cancellations, lost orchestrations), then a calm one in which all
that passes has passed. What must hold afterwards is in laws.py.
"""

import logging
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator import control
from shared.domain.breaker import BreakerPolicy
from shared.domain.rate import RatePolicy
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from tests.simulation import laws
from tests.simulation.strangers import Strangers
from tests.simulation.world import Crash, World

FAULTS: dict[str, dict[str, Any]] = {
    "answer lost": {"reset": "after"},
    "reset before": {"reset": "before"},
    "503": {"status": 503, "body": {"errorCode": "ServiceUnavailable", "message": "x"}},
    "500 after the effect": {"status": 500, "effect": "after", "body": {"errorCode": "UnknownError", "message": "x"}},
    "429": {"status": 429, "body": {"errorCode": "RequestBlocked", "message": "x"}, "headers": {"Retry-After": "7"}},
    "operation fails": {"operation": "fail"},
    "operation for ever": {"operation": "never"},
}
CHAOS_STEPS = 260
CALM_HOURS = 30.0
PRINCIPAL = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c0"
WORKSPACE = "${{ steps.ws.outputs.id }}"


@dataclass
class Report:
    """What a schedule did and how it ended."""

    seed: int
    befell: Counter[str]
    states: Counter[str]
    violations: list[str] = field(default_factory=lambda: list[str]())


def manifest(chance: random.Random) -> dict[str, Any]:
    """A workspace with lakehouses, items and roles, in a random order, perhaps with a step that cannot work."""
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
    return {"name": "m", "target": "T", "onFailure": on_failure, "steps": steps}


def run(seed: int) -> Report:
    """Run the schedule of a seed."""
    chance = random.Random(seed)
    crashes, overtakes, stalls = chance.choice([(0, 0.02, 0), (0.02, 0.02, 0.004), (0.06, 0, 0), (0, 0.05, 0.02)])
    breaker = BreakerPolicy() if chance.random() < 0.5 else None
    rate = RatePolicy() if chance.random() < 0.3 else None
    world = World(seed, crash_rate=crashes, overtake_rate=overtakes, stall_rate=stalls, breaker=breaker, rate=rate)
    strangers = Strangers(world, chance)
    if chance.random() < 0.4:
        strangers.settle()
    chosen = [(name, action) for name, action in FAULTS.items() if chance.random() < 0.25]
    rules = [
        {
            "match": {"method": chance.choice(["POST", "GET", "DELETE", "PATCH"])},
            "when": {"probability": round(chance.uniform(0.02, 0.25), 3)},
            "action": action,
        }
        for _, action in chosen
    ]
    control.handle(world.model, "POST", "/_sim/faults", {}, laws.encoded(rules))
    ids = [f"d{i}" for i in range(chance.choice([1, 1, 2, 3]))]
    events = _events(chance, ids)
    _chaos(world, strangers, events, chance)
    world.befell.update(
        {name: rule["struck"] for (name, _), rule in zip(chosen, world.model.faults.shown(), strict=True)}
    )
    _calm(world, strangers, ids, chance)
    states = Counter(world.state(d).value for d in ids)
    return Report(seed, world.befell, states, laws.violations(world, strangers, ids))


def _wait_for_all(world: World, ids: list[str]) -> None:
    """Time passes; who asked to hold has seen enough, and the one that waited behind may then be held itself."""
    for _ in range(6):
        world.run(*ids, hours=1.0)
        for deployment_id in ids:
            if world.state(deployment_id) is DeploymentState.HELD:
                world.befell["held"] += 1
                world.cancel(deployment_id)
    world.run(*ids, hours=CALM_HOURS)


def attempt(seed: int) -> Report:
    """As `run`, in a process of its own: quiet, and an exception is a violation too."""
    logging.disable(logging.CRITICAL)
    try:
        return run(seed)
    except Exception as error:
        return Report(seed, Counter(), Counter(), [f"ended in {error!r}"])


def _events(chance: random.Random, ids: list[str]) -> dict[int, list[tuple[str, str]]]:
    """What happens when, by the number of the scheduler's step."""
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
        at(chance.randint(5, 150), "stranger")
    return events


def _chaos(world: World, strangers: Strangers, events: dict[int, list[tuple[str, str]]], chance: random.Random) -> None:
    manifests: dict[str, dict[str, Any]] = {}
    for step in range(CHAOS_STEPS):
        for what, which in events.get(step, []):
            if what == "submit":
                world.post(manifests.setdefault(which, manifest(chance)), which)
            elif what == "lose":
                world.lose_orchestration(which)
                world.befell["orchestration lost"] += 1
            elif what == "cancel":
                _cancel(world, which)
            elif what == "double":
                _double(world, chance)
            else:
                strangers.appear()
        if not world.step():
            world.pass_time()


def _cancel(world: World, deployment_id: str) -> None:
    try:
        world.cancel(deployment_id)
        world.befell["cancel"] += 1
    except Crash:
        pass


def _double(world: World, chance: random.Random) -> None:
    """Messages come twice, some of them much later."""
    for _, _, message in list(world.queue.waiting):
        world.queue.send(message, chance.choice([0, 1, 200, 2000]))
        world.befell["message doubled"] += 1
    world.ready += list(world.ready)


def _calm(world: World, strangers: Strangers, ids: list[str], chance: random.Random) -> None:
    """All faults are over, every operation ends, strangers clear what stands in the way; time passes."""
    world.crash_rate = world.stall_rate = 0.0
    world.model.faults.replace([])
    now = world.model.store
    for operation in now.operations.values():
        if operation.over_at is None:
            operation.over_at = world.clock.now().timestamp()
    for workspace in now.workspaces.values():
        for item in workspace.items.values():
            if item.id in strangers.unfinished():
                item.visible_at = world.clock.now().timestamp()
    _wait_for_all(world, ids)
    if not all(world.has_ended(d) for d in ids):
        strangers.clear_the_way()
        _wait_for_all(world, ids)
    if chance.random() < 0.3:
        strangers.appear()
    world.clock.advance(world.policy.orphan_grace_seconds + 1)
    for _ in range(3):
        world.sweep()
    for deployment_id in ids:
        state = world.state(deployment_id)
        if state not in DEPLOYMENT_ENDED:
            world.befell["not ended"] += 1
