"""When a failed call is repeated, and what of its error is recorded."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.storage import journal_rows as rows
from shared.domain import errors
from shared.domain.errors import InvalidInputError, Problem
from shared.domain.policy import RetryPolicy
from shared.domain.records import Intent, Operation, Resource, StepRecord
from shared.domain.remedies import recorded
from shared.domain.retry import GiveUp, TryAgain, backoff, decide_retry
from shared.domain.states import IntentAction, OperationPurpose
from shared.saga.payloads import INLINE_CHARACTERS
from shared.saga.step.delivery import MAX_WAITS

POLICY = RetryPolicy(max_attempts=3, base_seconds=2, max_seconds=60)
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_retry_after_is_obeyed_exactly_and_is_not_an_attempt() -> None:
    """A 429 waits exactly as long as Fabric asks, however often."""
    error = errors.FabricTransientError("blocked", call="GET /x", retry_after_seconds=57.0, counts_as_attempt=False)
    for attempt in (0, 99):
        assert decide_retry(error, attempt, 5, POLICY, 0.5) == TryAgain(57.0, counts=False)


def test_retry_gives_up_after_the_attempts_of_the_policy() -> None:
    """Only the journal's count counts."""
    error = errors.FabricTransientError("x", call="GET /x", status=503)
    assert isinstance(decide_retry(error, 1, 0, POLICY, 1.0), TryAgain)
    assert isinstance(decide_retry(error, 2, 0, POLICY, 1.0), GiveUp)


@pytest.mark.parametrize("kind", [errors.FabricAuthError, errors.FabricRefusedError, errors.FabricConflictError])
def test_retry_of_a_refusal_is_never_made(kind: type[errors.FabricError]) -> None:
    """A repetition would not change the refusal; the remedy is for a person."""
    error = kind("no", call="POST /x", status=403)
    assert isinstance(decide_retry(error, 0, 0, POLICY, 0.5), GiveUp)
    assert recorded(error).remedy


def test_retry_of_a_reserved_name_waits_and_never_gives_up_by_itself() -> None:
    """The step's timeout limits it, and not the attempts, because names become free after minutes."""
    error = errors.FabricNameReservedError("later", call="POST /items")
    waits = [decide_retry(error, 99, n, POLICY, 0.0) for n in range(5)]
    assert [w.seconds for w in waits if isinstance(w, TryAgain)] == [5, 10, 20, 30, 30]


@given(st.integers(0, 200), st.floats(0, 1))
def test_retry_backoff_stays_in_bounds(attempt: int, fraction: float) -> None:
    """A wait is at least one second and at most the maximum."""
    assert 1 <= backoff(POLICY, attempt, fraction) <= 60


def test_errors_of_any_size_leave_space_in_the_row() -> None:
    """With everything else in the row at its largest, and two errors in a script whose characters take twelve each,
    the row still fits, so that a step never fails because of its error's text."""
    long = "\N{GRINNING FACE}" * 20_000
    refused = errors.FabricRefusedError(
        long, call="POST /x", status=400, error_code="c" * 9_000, request_id="r" * 9_000
    )
    guarded = recorded(InvalidInputError([Problem("$", long)]))
    payload = {"x": "p" * (INLINE_CHARACTERS - 10)}
    wait = {"since": NOW.isoformat(), "until": NOW.isoformat()}
    name = "\N{GRINNING FACE}" * 256
    step = StepRecord("d" * 100, 999, "s" * 64, "item", payload, tuple(range(100)), {}, 60.0).replace(
        intent=Intent(IntentAction.UPDATE, "0" * 12, payload, "0" * 36),
        resource=Resource("Lakehouse", "0" * 36, name, "0" * 36),
        operation=Operation("0" * 36, OperationPurpose.APPLY, "create Lakehouse", NOW, "https://" + "x" * 200),
        outputs={"id": "0" * 36, "displayName": name},
        waits=(wait,) * MAX_WAITS,
        error=recorded(refused),
        compensation_error=guarded,
    )
    assert rows.step_entity(step)["record"].isascii()
    assert guarded.message.startswith("$: ")
    assert recorded(errors.FabricRefusedError("plain", call="x")).message == "plain"


def test_errors_are_recorded_without_secrets() -> None:
    """Any error may quote one."""
    text = recorded(InvalidInputError([Problem("$", "cannot use password=hunter2-and-more")])).message
    assert "hunter2" not in text
