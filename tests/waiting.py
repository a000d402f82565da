"""How long tests wait: one limit for all, which tells a test that hangs from a machine that is slow."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300.0
"""Only what never comes takes so long. No test says anything about speed by it."""
PATIENCE = f"{PATIENCE_SECONDS:g}s"
"""The same for the command line's `--timeout`."""


def eventually[T](what: Callable[[], T], *, pause: float = 0.05) -> T:
    """Ask every `pause` seconds until the answer is true, and return it. Raises AssertionError if it never is."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < until, f"not true within {PATIENCE}; the last answer was {value!r}"
        time.sleep(pause)
