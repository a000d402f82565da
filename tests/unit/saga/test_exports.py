"""The exports of definitions that the deliveries of a process share."""

import base64
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.errors import FabricRefusedError, FabricTransientError
from shared.domain.ports import FabricReply, OperationStarted, OperationStatus
from shared.domain.states import OperationState
from shared.saga.exports import TOGETHER, Exports, Unused
from tests.fakes import FakeClock

WORKSPACE = "w"


class Tenant:
    """The port Fabric, as far as exports use it. `answer` is what an export returns; an exception is raised."""

    def __init__(self, answer: Callable[[list[str]], Any]) -> None:
        self.answer, self.asked, self.running = answer, list[list[str]](), False

    def send(self, method: str, path: str, body: Any = None, query: Any = None) -> FabricReply:
        assert (method, path[:13], query) == ("POST", "/workspaces/w", {"beta": "true"})
        assert path.endswith("/items/bulkExportDefinitions")
        self.asked.append([row["id"] for row in body["items"]])
        found = self.answer(self.asked[-1])
        if isinstance(found, Exception):
            raise found
        return FabricReply(202, None, OperationStarted(str(len(self.asked)), None, None))

    def poll(self, operation_id: str, location: str | None) -> OperationStatus:
        state = OperationState.RUNNING if self.running else OperationState.SUCCEEDED
        return OperationStatus(state, has_result=True)

    def result(self, operation_id: str, location: str | None) -> Any:
        return self.answer(self.asked[int(operation_id) - 1])


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def whole(ids: list[str]) -> dict[str, Any]:
    """Return the answer with one file for each item, in a folder of the item's name."""
    return {
        "itemDefinitionsIndex": [{"id": each.upper(), "rootPath": f"/Raw/{each}.Notebook"} for each in ids],
        "definitionParts": [{"path": f"/Raw/{each}.Notebook/a/b.py", "payload": _encoded(each)} for each in ids],
    }


def ids(count: int) -> list[str]:
    return [f"i{number:04d}" for number in range(count)]


def settled(exports: Exports, tenant: Any, clock: FakeClock, item: str, known: list[str], since: Any = None) -> Any:
    """Ask as often as it takes."""
    later_than = since or clock.now()
    while isinstance(found := exports.definition(tenant, WORKSPACE, item, known, later_than), float):
        clock.advance(found)
    return found


def test_one_export_answers_for_its_group() -> None:
    """Fifty items take one export; the parts of an item have paths below its folder."""
    clock, tenant, known = FakeClock(), Tenant(whole), ids(TOGETHER + 10)
    exports, since = Exports(clock.now), clock.now()
    for item in known:
        part = {"path": "a/b.py", "payload": _encoded(item), "payloadType": "InlineBase64"}
        assert settled(exports, tenant, clock, item, known, since) == {"parts": [part]}
    assert tenant.asked == [known[:TOGETHER], known[TOGETHER:]]


def test_export_from_before_the_deployment_is_not_used() -> None:
    clock, tenant, known = FakeClock(), Tenant(whole), ids(2)
    exports = Exports(clock.now)
    settled(exports, tenant, clock, known[0], known)
    clock.advance(5.0)
    assert settled(exports, tenant, clock, known[1], known) is not None
    assert len(tenant.asked) == 2


def test_old_definition_proves_nothing() -> None:
    """A deployment was held for a day, and somebody changed its items before the resume."""
    clock, tenant, known = FakeClock(), Tenant(whole), ids(2)
    exports, since = Exports(clock.now), clock.now()
    assert settled(exports, tenant, clock, known[0], known, since) is not None
    clock.advance(86_400.0)
    assert settled(exports, tenant, clock, known[1], known, since) is not None
    assert len(tenant.asked) == 2


def test_exports_of_two_workspaces_do_not_hinder_each_other() -> None:
    """Two deployments take turns in one process, and each has its definitions after one export."""
    clock, tenant, known = FakeClock(), Tenant(whole), ids(3)
    exports, since = Exports(clock.now), clock.now()
    fabric: Any = tenant
    asking = [(place, item) for item in known for place in ("w1", "w2")]
    for _ in range(20):
        answers = [exports.definition(fabric, place, item, known, since) for place, item in asking]
        assert None not in answers
        asking = [each for each, answer in zip(asking, answers, strict=True) if isinstance(answer, float)]
        clock.advance(1.0)
    assert (asking, len(tenant.asked)) == ([], 2)


def test_definition_is_returned_once() -> None:
    """A definition leaves the memory when it is compared; a second request for it finds nothing."""
    clock, tenant, known = FakeClock(), Tenant(whole), ids(2)
    exports, since = Exports(clock.now), clock.now()
    assert settled(exports, tenant, clock, known[0], known, since) is not None
    assert settled(exports, tenant, clock, known[0], known, since) is None


def test_few_exports_are_in_memory_at_a_time() -> None:
    """A fifth group waits until the definitions of another were used, or nobody asked for them."""
    clock, tenant, known = FakeClock(), Tenant(whole), ids(6 * TOGETHER)
    exports, since = Exports(clock.now), clock.now()
    fabric: Any = tenant
    waits = [exports.definition(fabric, WORKSPACE, known[n * TOGETHER], known, since) for n in range(6)]
    assert (len(tenant.asked), all(isinstance(each, float) for each in waits)) == (4, True)
    assert settled(exports, tenant, clock, known[-1], known, since) is not None
    assert clock.now() - since < timedelta(minutes=3)


