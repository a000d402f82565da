"""Item types: whether each is created, read and updated at once or by a long-running operation, and its valid names.

Source: recorded calls of microsoft/fabric-cli. A type that is in none of the sets is answered at once.
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
    "anomalydetectors": "AnomalyDetector",
    "apacheairflowjobs": "ApacheAirflowJob",
    "appbackends": "AppBackend",
    "azuredatabricksstorages": "AzureDatabricksStorage",
    "dashboards": "Dashboard",
    "dataagents": "DataAgent",
    "databuildtooljobs": "DataBuildToolJob",
    "datamarts": "Datamart",
    "eventschemasets": "EventSchemaSet",
    "graphmodels": "GraphModel",
    "mirroredazuredatabrickscatalogs": "MirroredAzureDatabricksCatalog",
    "mirroredcatalogs": "MirroredCatalog",
    "mirroredwarehouses": "MirroredWarehouse",
    "ontologies": "Ontology",
    "operationsagents": "OperationsAgent",
    "orgapps": "OrgApp",
    "orgappaudiences": "OrgAppAudience",
    "paginatedreports": "PaginatedReport",
    "plans": "Plan",
    "snowflakedatabases": "SnowflakeDatabase",
    "sqlendpoints": "SQLEndpoint",
    "warehousesnapshots": "WarehouseSnapshot",
}
"""The item type for the last word of a typed collection's path, in lower case.

The words of types that no recording has follow the rule of the others (synthetic)."""

ITEM_TYPES = frozenset(TYPED_ROUTES.values())
"""The item types of the published OpenAPI."""
NOT_CREATED = frozenset({"Dashboard", "Datamart", "MirroredWarehouse", "SQLEndpoint"})
"""Types whose published API only lists them."""

CREATE_LATER = frozenset(
    {
        "Notebook", "SemanticModel", "Report", "SQLDatabase", "Eventstream", "KQLDatabase", "MLModel", "MLExperiment",
        "CosmosDBDatabase", "DigitalTwinBuilder", "Warehouse", "Ontology",
    }
)  # fmt: skip
"""Always created by a long-running operation (Warehouse: in 21 of 27 recordings; Ontology: a trace of fabric-cicd)."""
UNTAGGED = frozenset({"SemanticModel", "Report"})
"""Types whose creation was answered without an ETag in every recording; all others have an empty one."""
READ_LATER = frozenset(
    {
        "Notebook", "Environment", "SemanticModel", "Report", "SQLDatabase", "KQLDatabase", "Eventhouse",
        "VariableLibrary", "UserDataFunction", "Map", "CosmosDBDatabase", "DigitalTwinBuilder",
        "DigitalTwinBuilderFlow", "GraphQLApi", "GraphQuerySet",
    }
)  # fmt: skip
"""Types whose getDefinition returns 202."""
CREATE_LATER_WITH_DEFINITION = READ_LATER | {"Lakehouse"}
"""Types that are created by a long-running operation if a definition is given. That it is the same types as in
`READ_LATER` was recorded of 13 of them; GraphQLApi and GraphQuerySet were never recorded with a definition."""
UPDATE_LATER = READ_LATER | {"Lakehouse"}
"""Types whose updateDefinition returns 202."""
UPDATE_WITHOUT_RESULT = frozenset({"Report"})
"""Types whose updateDefinition was recorded without a result; of every other recorded type it was the item."""
NEEDS_DEFINITION = frozenset({"SemanticModel", "Report"})
NO_DEFINITION = NOT_CREATED | {"Warehouse", "MLModel", "MLExperiment", "WarehouseSnapshot"}
"""Types whose published API has no definition."""
WORD_NAMED = frozenset({"Lakehouse", "Warehouse"})
"""Types whose names have only letters, digits and underscores. A recorded environment has a space in its name."""
_WORD = re.compile(r"[A-Za-z0-9_]+")


def ignoring_case(name: str) -> str:
    """Return the key by which Fabric compares names: each letter in lower case, unless that makes two letters."""
    return "".join(lower if len(lower := letter.lower()) == 1 else letter for letter in name)


def is_valid_name(item_type: str, name: str) -> bool:
    """Return True if Fabric accepts the name. Some types allow only letters, digits and underscores."""
    if not name.strip() or len(name) > 256:
        return False
    if item_type in WORD_NAMED and not _WORD.fullmatch(name):
        return False
    return item_type != "Lakehouse" or name[0].isalpha()
