"""The stored list of an item's files, as the command line packs a repository."""

import json
from collections.abc import Callable

from shared.domain.json import JsonObject


def stored_template(entry: JsonObject, read: Callable[[str], bytes]) -> JsonObject:
    """Return the template that an entry of a repository names. Small ones are stored together, in a bundle.

    Raises as `read`, and KeyError, TypeError, ValueError or RecursionError if what is stored is not a template.
    """
    bundle = entry.get("bundle")
    return json.loads(read(entry["template"])) if bundle is None else json.loads(read(bundle))[entry["template"]]
