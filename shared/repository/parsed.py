"""The values of texts that may be JSON or YAML."""

import json
from typing import Any

import yaml


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
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        return None
