"""The table of item types by outcome: `python -m tests.simulation.item_types` measures it and writes it into the page.

The test measures each row again and compares it with the page.
"""

import logging
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from local import generated
from local.paths import ROOT
from shared.steps.restorable import of_update
from tests.simulation.type_trial import CHANGES, OK, WAYS, Outcomes, Trial

FILE = ROOT / "docs" / "item-types.md"
COLUMNS: dict[str, Callable[[Outcomes], str]] = {
    "created, then failed": lambda o: o.failed_create,
    "created": lambda o: o.create,
    "plan": lambda o: o.plan,
    "again": lambda o: o.again,
    "changed, then failed": lambda o: o.failed_update,
    "changed": lambda o: o.update,
    "deleted": lambda o: o.deleted,
}
"""The headings of the outcomes."""
_UNKNOWN = "Unknown: neither a recording nor documentation says that its definition is complete."
NOT_RESTORED: dict[str, str] = {
    "CosmosDBDatabase": "Documents. The definition has the containers alone.",
    "DataBuildToolJob": _UNKNOWN,
    "Environment": "Earlier staged changes that nobody had published: they are published with the restored definition.",
    "Eventhouse": "Data and policies of its databases, which are not in its definition.",
    "GraphModel": "The loaded graph: it has to be refreshed from its sources.",
    "KQLDatabase": "Data. Its schema is a script that adds tables and columns; none that were added are removed.",
    "Lakehouse": "Tables and files. A `repository` step sends no definition, only name, description and folder.",
    "MLExperiment": "Runs. The type has no definition; name, description and folder are restored.",
    "MirroredDatabase": "The state of the replication: what was started stays started, what was stopped stays stopped.",
    "Ontology": _UNKNOWN,
    "Report": "The text of its connection, which Fabric rewrites. It names the same model.",
    "SQLDatabase": "Data. A `repository` step sends no definition, as fabric-cicd does not. For a step of kind `item`, "
    "Fabric returns a package and never the project that was sent: so it is sent each time, and the package restored.",
    "SemanticModel": "Data, bindings to connections, and the version of `definition.pbism`, which Fabric raises.",
    "SparkJobDefinition": "An empty text instead of null in a field, and the reverse: Fabric rewrites both.",
    "UserDataFunction": _UNKNOWN,
    "VariableLibrary": f"{_UNKNOWN} The active value set is restored by a step of its own.",
    "Warehouse": "Tables and data. The type has no definition; name, description and folder are restored.",
}
"""Content that a rollback of an update cannot restore, and why, for each type that is not restored exactly."""
MARKS = ("<!-- outcomes: generated -->", "<!-- restored: generated -->")
"""The lines of the page before each table. A table ends at the next empty line."""


@cache
def measured(item_type: str) -> dict[str, Outcomes]:
    """Return the outcomes of a type by the kind of step that deployed it."""
    found: dict[str, Outcomes] = {}
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            found[way] = Trial(item_type, way, Path(folder)).outcomes()
    return found


def row(item_type: str) -> str:
    """Return the row of a type."""
    outcomes = measured(item_type)
    cells = [_cell({way: column(outcomes[way]) for way in WAYS}) for column in COLUMNS.values()]
    return f"| {item_type} | {' | '.join(cells)} |"


def _cell(found: dict[str, str]) -> str:
    if set(found.values()) == {OK}:
        return OK
    return "; ".join(f"`{way}`: {text}" for way, text in found.items())


def reason(item_type: str) -> str:
    """Return the row of a type in the second table."""
    return f"| {item_type} | {of_update(item_type).value} | {NOT_RESTORED.get(item_type, '')} |"


def document() -> str:
    """Return the text of the whole file, with both tables measured."""
    heading = f"| Type | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}"
    rows = [heading, *(row(item_type) for item_type in CHANGES)]
    other = ["| Type | `restorable` | What is not restored, and why |\n|---|---|---|", *map(reason, CHANGES)]
    text = FILE.read_text()
    for mark, lines in zip(MARKS, (rows, other), strict=True):
        before, rest = text.split(f"{mark}\n")
        text = f"{before}{mark}\n{'\n'.join(lines)}\n\n{rest.partition('\n\n')[2]}"
    return text


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    generated.write(FILE, document())
