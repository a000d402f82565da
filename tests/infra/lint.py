"""Checks of the Bicep files by themselves. Each check returns its findings as `file:line: what`."""

import json
import re
from collections.abc import Callable, Iterator
from posixpath import dirname, join, normpath

from tests.infra.bicep import Declaration, Infra, Source, at, properties, references, sources, text_of, walk, written

ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a": "Storage Queue Data Message Sender",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "76199698-9eea-4c19-bc75-cec21354c6b6": "Storage Table Data Reader",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "0ad04412-c4d5-4796-b79c-f76d14c8d402": "Durable Task Data Contributor",
}
"""Azure's built-in roles, from Microsoft's published list."""

GRANTS = {
    ("account", "appPrincipalId"): {
        "Storage Blob Data Owner",
        "Storage Queue Data Contributor",
        "Storage Table Data Contributor",
    },
    ("insights", "appPrincipalId"): {"Monitoring Metrics Publisher"},
    ("vault", "appPrincipalId"): {"Key Vault Secrets User"},
    ("scheduler", "appPrincipalId"): {"Durable Task Data Contributor"},
    ("queue deployments", "submitter.principalId"): {"Storage Queue Data Message Sender"},
    ("container payloads", "submitter.principalId"): {"Storage Blob Data Contributor"},
    ("table journal", "submitter.principalId"): {"Storage Table Data Reader"},
    ("table deployments", "submitter.principalId"): {"Storage Table Data Reader"},
}
"""Which identity may do what where: all grants that exist, and no more."""

