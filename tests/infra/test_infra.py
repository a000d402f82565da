"""Checks of infra/ as far as they are possible without Azure, and the proof that each check finds a planted fault."""

import json
import re

import pytest

from shared.domain.variables import VARIABLES
from tests.conftest import require
from tests.infra import agreement, kql, lint, typed
from tests.infra.bicep import infra

CHECKS = {**lint.CHECKS, **agreement.CHECKS, "types": typed.types}
FILES = infra()

FAULTS = {
    "a role's id with a wrong digit": (
        *("roles", "modules/storage.bicep"),
        *("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "b7e6dc6d-f1e8-4753-8033-0f276bb0955c"),
    ),
    "another role than meant": (
        *("least_privilege", "modules/vault.bicep"),
        *("4633458b-17de-408a-b874-0445c86b69e6", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
    ),
    "a pipeline that may write the journal": (
        *("least_privilege", "modules/storage.bicep"),
        *("roles.tableReader)\n    principalId", "roles.tableContributor)\n    principalId"),
    ),
    "a pipeline that may read the steps' queue": (
        *("least_privilege", "modules/storage.bicep", "scope: queue[0]", "scope: queue[2]"),
    ),
    "a role for the whole resource group": (
        "assignments",
        "modules/vault.bicep",
        "  scope: vault\n  properties: {\n    role",
        "  properties: {\n    role",
    ),
    "an assignment named after another role": (
        *("assignments", "modules/vault.bicep", "appPrincipalId, roles.secretsUser)", "appPrincipalId)"),
    ),
    "an assignment that does not say to whom": (
        *("assignments", "modules/scheduler.bicep", "    principalType: 'ServicePrincipal'\n", ""),
    ),
    "a trigger's setting that is missing": (
        *("app_settings", "modules/app.bicep", "  SWEEP_SCHEDULE: '0 */5 * * * *'\n", ""),
    ),
    "a setting of production that is missing": (
        *("app_settings", "modules/app.bicep", "  KEY_VAULT_URL: vault.properties.vaultUri\n", ""),
    ),
    "a setting that nothing reads": (
        *(
            "app_settings",
            "modules/app.bicep",
            "  FABRIC_CREDENTIAL:",
            "  FABRIC_CREDENTIALS: 'x'\n  FABRIC_CREDENTIAL:",
        ),
    ),
    "a flag that is off": (
        *("flags_on", "modules/app.bicep", "FEATURE_USE_ROLLBACK: 'true'", "FEATURE_USE_ROLLBACK: 'false'"),
    ),
    "an always-ready group without a function": (
        *("always_ready", "modules/app.bicep", "'function:execute_step'", "'function:execute_steps'"),
    ),
    "an event that the code does not emit": (
        *("events", "queries/breaker-opened.kql", "CircuitBreakerOpened", "BreakerOpened"),
    ),
    "an event of the workbook that the code does not emit": (
        *("events", "workbook.json", "StepFailed", "StepsFailed"),
    ),
    "a property that the event does not have": (
        *("event_properties", "queries/compensation-failed.kql", "Properties.error_code", "Properties.code"),
    ),
    "a missing rule": (*("events", "modules/alerts.bicep", "loadTextContent('../queries/orphan-found.kql')", "''"),),
    "a query that no file loads": (
        *("loaded_files", "modules/alerts.bicep", "loadTextContent('../queries/orphan-found.kql')", "''"),
    ),
    "an alert without a remedy": ("remedies", "modules/alerts.bicep", "name: 'orphan-found'", "name: 'orphan'"),
    "public blobs": (
        *("closed", "modules/storage.bicep", "allowBlobPublicAccess: false", "allowBlobPublicAccess: true"),
    ),
    "shared keys": ("closed", "modules/storage.bicep", "    allowSharedKeyAccess: false\n", ""),
    "a public container": ("closed", "modules/storage.bicep", "publicAccess: 'None'", "publicAccess: 'Blob'"),
    "a private network with an open storage": (
        *("closed", "modules/storage.bicep", "privateNetworking ? 'Deny' : 'Allow'", "'Allow'"),
    ),
    "a vault that can be purged": (
        *("closed", "modules/vault.bicep", "enablePurgeProtection: true", "enablePurgeProtection: false"),
    ),
    "telemetry that takes an instrumentation key": (
        *("closed", "modules/monitoring.bicep", "    DisableLocalAuth: true\n", ""),
    ),
    "a site property that Flex Consumption refuses": (
        *("plan", "modules/app.bicep", "minTlsVersion: '1.2'", "minTlsVersion: '1.2', ftpsState: 'Disabled'"),
    ),
    "a key that is requested": (
        *(
            "secrets",
            "modules/app.bicep",
            "FABRIC_CREDENTIAL: 'managed_identity'",
            "FABRIC_CREDENTIAL: account.listKeys().keys[0].value",
        ),
    ),
    "a secret in an output": (
        *(
            "secrets",
            "modules/monitoring.bicep",
            "string = insights.name",
            "string = insights.properties.ConnectionString",
        ),
    ),
    "a table of another name": ("names", "modules/storage.bicep", "'journal', ", "'journals', "),
    "a name with a typing error": ("undefined", "modules/app.bicep", "serverFarmId: plan.id", "serverFarmId: plann.id"),
    "a parameter that is not read": (
        "unused",
        "modules/app.bicep",
        "param token string",
        "param token string\nparam colour string",
    ),
    "an unknown parameter of a module": (*("modules", "main.bicep", "healthUrl: 'https", "healthAddress: 'https"),),
    "an unknown output of a module": ("modules", "main.bicep", "vault.outputs.url", "vault.outputs.uri"),
    "a resource without a version": (
        *("versions", "modules/app.bicep", "'Microsoft.Web/serverfarms@2024-11-01'", "'Microsoft.Web/serverfarms'"),
    ),
    "two versions of one type": (
        *("versions", "modules/app.bicep", "storageAccounts@2024-01-01", "storageAccounts@2023-05-01"),
    ),
    "a default that differs from azd's": ("parameters", "main.bicep", "int = 90", "int = 30"),
    "a parameter that azd does not pass": (
        *("parameters", "main.parameters.json", '    "alertEmail": { "value": "${ALERT_EMAIL=}" },\n', ""),
    ),
    "an unknown property of the type": ("types", "modules/app.bicep", "httpsOnly: true", "httpOnly: true"),
    "a missing required property": ("types", "modules/storage.bicep", "  kind: 'StorageV2'\n", ""),
    "a text in place of a number": ("types", "modules/alerts.bicep", "severity: 2", "severity: '2'"),
    "a value that the type does not allow": (
        *("types", "modules/storage.bicep", "minimumTlsVersion: 'TLS1_2'", "minimumTlsVersion: '1.2'"),
    ),
    "a setting that is not a text": (
        *("types", "modules/app.bicep", "FEATURE_USE_TELEMETRY: 'true'", "FEATURE_USE_TELEMETRY: true"),
    ),
    "an unknown output of the type": (
        *("types", "modules/app.bicep", "insights.properties.ConnectionString", "insights.properties.connectionString"),
    ),
    "a module's parameter of another kind": (
        *("types", "main.bicep", "privateNetworking: privateNetworking", "privateNetworking: location"),
    ),
    "a version whose types are not known": (
        *("types", "modules/monitoring.bicep", "components@2020-02-02", "components@2020-02-03"),
    ),
    "a missing brace": ("syntax", "modules/identity.bicep", "  tags: tags\n}", "  tags: tags\n"),
}
"""A text, the check that must complain, the file, and the faulty text in place of the first one."""


@pytest.mark.parametrize("check", CHECKS)
def test_infra_has_no_finding(check: str) -> None:
    """The files as they are pass every check."""
    assert list(CHECKS[check](FILES)) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_infra_planted_fault_is_found(fault: str) -> None:
    """Each check can fail: if the file has the fault, the check that is meant for it reports it."""
    check, file, old, new = FAULTS[fault]
    assert old in FILES[file], "the fault cannot be planted: the file has changed"
    assert list(CHECKS[check]({**FILES, file: FILES[file].replace(old, new, 1)})) != []


def test_infra_every_check_has_a_planted_fault() -> None:
    """No check is trusted without a proof."""
    assert {check for check, *_ in FAULTS.values()} == set(CHECKS)


def test_infra_settings_are_documented_and_sampled() -> None:
    """Every setting that is read is documented in docs/, and the sample contains no other."""
    read = agreement.settings_read() | agreement.SECRETS | agreement.settings_of_triggers()
    docs = "".join((agreement.ROOT / "docs" / f"{name}.md").read_text() for name in ("settings", "host"))
    spelled = {name: {name, name.upper()} if name.islower() else {name} for name in read}  # Proxies have two spellings.
    missing = sorted(n for n, spellings in spelled.items() if not any(f"`{each}`" in docs for each in spellings))
    assert not missing, f"run `make diagrams`, which writes docs/settings.md: it lacks {missing}"
    sample: dict[str, str] = json.loads((agreement.ROOT / "local.settings.sample.json").read_text())["Values"]
    assert set(sample) <= read | agreement.OF_THE_HOST


def test_infra_readme_names_only_what_exists() -> None:
    """Its modules, parameters and outputs are those of the files."""
    readme = (agreement.ROOT / "infra" / "README.md").read_text()
    assert set(re.findall(r"`(modules/\w+\.bicep)`", readme)) == {f for f in FILES if f.startswith("modules/")}
    environment = {m for v in re.findall(r"\$\{([A-Z_]+)", FILES["main.parameters.json"]) for m in [v]}
    outputs = set(re.findall(r"^output (\w+)", FILES["main.bicep"], re.MULTILINE))
    named = set(re.findall(r"`([A-Z][A-Z0-9_]+_[A-Z0-9_]+)`", readme))
    assert named <= environment | outputs | set(VARIABLES) | agreement.OF_A_SCHEDULER
    assert environment <= named


QUERY_FAULTS: dict[str, tuple[str, str]] = {
    "a column that is not there": ("TimeGenerated", "Timestamp"),
    "a word left out": ("| project", "|"),
    "a table of the other schema": ("AppEvents", "customEvents"),
}


def test_infra_queries_bind_against_the_published_tables_and_faults_do_not() -> None:
    """Microsoft's own language service accepts every query of the rules and the workbook, and no query with a fault."""
    require(kql.is_possible(), "binding the queries needs Node.js and npm")
    good = kql.rules(FILES) | kql.workbook(FILES)
    events = FILES["queries/events.kql"]
    bad = {name: events.replace(old, new) for name, (old, new) in QUERY_FAULTS.items()}
    assert events not in bad.values()
    found = kql.bound({**good, **bad})
    assert [line for line in found if line.split(":")[0] not in bad] == []
    assert {line.split(":")[0] for line in found} == set(bad)
