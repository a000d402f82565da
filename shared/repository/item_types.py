"""The facts about Fabric's item types that a repository depends on.

Source: microsoft/fabric-cicd 1.4.0, whose repositories are deployed unchanged.
"""

import re

ITEM_TYPES = frozenset(
    {
        *("ApacheAirflowJob", "CopyJob", "CosmosDBDatabase", "DataAgent", "DataBuildToolJob", "DataPipeline"),
        *("Dataflow", "Environment", "Eventhouse", "Eventstream", "GraphModel", "GraphQLApi", "KQLDashboard"),
        *("KQLDatabase", "KQLQueryset", "Lakehouse", "Map", "MirroredDatabase", "MLExperiment", "MountedDataFactory"),
        *("Notebook", "Ontology", "PaginatedReport", "Reflex", "Report", "SemanticModel", "SparkJobDefinition"),
        *("SQLDatabase", "UserDataFunction", "VariableLibrary", "Warehouse"),
    }
)
"""The types that are deployed. Items of other types are found, but not deployed."""

ATTRIBUTES = frozenset({"id", "sqlendpoint", "sqlendpointid", "queryserviceuri"})
"""The attributes of an item that parameter.yml may name."""
_ENDPOINT = ("sqlendpoint", "sqlendpointid")
_ATTRIBUTES_OF: dict[str, tuple[str, ...]] = {
    "Lakehouse": _ENDPOINT,
    "MirroredDatabase": _ENDPOINT,
    "Warehouse": _ENDPOINT[:1],
    "SQLDatabase": _ENDPOINT[:1],
    "Eventhouse": ("queryserviceuri",),
    "KQLDatabase": ("queryserviceuri",),
}
"""The attributes beside the id that items of a type have. Source: `PROPERTY_PATH_ATTR_MAPPING` of fabric-cicd; for a
KQL database, the published OpenAPI."""

SHORTCUTS = "shortcuts.metadata.json"
"""The file of a lakehouse whose shortcuts are made by calls of their own, after the lakehouse exists."""

_SHELLS = frozenset({"Lakehouse", "Warehouse", "SQLDatabase", "MLExperiment"})
_BARE = frozenset(
    {
        *("CopyJob", "CosmosDBDatabase", "DataPipeline", "Dataflow", "Environment", "Eventstream", "GraphQLApi"),
        *("KQLDashboard", "KQLQueryset", "Map", "Notebook", "Reflex", "SparkJobDefinition", "UserDataFunction"),
        "VariableLibrary",
    }
)
_IGNORED = {
    "DataAgent": re.compile(r".*\.pbi/.*"),
    "Report": re.compile(r".*\.pbi/.*"),
    "SemanticModel": re.compile(r".*\.pbi/.*"),
    "Eventhouse": re.compile(r".*\.children/.*"),
}
_NOTEBOOK_ORDER = {".platform": 0, ".py": 1, ".ipynb": 1, ".json": 3}


def is_shell(item_type: str) -> bool:
    """Return True if items of the type are deployed without a definition; their files configure what comes after."""
    return item_type in _SHELLS


def attributes_of(item_type: str) -> tuple[str, ...]:
    """Return the attributes of parameter.yml that items of the type have."""
    return ("id", *_ATTRIBUTES_OF.get(item_type, ()))


def may_be_bare(item_type: str) -> bool:
    """Return True if Fabric creates an item of the type without a definition, which can follow later.

    Source: recorded creates; for Notebook the published OpenAPI alone, in which the definition is optional. A bare
    Eventhouse is not among them, because Fabric makes a database in it.
    """
    return item_type in _BARE or item_type in _SHELLS


def is_ignored(item_type: str, path: str) -> bool:
    """Return True if a file of an item is not a part: local settings of Power BI, the items below an eventhouse."""
    pattern = _IGNORED.get(item_type)
    return pattern is not None and pattern.match(path) is not None


def part_order(path: str) -> tuple[int, str]:
    """Return the sort key of a part. Fabric wants a notebook's source before its settings (fabric-cicd #869)."""
    name = path.rpartition("/")[2]
    suffix = f".{name.rpartition('.')[2]}" if "." in name.lstrip(".") else ""
    return _NOTEBOOK_ORDER.get(name, _NOTEBOOK_ORDER.get(suffix, 2)), path


def definition_format(item_type: str, paths: list[str]) -> str:
    """Return the `format` to send and to ask for; empty for Fabric's default."""
    if item_type == "SparkJobDefinition":
        return "SparkJobDefinitionV2"
    return "ipynb" if item_type == "Notebook" and any(path.endswith(".ipynb") for path in paths) else ""
