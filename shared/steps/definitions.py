"""The rules of Fabric's item types for a definition: its format, its presence, and its references.

Source of the formats: the published OpenAPI (notebook, semanticModel), and what microsoft/fabric-cicd sends.
"""

import base64
import binascii
import json
import re
from collections.abc import Collection
from typing import Any

from shared.domain.json import JsonObject, as_list, as_object

NEEDS_DEFINITION = frozenset({"SemanticModel", "Report"})
"""Types that Fabric creates only with a definition."""
NO_DEFINITION = frozenset(
    {"Dashboard", "Datamart", "MLExperiment", "MLModel", "SQLEndpoint", "Warehouse", "WarehouseSnapshot"}
)
"""Types whose items have no definition in Fabric's API; some of them the API cannot create at all."""
_REPORT_CONNECTION = "definition.pbir"

_FORMATS: dict[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "Notebook": (
        (re.compile(r"[^/]+\.ipynb", re.IGNORECASE), "ipynb"),
        (re.compile(r"[^/]+\.(?:py|scala|r|sql)", re.IGNORECASE), "fabricGitSource"),
    ),
    "SemanticModel": (
        (re.compile(r"model\.bim"), "TMSL"),
        (re.compile(r"definition/.+\.tmdl"), "TMDL"),
    ),
    "SparkJobDefinition": ((re.compile(r"(?:Main|Libs)/.+"), "SparkJobDefinitionV2"),),
    "SQLDatabase": (
        (re.compile(r"[^/]+\.sqlproj"), "sqlproj"),
        (re.compile(r"[^/]+\.dacpac"), "dacpac"),
    ),
}
"""By type: patterns of the parts' paths, and the format that has such parts."""
_DEFAULTS = frozenset({"fabricGitSource", "TMDL", "dacpac"})
"""The formats that Fabric uses by default."""
_BY_PATH = (
    "names its semantic model by path (`byPath`), and Fabric's API accepts only `byConnection`: write the model's id "
    'as {"byConnection": {"connectionString": "semanticmodelid=<id>"}}. For a model of the same manifest, give the '
    "report's parts in `definition`, this one as `text`, with ${{ steps.<model>.outputs.id }} as the id"
)


def format_of(item_type: str, definition: JsonObject) -> str:
    """Return the format to send and to ask for: the given one, or that of the parts; empty for the default."""
    given = definition.get("format")
    if isinstance(given, str) and given:
        return given
    found = _formats(item_type, _paths(definition)) - _DEFAULTS
    return min(found, default="")


def format_problem(item_type: str, paths: Collection[str], given: str) -> str:
    """Return why the parts do not fit each other or the given format; empty if they do."""
    found = _formats(item_type, paths)
    if len(found) > 1:
        return f"contains parts of two formats ({', '.join(sorted(found))}); keep those of one"
    if given and found and given not in found:
        return f"is '{given[:64]}', and the parts are those of the format '{min(found)}'"
    return ""


def part_problem(item_type: str, path: str, part: JsonObject) -> str:
    """Return why Fabric would refuse a part, by its path; empty if no reason is known."""
    if (item_type, path) != ("Report", _REPORT_CONNECTION):
        return ""
    try:
        payload = part.get("payload")
        content: Any = json.loads(base64.b64decode(payload) if isinstance(payload, str) else part.get("text") or "")
    except (TypeError, ValueError, RecursionError, binascii.Error):
        return ""  # not JSON: Fabric's own message is more precise
    dataset = as_object((as_object(content) or {}).get("datasetReference")) or {}
    return _BY_PATH if dataset.get("byPath") is not None and dataset.get("byConnection") is None else ""


def _formats(item_type: str, paths: Collection[str]) -> set[str]:
    known = _FORMATS.get(item_type, ())
    return {name for pattern, name in known if any(pattern.fullmatch(path) for path in paths)}


def _paths(definition: JsonObject) -> list[str]:
    parts = [as_object(part) or {} for part in as_list(definition.get("parts")) or []]
    return [part["path"] for part in parts if isinstance(part.get("path"), str)]
