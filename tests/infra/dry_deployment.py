"""A dry deployment of infra/: what `azd provision --preview` would refuse, as far as it can be known without Azure.

`python -m tests.infra.dry_deployment PRIVATE_NETWORKING=true` prints the resources that a deployment with these values
would create, and what Azure would refuse. Checked: the limits of parameters, the published limits of every value, the
naming rules, resources that two declarations create or none does, the order of modules, and rules of single services.
infra/README.md lists what cannot be checked.
"""

import ipaddress
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.azure_types import Shape, known
from tests.infra.bicep import Infra, infra, sources, text_of, walk, written
from tests.infra.evaluate import Evaluation, EvaluationError, Made, Runtime, parameters

CHOICES: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "a private network": {"PRIVATE_NETWORKING": "true"},
    "a scheduler": {"DURABLE_BACKEND": "DurableTaskScheduler"},
    "a GitHub workflow": {"PIPELINE_GITHUB_SUBJECT": "repo:contoso@1/fabric@2"},
    "a pipeline's identity": {"SUBMITTER_PRINCIPAL_ID": "00000000-0000-0000-0000-00000000cafe"},
    "always ready": {"ALWAYS_READY_ACCEPT": "1", "ALWAYS_READY_STEPS": "2"},
    "the shortest name": {"AZURE_ENV_NAME": "x"},
    "the longest name": {"AZURE_ENV_NAME": "x" * 40},
    "everything": {
        "PRIVATE_NETWORKING": "true",
        "DURABLE_BACKEND": "DurableTaskScheduler",
        "PIPELINE_GITHUB_SUBJECT": "repo:contoso@1/fabric@2",
        "SUBMITTER_PRINCIPAL_ID": "00000000-0000-0000-0000-00000000cafe",
        "ALERT_EMAIL": "operators@contoso.example",
        "MAXIMUM_INSTANCE_COUNT": "1000",
        "ALWAYS_READY_ACCEPT": "10",
        "ALWAYS_READY_STEPS": "10",
    },
}
"""The choices of a person that are tried: `azd env set` for each."""
ASKED = {"AZURE_ENV_NAME": "saga-test", "AZURE_LOCATION": "westeurope"}

NAMES = {
    "Microsoft.Web/sites": r"[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]",
    "Microsoft.Web/serverfarms": r"[a-zA-Z0-9-]{1,60}",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}",
    "Microsoft.Insights/components": r"[^%&\\?/]{0,259}[^%&\\?/. ]",
    "Microsoft.Insights/actionGroups": r"[^:<>+/&%\\?|]{0,259}[^:<>+/&%\\?|. ]",
    "Microsoft.Insights/metricAlerts": r"[^*#&+:<>?@%{}\\/|]{0,259}[^*#&+:<>?@%{}\\/|. ]",
    "Microsoft.Insights/webtests": r"[^%&\\?/]{1,260}",
    "Microsoft.Insights/workbooks": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "Microsoft.Network/virtualNetworks": r"[a-zA-Z0-9][\w.-]{0,62}\w",
    "Microsoft.Network/networkSecurityGroups": r"[a-zA-Z0-9][\w.-]{0,78}\w",
    "Microsoft.Network/privateEndpoints": r"[a-zA-Z0-9][\w.-]{0,62}\w",
    "Microsoft.Authorization/roleAssignments": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}
"""Rules that the types do not have: "Naming rules and restrictions for Azure resources",
learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules."""
_MINUTES = {
    "PT1M": 1,
    "PT5M": 5,
    "PT10M": 10,
    "PT15M": 15,
    "PT30M": 30,
    "PT45M": 45,
    "PT1H": 60,
    "PT2H": 120,
    "PT3H": 180,
    "PT4H": 240,
    "PT5H": 300,
    "PT6H": 360,
    "P1D": 1440,
    "P2D": 2880,
}
_OF_TEMPLATE = 4 * 1024 * 1024
"""Bytes of a template after its expressions are expanded ("Template limits", Azure Resource Manager)."""


