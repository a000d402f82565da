"""When to look again at something that takes time: early, and by its usual duration.

Each kind declares the usual duration of its operations (`StepKind.expected_seconds`). Fabric's own Retry-After on a 202
is 20 seconds whatever the operation, while 628 of 669 recorded operations had ended at the first poll (traffic of
microsoft/fabric-cli, September 2025 to July 2026).
"""

import math

DEFAULT_EXPECTED_SECONDS = 1.6
"""The median of all recorded operations; for one that no kind declares."""
_MOST = 1.35
"""The 90th percentile over the median. Source: recorded operations (create Notebook 1.32, Environment 1.10)."""
MAX_POLL_SECONDS = 20.0
"""Fabric's own Retry-After on operations. The app never polls more slowly."""
FIRST_NAME_WAIT_SECONDS = 5.0
MAX_NAME_WAIT_SECONDS = 30.0
"""The name of a deleted item stays reserved for minutes. Source: fabric-cicd waits in steps of 30 s, up to 300 s."""


def first_poll_seconds(expected: float, *, is_one_of_many: bool) -> int:
    """Return the whole seconds until the first look at an operation.

    One of many operations is looked at when most of its kind are over, because each further look takes a token of the
    quota that the others wait for. Nine in ten of the recorded operations take at most 1.35 times the median; long
    ones are not counted.
    """
    return max(1, round(expected * _MOST)) if is_one_of_many else poll_delay_seconds(expected, 0.0)


def poll_delay_seconds(expected: float, elapsed_seconds: float) -> int:
    """Return the whole seconds until the next look at something whose median duration is `expected` seconds.

    A queue's delay is in whole seconds. Before the median, the next look is shortly before it. After the median, the
    wait is a sixth of the elapsed time: the end is noticed at most about 17 % (or a second) late, and the number of
    looks grows with the logarithm of the time.
    """
    if elapsed_seconds < expected * 0.9:
        return max(1, math.floor(expected - elapsed_seconds))
    return max(1, min(int(MAX_POLL_SECONDS), math.floor(elapsed_seconds / 6)))


def readiness_delay_seconds(expected: float, elapsed_seconds: float, *, is_one_of_many: bool) -> int:
    """Return the whole seconds until the next look at what becomes ready by itself, usually after `expected` seconds.

    Such times differ more than those of operations: a SQL endpoint is shown after 4 to 23 seconds. So the looks come
    closer and closer to the usual time, each after half of what is left of it, and then after a twelfth of the elapsed
    time. For a SQL endpoint that is two looks more than with `poll_delay_seconds`; the last of three is noticed 1.0 s
    late on average in place of 1.7 s. One of many saves these looks, because its calls are scarcer than its time.
    """
    if is_one_of_many:
        return poll_delay_seconds(expected, elapsed_seconds)
    if elapsed_seconds < expected * 0.9:
        return max(1, math.floor((expected - elapsed_seconds) / 2))
    return max(1, min(int(MAX_POLL_SECONDS), math.floor(elapsed_seconds / 12)))


def name_wait_seconds(waits_before: int) -> float:
    """Return the seconds until a reserved name is tried again: 5, 10, 20, then 30."""
    return min(MAX_NAME_WAIT_SECONDS, FIRST_NAME_WAIT_SECONDS * 2 ** min(waits_before, 10))
