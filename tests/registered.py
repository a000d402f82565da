"""The functions of the app, as the host is told of them. The vendor's app tells them once a process."""

from functools import cache
from typing import Any

import function_app


@cache
def functions() -> tuple[Any, ...]:
    """All of them."""
    return tuple(function_app.app.get_functions())
