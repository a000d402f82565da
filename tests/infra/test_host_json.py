"""host.json: values that cause a silent failure if they are absent or do not match the others (docs/host.md)."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import settings
from shared.saga.step.delivery import MAX_DELIVERY
from tests.infra.bicep import infra, properties, sources, text_of

ROOT = Path(__file__).resolve().parents[2]
HOST: dict[str, Any] = json.loads((ROOT / "host.json").read_text())


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
    at_once = queues.get("batchSize", 16) + queues.get("newBatchSize", 8)
    for place, threads in thread_counts().items():
        if at_once >= threads:
            yield f"{place}: {at_once} deliveries leave no thread of {threads} for an orchestrator"
    if seconds(host.get("functionTimeout", "00:30:00")) > settings.load({}).policy.orphan_grace_seconds:
        yield "functionTimeout: a call may end after the sweeper has looked for its resource"
    if seconds(host.get("functionTimeout", "00:30:00")) != MAX_DELIVERY.total_seconds():
        yield "functionTimeout: heartbeats are sent for another time (MAX_DELIVERY)"


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
    "app.bicep": ("extensions.queues.newBatchSize", 48),
    "functionTimeout": ("functionTimeout", "00:30:00"),
}
"""The check that must complain, and the value that causes it; null means that the value is omitted."""


def test_host_json_has_no_trap() -> None:
    assert list(traps(HOST)) == []


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
