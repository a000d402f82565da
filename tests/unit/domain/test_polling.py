"""The delays between two polls of a long-running operation."""

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.polling import poll_delay_seconds, readiness_delay_seconds
from shared.steps import STEPS

EXPECTED = sorted({seconds for kind in STEPS.values() for seconds in kind.expected_seconds.values()})


@given(st.sampled_from(EXPECTED), st.floats(0.2, 400))
def test_polling_sees_the_end_soon_with_few_reads(expected: float, duration: float) -> None:
    """An operation is seen at most 25 % + 1.5 s late, with few reads, because the quota is 200 a minute for
    all calls."""
    elapsed, looks = float(poll_delay_seconds(expected, 0.0)), 1
    while elapsed < duration:
        elapsed += poll_delay_seconds(expected, elapsed)
        looks += 1
    assert elapsed - duration <= max(expected, 0.25 * duration + 1.5)
    assert looks <= 45


@given(st.sampled_from([12.0, 31.0, 53.0, 355.0]), st.floats(0.2, 800))
def test_readiness_is_noticed_sooner_than_the_end_of_an_operation(expected: float, duration: float) -> None:
    """Readiness before the usual time is noticed after at most half of the time that was left; readiness after it, at
    most a twelfth of the elapsed time and a second late."""
    elapsed, looks, last = 0.0, 0, 0.0
    while elapsed < duration:
        last = elapsed
        elapsed += readiness_delay_seconds(expected, elapsed, is_one_of_many=False)
        looks += 1
    assert elapsed - duration <= max((expected - last) / 2, duration / 12 + 1.0)
    assert looks <= 90
    assert readiness_delay_seconds(expected, last, is_one_of_many=True) == poll_delay_seconds(expected, last)
