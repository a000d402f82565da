"""host.json: values that cause a silent failure if they are absent or do not match the others (docs/host.md)."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import settings
from shared.domain.variables import WORKER_THREADS
from shared.saga.step.delivery import MAX_DELIVERY
from tests.infra.bicep import infra, properties, sources, text_of

ROOT = Path(__file__).resolve().parents[2]
HOST: dict[str, Any] = json.loads((ROOT / "host.json").read_text())
MAX_BATCH = 32
"""Messages of one request to a queue. The extension refuses a larger batchSize, and the host does not start. Source:
QueuesOptions.MaxBatchSize in azure-sdk-for-net."""
KNOWN: dict[str, set[str]] = {
    "http": {"routePrefix", "maxOutstandingRequests", "maxConcurrentRequests", "dynamicThrottlesEnabled"},
    "queues": {
        *("batchSize", "newBatchThreshold", "maxDequeueCount"),
        *("maxPollingInterval", "visibilityTimeout", "messageEncoding"),
    },
    "durableTask": {
        *("hubName", "storageProvider", "tracing", "notifications", "extendedSessionsEnabled"),
        *("maxConcurrentActivityFunctions", "maxConcurrentOrchestratorFunctions"),
    },
    "durableTask.storageProvider": {
        *("connectionStringName", "partitionCount", "controlQueueBatchSize", "controlQueueBufferThreshold"),
        *("controlQueueVisibilityTimeout", "workItemQueueVisibilityTimeout", "maxQueuePollingInterval"),
        *("useLegacyPartitionManagement", "useTablePartitionManagement"),
    },
}
"""The names that an extension reads, by section: the host binds them by name, and ignores every other one. Sources:
the pages "Azure Queue storage trigger and bindings", "Azure Functions HTTP triggers and bindings" and "Durable
Functions settings in host.json"; QueuesOptions in azure-sdk-for-net."""


def seconds(span: str) -> float:
    """Return the seconds of `hh:mm:ss`."""
    hours, minutes, rest = span.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def traps(host: dict[str, Any]) -> Iterator[str]:
    """Return the unwanted effects that these values have in the Functions host."""
    queues: dict[str, Any] = host["extensions"].get("queues", {})
    if seconds(queues.get("visibilityTimeout", "00:00:00")) < 1:
        yield "visibilityTimeout: five deliveries at once, then the poison queue"
    if queues.get("messageEncoding", "base64") != "none":
        yield "messageEncoding: a plain message goes to the poison queue without an error"
    if seconds(queues.get("maxPollingInterval", "00:01:00")) > 1:
        yield "maxPollingInterval: a step waits up to a minute for its delivery"
    if host.get("telemetryMode", "") != "":
        yield "telemetryMode: logging.applicationInsights is ignored"
    excluded = host["logging"]["applicationInsights"]["samplingSettings"].get("excludedTypes", "").split(";")
    if not {"Request", "Exception"} <= set(excluded):
        yield "excludedTypes: counted telemetry would be sampled"
    minimum = re.match(r"\[(\d+)\.(\d+)\.(\d+),", host["extensionBundle"]["version"])
    if minimum is None or tuple(map(int, minimum.groups())) < (4, 35, 0):
        yield "extensionBundle: its durable extension is too old for azure-functions-durable 2.x"
    if "hubName" not in host["extensions"].get("durableTask", {}):
        yield "hubName: renaming the app would lose the task hub"
    provider: dict[str, Any] = host["extensions"].get("durableTask", {}).get("storageProvider", {})
    if seconds(provider.get("maxQueuePollingInterval", "00:00:30")) > 0.5:
        yield "maxQueuePollingInterval: each hop of an orchestration waits up to 30 s for the next poll"
    for name in ("controlQueueVisibilityTimeout", "workItemQueueVisibilityTimeout"):
        if seconds(provider.get(name, "00:05:00")) != 60:  # The extension refuses less than a minute.
            yield f"{name}: an orchestration stops for that long after its instance died"
    if host["extensions"]["http"].get("routePrefix", "api") != "api":
        yield "routePrefix: the availability test, the page and the pipelines use /api"
    yield from (f"{section}.{name}: the host ignores this name" for section, name in unknown(host["extensions"]))
    if queues.get("batchSize", 16) > MAX_BATCH:
        yield "batchSize: the queue extension refuses it, and the host does not start"
    at_once = deliveries_at_once(host)
    for place, threads in thread_counts().items():
        if at_once >= threads:
            yield f"{place}: {at_once} deliveries leave no thread of {threads} for an orchestrator"
    if seconds(host.get("functionTimeout", "00:30:00")) > settings.load({}).policy.orphan_grace_seconds:
        yield "functionTimeout: a call may end after the sweeper has looked for its resource"
    if seconds(host.get("functionTimeout", "00:30:00")) != MAX_DELIVERY.total_seconds():
        yield "functionTimeout: heartbeats are sent for another time (MAX_DELIVERY)"


