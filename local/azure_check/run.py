"""Run the checks in order. None stops the others, and the last one rolls back what was deployed."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from local.azure_check import app_checks, azure_checks
from local.azure_check.app_checks import Trial
from local.azure_check.arm import AzureApi
from local.azure_check.azure_checks import Environment
from local.azure_check.outcome import CheckError, Outcome, Verdict
from shared.bootstrap import command_line
from shared.domain.errors import SagaError


@dataclass(frozen=True)
class Wish:
    """The request of a person: the target, the name of the workspace, and how long to wait, in seconds. Without `key`,
    the app's key is read from Azure."""

    target: str
    workspace: str = ""
    key: str = ""
    deployment_seconds: float = 900.0
    telemetry_seconds: float = 900.0


def run(api: AzureApi, environment: Environment, wish: Wish, show: Callable[[Outcome], None]) -> list[Outcome]:
    """Return the outcome of every check, and show each when it is known. The deployment is rolled back also if a check
    raises, or the person interrupts."""
    found: list[Outcome] = []

    def check(name: str, body: Callable[[], str]) -> bool:
        try:
            outcome = Outcome(name, Verdict.HELD, body())
        except (CheckError, SagaError) as error:
            outcome = Outcome(name, Verdict.FAILED, str(error))
        found.append(outcome)
        show(outcome)
        return outcome.verdict is Verdict.HELD

    def skip(name: str, text: str) -> None:
        found.append(Outcome(name, Verdict.SKIPPED, text))
        show(found[-1])

    check("app", lambda: azure_checks.app(api, environment))
    check("rights", lambda: azure_checks.rights(api, environment))
    check("closed", lambda: azure_checks.closed(api))
    check("alerts", lambda: azure_checks.alert_rules(api))
    keys: list[str] = [wish.key]
    if not wish.key and not check("key", lambda: _read_key(api, environment, keys)):
        for name in ("health", "deployment", "telemetry"):
            skip(name, "without a function key the app cannot be asked: set FUNCTION_KEY")
        return found
    app = command_line.remote(environment.app_url, keys[0])
    tag = secrets.token_hex(4)
    trial = Trial(
        app,
        wish.target,
        wish.workspace or f"saga-check-{tag}",
        f"azure-check-{tag}",
        wish.deployment_seconds,
    )
    has_succeeded = False
    can_work = check("health", lambda: app_checks.health(app))
    try:
        if can_work:
            has_succeeded = check("deployment", trial.deploy)
        else:
            skip("deployment", "the app is not healthy")
    finally:
        check("clean-up", trial.clean_up)
    if not trial.was_sent:
        skip("telemetry", "nothing was deployed")
        return found
    events = app_checks.EVENTS if has_succeeded else app_checks.EVENTS_OF_FAILED

    def seen() -> str:
        logs = azure_checks.logs_workspace(api)
        return app_checks.telemetry(api, logs, trial.deployment_id, events, wish.telemetry_seconds)

    check("telemetry", seen)
    return found


def _read_key(api: AzureApi, environment: Environment, keys: list[str]) -> str:
    keys[0] = azure_checks.function_key(api, environment.app_name)
    return "the app's function key was read; it is not printed and not kept"
