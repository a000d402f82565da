"""The functions that the app registers with the host. The vendor's app returns them only once in a process."""

from functools import cache
from typing import Any

import function_app


@cache
def functions() -> tuple[Any, ...]:
    return tuple(function_app.app.get_functions())
