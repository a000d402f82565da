"""The values of texts that may be JSON or YAML."""

import json
from typing import Any

import yaml

NOT_YAML = (yaml.YAMLError, ValueError, OverflowError, RecursionError, LookupError, AttributeError)
"""What PyYAML raises for a text that is not YAML. A word that its explicit tag does not allow, as in `!!bool maybe`,
raises one of the last two."""


def json_value(text: str) -> Any:
    """Return the value of a JSON text; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def yaml_value(text: str) -> Any:
    """Return the value of a YAML text; None if it is not YAML."""
    try:
        return yaml.safe_load(text)  # pyright: ignore[reportUnknownVariableType] - any YAML
    except NOT_YAML:
        return None
