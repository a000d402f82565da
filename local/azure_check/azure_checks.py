"""The checks that read Azure: the app's resource, the identity's rights, what is closed, the alerts."""

from dataclasses import dataclass

from local.azure_check.arm import AzureApi
from local.azure_check.expected import CLOSED, OF_SCHEDULER, RIGHTS, ROLES, Right, alerts
from local.azure_check.outcome import CheckError
from shared.domain.json import JsonObject, as_list, as_object

_SITE = "2024-11-01"


@dataclass(frozen=True)
class Environment:
    """The outputs of `azd up` that the check uses."""

    subscription: str
    group: str
    app_name: str
    app_url: str
    client_id: str


def function_key(api: AzureApi, name: str) -> str:
    """Return the app's default function key. It is kept in memory only. Raises CheckError."""
    found = api.post(f"{api.group}/providers/Microsoft.Web/sites/{name}/host/default/listkeys", _SITE)
    key = str((as_object(found.get("functionKeys")) or {}).get("default") or "")
    if not key:
        raise CheckError("the app has no function key `default`: create it, or set FUNCTION_KEY to another one")
    return key


def app(api: AzureApi, environment: Environment) -> str:
    """Check that the app runs as infra/ declares it. Raises CheckError."""
    site = _properties(api.get(f"{api.group}/providers/Microsoft.Web/sites/{environment.app_name}", _SITE))
    config = as_object(site.get("functionAppConfig")) or {}
    runtime = as_object(config.get("runtime")) or {}
    scale = as_object(config.get("scaleAndConcurrency")) or {}
    ready = [str((as_object(row) or {}).get("name")) for row in as_list(scale.get("alwaysReady")) or []]
    wrong = [
        text
        for text, is_wrong in (
            (f"its state is {site.get('state')}, not Running", site.get("state") != "Running"),
            ("http is allowed", site.get("httpsOnly") is not True),
            (f"its runtime is {runtime}, not python 3.13", runtime != {"name": "python", "version": "3.13"}),
            ("no instance for orchestrations is always ready", "durable" not in ready),
        )
        if is_wrong
    ]
    if wrong:
        raise CheckError(f"{environment.app_name}: {'; '.join(wrong)}: run `azd up` again and compare with infra/")
    return (
        f"{environment.app_name} is running: python 3.13, at most {scale.get('maximumInstanceCount')} instances a group"
    )


def rights(api: AzureApi, environment: Environment) -> str:
    """Check that the app's identity has the rights that it needs and no others. Raises CheckError."""
    principal = _principal(api, environment.client_id)
    wanted = set(RIGHTS)
    if api.resources(OF_SCHEDULER.kind):
        wanted.add(OF_SCHEDULER)
    rows = api.all("providers/Microsoft.Authorization/roleAssignments", "2022-04-01", f"principalId eq '{principal}'")
    found = {_right(_properties(row), api.group) for row in rows}
    problems = [f"missing: {right.role} at {right.kind}" for right in sorted(wanted - found)]
    problems += [f"not meant: {right.role} at {right.kind}" for right in sorted(found - wanted)]
    if problems:
        raise CheckError(
            f"{'; '.join(problems)}: run `azd provision` again (roles may need minutes), and remove what infra/ does "
            "not grant"
        )
    return f"the app's identity has its {len(found)} roles and no other"


def closed(api: AzureApi) -> str:
    """Check that storage, telemetry and vault take no keys and are not public. Raises CheckError."""
    problems: list[str] = []
    for kind, version, name, value in CLOSED:
        resources = api.resources(kind)
        if not resources:
            problems.append(f"no resource of type {kind}")
        for resource in resources:
            seen = _properties(api.get(str(resource.get("id")), version)).get(name)
            if seen is not value:
                problems.append(f"{resource.get('name')}: {name} is {seen}, not {value}")
    if problems:
        raise CheckError(f"{'; '.join(problems)}: run `azd provision` again")
    return "storage, telemetry and vault accept identities only"


def alert_rules(api: AzureApi) -> str:
    """Check that every alert exists, is on and reaches somebody, and that the app is tested from outside. Raises
    CheckError."""
    of_logs = api.all("providers/Microsoft.Insights/scheduledQueryRules", "2023-12-01")
    on = {
        str(_properties(rule).get("displayName")).removeprefix("fabric-saga: "): _properties(rule) for rule in of_logs
    }
    problems = [f"no alert {name}" for name in alerts() if name not in on]
    problems += [f"alert {name} is off" for name in alerts() if name in on and on[name].get("enabled") is not True]
    of_metrics = api.all("providers/Microsoft.Insights/metricAlerts", "2018-03-01")
    if not any(_properties(rule).get("enabled") is True for rule in of_metrics):
        problems.append("no alert on the availability test")
    tests = api.all("providers/Microsoft.Insights/webtests", "2022-06-15")
    if not any(_properties(test).get("Enabled") is True for test in tests):
        problems.append("no availability test")
    groups = api.all("providers/Microsoft.Insights/actionGroups", "2023-01-01")
    if not any(as_list(_properties(group).get("emailReceivers")) for group in groups):
        problems.append("alerts reach nobody: `azd env set ALERT_EMAIL ...`")
    if problems:
        raise CheckError(f"{'; '.join(problems)}: run `azd provision` again")
    return f"{len(alerts())} alerts on events, the availability test and its alert are on and reach a person"


def logs_workspace(api: AzureApi) -> str:
    """Return the id with which the workspace's logs are queried. Raises CheckError."""
    kind = "Microsoft.OperationalInsights/workspaces"
    for resource in api.resources(kind):
        found = str(_properties(api.get(str(resource.get("id")), "2025-02-01")).get("customerId") or "")
        if found:
            return found
    raise CheckError(f"no resource of type {kind} with a customerId: run `azd provision` again")


def _principal(api: AzureApi, client_id: str) -> str:
    """Return the object id of the identity with this client id."""
    for resource in api.resources("Microsoft.ManagedIdentity/userAssignedIdentities"):
        found = _properties(api.get(str(resource.get("id")), "2024-11-30"))
        if found.get("clientId") == client_id:
            return str(found.get("principalId"))
    raise CheckError("no identity of the resource group has FABRIC_SAGA_IDENTITY_CLIENT_ID as its client id")


def _right(assignment: JsonObject, group: str) -> Right:
    """Return what an assignment grants, with the type of its scope. A scope outside of a resource is named as it is."""
    role = str(assignment.get("roleDefinitionId")).rsplit("/", 1)[-1].lower()
    parts = str(assignment.get("scope")).split("/providers/")[-1].split("/")
    inside = str(assignment.get("scope")).lower().startswith(f"{group.lower()}/providers/")
    kind = f"{parts[0]}/{parts[1]}" if inside and len(parts) == 3 else str(assignment.get("scope"))
    return Right(ROLES.get(role, role), _known(kind))


def _known(kind: str) -> str:
    """Return the type as infra/ writes it: Azure answers types in any case."""
    kinds = {right.kind.lower(): right.kind for right in (*RIGHTS, OF_SCHEDULER)}
    return kinds.get(kind.lower(), kind)


def _properties(resource: JsonObject) -> JsonObject:
    return as_object(resource.get("properties")) or {}
