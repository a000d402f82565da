"""How the work for an input grows with its size, without a limit in seconds."""

import time
from collections.abc import Callable

FACTOR = 4
"""The larger of the two sizes is so many times the smaller one."""
_ALLOWED = 2.5 * FACTOR
"""Between the growth of linear work (4) and of quadratic work (16)."""
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 6


def is_linear(work: Callable[[int], object], size: int) -> bool:
    """Return True if `work` takes processor time in proportion to its size, compared at `size` and four times `size`.

    The least time of each size counts, and more rounds are run while these differ too much: another process can only
    make a time longer, so linear work is found to be linear on a busy machine too, and quadratic work never is.
    """
    small = large = float("inf")
    for number in range(1, _MOST_ROUNDS + 1):
        small, large = min(small, _seconds(work, size)), min(large, _seconds(work, FACTOR * size))
        if number >= _LEAST_ROUNDS and large < _ALLOWED * small:
            return True
    return False


def _seconds(work: Callable[[int], object], size: int) -> float:
    began = time.thread_time()
    work(size)
    return time.thread_time() - began
