"""Definitions of many items for a dry run, read by few calls: an item whose exported definition is as asked needs no
reading of its own (exports.py)."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from shared.domain.json import JsonObject
from shared.domain.ports import Clock, Fabric
from shared.domain.step_graph import StepGraph
from shared.saga.exports import TOGETHER, Exports
from shared.steps.items import items_path
from shared.steps.kind import Snapshot, StepKind
from shared.steps.repository_item import RepositoryItemKind

_LIMIT = timedelta(seconds=30)
_FEW = 2
"""From so many items on, an export takes fewer calls than the definitions one by one."""


class ExportedItems:
    """The items of a repository that exist, with their definitions. Thread-safe; it waits for Fabric."""

    def __init__(
        self, fabric: Fabric, graph: StepGraph, clock: Clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._fabric, self._clock, self._sleep, self._began = fabric, clock, sleep, clock.now()
        self._exports = Exports(clock.now)
        self._turns: dict[tuple[str, int], threading.Lock] = {}
        own = (step.spec for step in graph.steps if step.kind == RepositoryItemKind.name and "template" in step.spec)
        keys = ((str(spec["type"]), str(spec["displayName"]).casefold()) for spec in own)
        self._places = {key: place for place, key in enumerate(dict.fromkeys(keys))}

    def is_as_asked(self, kind: StepKind, spec: JsonObject, found: Snapshot) -> bool:
        """Return True if the export shows the item as an opened spec asks; False if it does not, or shows nothing."""
        workspace_id = found.resource.parent_id
        if not isinstance(kind, RepositoryItemKind) or workspace_id is None or spec.get("definition", {}).get("format"):
            return False
        rows = list(self._fabric.list(items_path(spec)))
        # In the order in which they are compared, so that few exports are in memory at a time.
        wanted = sorted((place, str(row["id"]).lower()) for row in rows if (place := self._place(row)) is not None)
        ids = [each for _, each in wanted]
        item_id = found.resource.id.lower()
        if len(ids) < _FEW or item_id not in ids:
            return False
        # One thread waits for the export of a group; the others wait for that thread, and find it over.
        with self._turns.setdefault((workspace_id, ids.index(item_id) // TOGETHER), threading.Lock()):
            definition = self._definition(workspace_id, item_id, ids)
        if definition is None:
            return False
        return not kind.changes(spec, Snapshot(found.resource, {**found.image, "definition": definition}))

    def _definition(self, workspace_id: str, item_id: str, ids: Sequence[str]) -> JsonObject | None:
        """Return the definition that an export shows; None if none does within the limit. Raises FabricError."""
        until = self._clock.now() + _LIMIT
        while True:
            answer = self._exports.definition(self._fabric, workspace_id, item_id, ids, self._began)
            if answer is None or isinstance(answer, dict):
                return answer
            if self._clock.now() >= until:
                return None
            self._sleep(answer)

    def _place(self, row: JsonObject) -> int | None:
        """Return the place of an item in the order of the steps; None if none of them is about it."""
        key = (str(row.get("type")), str(row.get("displayName")).casefold())
        return self._places.get(key) if "id" in row else None
