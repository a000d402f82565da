"""Deploy and wait, read the host's usage, and print rows, for all benchmarks."""

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import azurite
from local.client import fetch
from local.stack import Stack
from shared import settings
from shared.bootstrap import command_line
from shared.domain.errors import NotFoundError
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState
from shared.saga.submission.envelope import envelope

_WAIT_SECONDS = 900.0


@dataclass(frozen=True)
class Used:
    """The host's usage since its start: seconds inside invocations, the number of invocations, and CPU seconds."""

    busy_seconds: float
    invocations: int
    cpu_seconds: float

    def since(self, before: "Used") -> "Used":
        return Used(
            self.busy_seconds - before.busy_seconds,
            self.invocations - before.invocations,
            self.cpu_seconds - before.cpu_seconds,
        )


@dataclass(frozen=True)
class Run:
    """The result of some deployments: headers, wall seconds from the first submission to the last end, and usage."""

    headers: list[DeploymentRecord]
    wall_seconds: float
    used: Used


class Bench:
    """A running stack, and the storage through which its deployments are submitted and read."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        environment = {"AzureWebJobsStorage": stack.connection_string}
        self.storage = command_line.storage(settings.load(environment))

    def deploy(
        self, *submissions: tuple[str, dict[str, Any]], expected: DeploymentState = DeploymentState.SUCCEEDED
    ) -> Run:
        """Submit deployments and wait until all have ended. Raises AssertionError if one does not end as expected."""
        before, began = self.used(), time.time()
        for deployment_id, manifest in submissions:
            self.storage.submit(envelope(self.storage.blobs, deployment_id, {"manifest": manifest}, "bench"))
        headers = [self.ended(deployment_id) for deployment_id, _ in submissions]
        for header in headers:
            assert header.state is expected, header  # noqa: S101 - a failure would be measured otherwise
        ends = [h.finished_at.timestamp() for h in headers if h.finished_at is not None]
        return Run(headers, max(ends) - began, self.used().since(before))

    def ended(self, deployment_id: str) -> DeploymentRecord:
        """Wait until a deployment has ended and return its header. Raises AssertionError after 15 minutes."""
        until = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < until:
            time.sleep(0.25)
            try:
                header = self.storage.journal.header(deployment_id).record
            except NotFoundError:
                continue
            if header.state in DEPLOYMENT_ENDED:
                return header
        raise AssertionError(f"{deployment_id} did not end in {_WAIT_SECONDS:g} s")

    def used(self) -> Used:
        """Return the usage of all hosts since their start."""
        key = {"x-functions-key": self.stack.master_key}
        found = [fetch(f"{url}/admin/host/metrics", headers=key) for url in self.stack.host_urls]
        rows = [row for data in found for row in data["functions"].values()]
        cpu = sum(data["cpu_seconds"] for data in found)
        return Used(sum(r["busy_seconds"] for r in rows), sum(r["invocations"] for r in rows), cpu)

    def round_trip_seconds(self) -> float:
        """Return the median seconds of an empty exchange with the simulator."""
        import requests

        with requests.Session() as session:
            url = f"{self.stack.fabric_url}/_sim/settings"
            return statistics.median(session.get(url, timeout=5).elapsed.total_seconds() for _ in range(30))


def machine() -> str:
    """Describe this machine: cores, processor, operating system and versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores ({model}), {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, Azurite {azurite.VERSION}"
    )


def heading(text: str) -> None:
    """Print the heading of a section."""
    print(f"\n{text}", flush=True)


def row(label: str, value: str, note: str = "") -> None:
    """Print a line of a section."""
    print(f"  {label:58} {value:>14}  {note}".rstrip(), flush=True)


def spread(values: Sequence[float], unit: str = "s", digits: int = 2) -> str:
    """Return the range of the values, as the note beside a median."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f} {unit}, n={len(values)}"
