"""A host that came up as on Flex Consumption: a placeholder that receives the app and its settings later."""

import json
from collections.abc import Callable

import pytest
from azure.storage.queue import QueueClient

from shared import settings
from shared.bootstrap import worker
from shared.domain.variables import WORKER_THREADS
from tests.host.hosts import ROOT, SAMPLE, Served
from tests.waiting import eventually

_QUEUES: dict[str, int] = json.loads((ROOT / "host.json").read_text())["extensions"]["queues"]
BATCH, THRESHOLD = _QUEUES["batchSize"], _QUEUES["newBatchThreshold"]
AT_ONCE = BATCH + THRESHOLD
"""Deliveries of one queue function at once: batchSize and newBatchThreshold of the app's host.json together."""
MEETING = f"""

import threading

_meeting = threading.Barrier({AT_ONCE})


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-meet", connection=STORAGE)
def meet(message: func.QueueMessage) -> None:
    \"\"\"Wait until all deliveries have a thread.\"\"\"
    try:
        _meeting.wait(15)
    except threading.BrokenBarrierError:
        trace("alone")
        raise
    trace("met")


@app.route(route="threads", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def threads(req: func.HttpRequest) -> func.HttpResponse:
    \"\"\"Return the size of the worker's pool.\"\"\"
    import azure_functions_runtime
    return func.HttpResponse(str(azure_functions_runtime.get_threadpool_executor()._max_workers))
"""
MEND = "\nfrom shared import entry\n\nentry.resize_thread_pool()\n"
"""The lines at the end of function_app.py; tests/e2e/test_health.py shows that they work there."""


def served(make: Callable[..., Served], source: str, *options: str) -> Served:
    """Return a host of the sample app with these lines at its end."""
    queues = {
        "extensions.queues.batchSize": BATCH,
        "extensions.queues.newBatchThreshold": THRESHOLD,
        "extensions.queues.maxDequeueCount": 1,
    }
    whole = (SAMPLE / "function_app.py").read_text() + source
    return make(configuration=queues, source=whole, options=options)


def test_placeholder_all_deliveries_have_a_thread(make: Callable[..., Served]) -> None:
    """As many deliveries as an instance works on wait for one another: none of them waits for a thread."""
    host = served(make, MEETING + MEND, "--placeholder")
    QueueClient.from_connection_string(host.storage, f"{host.prefix}-meet").create_queue()
    for _ in range(AT_ONCE):
        host.put("meet", "x")
    with host:
        eventually(lambda: len(host.traces("met", "alone")) >= AT_ONCE)
        assert not host.traces("alone")
        assert host.http("GET", "/api/threads").text == str(WORKER_THREADS)


@pytest.mark.parametrize(("options", "is_lost"), [(["--placeholder"], True), ([], False)])
def test_placeholder_loses_the_number_of_threads(
    make: Callable[..., Served], options: list[str], is_lost: bool
) -> None:
    """Without the mend the pool does not have the size that the setting names, as in Azure; another start keeps it."""
    with served(make, MEETING, *options) as host:
        host.environment["PYTHON_THREADPOOL_THREAD_COUNT"] = "99"
        host.kill()
        host.start()
        assert (host.http("GET", "/api/threads").text != "99") == is_lost


def test_placeholder_app_has_its_settings_and_serves_everything(make: Callable[..., Served]) -> None:
    """Bindings and functions see the settings that arrived with the app, in the app's folder."""
    with served(make, "", "--placeholder") as host:
        host.put("in", "x")
        assert host.take("out", 1) == ["X"]
        host.begin("fan_out", "fan", 3)
        assert host.output("fan") == 6


def test_thread_pool_smaller_than_its_setting_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health reports the size; a worker that does not show its size is not a fault."""
    monkeypatch.setattr(worker, "thread_pool_size", lambda: 5)
    assert (worker.thread_pool(32).status, worker.thread_pool(32).observed) == ("warn", 5)
    assert "PYTHON_THREADPOOL_THREAD_COUNT is 32" in worker.thread_pool(32).output
    assert (worker.thread_pool(5).status, worker.thread_pool(None).status) == ("pass", "pass")
    monkeypatch.setattr(worker, "thread_pool_size", lambda: None)
    assert worker.thread_pool(32).status == "pass"


def test_thread_pool_without_a_worker_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime's functions are not a public interface: the app also loads if they are missing or fail."""
    monkeypatch.delitem(worker.sys.modules, "azure_functions_runtime", raising=False)
    assert worker.resize_thread_pool() is False
    assert worker.thread_pool_size() is None

    class Failing:
        @staticmethod
        def start_threadpool_executor() -> None:
            raise TypeError("it takes an argument now")

    monkeypatch.setitem(worker.sys.modules, "azure_functions_runtime", Failing)
    assert worker.resize_thread_pool() is False


@pytest.mark.parametrize(
    ("text", "expected"), [("32", 32), (" 7 ", 7), ("", None), ("0", None), ("-1", None), ("many", None), ("²", None)]
)
def test_thread_count_that_the_worker_ignores_is_none(text: str, expected: int | None) -> None:
    """The worker ignores the same values (azure_functions_runtime/utils/threadpool.py)."""
    assert settings.worker_threads({"PYTHON_THREADPOOL_THREAD_COUNT": text}) == expected
