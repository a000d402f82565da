"""Sets of ordinals in the form of the journal, in which a run of consecutive ordinals takes two numbers.

A step that needs a whole repository needs up to MAX_STEPS others, and a row has no room for so many numbers.
"""

from collections.abc import Iterable


def packed(ordinals: Iterable[int]) -> tuple[int, ...]:
    """Return the ordinals in order. A negative number -n says that all ordinals up to n follow the one before it.

    Only runs of three and more are shortened, so that two numbers never stand for two.
    """
    found: list[int] = []
    runs: list[list[int]] = []
    for ordinal in sorted(set(ordinals)):
        if runs and ordinal == runs[-1][-1] + 1:
            runs[-1].append(ordinal)
        else:
            runs.append([ordinal])
    for run in runs:
        found += run if len(run) < 3 else [run[0], -run[-1]]
    return tuple(found)


def unpacked(numbers: Iterable[int]) -> tuple[int, ...]:
    """Return the ordinals that `packed` was given."""
    found: list[int] = []
    for number in numbers:
        if number < 0:
            found += range(found[-1] + 1, -number + 1)
        else:
            found.append(number)
    return tuple(found)