CLOSED = {
    ("Microsoft.Storage/storageAccounts", "properties.allowSharedKeyAccess"): "false",
    ("Microsoft.Storage/storageAccounts", "properties.allowBlobPublicAccess"): "false",
    ("Microsoft.Storage/storageAccounts", "properties.supportsHttpsTrafficOnly"): "true",
    ("Microsoft.Storage/storageAccounts", "properties.minimumTlsVersion"): "TLS1_2",
    ("Microsoft.Storage/storageAccounts", "properties.publicNetworkAccess"): "publicAccess",
    ("Microsoft.Storage/storageAccounts", "properties.networkAcls.defaultAction"): "publicAction",
    ("Microsoft.Storage/storageAccounts/blobServices/containers", "properties.publicAccess"): "None",
    ("Microsoft.KeyVault/vaults", "properties.enableRbacAuthorization"): "true",
    ("Microsoft.KeyVault/vaults", "properties.enableSoftDelete"): "true",
    ("Microsoft.KeyVault/vaults", "properties.enablePurgeProtection"): "true",
    ("Microsoft.KeyVault/vaults", "properties.publicNetworkAccess"): "publicAccess",
    ("Microsoft.KeyVault/vaults", "properties.networkAcls.defaultAction"): "publicAction",
    ("Microsoft.OperationalInsights/workspaces", "properties.features.disableLocalAuth"): "true",
    ("Microsoft.Insights/components", "properties.DisableLocalAuth"): "true",
    ("Microsoft.Web/sites", "properties.httpsOnly"): "true",
    ("Microsoft.Web/sites", "properties.siteConfig.minTlsVersion"): "1.2",
}
OF_OTHER_PLANS = {
    *("alwaysOn", "appCommandLine", "ftpsState", "functionAppScaleLimit", "functionsRuntimeScaleMonitoringEnabled"),
    *("linuxFxVersion", "minimumElasticInstanceCount", "netFrameworkVersion", "preWarmedInstanceCount"),
    *("pythonVersion", "use32BitWorkerProcess", "windowsFxVersion"),
    *("ENABLE_ORYX_BUILD", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_PROCESS_COUNT"),
    *("FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION", "SCM_DO_BUILD_DURING_DEPLOYMENT"),
    *("WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_CONTENTSHARE", "WEBSITE_RUN_FROM_PACKAGE"),
    "WEBSITE_VNET_ROUTE_ALL",
}
"""Site properties and settings that Azure refuses for Flex Consumption (error 51021), or documents as replaced."""
PUBLIC = {
    "publicAccess": "privateNetworking ? 'Disabled' : 'Enabled'",
    "publicAction": "privateNetworking ? 'Deny' : 'Allow'",
}
PREVIEWS = {"Microsoft.Insights/diagnosticSettings"}
"""Types that only have preview versions."""
_FUNCTIONS = frozenset(
    {"concat", "empty", "environment", "guid", "loadTextContent", "resourceGroup", "string", "subscription"}
    | {"subscriptionResourceId", "tenant", "toLower", "union", "uniqueString"}
)
_VERSION = re.compile(r"([A-Za-z.]+(?:/[A-Za-z]+)+)@\d{4}-\d{2}-\d{2}(-preview)?")
_SECRET = re.compile(r"listKeys|listAccountSas|listCredentials|AccountKey=|SharedAccessKey|InstrumentationKey", re.I)


def syntax(files: Infra) -> Iterator[str]:
    """Check for text that the grammar does not accept."""
    for name, source in sources(files).items():
        for node in walk(source.root):
            if node.type == "ERROR" or node.is_missing:
                yield f"{name}:{node.start_point[0] + 1}: syntax near {written(node)[:40]!r}"


def undefined(files: Infra) -> Iterator[str]:
    """Check for a name that is not declared."""
    for name, source in sources(files).items():
        known = set(source.of("param", "var", "resource", "module")) | _FUNCTIONS
        for used, node, scope in references(source.root):
            if used not in known | scope:
                yield f"{name}:{node.start_point[0] + 1}: {used} is not declared"


def unused(files: Infra) -> Iterator[str]:
    """Check for a parameter or variable that is not read."""
    for name, source in sources(files).items():
        used = {name for name, _, _ in references(source.root)}
        for each in source.of("param", "var").values():
            if each.name not in used:
                yield f"{name}:{each.line}: {each.kind} {each.name} is not used"


def modules(files: Infra) -> Iterator[str]:
    """Check for a missing module, an unknown or missing parameter of a module, and an unknown output."""
    parsed = sources(files)
    for name, source in parsed.items():
        for module in source.of("module").values():
            target = parsed.get(normpath(join(dirname(name), module.type)))
            if target is None:
                yield f"{name}:{module.line}: {module.type} does not exist"
                continue
            given, takes = properties(at(module.body, "params")), target.of("param")
            for param in set(given) - set(takes):
                yield f"{name}:{module.line}: {module.type} does not declare the parameter {param}"
            for param in takes.values():
                if not param.has_default and param.name not in given:
                    yield f"{name}:{module.line}: {module.type} needs the parameter {param.name}"
            for output in re.findall(rf"\b{module.name}!?\.outputs\.(\w+)", files[name]):
                if output not in target.of("output"):
                    yield f"{name}:{module.line}: {module.type} does not declare the output {output}"


def loaded_files(files: Infra) -> Iterator[str]:
    """Check for a file that is loaded and does not exist, or exists and is not loaded."""
    loaded: set[str] = set()
    for name in sources(files):
        for path in re.findall(r"loadTextContent\('([^']+)'\)", files[name]):
            loaded.add(normpath(join(dirname(name), path)))
            if normpath(join(dirname(name), path)) not in files:
                yield f"{name}: {path} does not exist"
    for name in files:
        if name.endswith(".kql") and name not in loaded:
            yield f"{name}: no Bicep file loads it"


def versions(files: Infra) -> Iterator[str]:
    """Check for an API version that is not pinned, is a preview, or differs from another use of the same type."""
    seen: dict[str, str] = {}
    for name, source in sources(files).items():
        for each in source.of("resource").values():
            found = _VERSION.fullmatch(each.type)
            if found is None:
                yield f"{name}:{each.line}: {each.type} names no version"
            elif found[2] and found[1] not in PREVIEWS:
                yield f"{name}:{each.line}: {each.type} is a preview"
            elif seen.setdefault(found[1], each.type) != each.type:
                yield f"{name}:{each.line}: {each.type}, and elsewhere {seen[found[1]]}"


def secrets(files: Infra) -> Iterator[str]:
    """Check for a key that is requested, or an output that contains one and stays readable in the deployment's
    history."""
    for name, source in sources(files).items():
        for n, line in enumerate(files[name].splitlines(), 1):
            if _SECRET.search(line):
                yield f"{name}:{n}: requests a key: {line.strip()[:60]}"
        for each in source.of("output").values():
            if re.search(r"secret|key(?!_vault)|password|connectionstring", written(each.value), re.IGNORECASE):
                yield f"{name}:{each.line}: output {each.name} may carry a secret"


def roles(files: Infra) -> Iterator[str]:
    """Check for a role id that is not in Microsoft's list: with a wrong digit it grants nothing, or something else."""
    for name in sources(files):
        for n, line in enumerate(files[name].splitlines(), 1):
            for guid in re.findall(r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'", line):
                if guid not in ROLES:
                    yield f"{name}:{n}: {guid} is not a built-in role"


def assignments(files: Infra) -> Iterator[str]:
    """Check for an assignment whose name is not made of its own scope, principal and role, or that has no principal
    type."""
    for name, source in sources(files).items():
        for each in _assignments(source):
            scope, principal, role = _facts(each)
            expected = f"guid({scope}.id, {principal}, {role})"
            if written(at(each.body, "name")) != expected:
                yield f"{name}:{each.line}: {each.name} should be named {expected}"
            if at(each.body, "properties.principalType") is None:
                yield f"{name}:{each.line}: {each.name} has no principalType: a new identity is not found at once"
            if not scope:
                yield f"{name}:{each.line}: {each.name} has no scope: it would apply to the resource group"


def least_privilege(files: Infra) -> Iterator[str]:
    """Check for a role that is not in GRANTS, or a grant that is missing."""
    found: set[tuple[str, str, str]] = set()
    for source in sources(files).values():
        for each in _assignments(source):
            scope, principal, role = _facts(each)
            found |= {(_place(source, scope), principal, r) for r in _role_names(source, role)}
    wanted = {(scope, principal, role) for (scope, principal), names in GRANTS.items() for role in names}
    yield from (f"{scope}: {principal} should not be {role}" for scope, principal, role in sorted(found - wanted))
    yield from (f"{scope}: {principal} is not {role}" for scope, principal, role in sorted(wanted - found))


def closed(files: Infra) -> Iterator[str]:
    """Check for storage, a vault or an app that is open wider than necessary."""
    seen: set[str] = set()
    for name, source in sources(files).items():
        for each in source.of("resource").values():
            kind = each.type.split("@")[0]
            if each.is_existing:
                continue
            seen.add(kind)
            for (of, path), value in CLOSED.items():
                if of == kind and (is_so := text_of(at(each.body, path))) != value:
                    yield f"{name}:{each.line}: {each.name} {path} is {is_so or 'absent'}, not {value}"
                if of == kind and value in PUBLIC and text_of_var(source, value) != PUBLIC[value]:
                    yield f"{name}:{each.line}: {value} is not {PUBLIC[value]}"
    yield from (f"no resource of type {kind}" for kind in sorted({of for of, _ in CLOSED} - seen))


def plan(files: Infra) -> Iterator[str]:
    """Check for properties of the app that belong to another hosting plan: its types allow them, and Azure refuses
    them."""
    source = sources(files)["modules/app.bicep"]
    for each in source.of("resource", "var").values():
        for node in walk(each.node):
            for name in set(properties(node)) & OF_OTHER_PLANS:
                yield f"modules/app.bicep:{each.line}: {name} is not for Flex Consumption"


def parameters(files: Infra) -> Iterator[str]:
    """Check for a parameter that azd does not pass or does not know, or that has another default than in the Bicep
    file."""
    declared = sources(files)["main.bicep"].of("param")
    passed = json.loads(files["main.parameters.json"])["parameters"]
    yield from (f"main.parameters.json lacks {name}" for name in sorted(set(declared) - set(passed)))
    yield from (f"main.bicep has no {name}" for name in sorted(set(passed) - set(declared)))
    for name in set(declared) & set(passed):
        found = re.fullmatch(r"\$\{([A-Z_]+)(=(.*))?\}", passed[name]["value"])
        default = text_of(declared[name].value) if declared[name].has_default else None
        if found is None or found[3] != default:
            yield f"main.parameters.json: {name} is {passed[name]['value']}; the file's default is {default}"


CHECKS: dict[str, Callable[[Infra], Iterator[str]]] = {
    check.__name__: check
    for check in (
        *(syntax, undefined, unused, modules, loaded_files, versions, secrets),
        *(roles, assignments, least_privilege, closed, plan, parameters),
    )
}


def text_of_var(source: Source, name: str) -> str:
    """Return the value of a variable as it is written."""
    variable = source.of("var").get(name)
    return "" if variable is None else written(variable.value)


def strings(source: Source, variable: str) -> list[str]:
    """Return the strings of an array variable."""
    return re.findall(r"'([^']+)'", text_of_var(source, variable))


def _assignments(source: Source) -> list[Declaration]:
    of = "Microsoft.Authorization/roleAssignments"
    return [d for d in source.of("resource").values() if d.type.split("@")[0] == of]


def _facts(assignment: Declaration) -> tuple[str, str, str]:
    """Return scope, principal and role as they are written."""
    definition = at(assignment.body, "properties.roleDefinitionId")
    role = re.sub(r".*, ([\w.]+)\)$", r"\1", written(definition))
    scope = written(at(assignment.body, "scope"))
    return scope, written(at(assignment.body, "properties.principalId")), role


def _role_names(source: Source, role: str) -> list[str]:
    ids = dict(re.findall(r"(\w+): '([0-9a-f-]{36})'", text_of_var(source, "roles")))
    chosen = re.findall(r"roles\.(\w+)", text_of_var(source, "appRoles") if role == "role" else role)
    return [ROLES.get(ids.get(name, ""), f"unknown {name}") for name in chosen]


def _place(source: Source, scope: str) -> str:
    found = re.fullmatch(r"(\w+)\[(\d+)\]", scope)
    return f"{found[1]} {strings(source, f'{found[1]}s')[int(found[2])]}" if found else scope
