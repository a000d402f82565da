"""Retry, polling, records, references: the small decisions."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.storage import journal_rows as rows
from shared.domain import errors
from shared.domain.errors import InvalidInputError, Problem, UnknownVersionError
from shared.domain.policy import RetryPolicy
from shared.domain.polling import poll_delay_seconds
from shared.domain.records import Claim, DeploymentRecord, Intent, Operation, Resource, StepRecord
from shared.domain.references import resolve
from shared.domain.retry import GiveUp, TryAgain, backoff, decide_retry, recorded
from shared.domain.states import DeploymentState, StepState
from shared.saga.payloads import INLINE_CHARACTERS
from shared.saga.step.delivery import MAX_WAITS
from shared.steps import STEPS

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
    """At least one second, at most the maximum."""
    assert 1 <= backoff(POLICY, attempt, fraction) <= 60


_EXPECTED = sorted({seconds for kind in STEPS.values() for seconds in kind.expected_seconds.values()})


@given(st.sampled_from(_EXPECTED), st.floats(0.2, 400))
def test_polling_sees_the_end_soon_with_few_reads(expected: float, duration: float) -> None:
    """An operation is seen at most 25 % + 1.5 s late, with few reads, because the quota is 200 a minute for
    all calls."""
    elapsed, looks = float(poll_delay_seconds(expected, 0.0)), 1
    while elapsed < duration:
        elapsed += poll_delay_seconds(expected, elapsed)
        looks += 1
    assert elapsed - duration <= max(expected, 0.25 * duration + 1.5)
    assert looks <= 45


def step() -> StepRecord:
    """Return a record with a value in every field."""
    return StepRecord(
        "d", 3, "lh", "lakehouse", {"a": ["ü", 1]}, (0, 1), {"ws": 0}, 60.0,
        state=StepState.SUBMITTED, claim=Claim("o", NOW, 4), intent=Intent("update", "m", {"x": 1}, "id"),
        operation=Operation("op", "apply", "create Notebook", NOW, None, 2), resource=Resource("L", "i", "n", "p"),
        outputs={"id": "i"}, error=recorded(errors.FabricRefusedError("no", call="POST /x", status=400)),
        wait_until=NOW, deadline_at=NOW + timedelta(hours=1), started_at=NOW,
    )  # fmt: skip


def test_records_are_read_as_they_were_written() -> None:
    """To the microsecond and the time zone."""
    assert StepRecord.from_json(step().to_json()) == step()
    header = DeploymentRecord("d", "n", "t", DeploymentState.HELD, "h", NOW, problems=({"path": "$", "message": "m"},))
    assert DeploymentRecord.from_json(header.to_json()) == header


def test_records_of_an_unknown_version_are_refused() -> None:
    """The meaning of a newer program's row is not guessed."""
    with pytest.raises(UnknownVersionError, match="schema version 2"):
        StepRecord.from_json({**step().to_json(), "version": 2})


def test_references_keep_types_and_become_text_inside_a_text() -> None:
    """A value that is one reference keeps the type of the referenced value."""
    values = {("a", "n"): 7, ("a", "s"): "x"}
    value = {"k": ["${{ steps.a.outputs.n }}", "-${{steps.a.outputs.s}}-${{ steps.a.outputs.n }}"]}
    assert resolve(value, lambda s, o: values[s, o]) == {"k": [7, "-x-7"]}


def test_references_without_a_value_name_their_place() -> None:
    """A missing output is an error with a path, not a crash."""
    with pytest.raises(InvalidInputError, match=r"\$\.k\[0\]"):
        resolve({"k": ["${{ steps.a.outputs.gone }}"]}, lambda s, o: {}[s, o])


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
        intent=Intent("update", "0" * 12, payload, "0" * 36),
        resource=Resource("Lakehouse", "0" * 36, name, "0" * 36),
        operation=Operation("0" * 36, "apply", "create Lakehouse", NOW, "https://" + "x" * 200),
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


def test_references_beside_each_other_are_each_resolved() -> None:
    """A text that begins and ends with a reference is not one reference; a single one keeps its value's type."""
    values = {"a": 1, "b": "two"}
    text = "${{ steps.a.outputs.x }} and\n${{ steps.b.outputs.x }}"
    assert resolve(text, lambda step, _: values[step]) == "1 and\ntwo"
    assert resolve("${{ steps.a.outputs.x }}", lambda step, _: values[step]) == 1
