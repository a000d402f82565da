"""Measure the shared rate: five workers, each a process, make all calls that they may against the simulator's quota."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import requests

from local.bench.measure import heading, row
from local.paths import HOME
from local.stack import Stack
from shared.adapters.fabric.client import FabricClient
from shared.adapters.fabric.gate import FabricGate
from shared.adapters.fabric.rate_limiter import RateLimiter
from shared.adapters.fabric.transport import RequestsTransport
from shared.adapters.storage.clients import StorageClients
from shared.adapters.storage.rate_table import TableRates
from shared.domain.errors import FabricTransientError
from shared.domain.rate import RatePolicy

WORKERS = 5
_THREADS = 8
_WINDOWS = 3
_QUOTA = 500
_WORKSPACE = "00000000-0000-0000-0000-0000000000ff"
_IDENTITY = "00000000-0000-0000-0000-00000000c1c1"


class _Token:
    """A token of one identity, as all workers of one app have it."""

    def token(self) -> str:
        return f"sim.{_IDENTITY}.99999999999"

    def invalidate(self, token: str) -> None: ...


def run() -> None:
    """Run five processes for three windows on the simulator with recorded durations, and print what Fabric saw."""
    shutil.rmtree(HOME / "bench-rate", ignore_errors=True)
    stack = Stack(name="bench-rate", profile="realistic")
    try:
        stack.up(host=False)
        heading(f"the rate that {WORKERS} workers share, against a quota of {_QUOTA} calls a minute")
        url = f"{stack.fabric_url}/_sim"
        requests.post(f"{url}/settings", json={"quota_per_minute": _QUOTA}, timeout=10).raise_for_status()
        role = {"id": _IDENTITY, "type": "ServicePrincipal", "role": "Admin"}
        world = {"workspaces": [{"id": _WORKSPACE, "displayName": "w", "roleAssignments": [role]}]}
        requests.post(f"{url}/seed", json=world, timeout=10).raise_for_status()
        seconds = 60.0 * _WINDOWS + 30.0
        command = [sys.executable, "-m", "local.bench.rate", stack.fabric_url, str(seconds)]
        environment = {**os.environ, "AzureWebJobsStorage": stack.connection_string}
        workers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(WORKERS)]
        told = [json.loads(worker.communicate(timeout=seconds + 120)[0]) for worker in workers]
        calls = requests.get(f"{url}/calls", timeout=30).json()
        _print(calls, told)
    finally:
        stack.down()
        shutil.rmtree(stack.folder, ignore_errors=True)


def _print(calls: list[dict[str, object]], told: list[dict[str, float]]) -> None:
    statuses = Counter(call["status"] for call in calls)
    served, refused = sum(statuses.values()) - statuses[429], statuses[429]
    at = sorted(float(str(call["at"])) for call in calls if call["status"] != 429)
    # Whole windows only: from a first call to the first call that begins a later window.
    starts = [at[0]]
    for moment in at:
        if moment - starts[-1] >= 60.0:
            starts.append(moment)
    in_windows = sum(moment < starts[-1] for moment in at)
    used = in_windows / (_QUOTA * (starts[-1] - starts[0]) / 60.0)
    made = [int(each["calls"]) for each in told]
    row("calls that Fabric served", f"{served}", f"by each worker {', '.join(map(str, made))}")
    row("calls refused by 429 (limit 1 %)", f"{100 * refused / (served + refused):.2f} %", f"n={refused}")
    row("share of the quota used (at least 90 %)", f"{100 * used:.1f} %", f"{len(starts) - 1} windows")
    row("exchanges with storage for each call", f"{sum(each['storage'] for each in told) / sum(made):.2f}")


class _CountedTransport(RequestsTransport):
    """HTTP, with a count of its exchanges."""

    exchanges = 0

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        self.exchanges += 1
        return super().exchange(method, url, headers, body)


class _Counted(TableRates):
    """The table, with a count of its exchanges."""

    exchanges = 0

    def _answered(self, exchange: object) -> None:
        self.exchanges += 1
        super()._answered(exchange)


def work(fabric_url: str, seconds: float) -> None:
    """Make all calls that the rate allows, on several threads, for so long. Print their number."""
    store = _Counted(StorageClients(os.environ["AzureWebJobsStorage"]))
    limiter = RateLimiter(RatePolicy(), _now, store)
    transport = _CountedTransport()
    client = FabricClient(fabric_url, _Token(), transport, gate=FabricGate(None, limiter, _now), now=_now)
    until = time.monotonic() + seconds

    def run() -> None:
        while (left := until - time.monotonic()) > 0:
            try:
                # Of three calls one changes something, one looks, and one polls, about as in a deployment.
                client.send("PATCH", f"/workspaces/{_WORKSPACE}", {"description": "x"})
                client.get(f"/workspaces/{_WORKSPACE}")
                client.get(f"/workspaces/{_WORKSPACE}/items")
            except FabricTransientError as error:
                time.sleep(max(0.0, min(left, error.retry_after_seconds or 0.0)))

    threads = [threading.Thread(target=run) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"calls": transport.exchanges, "storage": store.exchanges}))


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m local.bench.rate", description=__doc__)
    parser.add_argument("fabric_url")
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    work(options.fabric_url, options.seconds)
