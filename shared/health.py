"""The answers of the health routes: from a request to the monitor, also when the app cannot be built."""

import logging
from collections.abc import Callable
from contextlib import suppress

from shared import bootstrap, settings, telemetry
from shared.domain.errors import StorageUnavailableError
from shared.domain.json import JsonObject
from shared.domain.telemetry import Metric
from shared.saga.health import monitor

log = logging.getLogger(__name__)

_UNBUILT = (settings.SettingsError, StorageUnavailableError)
"""Errors of building the app: a setting is not valid, or storage cannot be reached with it."""


def live() -> tuple[bool, JsonObject]:
    """Answer `health/live`, which needs no key: the process responds; nothing is checked."""
    return True, {"status": "pass"}


def ready() -> tuple[bool, JsonObject]:
    """Answer `health/ready`, which needs no key: True if the app can do its work, and the status of each check."""
    return _health(_ready, monitor.Report.coarse)


def details() -> tuple[bool, JsonObject]:
    """Answer `health`, for operators: like `ready`, with every finding and the features that are off."""
    passed, reported = _health(_report, monitor.Report.details)
    with suppress(*_UNBUILT):  # reported already
        flags = bootstrap.app().flags
        if flags.health_checks and not flags.is_production_ready():
            reported = {**reported, "notes": [flags.log_status()]}
    return passed, reported


def _health(
    ask: Callable[[], monitor.Report | None], render: Callable[[monitor.Report], JsonObject]
) -> tuple[bool, JsonObject]:
    try:
        report = ask()
    except _UNBUILT as error:  # the app cannot be built: a monitor must see that, and why
        log.warning("the app cannot be built: %s", error)
        finding = monitor.Finding(monitor.Status.FAIL, output=str(error))
        report = monitor.Report(bootstrap.SystemClock().now(), {"settings": (finding,)})
    return (True, monitor.OFF) if report is None else (report.status is not monitor.Status.FAIL, render(report))


def _report() -> monitor.Report | None:
    """Return None if health checks are off."""
    app = bootstrap.app()
    return app.health.report() if app.flags.health_checks else None


@telemetry.track_performance(Metric.READY_SECONDS)
def _ready() -> monitor.Report | None:
    return _report()
