"""The files outside `shared/steps/KIND.py` that a kind needs. A forgotten one is reported by name, with what to add."""

import json
import re
from collections.abc import Mapping

from local.paths import ROOT
from shared.cli.pack import PACKED_FIELDS
from shared.domain.fabric_paths import COLLECTIONS
from shared.domain.json import JsonObject
from shared.domain.ports import KindRules
from shared.domain.records import Intent
from shared.domain.states import IntentAction
from shared.steps import STEPS
from tests.simulation.fault_table import SCENARIOS
from tests.unit.steps.test_manifest_schema import GOOD
from tests.unit.steps.test_null import SPECS

_MANUAL = ROOT / "docs" / "manifest.md"
_SCHEMA = ROOT / "schemas" / "manifest.schema.json"
_NOT_DRAWN = {"principals"}
"""Kinds that no random schedule draws. `principals` expands to `role_assignment`, which is drawn."""


def forgotten(kinds: Mapping[str, KindRules]) -> list[str]:
    """Return one message for each entry that a kind lacks, `FILE: what to add`."""
    return [message for kind in kinds.values() for message in (*_entries(kind), *_entries_in_fabric(kind))]


def _entries(kind: KindRules) -> list[str]:
    name, found = kind.name, list[str]()
    if f'"With_{name}"' not in _SCHEMA.read_text(encoding="utf-8"):
        found.append(f"schemas/manifest.schema.json: run `make schemas`; it lacks the kind '{name}'")
    section = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", _MANUAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    text = section[1] if section else ""
    unnamed = [output for output in sorted(kind.outputs) if f"`{output}`" not in text]
    unnamed += [field for field in _fields_for_people(name) if not re.search(rf"`{field}\b", text)]
    if not section or unnamed:
        found.append(f"docs/manifest.md: add the section '## {name}' with its fields and outputs {unnamed}")
    if not re.search(rf"^\| `kind` \|.*`{name}`", _MANUAL.read_text(encoding="utf-8"), re.MULTILINE):
        found.append(f"docs/manifest.md: add '{name}' to the row 'kind' of a step's fields")
    if f"`{name}`" not in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"):
        found.append(f"docs/glossary.md: add '{name}' to the row 'kind'")
    if name not in GOOD:
        found.append(f"tests/unit/steps/test_manifest_schema.py: add a valid `with` of '{name}' to GOOD")
    drawn = "".join(path.read_text("utf-8") for path in (ROOT / "tests" / "simulation").glob("*schedule*.py"))
    if f'"{name}"' not in drawn and name not in _NOT_DRAWN:
        found.append(f"tests/simulation/settings_in_schedule.py: let it, or a neighbour, draw a step of '{name}'")
    if kind.packs and kind.packs not in PACKED_FIELDS:
        found.append(
            f"shared/cli/pack.py: read the file that `{kind.packs}` of '{name}' names, and add it to its table"
        )
    return found


def _fields_for_people(name: str) -> list[str]:
    """Return the fields of a kind's `with`, without those that only the command line sets when it packs files."""
    definitions: JsonObject = json.loads(_SCHEMA.read_text(encoding="utf-8"))["$defs"]
    rows: JsonObject = definitions.get(f"With_{name}", {}).get("properties", {})
    return [field for field, row in rows.items() if "set by the command line" not in row.get("description", "")]


def _entries_in_fabric(rules: KindRules) -> list[str]:
    kind, found = STEPS.get(rules.name), list[str]()
    if kind is None:
        return []
    if kind.name not in SPECS:
        found.append(f"tests/unit/steps/test_null.py: add a `with` of '{kind.name}' to SPECS")
    if all(scenario.step["kind"] != kind.name for scenario in SCENARIOS):
        found.append(f"tests/simulation/fault_table.py: add a scenario of '{kind.name}'")
    spec: JsonObject = GOOD.get(kind.name) or dict.fromkeys(kind.keys, "x")
    for call in kind.apply(spec, Intent(IntentAction.CREATE, "0" * 12)):
        collection = (*call.path.lower().split("/"), "", "", "")[3]
        if collection and collection not in COLLECTIONS:
            found.append(f"shared/domain/fabric_paths.py: add the area of '{collection}' to COLLECTIONS")
    return found
