"""Rehearses `make azure-check`: its code runs against the app on the embedded host and a stand-in for Azure's API."""

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from local import azurite, ingestion
from local.azure_check import stand_in
from local.azure_check.arm import AzureApi
from local.azure_check.azure_checks import Environment
from local.azure_check.outcome import Outcome
from local.azure_check.run import Wish, run
from local.azure_check.stand_in import AzureStandIn, StandInCredential
from local.paths import HOME
from local.stack import Stack
from local.stack.description import StackDescription


def environment_of(stack: StackDescription) -> Environment:
    """Return what `azd up` would have put out for a stack."""
    return Environment(stand_in.SUBSCRIPTION, stand_in.GROUP, stand_in.APP, stack.functions_url, stand_in.CLIENT_ID)


def api_of(azure: AzureStandIn) -> AzureApi:
    """Return the access to a stand-in."""
    return AzureApi(stand_in.SUBSCRIPTION, stand_in.GROUP, StandInCredential(), azure.address, azure.address)


def settings_with_telemetry(port: int, folder: Path) -> dict[str, str]:
    """Return the variables with which the app sends its telemetry to the stand-in for Application Insights."""
    return {
        "FEATURE_USE_TELEMETRY": "true",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string(port),
        **dict.fromkeys(ingestion.SILENT, "true"),
        "TMPDIR": str(folder),
    }


def rehearse(wish: Wish, show: Callable[[Outcome], None]) -> list[Outcome]:
    """Start a stack, run the check against it, and remove the stack."""
    azurite.ensure_installed(HOME)
    with ExitStack() as at_end:
        received, port = at_end.enter_context(ingestion.serving())
        stack = Stack(name=f"azure-check-{secrets.token_hex(3)}")
        stack.folder.mkdir(parents=True, exist_ok=True)
        stack.environment = {**stack.environment, **settings_with_telemetry(port, stack.folder)}
        at_end.callback(stack.down)
        stack.up()
        azure = at_end.enter_context(stand_in.serving(stack.function_key, received))
        return run(api_of(azure), environment_of(stack), wish, show)
