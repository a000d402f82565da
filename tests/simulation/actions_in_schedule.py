"""The actions of a repository in a schedule, beside its definitions: shortcuts of a lakehouse, schedules of a pipeline.

Everything here is drawn from random generators of its own, so that the rest of a seed's schedule stays the same.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.schedules import Schedule, Schedules
from local.fabric_simulator.shortcuts import OneLakePaths
from local.fabric_simulator.store import Item, Workspace
from shared.domain.records import StepRecord
from shared.domain.states import DeploymentState, IntentAction, StepState
from shared.repository.schedules import comparable, may_be_of
from tests.simulation import repositories
from tests.simulation.world import World

_KEPT = (DeploymentState.SUCCEEDED, DeploymentState.FAILED)
_TIMES: tuple[str, ...] = ("06:00", "12:00", "18:00")
_BY_HAND = "03:00"
_LINKS: tuple[str, ...] = ("orders", "customers", "prices", "stock")


@dataclass
class ActionsInSchedule:
    """The actions of a seed's repository. `by_hand` are the shortcuts that people made, by lakehouse and name, with the
    item that each points to."""

    world: World
    chance: random.Random
    schedules: random.Random
    data: random.Random
    is_on: bool
    is_scheduled: bool
    by_hand: dict[tuple[str, str], str] = field(default_factory=lambda: dict[tuple[str, str], str]())
    schedules_by_hand: set[str] = field(default_factory=set[str])
    """The ids of the pipelines for which a person made a schedule, at a time that no file lists."""

    @classmethod
    def of(cls, seed: int, world: World) -> "ActionsInSchedule":
        """Draw it from the seed: half of the repositories have shortcuts, and half of them schedules."""
        chance, schedules = random.Random(f"{seed}/actions"), random.Random(f"{seed}/schedules of items")
        needs_part = random.Random(f"{seed}/part of schedules").random() < 0.5
        added = random.Random(f"{seed}/added data").choice(({}, {"timeout": 60}))
        world.model.update_settings({"schedules_need_their_part": needs_part, "schedule_data_added": added})
        data = random.Random(f"{seed}/data of schedules")
        return cls(world, chance, schedules, data, chance.random() < 0.5, schedules.random() < 0.5)

    def items(self) -> list[dict[str, Any]]:
        """Return two lakehouses of a repository, one with shortcuts into the other; people may have made one before."""
        if not self.is_on:
            return []
        self.world.occurred["shortcuts of a repository"] += 1
        names = self.chance.sample(_LINKS, self.chance.randint(0, 3))
        if self.chance.random() < 0.3:
            self._put_by_hand(self.chance.choice(_LINKS))
        targets = dict.fromkeys(names, "raw_lake")
        transform = self.data.choice(({"type": "csvToDelta"}, None))
        clean = repositories.lakehouse(self.world.blobs, "clean_lake", targets, transform)
        return [clean, repositories.lakehouse(self.world.blobs, "raw_lake", {})]

    def scheduled(self, pipeline: dict[str, Any]) -> dict[str, Any]:
        """Return the entry of the pipeline with schedules, or as it is; people may have added one to it before."""
        if not self.is_scheduled:
            return pipeline
        self.world.occurred["schedules of a repository"] += 1
        if self.schedules.random() < 0.4:
            for item in self._pipelines():
                shown: dict[str, Any] = {"id": self.world.model.store.new_id(), "enabled": True}
                shown["configuration"] = repositories.configuration(_BY_HAND)
                if item.id not in self.schedules_by_hand:
                    item.part(Schedules).by_id[shown["id"]] = Schedule("Pipeline", shown)
                    self.schedules_by_hand.add(item.id)
                    self.world.occurred["schedule made by hand"] += 1
        chosen = self.schedules.sample(_TIMES, self.schedules.randint(0, 2))
        times = {time: self.schedules.random() < 0.7 for time in chosen}
        if self.data.random() < 0.2:
            self.world.occurred["file of schedules gone"] += 1
            return pipeline
        data = self.data.choice(({"parameters": {"day": 1}}, {"parameters": {"day": 2}}, None))
        return repositories.scheduled(self.world.blobs, pipeline, times, data)

    def _pipelines(self) -> list[Item]:
        workspaces = self.world.model.store.workspaces.values()
        return [i for w in workspaces for i in w.standing() if (i.type, i.name) == ("DataPipeline", "run")]

    def _schedule_violations(self, ids: list[str], kept: list[str]) -> Iterable[str]:
        """Check that no job starts twice at a time, that the last deployment that was kept has its schedules, and that
        those of people are on, unless a deployment was left half-way."""
        if not self.is_scheduled:
            return
        is_half = any(
            self.world.state(d) is DeploymentState.FAILED or self.world.journal.header(d).record.is_released
            for d in ids
        )
        for item in self._pipelines():
            rows = [each.shown for each in item.part(Schedules).by_id.values()]
            on = Counter(comparable(row["configuration"]) for row in rows if row["enabled"])
            yield from (f"the job of {item.name} is scheduled {n} times: {key}" for key, n in on.items() if n > 1)
            if is_half:
                continue
            own = [row["enabled"] for row in rows if row["configuration"]["times"] == [_BY_HAND]]
            if item.id in self.schedules_by_hand and own.count(True) != 1:
                yield f"the schedule of {item.name} that somebody made is there {len(own)} times, and on: {own}"
            last = self._rows(kept[-1], "item_schedules") if kept else []
            for step in last:
                wanted: list[dict[str, Any]] = self.world.services.payloads.load(step.spec).get("wanted") or []
                for each in wanted if step.state is StepState.SUCCEEDED else ():
                    alike = [
                        row for row in rows if comparable(row["configuration"]) == comparable(each["configuration"])
                    ]
                    made = [row for row in alike if may_be_of(row.get("executionData"), each["execution"])]
                    if each["enabled"] not in [row["enabled"] for row in made]:
                        yield f"{kept[-1]} succeeded, and the schedule {each} of {item.name} is {alike}"

    def _put_by_hand(self, name: str) -> None:
        for workspace, item in self._lakehouses():
            if (item.id, name) in self.by_hand:
                continue
            place = {"workspaceId": workspace.id, "itemId": item.id, "path": "Files"}
            row = {"name": name, "path": "Files", "target": {"type": "OneLake", "oneLake": place}}
            item.part(OneLakePaths).shortcuts[("Files", name)] = row
            self.by_hand[(item.id, name)] = item.id
            self.world.occurred["shortcut made by hand"] += 1

    def _lakehouses(self) -> Iterator[tuple[Workspace, Item]]:
        for workspace in self.world.model.store.workspaces.values():
            yield from ((workspace, item) for item in workspace.standing() if item.name == "clean_lake")

    def violations(self, ids: list[str]) -> Iterable[str]:
        """Check that the last deployment that was kept has the shortcuts that it lists, that no other deployment left
        one, and that those of people are there unless one that was kept has changed them."""
        kept = sorted(
            (d for d in ids if self.world.state(d) in _KEPT),
            key=lambda d: str(self.world.journal.header(d).record.started_at),
        )
        yield from self._schedule_violations(ids, kept)
        rows = {d: self._rows(d, "repository_shortcut") for d in kept}
        known = {self._id(r) for d in kept for r in rows[d] if _may_be_there(r)}
        for _, item in self._lakehouses():
            shortcuts = item.part(OneLakePaths).shortcuts
            for path, name in shortcuts:
                if f"{item.id}/{path}/{name}" not in known and (item.id, name) not in self.by_hand:
                    yield f"the shortcut {name} of {item.id} exists, and no deployment accounts for it"
            for (item_id, name), target in self.by_hand.items():
                shown = shortcuts.get(("Files", name))
                if item_id != item.id or f"{item.id}/Files/{name}" in known:
                    continue
                if shown is None or shown["target"]["oneLake"]["itemId"] != target:
                    yield f"the shortcut {name} that somebody made is {shown}"
            for row in rows[kept[-1]] if kept and self.world.state(kept[-1]) is DeploymentState.SUCCEEDED else ():
                if row.resource is None or not row.resource.id.startswith(f"{item.id}/"):
                    continue
                if row.state is StepState.SUCCEEDED and ("Files", row.resource.name) not in shortcuts:
                    yield f"{kept[-1]} succeeded, and the shortcut {row.resource.name} is not there"

    def _id(self, row: StepRecord) -> str:
        """Return the id of the shortcut of a step, also if its create got no answer and nothing is rolled back."""
        if row.resource is not None:
            return row.resource.id
        spec = self.world.services.payloads.load(row.spec)
        return f"{spec['itemId'].lower()}/{spec['path'].strip('/')}/{spec['name']}"

    def _rows(self, deployment_id: str, kind: str) -> list[StepRecord]:
        rows = [s.record for s in self.world.journal.steps(deployment_id)]
        return [row for row in rows if row.kind == kind]


def _may_be_there(row: StepRecord) -> bool:
    """Return True if a step may have made or changed its shortcut, and has not taken it back."""
    is_own = row.intent is not None and row.intent.action is not IntentAction.ADOPT
    return is_own and row.state not in (StepState.COMPENSATED, StepState.SKIPPED)
