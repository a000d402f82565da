"""The stored list of an item's files, as the command line packs a repository."""

import json
from collections.abc import Callable
from contextlib import suppress

from shared.domain.json import JsonObject


def stored_template(entry: JsonObject, read: Callable[[str], bytes]) -> JsonObject:
    """Return the template that an entry of a repository names. Small ones are stored together, in a bundle.

    Raises as `read`, and KeyError, TypeError, ValueError or RecursionError if what is stored is not a template.
    """
    bundle = entry.get("bundle")
    return json.loads(read(entry["template"])) if bundle is None else json.loads(read(bundle))[entry["template"]]


def content_bytes(spec: JsonObject, read: Callable[[str], bytes]) -> int:
    """Return the bytes of the files that the template of a spec names; 0 without one, or if it cannot be used, which is
    reported when the files are read. Raises as `read`."""
    if "template" not in spec or "definition" in spec:
        return 0
    with suppress(KeyError, TypeError, ValueError, RecursionError):
        return sum(int(part["size"]) for part in stored_template(spec, read)["parts"])
    return 0
