"""`make schemas`: write the manifest's JSON Schema for editors.

A test compares the file with the output of this module.
"""

import json

from local import generated
from local.paths import ROOT
from shared.steps import manifest_schema

FILE = ROOT / "schemas" / "manifest.schema.json"


def text() -> str:
    """Return the text of the file for the present code."""
    return json.dumps(manifest_schema.document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    generated.write(FILE, text())
