"""`make schemas`: the manifest's JSON Schema, for editors. A test compares the file with what this would write."""

import json

from local.stack import ROOT
from shared.steps import manifest_schema

FILE = ROOT / "schemas" / "manifest.schema.json"


def text() -> str:
    """The file as the code has it now."""
    return json.dumps(manifest_schema.document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
