"""Sets of ordinals in the form of the journal, which always fits into a row.

A step that needs a whole repository needs up to MAX_STEPS others, and a row has no room for so many numbers. A run of
consecutive ordinals takes two numbers. A set that has many gaps is written as bits.
"""

from collections.abc import Iterable, Sequence

_MOST_NUMBERS = 500
"""A set that takes more numbers is written as bits: a number for each `_BITS` ordinals, whatever they are."""
_BITS = 30
_AS_BITS = -1
"""The first number of a set of bits. In the other form, a negative number is never the first one."""


def packed(ordinals: Iterable[int]) -> tuple[int, ...]:
    """Return the ordinals in order. A negative number -n says that all ordinals up to n follow the one before it.

    Only runs of three and more are shortened, so that two numbers never stand for two.
    """
    found: list[int] = []
    runs: list[list[int]] = []
    ordered = sorted(set(ordinals))
    for ordinal in ordered:
        if runs and ordinal == runs[-1][-1] + 1:
            runs[-1].append(ordinal)
        else:
            runs.append([ordinal])
    for run in runs:
        found += run if len(run) < 3 else [run[0], -run[-1]]
    return tuple(found) if len(found) <= _MOST_NUMBERS else (_AS_BITS, *_bits(ordered))


def unpacked(numbers: Sequence[int]) -> tuple[int, ...]:
    """Return the ordinals that `packed` was given."""
    if numbers and numbers[0] == _AS_BITS:
        words = enumerate(numbers[1:])
        return tuple(_BITS * i + bit for i, word in words for bit in range(_BITS) if word >> bit & 1)
    found: list[int] = []
    for number in numbers:
        if number < 0:
            found += range(found[-1] + 1, -number + 1)
        else:
            found.append(number)
    return tuple(found)


def _bits(ordinals: Sequence[int]) -> list[int]:
    words = [0] * (ordinals[-1] // _BITS + 1)
    for ordinal in ordinals:
        words[ordinal // _BITS] |= 1 << ordinal % _BITS
    return words
