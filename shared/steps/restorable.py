"""How completely an item can be restored from its definition, which is what the plan says before anything is changed.

Source: Microsoft's documentation of item definitions and of deletion (what a definition leaves out), and reports of
users of fabric-cicd. A type that is not named here counts as lossy.
"""

from enum import StrEnum


class Restorable(StrEnum):
    """How completely a rollback restores an item that is updated."""

    EXACT = "exact"
    """Everything that the update changed."""
    LOSSY = "lossy"
    """The definition in the form in which Fabric returns it, which may differ from the one before."""
    NO = "no"
    """Nothing: the type has no definition."""


_EXACT = frozenset(
    {
        *("DataPipeline", "Notebook", "KQLQueryset", "KQLDashboard", "GraphQLApi", "Map", "PaginatedReport", "Reflex"),
        *("Eventstream", "CopyJob", "Dataflow", "DataAgent", "MountedDataFactory", "ApacheAirflowJob"),
    }
)
_NO = frozenset({"Dashboard", "Datamart", "MLExperiment", "MLModel", "SQLEndpoint", "WarehouseSnapshot"})


def of_update(item_type: str) -> Restorable:
    """Return how completely an update of the definition of such an item can be compensated."""
    if item_type in _NO:
        return Restorable.NO
    return Restorable.EXACT if item_type in _EXACT else Restorable.LOSSY
