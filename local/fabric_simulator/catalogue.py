"""Item types: how each is created, read and changed (at once, or as an operation), and what its name may be.

Recorded: `GET`s and `POST`s of microsoft/fabric-cli. A type that is in neither set answers at once.
"""

import re

TYPED_ROUTES: dict[str, str] = {
    "lakehouses": "Lakehouse",
    "notebooks": "Notebook",
    "datapipelines": "DataPipeline",
    "environments": "Environment",
    "warehouses": "Warehouse",
    "semanticmodels": "SemanticModel",
    "reports": "Report",
    "eventhouses": "Eventhouse",
    "kqldatabases": "KQLDatabase",
    "kqlquerysets": "KQLQueryset",
    "kqldashboards": "KQLDashboard",
    "eventstreams": "Eventstream",
    "sparkjobdefinitions": "SparkJobDefinition",
    "mlmodels": "MLModel",
    "mlexperiments": "MLExperiment",
    "reflexes": "Reflex",
    "sqldatabases": "SQLDatabase",
    "variablelibraries": "VariableLibrary",
    "graphqlapis": "GraphQLApi",
    "copyjobs": "CopyJob",
    "dataflows": "Dataflow",
    "mirroreddatabases": "MirroredDatabase",
    "userdatafunctions": "UserDataFunction",
    "maps": "Map",
    "cosmosdbdatabases": "CosmosDBDatabase",
    "digitaltwinbuilders": "DigitalTwinBuilder",
    "digitaltwinbuilderflows": "DigitalTwinBuilderFlow",
    "graphquerysets": "GraphQuerySet",
    "mounteddatafactories": "MountedDataFactory",
}
"""The last word of a typed collection's path, in lower case, and its item type."""

ITEM_TYPES = frozenset(TYPED_ROUTES.values()) | {"Dashboard"}

CREATE_LATER = frozenset(
    {
        "Notebook", "SemanticModel", "Report", "SQLDatabase", "Eventstream", "KQLDatabase", "MLModel", "MLExperiment",
        "CosmosDBDatabase", "DigitalTwinBuilder", "Warehouse",
    }
)  # fmt: skip
"""Created by an operation always (Warehouse: 21 of 27 times)."""
CREATE_LATER_WITH_DEFINITION = frozenset({"Environment", "Lakehouse", "UserDataFunction", "Eventhouse", "Map"})
READ_LATER = frozenset(
    {
        "Notebook", "Environment", "SemanticModel", "Report", "SQLDatabase", "KQLDatabase", "Eventhouse",
        "VariableLibrary", "UserDataFunction", "Map", "CosmosDBDatabase",
    }
)  # fmt: skip
"""getDefinition answers 202."""
UPDATE_LATER = READ_LATER | {"Lakehouse"}
"""updateDefinition answers 202."""
UPDATE_GIVES_ITEM = frozenset({"Environment", "CosmosDBDatabase"})
"""Types whose updateDefinition was recorded with a result, the item; the others' operations have none."""
NEEDS_DEFINITION = frozenset({"SemanticModel", "Report"})
NO_DEFINITION = frozenset({"Dashboard", "Warehouse", "SQLEndpoint"})
WORD_NAMED = frozenset({"Lakehouse", "Warehouse", "Environment"})
_WORD = re.compile(r"[A-Za-z0-9_]+")


def ignoring_case(name: str) -> str:
    """The key by which Fabric compares names: each letter in lower case by itself, so that no letter becomes two."""
    return "".join(lower if len(lower := letter.lower()) == 1 else letter for letter in name)


def is_valid_name(item_type: str, name: str) -> bool:
    """Whether Fabric takes the name: for some types letters, digits and underscores only."""
    if not name.strip() or len(name) > 256:
        return False
    if item_type in WORD_NAMED and not _WORD.fullmatch(name):
        return False
    return item_type != "Lakehouse" or name[0].isalpha()