def findings(files: Infra, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what Azure would refuse of a deployment with these values of `azd env set`."""
    given = parameters(files, {**ASKED, **environment})
    refused = list(_of_parameters(files, given))
    yield from refused
    if refused:
        return
    try:
        made = Evaluation(files, given)
    except EvaluationError as error:
        yield str(error)
        return
    for each in made.resources:
        yield from _of_values(each)
        yield from _of_name(each)
        yield from _of_service(each)
    yield from _of_set(made)


def _of_parameters(files: Infra, given: Mapping[str, Any]) -> Iterator[str]:
    for each in sources(files)["main.bicep"].of("param").values():
        value, limits = given.get(each.name), dict[str, Any]()
        before = each.node.prev_named_sibling
        for node in walk(before) if before is not None and before.type == "decorators" else ():
            if node.type == "decorator":
                call = node.named_children[0]
                limits[written(call.named_children[0])] = call.named_children[1].named_children[0]
        size = len(value) if isinstance(value, str | list) else value
        for name, is_wrong in (("minLength", "<"), ("minValue", "<"), ("maxLength", ">"), ("maxValue", ">")):
            if name in limits and isinstance(size, int):
                limit = int(written(limits[name]))
                if size < limit if is_wrong == "<" else size > limit:
                    yield f"main.bicep:{each.line}: {each.name} is {value!r}: {name} is {limit}"
        if "allowed" in limits and value not in [text_of(c) for c in limits["allowed"].named_children]:
            yield f"main.bicep:{each.line}: {each.name} is {value!r}, which is not allowed"


def _of_values(each: Made) -> Iterator[str]:
    shape = known().get(each.type)
    if shape is not None:
        required = [] if each.is_existing else shape.get("required", [])
        yield from _misfits(each.body, {**shape, "required": required}, each.place)


def _misfits(value: Any, shape: Shape, says: str) -> Iterator[str]:
    """Yield what does not match the published type: kinds, lists of values, lengths, patterns, ranges."""
    if not isinstance(shape, dict) or isinstance(value, Runtime) or value is None:
        return
    if "one_of" in shape and isinstance(value, str) and value not in shape["one_of"]:
        yield f"{says} is {value!r}, not one of {shape['one_of']}"
    elif shape.get("is") == "string" and isinstance(value, str):
        yield from (f"{says} is {value!r}: {limit}" for limit in _text_limits(value, shape))
    elif shape.get("is") == "int" and isinstance(value, int):
        if not shape.get("minValue", value) <= value <= shape.get("maxValue", value):
            yield f"{says} is {value}: from {shape.get('minValue')} to {shape.get('maxValue')}"
    elif "items" in shape and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _misfits(item, shape["items"], f"{says}[{index}]")
    elif "has" in shape and isinstance(value, dict):
        if "cases" in shape:
            case: Any = shape["cases"].get(str(value.get(shape["by"])), {"has": {}})
            shape = {**case, "has": shape["has"] | case["has"]}
        for name, inner in value.items():
            yield from _misfits(inner, shape["has"].get(name, shape.get("more")), f"{says}.{name}")
        yield from (f"{says} lacks {name}" for name in shape.get("required", ()) if name not in value)


def _text_limits(value: str, shape: Mapping[str, Any]) -> Iterator[str]:
    if not shape.get("minLength", 0) <= len(value) <= shape.get("maxLength", len(value)):
        yield f"{len(value)} characters, from {shape.get('minLength', 0)} to {shape.get('maxLength')}"
    if "pattern" in shape and re.search(shape["pattern"], value) is None:
        yield f"it does not match {shape['pattern']}"


def _of_name(each: Made) -> Iterator[str]:
    rule = NAMES.get(each.type.split("@")[0])
    if rule is not None and not isinstance(each.name, Runtime) and re.fullmatch(rule, each.name) is None:
        yield f"{each.place}: its name {each.name!r} does not match {rule}"


def _of_service(each: Made) -> Iterator[str]:
    kind, values = each.type.split("@")[0], each.body.get("properties") or {}
    if kind == "Microsoft.Insights/scheduledQueryRules":
        # "Create or edit a log search alert rule": a window is at least the frequency, and both are from a list.
        every, window = (_MINUTES.get(str(values.get(name))) for name in ("evaluationFrequency", "windowSize"))
        if every is None or window is None or window < every or every > 1440:
            yield f"{each.place}: {values.get('windowSize')} each {values.get('evaluationFrequency')} is not possible"
    elif kind == "Microsoft.Insights/webtests" and not each.is_existing:
        # "Web Tests - Create Or Update": the frequency is 300, 600 or 900 s, the timeout at most 120 s.
        if values["Frequency"] not in (300, 600, 900) or not 0 < values["Timeout"] <= 120:
            yield f"{each.place}: each {values['Frequency']} s within {values['Timeout']} s is not possible"
    elif kind == "Microsoft.Web/sites" and not each.is_existing:
        yield from _of_flex(each, values["functionAppConfig"]["scaleAndConcurrency"])
    elif kind == "Microsoft.Network/virtualNetworks" and not each.is_existing:
        yield from _of_network(each, values)


def _of_flex(each: Made, scale: Mapping[str, Any]) -> Iterator[str]:
    """Check the numbers of "Azure Functions Flex Consumption plan hosting": memory sizes, instances, concurrency."""
    if scale["instanceMemoryMB"] not in (512, 2048, 4096):
        yield f"{each.place}: instanceMemoryMB is {scale['instanceMemoryMB']}, not 512, 2048 or 4096"
    if not 1 <= scale["maximumInstanceCount"] <= 1000:
        yield f"{each.place}: maximumInstanceCount is {scale['maximumInstanceCount']}, from 1 to 1000"
    if not 1 <= scale["triggers"]["http"]["perInstanceConcurrency"] <= 1000:
        yield f"{each.place}: perInstanceConcurrency must be from 1 to 1000"
    names = [row["name"] for row in scale["alwaysReady"]]
    if len(names) != len(set(names)):
        yield f"{each.place}: alwaysReady names a group twice"
    for row in scale["alwaysReady"]:
        if row["instanceCount"] > scale["maximumInstanceCount"]:
            yield f"{each.place}: {row['name']} has more always-ready instances than maximumInstanceCount"


def _of_network(each: Made, values: Mapping[str, Any]) -> Iterator[str]:
    """Check that the subnets are inside of the network, apart from each other, and large enough for the app: a /27 or
    larger ("Flex Consumption", virtual networks)."""
    try:
        space = [ipaddress.ip_network(prefix) for prefix in values["addressSpace"]["addressPrefixes"]]
        subnets = {s["name"]: ipaddress.ip_network(s["properties"]["addressPrefix"]) for s in values["subnets"]}
    except ValueError as error:
        yield f"{each.place}: {error}"
        return
    for name, subnet in subnets.items():
        if not any(subnet.version == whole.version and subnet.subnet_of(whole) for whole in space):  # pyright: ignore[reportArgumentType] - the versions are compared
            yield f"{each.place}: subnet {name} ({subnet}) is outside of {', '.join(map(str, space))}"
        for other, range_ in subnets.items():
            if other > name and subnet.overlaps(range_):
                yield f"{each.place}: subnets {name} and {other} overlap"
    if subnets["app"].prefixlen > 27:
        yield f"{each.place}: subnet app ({subnets['app']}) is smaller than /27"


def _of_set(made: Evaluation) -> Iterator[str]:
    created = {each.id.lower(): each for each in made.resources if not each.is_existing}
    counts = Counter(each.id.lower() for each in made.resources if not each.is_existing)
    for name in [name for name, count in counts.items() if count > 1]:
        yield f"{created[name].place}: created twice: {name}"
    for each in made.resources:
        if each.is_existing and each.id.lower() not in created:
            yield f"{each.place}: nothing creates {each.id}"
        elif each.is_existing:
            maker = created[each.id.lower()].module
            if maker != each.module and maker not in _before(made, each.module):
                yield f"{each.place}: module {each.module} does not wait for {maker}, which creates it"
    grants = [
        (
            e.body["properties"]["principalId"],
            e.body["properties"]["roleDefinitionId"],
            e.id.rsplit("/providers/", 1)[0],
        )
        for e in made.resources
        if e.type.startswith("Microsoft.Authorization/roleAssignments@")
    ]
    for grant, count in Counter(grants).items():
        if count > 1:
            yield f"one identity gets the role {grant[1].rsplit('/', 1)[1]} twice at {grant[2]} (RoleAssignmentExists)"
    size = sum(len(repr(each.body)) for each in made.resources)
    if size > _OF_TEMPLATE:
        yield f"the deployment has {size} bytes; Azure Resource Manager takes {_OF_TEMPLATE}"


def _before(made: Evaluation, start: str) -> set[str]:
    """Return the modules that Azure deploys before this one."""
    found, left = set[str](), [start]
    while left:
        module = made.modules.get(left.pop())  # None: its condition is not met
        for name in (module.needs if module is not None else set[str]()) - found:
            found.add(name)
            left.append(name)
    return found


def preview(files: Infra, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each resource that would be created."""
    made = Evaluation(files, parameters(files, {**ASKED, **environment}))
    for each in made.resources:
        if not each.is_existing:
            yield f"  + {each.type.split('@')[0]:62} {each.name}"


def main() -> int:
    """Print the preview and the findings of the values on the command line."""
    environment = dict(argument.split("=", 1) for argument in sys.argv[1:])
    files = infra()
    found = list(findings(files, environment))
    if not found:
        print("\n".join(preview(files, environment)))
    print("\n".join(found) or "nothing that Azure would refuse was found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