def test_definitions_that_nobody_asks_for_give_way() -> None:
    """Four groups are exported, and only one item of each was asked for: the others were changed, so their deliveries
    read them by themselves. Two more groups need not wait until those are too old."""
    clock, tenant, known = FakeClock(), Tenant(whole), ids(6 * TOGETHER)
    exports, since = Exports(clock.now), clock.now()
    waits = list[timedelta]()
    for number in range(6):
        began = clock.now()
        assert settled(exports, tenant, clock, known[number * TOGETHER], known, since) is not None
        waits.append(clock.now() - began)
    assert max(waits) == waits[0]
    assert exports.drop_unused() == 4 * (TOGETHER - 1)


def test_definition_that_somebody_waits_for_does_not_give_way() -> None:
    """Each delivery comes back for its definition, and finds it although other groups are asked for meanwhile."""
    clock, tenant, known = FakeClock(), Tenant(whole), ids(8 * TOGETHER)
    exports, since = Exports(clock.now), clock.now()
    fabric: Any = tenant
    asking = [known[n * TOGETHER + i] for n in range(8) for i in range(3)]
    for _ in range(30):
        answers = [exports.definition(fabric, WORKSPACE, item, known, since) for item in asking]
        assert None not in answers
        asking = [item for item, answer in zip(asking, answers, strict=True) if isinstance(answer, float)]
        clock.advance(1.0)
    assert (asking, len(tenant.asked)) == ([], 8)


def test_nothing_stays_in_memory_after_the_last_deployment() -> None:
    """Nobody asks any more, so nobody else notices that the definitions are not needed."""
    clock, tenant, known, watched = FakeClock(), Tenant(whole), ids(TOGETHER), list[Exports]()
    exports = Exports(clock.now, watched.append)
    assert settled(exports, tenant, clock, known[0], known) is not None
    assert {*watched} == {exports}
    assert exports.drop_unused() == TOGETHER - 1
    clock.advance(31.0)
    assert exports.drop_unused() == 0


def test_exports_with_nothing_in_memory_are_not_watched_any_more() -> None:
    """The thread ends when nothing is left to drop, and starts again with the next export."""
    clock, tenant, known, started = FakeClock(), Tenant(whole), ids(2), list[threading.Thread]()
    watch = Unused(started.append)
    exports = Exports(clock.now, watch.watch)
    for _ in range(2):
        assert settled(exports, tenant, clock, known[0], known) is not None
        assert not watch.look()
        clock.advance(31.0)
        assert watch.look()
    assert len(started) == 2


@pytest.mark.parametrize("error", [FabricRefusedError("no", call="c"), FabricTransientError("lost", call="c")])
def test_refused_export_is_asked_for_once(error: Exception) -> None:
    clock, tenant, known = FakeClock(), Tenant(lambda _: error), ids(3)
    exports, since = Exports(clock.now), clock.now()
    assert [settled(exports, tenant, clock, item, known, since) for item in known] == [None, None, None]
    assert len(tenant.asked) == 1


def test_throttled_export_is_tried_again() -> None:
    """A 429 says nothing about the export: the delivery comes back when Fabric allows it."""
    error = FabricTransientError("slow down", call="c", retry_after_seconds=3.0, counts_as_attempt=False)
    clock, tenant, known = FakeClock(), Tenant(lambda _: error), ids(3)
    exports, since = Exports(clock.now), clock.now()
    with pytest.raises(FabricTransientError):
        settled(exports, tenant, clock, known[0], known, since)
    tenant.answer = whole
    assert settled(exports, tenant, clock, known[0], known, since) is not None


def test_export_that_never_ends_is_given_up() -> None:
    clock, tenant, known = FakeClock(), Tenant(whole), ids(3)
    tenant.running = True
    exports, since = Exports(clock.now), clock.now()
    assert settled(exports, tenant, clock, known[0], known, since) is None
    assert clock.now() - since < timedelta(minutes=3)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"itemDefinitionsIndex": None, "definitionParts": [{"path": "/x"}]},
        {"itemDefinitionsIndex": [{"id": "i0000", "rootPath": "/Raw/i0000.Notebook"}], "definitionParts": []},
        {
            "itemDefinitionsIndex": [{"id": "i0000", "rootPath": "/Raw/i0000.Notebook"}],
            "definitionParts": [
                {"path": "/Raw/i0000.Notebook/a", "payload": "eA=="},
                {"path": "/Raw/i0000.Notebook/b", "payload": None},
            ],
        },
        {"itemDefinitionsIndex": [None, 7], "definitionParts": [None, [], 7]},
        {
            "itemDefinitionsIndex": [{"id": "i0000", "rootPath": "/Raw/i0000.Notebook"}],
            "definitionParts": [{"path": "/Raw/i0000.Notebook/a", "payload": "?"}, None],
        },
    ],
)
def test_item_without_a_complete_definition_is_not_in_the_export(answer: Any) -> None:
    clock, tenant, known = FakeClock(), Tenant(lambda _: answer), ids(2)
    assert settled(Exports(clock.now), tenant, clock, known[0], known) is None
