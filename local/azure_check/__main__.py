"""`make azure-check TARGET=NAME`: try the app that `azd up` created, once, and leave nothing behind.

It reads the resource group with your own identity (`az login` or `azd auth login`), asks the app for its health,
deploys one empty workspace to the target, rolls it back, and looks for the telemetry of that. Exit codes: 0 everything
held, 1 something did not, 2 it could not begin.
"""

import argparse
import io
import subprocess
import sys
from collections.abc import Mapping

from dotenv import dotenv_values

from local.azure_check.arm import AzureApi, Credential
from local.azure_check.azure_checks import Environment
from local.azure_check.outcome import CheckError, Outcome, Verdict
from local.azure_check.run import Wish, run
from shared.settings import function_key

HELD, FAILED, NOT_BEGUN = 0, 1, 2
_NEEDED = (
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_RESOURCE_GROUP",
    "AZURE_FUNCTION_NAME",
    "AZURE_FUNCTION_HOST",
    "FABRIC_SAGA_IDENTITY_CLIENT_ID",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the check and return its exit code."""
    options = _parser().parse_args(arguments)
    key = function_key()
    wish = Wish(options.target, options.workspace, key, 60.0 * options.minutes, 60.0 * options.telemetry_minutes)
    try:
        if options.rehearse:
            from local.azure_check.rehearsal import rehearse

            outcomes = rehearse(wish, _show)
        else:
            values = _values()
            api = AzureApi(values["AZURE_SUBSCRIPTION_ID"], values["AZURE_RESOURCE_GROUP"], _credential())
            outcomes = run(api, environment_of(values), wish, _show)
    except CheckError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_BEGUN
    return verdict(outcomes)


def verdict(outcomes: list[Outcome]) -> int:
    """Print the sum and return the exit code."""
    bad = [outcome.name for outcome in outcomes if outcome.verdict is not Verdict.HELD]
    print(f"{len(outcomes) - len(bad)} of {len(outcomes)} checks held" + (f"; not: {', '.join(bad)}" if bad else ""))
    return FAILED if bad else HELD


def environment_of(values: Mapping[str, str]) -> Environment:
    """Return what the check needs of the outputs of `azd up`. Raises CheckError, which names what is missing."""
    missing = [name for name in _NEEDED if not values.get(name)]
    if missing:
        raise CheckError(f"`azd env get-values` has no {', '.join(missing)}: run `azd up` first")
    subscription, group, app, host, client = (values[name] for name in _NEEDED)
    return Environment(subscription, group, app, f"https://{host}", client)


def _values() -> dict[str, str]:
    """Return the outputs of `azd up`, of the environment that azd has selected. Raises CheckError."""
    try:
        done = subprocess.run(["azd", "env", "get-values"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        raise CheckError("`azd env get-values` cannot be run: install the Azure Developer CLI") from None
    if done.returncode:
        raise CheckError("`azd env get-values` failed: run this in the repository, after `azd env select NAME`")
    found = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(done.stdout)).items()}
    environment_of(found)
    return found


def _credential() -> Credential:
    """Return azure-identity's way to the identity of the person: Azure's or azd's command line."""
    from azure.identity import AzureCliCredential, AzureDeveloperCliCredential, ChainedTokenCredential

    return ChainedTokenCredential(AzureCliCredential(), AzureDeveloperCliCredential())


def _show(outcome: Outcome) -> None:
    print(outcome.line(), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make azure-check", description="Try the app that azd up created, once.")
    parser.add_argument("--target", required=True, help="the target whose lock the deployment takes for a minute")
    parser.add_argument(
        "--workspace", default="", help="the name of the workspace; it must not exist (default: a new one)"
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="how long the deployment may take")
    parser.add_argument("--telemetry-minutes", type=float, default=15.0, help="how long its events may take")
    parser.add_argument("--rehearse", action="store_true", help="against the app on this machine, without Azure")
    return parser


if __name__ == "__main__":
    sys.exit(main())
