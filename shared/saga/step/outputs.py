"""The outputs of steps that succeeded, which the steps that refer to them read: once in each process.

A thousand items of a repository refer to one workspace. The outputs of a step never change after it has succeeded: a
step that is compensated is not applied again, and a deployment id is never used twice.
"""

import threading
from collections import OrderedDict
from weakref import WeakKeyDictionary

from shared.domain.json import JsonObject
from shared.domain.ports import Journal
from shared.domain.states import StepState

_KEPT = 2_000
"""Steps whose outputs a process keeps, the latest ones."""


class _Known:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outputs: OrderedDict[tuple[str, int], JsonObject] = OrderedDict()

    def get(self, key: tuple[str, int]) -> JsonObject | None:
        with self._lock:
            return self._outputs.get(key)

    def put(self, key: tuple[str, int], outputs: JsonObject) -> None:
        with self._lock:
            self._outputs[key] = outputs
            if len(self._outputs) > _KEPT:
                self._outputs.popitem(last=False)


_known: WeakKeyDictionary[Journal, _Known] = WeakKeyDictionary()
_lock = threading.Lock()


def outputs_of(journal: Journal, deployment_id: str, ordinal: int) -> JsonObject:
    """Return the outputs of a step; those of one that has not succeeded are as the journal has them now. Raises
    NotFoundError, StorageUnavailableError."""
    with _lock:
        known = _known.get(journal)
        if known is None:
            known = _known[journal] = _Known()
    key = (deployment_id, ordinal)
    found = known.get(key)
    if found is None:
        _, row = journal.step(deployment_id, ordinal)
        found = row.record.outputs or {}
        if row.record.state is StepState.SUCCEEDED:
            known.put(key, found)
    return found
