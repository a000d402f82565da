"""`make costs`: what the app costs in an idle month and for a deployment, computed from its settings and list prices.

The settings are read from host.json and from infra/, so that a change there changes the page; the prices are inputs in
local/prices.json. `make costs COSTS_ARGS="ALWAYS_READY_STEPS=1 maxQueuePollingInterval=10"` computes another choice.
local/cost_page.py writes docs/cost.md.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from local.paths import ROOT

MONTH = timedelta(days=30).total_seconds()
STORAGE_OF_ENGINE = 5_500_000
"""Operations a month of an idle durable extension and of the scale controller: leases and lengths. An estimate."""
RUN_SECONDS = 1.2
"""Run time of one health round or one sweep with nothing to do, with its start. An estimate."""
LOG_GB = 0.3
"""Logs of an idle month. An estimate."""
STEP_OPERATIONS = (36, 12)
"""Operations on tables and on queues of one step and its share of the deployment. Eight are the app's own (`make bench
BENCH_ARGS=size`); the others are an estimate for the durable extension, whose history the local stack keeps itself."""
STEP_GB_S = 6.0
"""GB-s on demand of one step: three deliveries of about a second. An estimate."""
STEP_LOG_KB = 25.0
"""Logs and events of one step. An estimate."""


@dataclass(frozen=True)
class Choice:
    """The choices that decide the cost: values of host.json (seconds), parameters of infra/, alerts, the web test."""

    partitionCount: int
    maxQueuePollingInterval: float
    maxPollingInterval: float
    ALWAYS_READY_DURABLE: int
    ALWAYS_READY_ACCEPT: int
    ALWAYS_READY_STEPS: int
    instanceMemoryMB: int
    sweep_minutes: int
    alerts_5_minutes: int
    alerts_slower: int
    web_test_locations: int
    web_test_seconds: int


@dataclass(frozen=True)
class Line:
    """One line of a bill: how much of what, and what it costs a month, or for one deployment."""

    what: str
    amount: str
    usd: float
    decided_by: str


def chosen() -> Choice:
    """Return the choice of this repository."""
    host = json.loads((ROOT / "host.json").read_text())["extensions"]
    provider = host["durableTask"]["storageProvider"]
    main, app, alerts = (
        (ROOT / "infra" / name).read_text() for name in ("main.bicep", "modules/app.bicep", "modules/alerts.bicep")
    )
    every = re.findall(r"every: 'PT(\d+)M'", alerts)
    return Choice(
        partitionCount=provider["partitionCount"],
        maxQueuePollingInterval=_seconds(provider["maxQueuePollingInterval"]),
        maxPollingInterval=_seconds(host["queues"]["maxPollingInterval"]),
        ALWAYS_READY_DURABLE=_number(r"name: 'durable', instanceCount: (\d+)", app),
        ALWAYS_READY_ACCEPT=_number(r"param alwaysReadyAccept int = (\d+)", main),
        ALWAYS_READY_STEPS=_number(r"param alwaysReadySteps int = (\d+)", main),
        instanceMemoryMB=_number(r"instanceMemoryMB: (\d+)", app),
        sweep_minutes=_number(r"SWEEP_SCHEDULE: '0 \*/(\d+) ", app),
        alerts_5_minutes=every.count("5"),
        alerts_slower=len(every) - every.count("5"),
        web_test_locations=len(re.findall(r"\{ Id: '", alerts)),
        web_test_seconds=_number(r"Frequency: (\d+)", alerts),
    )


def price_list() -> dict[str, Any]:
    """Return the prices with their date and their note."""
    return json.loads((ROOT / "local" / "prices.json").read_text())


def idle(choice: Choice, prices: Mapping[str, Any]) -> list[Line]:
    """Return the bill of a month in which nothing is deployed."""
    gigabytes = choice.instanceMemoryMB / 1024
    ready = choice.ALWAYS_READY_DURABLE + choice.ALWAYS_READY_ACCEPT + choice.ALWAYS_READY_STEPS
    gb_s, queues = ready * gigabytes * MONTH, choice.ALWAYS_READY_ACCEPT + choice.ALWAYS_READY_STEPS
    polled = choice.partitionCount + 1  # and the queue of work items
    control = polled * MONTH / choice.maxQueuePollingInterval if choice.ALWAYS_READY_DURABLE else 0.0
    trigger = queues * MONTH / choice.maxPollingInterval
    tests = choice.web_test_locations * MONTH / choice.web_test_seconds
    runs = tests + MONTH / 60 / choice.sweep_minutes
    run_time = runs * RUN_SECONDS * gigabytes

    def usd(amount: float, price: str) -> float:
        row = prices[price]
        return max(0.0, amount - row.get("free", 0)) * row["usd"] / row["per"]

    return [
        Line(
            "always-ready instances",
            f"{ready} of {gigabytes:g} GB, {gb_s / 1e6:.2f} M GB-s",
            usd(gb_s, "always_ready_gb_s"),
            "`alwaysReady`, `ALWAYS_READY_ACCEPT`, `ALWAYS_READY_STEPS`",
        ),
        Line(
            "polls of the durable extension's queues",
            f"{polled} queues, each {choice.maxQueuePollingInterval:g} s, {control / 1e6:.2f} M",
            usd(control, "queue_operations"),
            "`maxQueuePollingInterval`, `partitionCount` in host.json",
        ),
        Line(
            "polls of the app's queues by always-ready instances",
            f"{trigger / 1e6:.2f} M",
            usd(trigger, "queue_operations"),
            "`maxPollingInterval` in host.json; 0 for groups that scale to zero",
        ),
        Line(
            "leases of the durable extension, scale controller",
            f"{STORAGE_OF_ENGINE / 1e6:.1f} M (estimate)",
            usd(STORAGE_OF_ENGINE, "queue_operations"),
            "",
        ),
        Line(
            "web test",
            f"{choice.web_test_locations} locations, each {choice.web_test_seconds} s, {tests:,.0f} runs",
            usd(tests, "web_test_runs"),
            "`Locations`, `Frequency` in alerts.bicep",
        ),
        Line(
            "log alerts",
            f"{choice.alerts_5_minutes} each 5 min, {choice.alerts_slower} less often",
            usd(choice.alerts_5_minutes, "log_alert_5") + usd(choice.alerts_slower, "log_alert_15"),
            "`every` in alerts.bicep",
        ),
        Line("metric alert", "1 time series", usd(1, "metric_alerts"), ""),
        Line(
            "run time on demand: sweeps, health",
            f"{runs:,.0f} runs, {run_time / 1e3:.0f} k GB-s (estimate)",
            usd(run_time, "on_demand_gb_s") + usd(runs, "executions"),
            "`SWEEP_SCHEDULE`, the web test",
        ),
        Line("logs", f"{LOG_GB:g} GB (estimate)", usd(LOG_GB, "log_gb"), "`LOG_DAILY_QUOTA_GB` limits it"),
    ]


def deployment(steps: int, prices: Mapping[str, Any]) -> list[Line]:
    """Return the bill of one deployment, without the free amounts of a month."""

    def usd(amount: float, price: str) -> float:
        return amount * prices[price]["usd"] / prices[price]["per"]

    tables, queues = (steps * count for count in STEP_OPERATIONS)
    gb_s, logs = steps * STEP_GB_S, steps * STEP_LOG_KB / 1e6
    return [
        Line("operations on tables", f"{tables:,}", usd(tables, "table_operations"), ""),
        Line("operations on queues", f"{queues:,}", usd(queues, "queue_operations"), ""),
        Line("run time on demand", f"{gb_s:g} GB-s (estimate)", usd(gb_s, "on_demand_gb_s"), ""),
        Line("logs and events", f"{1000 * logs:.1f} MB (estimate)", usd(logs, "log_gb"), ""),
    ]


def changes(base: Choice) -> Iterator[tuple[str, Choice, str]]:
    """Yield what can be turned: the change, the choice with it, and its price in behaviour."""
    yield (
        "`maxQueuePollingInterval` 0.5 s to 10 s",
        replace(base, maxQueuePollingInterval=10.0),
        "each start, step and timer of an orchestration is seen up to 10 s later",
    )
    yield (
        "web test from one location",
        replace(base, web_test_locations=1),
        "one location's own trouble raises the alert `unavailable`; set `failedLocationCount` to 1 too",
    )
    yield (
        "web test each 15 minutes",
        replace(base, web_test_seconds=900),
        "an outage is noticed 10 minutes later",
    )
    yield (
        "all log alerts each 15 minutes",
        replace(base, alerts_5_minutes=0, alerts_slower=base.alerts_5_minutes + base.alerts_slower),
        "a person learns of a failure up to 15 minutes later; set `window` to the same time",
    )
    yield (
        "no always-ready instance (`alwaysReady` empty)",
        replace(base, ALWAYS_READY_DURABLE=0),
        "each hop of an orchestration after a quiet time may wait for a cold start",
    )
    yield (
        "`ALWAYS_READY_ACCEPT=1` and `ALWAYS_READY_STEPS=1`",
        replace(base, ALWAYS_READY_ACCEPT=1, ALWAYS_READY_STEPS=1),
        "no deployment waits for a cold start",
    )


def total(lines: list[Line]) -> float:
    """Return the sum in USD."""
    return sum(line.usd for line in lines)


def changed(base: Choice, assignments: list[str]) -> Choice:
    """Return the choice with `NAME=number` applied. Raises ValueError, which names what is wrong."""
    known = {field.name: field.type for field in fields(Choice)}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in known:
            raise ValueError(f"{name!r} is not one of: {', '.join(known)}")
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"{name} is {value!r}, which is not a number") from None
        if number < 0 or (number == 0 and not name.startswith(("ALWAYS", "alerts", "web_test_loc"))):
            raise ValueError(f"{name} is {value}; it must be above 0")
        base = replace(base, **{name: int(number) if known[name] is int else number})
    return base


def _seconds(text: str) -> float:
    """Return the seconds of a time span as host.json has it, `00:00:00.250`."""
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"nothing matches {pattern!r}: local/costs.py must follow the change of infra/")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make costs", description="Compute what the app costs, from its settings and list prices."
    )
    parser.add_argument("choices", nargs="*", metavar="NAME=NUMBER", help=", ".join(f.name for f in fields(Choice)))
    parser.add_argument("--steps", type=int, default=20, help="steps of the deployment")
    options = parser.parse_args()
    prices = price_list()
    try:
        choice = changed(chosen(), options.choices)
    except ValueError as error:
        parser.error(str(error))
    for title, lines, digits in (
        ("an idle month", idle(choice, prices["prices"]), 2),
        (f"a deployment of {options.steps} steps", deployment(options.steps, prices["prices"]), 5),
    ):
        print(f"{title}, in USD (prices as of {prices['as_of']}, to be checked)")
        for line in [*lines, Line("together", "", total(lines), "")]:
            print(f"  {line.what:54} {line.usd:>10.{digits}f}  {line.amount}".rstrip())


if __name__ == "__main__":
    main()
