"""The configuration of a shared task hub, from host.json and the host's options, and the pace of its polls."""

from dataclasses import dataclass
from typing import Any

from local.functions_host.queues import seconds_of


@dataclass(frozen=True)
class HubConfig:
    """The section extensions.durableTask of host.json, with the defaults of the real extension.

    Sources: AzureStorageOrchestrationServiceSettings of DurableTask.AzureStorage, AzureStorageOptions of the extension.
    The extension refuses visibility timeouts below a minute; this host accepts them, for tests. The time of a lease
    cannot be set in host.json.
    """

    partitions: int
    batch: int
    activities: int
    control_seconds: float
    work_item_seconds: float
    longest_poll_seconds: float
    lease_seconds: float
    shortest_poll_seconds: float = 0.05

    @classmethod
    def of(cls, data: dict[str, Any], lease_seconds: float) -> "HubConfig":
        """Read the section. Raises ValueError."""
        provider: dict[str, Any] = data.get("storageProvider", {})
        return cls(
            int(provider.get("partitionCount", 4)),
            int(provider.get("controlQueueBatchSize", 32)),
            int(data.get("maxConcurrentActivityFunctions", 10)),
            seconds_of(provider.get("controlQueueVisibilityTimeout"), 300.0),
            seconds_of(provider.get("workItemQueueVisibilityTimeout"), 300.0),
            seconds_of(provider.get("maxQueuePollingInterval"), 30.0),
            lease_seconds,
        )


@dataclass
class Polling:
    """When a queue is polled next, and how long after an empty poll."""

    shortest: float
    longest: float
    due: float = 0.0
    wait: float = 0.0

    def polled(self, now: float, *, found: bool) -> None:
        self.wait = self.shortest if found or not self.wait else min(self.longest, 2 * self.wait)
        self.due = now if found else now + self.wait

    def wake(self) -> None:
        self.due, self.wait = 0.0, 0.0
