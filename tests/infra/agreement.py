"""Names, settings and events that the Bicep files and the code share. Each check returns the differences."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from shared import settings
from shared.adapters import storage
from shared.adapters.storage import blobs, queues
from shared.domain.telemetry import PROPERTIES, Event
from shared.domain.variables import VARIABLES
from tests.infra import kql
from tests.infra.bicep import Infra, properties, sources
from tests.infra.lint import strings

ROOT = Path(__file__).resolve().parents[2]
OF_THE_HOST = {
    "AzureWebJobsStorage__credential",
    "PYTHON_THREADPOOL_THREAD_COUNT",
    "FUNCTIONS_WORKER_RUNTIME",
    "AzureWebJobsDisableHomepage",
}
"""Settings that the Functions host or a vendor's library reads and our code does not."""
OF_A_SCHEDULER = {"DURABLE_TASK_SCHEDULER_CONNECTION_STRING"}
SECRETS = {row.name for row in VARIABLES.values() if row.is_secret}
"""Settings that are read by name when they are needed, and never set by Bicep."""
IN_PRODUCTION = {
    *(row.name for row in VARIABLES.values() if row.in_azure),
    *("AzureWebJobsStorage__credential", "PYTHON_THREADPOOL_THREAD_COUNT"),
}
"""Settings that an app in Azure must have, besides the flags and those that its triggers name."""
ALERTED = {
    Event.BREAKER_OPENED,
    Event.ROLLBACK_STARTED,
    Event.COMPENSATION_FAILED,
    Event.ORPHAN_FOUND,
    Event.POISON_MESSAGE,
    Event.HEALTH_CHANGED,
    Event.RETRY,
    Event.DEPLOYMENT_HELD,
    Event.APPROVAL_WAITING,
    Event.NOTIFICATION_FAILED,
    Event.DRIFT_FOUND,
}
"""Events that an alert reports."""


class _Recording(Mapping[str, str]):
    """An environment that records which variables are read."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> str:
        self.asked.add(key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def settings_read() -> set[str]:
    """Return every environment variable that settings.py reads."""
    environment = _Recording()
    settings.load(environment)
    return environment.asked


def settings_of_triggers() -> set[str]:
    """Return every setting that a trigger names in per cent signs; without the setting, the function does not start."""
    return set(re.findall(r"%(\w+)%", (ROOT / "function_app.py").read_text()))


def settings_given(files: Infra) -> set[str]:
    """Return every setting that Bicep gives the app."""
    variables = sources(files)["modules/app.bicep"].of("var")
    return {name for v in ("appSettings", "schedulerSettings") for name in properties(variables[v].value)}


def names(files: Infra) -> Iterator[str]:
    """Check for tables, queues and containers that are created and not used, or used and not created."""
    storage = sources(files)["modules/storage.bicep"]
    sent = {queues.SUBMISSIONS, queues.STEPS, queues.NOTICES}
    for kind, used in {
        "tables": _tables(),
        "queues": sent | {f"{name}-poison" for name in sent},
        "containers": {blobs.CONTAINER, "app-package"},
    }.items():
        made = set(strings(storage, kind))
        if made != used:
            yield f"storage.bicep creates {kind} {sorted(made)}; the code uses {sorted(used)}"


def _tables() -> set[str]:
    """Return the name of every table that a storage adapter opens, found by the constant that it passes to `Table`."""
    found: set[str] = set()
    for path in Path(storage.__file__).parent.glob("*.py"):
        constants = re.findall(r"\bTable\(clients, ([A-Z_]+)", path.read_text())
        if constants:
            values = vars(importlib.import_module(f"{storage.__name__}.{path.stem}"))
            found |= {values[constant] for constant in constants}
    return found


def app_settings(files: Infra) -> Iterator[str]:
    """Check for a setting that no code reads, or one that production needs and Bicep does not set."""
    given, read = settings_given(files), settings_read()
    flags = {name for name in read if name.startswith("FEATURE_USE_")}
    for name in sorted((IN_PRODUCTION | settings_of_triggers() | flags) - given):
        yield f"app.bicep does not set {name}"
    of_others = OF_THE_HOST | OF_A_SCHEDULER | settings_of_triggers()
    for name in sorted(given - read - of_others):
        if not name.startswith("AzureFunctionsJobHost__"):
            yield f"app.bicep sets {name}, which no code reads"
    for name in sorted(SECRETS & given):
        yield f"app.bicep sets {name}: secrets belong in the vault"


def flags_on(files: Infra) -> Iterator[str]:
    """Check for a protection that Bicep leaves off."""
    given = properties(sources(files)["modules/app.bicep"].of("var")["appSettings"].value)
    for name, value in given.items():
        if name.startswith("FEATURE_USE_") and value.text != b"'true'":
            yield f"app.bicep does not switch {name} on"


def always_ready(files: Infra) -> Iterator[str]:
    """Check for an always-ready group that no function forms: Azure keeps an instance ready for nothing."""
    functions = set(re.findall(r"^def (\w+)\(", (ROOT / "function_app.py").read_text(), re.MULTILINE))
    groups = {"durable", "http", "blob"} | {f"function:{name}" for name in functions}
    for name in re.findall(r"name: '([\w:]+)', instanceCount", files["modules/app.bicep"]):
        if name not in groups:
            yield f"app.bicep: {name} is not a group of the app's functions"


def events(files: Infra) -> Iterator[str]:
    """Check for an event in a query that the code does not emit, or one that must raise an alert and is in no rule."""
    sent = {value for name, value in vars(Event).items() if name.isupper()}
    of_rules = {name: kql.event_names(query) for name, query in kql.rules(files).items()}
    of_workbook = {name: kql.event_names(query) for name, query in kql.workbook(files).items()}
    for query, names_ in {**of_rules, **of_workbook}.items():
        yield from (f"{query}: the code does not emit {name}" for name in sorted(names_ - sent))
    alerted = {name for names_ in of_rules.values() for name in names_}
    yield from (f"no alert rule reports {name}" for name in sorted(ALERTED - alerted))
    yield from (f"rule {name} queries no event" for name, names_ in of_rules.items() if not names_)


def event_properties(files: Infra) -> Iterator[str]:
    """Check for a property in a query that no event of that query has: its column would be empty forever."""
    shared = files["queries/events.kql"].strip()
    for query, text in (kql.rules(files) | kql.workbook(files)).items():
        request = set(re.findall(r"\bProperties\.(\w+)", text.replace(shared, "")))
        of = kql.event_names(text) & set(PROPERTIES) or set(PROPERTIES)
        for name in sorted(request - {known for event in of for known in PROPERTIES[event]}):
            yield f"{query}: none of its events has a property {name}"


def remedies(files: Infra) -> Iterator[str]:
    """Check for a rule without a section in docs/runbook.md, or a section without a rule."""
    written = set(re.findall(r"^## `([\w-]+)`", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE))
    there = {*kql.rules(files), "unavailable"}
    yield from (f"docs/runbook.md has no section for the alert {name}" for name in sorted(there - written))
    yield from (f"docs/runbook.md has a section for {name}, which is not an alert" for name in sorted(written - there))


def queries(files: Infra) -> Iterator[str]:
    """Check for a query that Log Analytics would refuse. Needs node and npm."""
    yield from kql.bound(kql.rules(files) | kql.workbook(files))


CHECKS: dict[str, Callable[[Infra], Iterator[str]]] = {
    check.__name__: check for check in (names, app_settings, flags_on, always_ready, events, event_properties, remedies)
}
