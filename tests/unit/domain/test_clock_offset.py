"""The offset of a machine's clock from a service's: always within the interval, which only narrows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.clock_offset import KEPT_SECONDS, ClockOffset, narrowed

ANSWERS = st.lists(st.tuples(st.floats(0.01, 30), st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(true=st.floats(-1000, 1000), answers=ANSWERS)
def test_offset_always_contains_the_true_one(true: float, answers: list[tuple[float, float, float]]) -> None:
    """This holds however long an exchange takes, and whenever in that time the service reads its clock."""
    known: ClockOffset | None = None
    now = 1_700_000_000.0
    for pause, takes, part in answers:
        now += pause
        date = float(int(now + takes * part + true))
        known = narrowed(known, date, now, now + takes)
        now += takes
        assert known.low - 1e-6 <= true <= known.high + 1e-6
        assert known.high - known.low <= 1.0 + max(takes for _, takes, _ in answers) + 1e-6
        assert abs(known.correction) <= abs(true) + 1e-6, "a correct clock stays as it is"


def test_offset_narrows_with_answers_at_different_moments_of_a_second() -> None:
    """Ten quick answers leave a tenth of a second of doubt."""
    known: ClockOffset | None = None
    for i in range(10):
        at = 1000.0 + i * 1.1
        known = narrowed(known, float(int(at + 7.0)), at, at + 0.01)
    assert known is not None
    assert known.high - known.low < 0.15
    assert abs(known.correction - 7.0) < 0.15


def test_offset_begins_anew_when_a_clock_was_set_and_after_a_time() -> None:
    """An answer that contradicts the others counts alone; so does the first one after ten minutes."""
    known = narrowed(None, 1000.0, 1000.2, 1000.3)
    assert narrowed(known, 1060.0, 1001.0, 1001.1) == ClockOffset(1060.0 - 1001.1, 60.0, 1001.1)
    at = 1000.3 + KEPT_SECONDS
    assert narrowed(known, float(int(at)), at - 0.1, at).since == at
