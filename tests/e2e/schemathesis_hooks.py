"""The choice of the cases that schemathesis sends; tests/e2e/schemathesis.toml names this module."""

import json
import os
import zlib
from typing import Any

import schemathesis

from shared.web.bodies import MANIFEST_TYPES

HUNTS = os.environ.get("HYPOTHESIS_PROFILE") == "hunt"
ONE_IN, ONE_OF_OTHERS_IN = (1, 16) if HUNTS else (4, 48)
"""The share of a manifest's boundary cases that are sent as JSON to one route, and in each other way."""


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Send the boundary cases of a manifest as JSON to one route, and fewer in other media types and to the plan,
    because one function reads them all. `make hunt` sends every case once."""
    if case.media_type not in MANIFEST_TYPES or case.meta.phase.name.value != "coverage":
        return True
    is_main = case.media_type == MANIFEST_TYPES[0] and case.operation.label != "POST /plan"
    one_in = ONE_IN if is_main else ONE_OF_OTHERS_IN
    return zlib.crc32(json.dumps(case.body, default=str).encode()) % one_in == 0
