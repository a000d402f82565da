"""The dry deployment finds nothing in the files as they are, whatever a person chooses; it finds planted faults."""

import pytest

from tests.infra import dry_deployment, lint
from tests.infra.bicep import infra, sources
from tests.infra.dry_deployment import CHOICES, findings, preview
from tests.infra.evaluate import Evaluation, parameters

FILES = infra()


@pytest.mark.parametrize("choice", CHOICES)
def test_dry_deployment_finds_nothing(choice: str) -> None:
    """With each choice, Azure would refuse nothing that can be known here."""
    assert list(findings(FILES, CHOICES[choice])) == []


def test_dry_deployment_shows_what_each_choice_creates() -> None:
    """A choice creates its resources, and without it they are not there."""
    kinds = {name: [line.split()[1] for line in preview(FILES, given)] for name, given in CHOICES.items()}
    tables = lint.strings(sources(FILES)["modules/storage.bicep"], "tables")
    assert kinds["as it is"].count("Microsoft.Storage/storageAccounts/tableServices/tables") == len(tables)
    assert kinds["as it is"].count("Microsoft.Insights/scheduledQueryRules") == 12
    for choice, kind in (
        ("a private network", "Microsoft.Network/virtualNetworks"),
        ("a scheduler", "Microsoft.DurableTask/schedulers"),
        ("a GitHub workflow", "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"),
    ):
        assert kind not in kinds["as it is"]
        assert kind in kinds[choice]
        assert kind in kinds["everything"]
    roles = "Microsoft.Authorization/roleAssignments"
    assert kinds["everything"].count(roles) == kinds["as it is"].count(roles) + 2 * 4 + 1


def test_dry_deployment_evaluates_the_settings_of_the_app() -> None:
    """Values, names in texts, and what only Azure decides."""
    made = Evaluation(FILES, parameters(FILES, {**dry_deployment.ASKED, **CHOICES["always ready"]}))
    settings = next(each for each in made.resources if each.type.startswith("Microsoft.Web/sites/config"))
    assert settings.body["properties"]["RETENTION_SECONDS"] == str(90 * 86400)
    assert settings.body["properties"]["AZURE_CLIENT_ID"].startswith("<properties.clientId of id-")
    app = next(each for each in made.resources if each.type.startswith("Microsoft.Web/sites@"))
    ready = app.body["properties"]["functionAppConfig"]["scaleAndConcurrency"]["alwaysReady"]
    assert [(row["name"], row["instanceCount"]) for row in ready] == [
        ("durable", 1),
        ("function:accept_deployment", 1),
        ("function:execute_step", 2),
    ]


WRONG_VALUES = {
    "a name that is too long": ({"AZURE_ENV_NAME": "x" * 41}, "maxLength is 40"),
    "no name": ({"AZURE_ENV_NAME": ""}, "minLength is 1"),
    "a name with a character that Azure refuses": ({"AZURE_ENV_NAME": "saga test"}, "does not match"),
    "an unknown backend": ({"DURABLE_BACKEND": "Redis"}, "durableBackend is 'Redis', which is not allowed"),
    "no instance": ({"MAXIMUM_INSTANCE_COUNT": "0"}, "minValue is 1"),
    "more always-ready instances than instances": (
        {"MAXIMUM_INSTANCE_COUNT": "1", "ALWAYS_READY_STEPS": "2"},
        "more always-ready instances",
    ),
    "a retention that Log Analytics refuses": ({"LOG_RETENTION_DAYS": "29"}, "minValue is 30"),
    "a subnet outside of the network": (
        {"PRIVATE_NETWORKING": "true", "APP_SUBNET_PREFIX": "10.75.0.0/26"},
        "is outside of 10.74.0.0/24",
    ),
    "subnets that overlap": ({"PRIVATE_NETWORKING": "true", "ENDPOINT_SUBNET_PREFIX": "10.74.0.0/25"}, "overlap"),
    "a subnet that is too small": (
        {"PRIVATE_NETWORKING": "true", "APP_SUBNET_PREFIX": "10.74.0.0/28"},
        "smaller than /27",
    ),
    "no range at all": ({"PRIVATE_NETWORKING": "true", "NETWORK_PREFIX": "here"}, "does not appear to be"),
}


