"""How the work for an input grows with its size, without a limit in seconds."""

import time
from collections.abc import Callable
from itertools import pairwise

FACTOR = 4
"""The larger of the two sizes is so many times the smaller one."""
_ALLOWED = 2.5 * FACTOR
"""Between the growth of linear work (4) and of quadratic work (16)."""
STEPS = 5
"""Sizes that are tried, beside the largest."""
_LEAST_ROUNDS, _MOST_ROUNDS = 3, 6


def sizes(size: int, steps: int = STEPS) -> list[int]:
    """Return the sizes at which `is_linear` runs the work."""
    return sorted({max(1, size // FACTOR**power) for power in range(steps)} | {FACTOR * size})


def is_linear(work: Callable[[int], object], size: int, steps: int = STEPS) -> bool:
    """Return True if `work` takes processor time in proportion to its size, up to four times `size`.

    Each size is compared with the next one, the smallest first: a fault that shows there would take minutes, or never
    end, at the largest one. With one of the `steps`, only the last two are compared.
    """
    return all(_is_linear_at(work, small, large) for small, large in pairwise(sizes(size, steps)))


def _is_linear_at(work: Callable[[int], object], size: int, larger: int) -> bool:
    """Compare at two sizes.

    The least time of each size counts, and more rounds are run while these differ too much: another process can only
    make a time longer, so linear work is found to be linear on a busy machine too, and quadratic work never is.
    """
    small = large = float("inf")
    for number in range(1, _MOST_ROUNDS + 1):
        small, large = min(small, _seconds(work, size)), min(large, _seconds(work, larger))
        if number >= _LEAST_ROUNDS and large < _ALLOWED * small:
            return True
    return False


def _seconds(work: Callable[[int], object], size: int) -> float:
    began = time.thread_time()
    work(size)
    return time.thread_time() - began
