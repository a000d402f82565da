"""The time that tests wait: one limit for all of them, which distinguishes a hanging test from a slow machine."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300.0
"""Only a result that never comes takes so long. No test uses it to measure speed."""
PATIENCE = f"{PATIENCE_SECONDS:g}s"
"""The same limit for the command line's `--timeout`."""


LONGEST_PAUSE_SECONDS = 0.4


def eventually[T](what: Callable[[], T], *, pause: float = 0.05) -> T:
    """Call `what` until its result is true, and return the result.

    The pause between two calls grows from `pause` seconds to `LONGEST_PAUSE_SECONDS`, so that a long wait leaves the
    processor to what it waits for. Raises AssertionError if the result is never true.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < until, f"not true within {PATIENCE}; the last answer was {value!r}"
        time.sleep(pause)
        pause = max(pause, min(LONGEST_PAUSE_SECONDS, pause * 1.25))