@pytest.mark.parametrize("wrong", WRONG_VALUES)
def test_dry_deployment_refuses_values_that_azure_would_refuse(wrong: str) -> None:
    environment, says = WRONG_VALUES[wrong]
    assert any(says in finding for finding in findings(FILES, environment)), list(findings(FILES, environment))


FAULTS = {
    "a storage account with a hyphen": ("modules/storage.bicep", "'st${token}'", "'st-${token}'", "does not match"),
    "a vault with a name that is too long": ("modules/vault.bicep", "'kv-${token}'", "'fabric-saga-kv-${token}'", "kv"),
    "an app that ends with a hyphen": (
        "modules/app.bicep",
        "name: 'func-${token}'",
        "name: '${token}-'",
        "does not match",
    ),
    "a table with an underscore": (
        "modules/storage.bicep",
        "'deploymentsbytime'",
        "'deployments_by_time'",
        "does not match",
    ),
    "a queue with capitals": (
        "modules/storage.bicep",
        "['deployments', 'dep",
        "['Deployments', 'dep",
        "does not match",
    ),
    "a short name that is too long": ("modules/alerts.bicep", "'fabricsaga'", "'fabric-saga-alerts'", "18 characters"),
    "a table twice": ("modules/storage.bicep", "'locks', ", "'locks', 'locks', ", "created twice"),
    "an existing resource that nothing creates": (
        "main.bicep",
        "vaultName: vault.outputs.name\n    subnetId",
        "vaultName: 'kv'\n    subnetId",
        "nothing creates",
    ),
    "a module that does not wait": (
        "main.bicep",
        "logsName: monitoring.outputs.logsName\n    privateNetworking",
        "logsName: 'log-${token}'\n    privateNetworking",
        "module vault does not wait for monitoring",
    ),
    "a circle of modules": (
        "main.bicep",
        "params: { location: location, tags: tags, token: token }",
        "params: { location: location, tags: tags, token: vault.outputs.name }",
        "depends on itself",
    ),
    "a window that is shorter than its frequency": (
        "modules/alerts.bicep",
        "window: 'PT15M'\n    every: 'PT15M'",
        "window: 'PT5M'\n    every: 'PT15M'",
        "PT5M each PT15M is not possible",
    ),
    "a frequency of no web test": ("modules/alerts.bicep", "Frequency: 300", "Frequency: 60", "each 60 s"),
    "a memory size of another plan": (
        "modules/app.bicep",
        "instanceMemoryMB: 2048",
        "instanceMemoryMB: 1536",
        "not 512",
    ),
    "a role twice": (
        "modules/storage.bicep",
        "[roles.blobOwner, roles.queueContributor, roles.tableContributor]",
        "[roles.blobOwner, roles.queueContributor, roles.tableContributor, roles.blobOwner]",
        "twice",
    ),
    "days beyond the limit": (
        "modules/storage.bicep",
        "days: 7 }\n    container",
        "days: 400 }\n    container",
        "from 1 to 365",
    ),
    "a setting twice": (
        "modules/app.bicep",
        "  SWEEP_SCHEDULE:",
        "  SWEEP_SCHEDULE: 'x'\n  SWEEP_SCHEDULE:",
        "SWEEP_SCHEDULE is given twice",
    ),
    "a parameter twice": (
        "modules/app.bicep",
        "param token string\n",
        "param token string\nparam token string\n",
        "token is declared twice",
    ),
    "a function that is not known": (
        "modules/app.bicep",
        "string(journalRetentionDays",
        "text(journalRetentionDays",
        "is not known",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_dry_deployment_finds_each_planted_fault(fault: str) -> None:
    file, old, new, says = FAULTS[fault]
    assert old in FILES[file], "the fault cannot be planted: the file has changed"
    found = list(findings({**FILES, file: FILES[file].replace(old, new, 1)}, {}))
    assert any(says in finding for finding in found), found
