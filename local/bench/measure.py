"""What every benchmark does: deploy and wait, ask the host what it used, and print a row."""

import json
import os
import platform
import statistics
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import azurite
from local.stack import Stack
from shared import bootstrap, settings
from shared.domain.errors import NotFoundError
from shared.domain.records import DeploymentRecord
from shared.domain.states import DEPLOYMENT_ENDED, DeploymentState

_WAIT_SECONDS = 900.0


@dataclass(frozen=True)
class Used:
    """What the host has used so far: seconds inside invocations by function, their number, and CPU seconds."""

    busy_seconds: float
    invocations: int
    cpu_seconds: float

    def since(self, before: "Used") -> "Used":
        """The difference."""
        return Used(
            self.busy_seconds - before.busy_seconds,
            self.invocations - before.invocations,
            self.cpu_seconds - before.cpu_seconds,
        )


@dataclass(frozen=True)
class Run:
    """Deployments that ended: the headers, the wall seconds from the first submission to the last end, the use."""

    headers: list[DeploymentRecord]
    wall_seconds: float
    used: Used


class Bench:
    """A stack and the client's side of it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        environment = {"AzureWebJobsStorage": stack.connection_string}
        self.storage = bootstrap.storage(settings.load(environment))

    def deploy(self, *submissions: tuple[str, dict[str, Any]]) -> Run:
        """Submit all, wait for all. Raises AssertionError where one did not succeed."""
        before, began = self.used(), time.time()
        for deployment_id, manifest in submissions:
            self.storage.submit(json.dumps({"deployment_id": deployment_id, "manifest": manifest}))
        headers = [self.ended(deployment_id) for deployment_id, _ in submissions]
        for header in headers:
            assert header.state is DeploymentState.SUCCEEDED, header  # noqa: S101 - else it measures something else
        ends = [h.finished_at.timestamp() for h in headers if h.finished_at is not None]
        return Run(headers, max(ends) - began, self.used().since(before))

    def ended(self, deployment_id: str) -> DeploymentRecord:
        """Wait for a deployment's end and return its header. Raises AssertionError if it does not end."""
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
        """What the host has used since it started."""
        data = fetch(
            f"{self.stack.functions_url}/admin/host/metrics", headers={"x-functions-key": self.stack.master_key}
        )
        rows = data["functions"].values()
        return Used(sum(r["busy_seconds"] for r in rows), sum(r["invocations"] for r in rows), data["cpu_seconds"])

    def round_trip_seconds(self) -> float:
        """The median of an empty exchange with the simulator."""
        import requests

        with requests.Session() as session:
            url = f"{self.stack.fabric_url}/_sim/settings"
            return statistics.median(session.get(url, timeout=5).elapsed.total_seconds() for _ in range(30))


def fetch(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
    """A JSON document."""
    request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
        text = answer.read().decode()
    try:
        return json.loads(text)
    except ValueError:
        return text


def machine() -> str:
    """What the numbers were measured on."""
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
    """A section."""
    print(f"\n{text}", flush=True)


def row(label: str, value: str, note: str = "") -> None:
    """A line of a section."""
    print(f"  {label:58} {value:>14}  {note}".rstrip(), flush=True)


def spread(values: Sequence[float], unit: str = "s", digits: int = 2) -> str:
    """Smallest to largest, for the note beside a median."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f} {unit}, n={len(values)}"
