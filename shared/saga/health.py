"""Health for monitors. Live: the process answers. Ready: it can do its work, by cheap checks with a budget each."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

from shared.domain.json import JsonObject

log = logging.getLogger(__name__)

BUDGET_SECONDS = 5.0
"""What one check may take; a slower one counts as failed."""


@dataclass(frozen=True)
class Check:
    """The result of one check: coarse on purpose, for it is shown to anybody."""

    name: str
    status: str
    seconds: float


def _timed(check: Callable[[], object]) -> float:
    """Its own seconds, whatever it was waited for."""
    began = time.monotonic()
    check()
    return time.monotonic() - began


def ready(checks: Mapping[str, Callable[[], object]]) -> tuple[bool, JsonObject]:
    """Run the checks side by side. The answer names no address, no secret and no error text; the log has those."""
    pool = ThreadPoolExecutor(max_workers=max(1, len(checks)))
    try:
        began = time.monotonic()
        futures = {name: pool.submit(_timed, check) for name, check in checks.items()}
        results: list[Check] = []
        for name, future in futures.items():
            left = max(0.0, BUDGET_SECONDS - (time.monotonic() - began))
            seconds = None
            try:
                seconds = future.result(timeout=left)
                status = "pass"
            except FutureTimeoutError:
                log.warning("health check %s did not answer within %.0f s", name, BUDGET_SECONDS)
                status = "fail"
            except Exception as error:
                log.warning("health check %s failed: %s", name, error)
                status = "fail"
            results.append(Check(name, status, round(time.monotonic() - began if seconds is None else seconds, 3)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    passed = all(result.status == "pass" for result in results)
    body: JsonObject = {
        "status": "pass" if passed else "fail",
        "checks": {r.name: [{"status": r.status, "observedValue": r.seconds, "observedUnit": "s"}] for r in results},
    }
    return passed, body