def unknown(extensions: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the sections and names that no extension reads."""
    sections = {**extensions, "durableTask.storageProvider": extensions["durableTask"].get("storageProvider", {})}
    for section, values in sections.items():
        yield from ((section, name) for name in values if name not in KNOWN.get(section, set()))


def deliveries_at_once(host: dict[str, Any]) -> int:
    """Return how many messages of one queue an instance works on at once."""
    queues = host["extensions"]["queues"]
    batch = queues.get("batchSize", 16)
    return batch + queues.get("newBatchThreshold", batch // 2)


def thread_counts() -> dict[str, int]:
    """Return the worker's thread counts, in Azure and on a workstation."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    azure = properties(sources(infra())["modules/app.bicep"].of("var")["appSettings"].value)
    name = "PYTHON_THREADPOOL_THREAD_COUNT"
    return {"local.settings.sample.json": int(sample[name]), "app.bicep": int(text_of(azure[name]))}


FAULTS: dict[str, tuple[str, Any]] = {
    "visibilityTimeout": ("extensions.queues.visibilityTimeout", None),
    "messageEncoding": ("extensions.queues.messageEncoding", None),
    "maxPollingInterval": ("extensions.queues.maxPollingInterval", None),
    "telemetryMode": ("telemetryMode", "OpenTelemetry"),
    "excludedTypes": ("logging.applicationInsights.samplingSettings.excludedTypes", "Exception"),
    "extensionBundle": ("extensionBundle.version", "[4.33.1, 5.0.0)"),
    "maxQueuePollingInterval": ("extensions.durableTask.storageProvider.maxQueuePollingInterval", None),
    "controlQueueVisibilityTimeout": ("extensions.durableTask.storageProvider.controlQueueVisibilityTimeout", None),
    "workItemQueueVisibilityTimeout": ("extensions.durableTask.storageProvider.workItemQueueVisibilityTimeout", None),
    "hubName": ("extensions.durableTask.hubName", None),
    "routePrefix": ("extensions.http.routePrefix", ""),
    "app.bicep": ("extensions.queues.newBatchThreshold", WORKER_THREADS - 16),
    "queues.newBatchSize": ("extensions.queues.newBatchSize", 64),
    "durableTask.storageProvider.partitions": ("extensions.durableTask.storageProvider.partitions", 2),
    "batchSize": ("extensions.queues.batchSize", 33),
    "functionTimeout": ("functionTimeout", "00:30:00"),
}
"""The check that must complain, and the value that causes it; null means that the value is omitted."""


def test_host_json_has_no_trap() -> None:
    assert list(traps(HOST)) == []


def test_worker_threads_are_one_number() -> None:
    """Azure, a workstation and the code name the same one."""
    assert set(thread_counts().values()) == {WORKER_THREADS}


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("docs/host.md", f"Up to {deliveries_at_once(HOST)} concurrent deliveries on an instance"),
        ("docs/host.md", f"up to {deliveries_at_once(HOST) - 1}, end too"),
        ("docs/host.md", f"| `PYTHON_THREADPOOL_THREAD_COUNT` | {WORKER_THREADS} |"),
        ("docs/repository.md", f"A worker handles {deliveries_at_once(HOST)} steps at a time"),
        ("docs/adr/0039-deliveries-at-once.md", f"works on {deliveries_at_once(HOST)} deliveries at once"),
        ("CHANGELOG.md", f"An instance handles {deliveries_at_once(HOST)} steps at a time"),
    ],
)
def test_pages_have_the_number_of_deliveries(page: str, text: str) -> None:
    assert text in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("says", FAULTS)
def test_host_json_planted_trap_is_found(says: str) -> None:
    """Each trap is set once."""
    path, value = FAULTS[says]
    planted = copy.deepcopy(HOST)
    *way, last = path.split(".")
    place = planted
    for name in way:
        place = place[name]
    place.pop(last, None) if value is None else place.update({last: value})
    assert [line for line in traps(planted) if line.startswith(says)]
