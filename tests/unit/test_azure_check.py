"""The parts of `make azure-check` that read Azure: each finds what is wrong, and says what to do."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from local.azure_check import __main__ as program
from local.azure_check import azure_checks, expected, stand_in
from local.azure_check.arm import AzureApi
from local.azure_check.azure_checks import Environment
from local.azure_check.outcome import CheckError, Outcome, Verdict
from local.azure_check.rehearsal import api_of
from local.azure_check.stand_in import AzureStandIn, StandInCredential
from tests.infra import lint

ENVIRONMENT = Environment(
    stand_in.SUBSCRIPTION, stand_in.GROUP, stand_in.APP, "https://func.example.net", stand_in.CLIENT_ID
)
STORAGE = "Microsoft.Storage/storageAccounts/st"
SITE = f"Microsoft.Web/sites/{stand_in.APP}"


@pytest.fixture
def azure() -> Iterator[AzureStandIn]:
    """Return a resource group as infra/ creates it."""
    with stand_in.serving("a-key") as found:
        yield found


def checks(azure: AzureStandIn) -> dict[str, str]:
    """Run the checks that read Azure and return what each says."""
    api, found = api_of(azure), dict[str, str]()
    for name, body in {
        "app": lambda: azure_checks.app(api, ENVIRONMENT),
        "rights": lambda: azure_checks.rights(api, ENVIRONMENT),
        "closed": lambda: azure_checks.closed(api),
        "alerts": lambda: azure_checks.alert_rules(api),
        "key": lambda: azure_checks.function_key(api, stand_in.APP),
        "logs": lambda: azure_checks.logs_workspace(api),
    }.items():
        try:
            found[name] = body()
        except CheckError as error:
            found[name] = f"FAILED {error}"
    return found


def test_azure_check_holds_for_what_infra_creates(azure: AzureStandIn) -> None:
    """The lists have several pages."""
    found = checks(azure)
    assert {name: text for name, text in found.items() if text.startswith("FAILED")} == {}
    assert (found["key"], found["logs"]) == ("a-key", stand_in.WORKSPACE)
    assert len(expected.alerts()) > 4, "the stand-in answers four rows a page"


ROLE = "Microsoft.Authorization/roleAssignments/"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
FAULTS: dict[str, tuple[str, str, dict[str, Any] | None, str]] = {
    "a stopped app": ("app", SITE, {"state": "Stopped"}, "its state is Stopped"),
    "an app that allows http": ("app", SITE, {"httpsOnly": False}, "http is allowed"),
    "a missing app": ("app", SITE, None, "has `azd up` created it"),
    "a missing role": ("rights", f"{ROLE}0", None, "missing: Key Vault Secrets User"),
    "a role too many": (
        *("rights", f"{ROLE}9"),
        {
            "principalId": stand_in.PRINCIPAL_ID,
            "roleDefinitionId": f"/x/{OWNER}",
            "scope": f"/subscriptions/{stand_in.SUBSCRIPTION}",
        },
        f"not meant: {OWNER} at /subscriptions/",
    ),
    "another identity": ("rights", "Microsoft.ManagedIdentity/userAssignedIdentities/id-app", None, "no identity"),
    "shared keys": ("closed", STORAGE, {"allowSharedKeyAccess": True}, "allowSharedKeyAccess is True"),
    "a vault without roles": ("closed", "Microsoft.KeyVault/vaults/kv", {"enableRbacAuthorization": False}, "kv: "),
    "no vault": ("closed", "Microsoft.KeyVault/vaults/kv", None, "no resource of type Microsoft.KeyVault/vaults"),
    "a missing alert": (
        "alerts",
        "Microsoft.Insights/scheduledQueryRules/sqr-orphan-found",
        None,
        "no alert orphan-found",
    ),
    "an alert that is off": (
        *("alerts", "Microsoft.Insights/scheduledQueryRules/sqr-retry-rate", {"enabled": False}),
        "alert retry-rate is off",
    ),
    "nobody to notify": ("alerts", "Microsoft.Insights/actionGroups/ag", {"emailReceivers": []}, "reach nobody"),
    "no test from outside": ("alerts", "Microsoft.Insights/webtests/ready", None, "no availability test"),
    "no logs": ("logs", "Microsoft.OperationalInsights/workspaces/log", None, "customerId"),
}
"""The check that must fail, the resource, its changed properties or None if it is missing, and what the check says."""


@pytest.mark.parametrize("fault", FAULTS)
def test_azure_check_finds_each_fault(azure: AzureStandIn, fault: str) -> None:
    """The check names what is missing; the other checks still hold."""
    check, resource, change, says = FAULTS[fault]
    if change is None:
        del azure.resources[resource]
    else:
        azure.resources[resource] = {**azure.resources.get(resource, {}), **change}
    found = checks(azure)
    assert found[check].startswith("FAILED")
    assert says in found[check]
    if fault != "a missing app":
        assert [name for name, text in found.items() if text.startswith("FAILED")] == [check]


def test_azure_check_wants_the_rights_that_infra_grants() -> None:
    """Its list is the one of the Bicep lint."""
    scopes = {"account": "storageAccounts", "insights": "components", "vault": "vaults", "scheduler": "schedulers"}
    granted = {
        (role, scopes[scope])
        for (scope, principal), roles in lint.GRANTS.items()
        for role in roles
        if principal == "appPrincipalId"
    }
    wanted = {(right.role, right.kind.split("/")[1]) for right in (*expected.RIGHTS, expected.OF_SCHEDULER)}
    assert wanted == granted
    assert {name: lint.ROLES[name] for name in expected.ROLES} == dict(expected.ROLES)


def test_azure_check_says_who_must_sign_in_and_sends_the_token_to_azure_only(azure: AzureStandIn) -> None:
    """A wrong token is refused with the remedy; a page at another host is not followed; http is refused."""

    class Wrong(StandInCredential):
        @property
        def token(self) -> str:
            return "wrong"

    class Nobody(StandInCredential):
        def get_token(self, *scopes: str) -> StandInCredential:
            raise RuntimeError("many lines with the tenant's name")

    wrong = AzureApi(stand_in.SUBSCRIPTION, stand_in.GROUP, Wrong(), azure.address, azure.address)
    with pytest.raises(CheckError, match=r"HTTP 401 InvalidAuthenticationToken: your identity needs Reader"):
        azure_checks.closed(wrong)
    nobody = AzureApi(stand_in.SUBSCRIPTION, stand_in.GROUP, Nobody(), azure.address, azure.address)
    with pytest.raises(CheckError, match="az login") as error:
        azure_checks.closed(nobody)
    assert "tenant" not in str(error.value)
    with pytest.raises(CheckError, match="address of Azure"):
        AzureApi("s", "g", Wrong(), "http://management.example.net")
    first, azure.address = azure.address, "https://elsewhere.example.net"
    api = AzureApi(stand_in.SUBSCRIPTION, stand_in.GROUP, StandInCredential(), first, first)
    with pytest.raises(CheckError, match="another host"):
        azure_checks.alert_rules(api)


def test_azure_check_needs_the_outputs_of_azd() -> None:
    """It names what is missing, and reads what is there."""
    with pytest.raises(CheckError, match="AZURE_FUNCTION_HOST"):
        program.environment_of({"AZURE_SUBSCRIPTION_ID": "s"})
    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_FUNCTION_NAME", "FABRIC_SAGA_IDENTITY_CLIENT_ID")
    values = {**dict.fromkeys(names, "x"), "AZURE_FUNCTION_HOST": "func.azurewebsites.net"}
    assert program.environment_of(values).app_url == "https://func.azurewebsites.net"


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.HELD, 0), (Verdict.FAILED, 1), (Verdict.SKIPPED, 1)])
def test_azure_check_exit_code(verdict: Verdict, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A skipped check does not count as a success."""
    assert program.verdict([Outcome("app", Verdict.HELD, ""), Outcome("telemetry", verdict, "")]) == code
    assert ("not: telemetry" in capsys.readouterr().out) is bool(code)


def test_azure_check_without_azd_does_not_begin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the tool."""
    monkeypatch.setenv("PATH", "")
    assert program.main(["--target", "t"]) == program.NOT_BEGUN
    assert "Azure Developer CLI" in capsys.readouterr().err
    with contextlib.suppress(SystemExit):
        program.main([])
    assert "--target" in capsys.readouterr().err
