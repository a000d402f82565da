"""However a row was created, every later write of it fits."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.storage import journal_rows as rows
from shared.adapters.storage.clients import STRING_CHARACTERS
from shared.domain import row_limits
from shared.domain.approval import approved
from shared.domain.errors import FabricRefusedError, InvalidInputError, LimitError, Problem
from shared.domain.json import JsonObject
from shared.domain.labels import MAX_LABELS
from shared.domain.names import normal_target
from shared.domain.ordinals import packed
from shared.domain.records import (
    Chain,
    Claim,
    DeploymentRecord,
    Intent,
    Operation,
    RecordedError,
    Resource,
    StepRecord,
)
from shared.domain.remedies import recorded
from shared.domain.states import DeploymentState, IntentAction, OnFailure, OperationPurpose, StepState
from shared.domain.step_graph import MAX_STEP_ID, MAX_STEPS
from shared.saga.command.commands import command
from shared.saga.command.verbs import Verb
from shared.saga.payloads import INLINE_CHARACTERS, Payloads
from shared.saga.step.delivery import MAX_WAITS
from tests.fakes import MemoryBlobs

NOW = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
WIDE = "\N{GRINNING FACE}"
"""A character that takes twelve characters in a row."""
GUID, DIGEST = "0" * 36, "f" * 64


def payload(character: str) -> JsonObject:
    """Return the largest payload that stays in its row."""
    each = len(row_limits.encoded(character)) - 2
    value = {"x": character * ((INLINE_CHARACTERS - 8) // each)}
    assert Payloads(MemoryBlobs()).store(value) == value
    return value


CHARACTERS = st.sampled_from(["x", '"', "\n", "\u00e9", "\u6f22", WIDE])
LATER: dict[str, Any] = {
    "left_with": st.just(10**9),
    "done": st.just("x" * row_limits.DONE_CHARACTERS),
    "spec": CHARACTERS.map(payload),
    "claim": st.just(Claim("f" * 32, NOW, 10**9)),
    "intent": CHARACTERS.map(lambda c: Intent(IntentAction.CREATE, "f" * 12, payload(c), GUID)),
    "operation": CHARACTERS.map(
        lambda c: Operation(
            GUID, OperationPurpose.COMPENSATE, "create " + "K" * 64, NOW, f"https://api.fabric/{c}".ljust(1_000), 9_999
        )
    ),
    "resource": CHARACTERS.map(lambda c: Resource("K" * 64, GUID, c * 256, GUID)),
    "outputs": st.one_of(
        CHARACTERS.map(
            lambda c: (
                {"id": GUID, "displayName": c * 256, "workspaceId": GUID, "sqlEndpointId": GUID}
                | {"sqlEndpointConnectionString": "x" * 150}
            )
        ),
        CHARACTERS.map(lambda c: approval_outputs(c * 9_000)),
    ),
    "waits": st.just(({"since": NOW.isoformat(), "until": NOW.isoformat()},) * MAX_WAITS),
    "state": st.sampled_from(StepState),
    "attempt": st.just(10**9),
    "deliveries": st.just(10**9),
    "fence": st.just(10**9),
    "sequence": st.just(10**9),
    "ambiguous": st.booleans(),
    "calls_done": st.just(10**6),
    "chain": st.just(Chain(DIGEST, DIGEST)),
    **dict.fromkeys(("error", "compensation_error"), CHARACTERS.map(lambda c: an_error(c))),
    **dict.fromkeys(
        (
            "wait_until",
            "late_call_until",
            "deadline_at",
            "freed_at",
            "started_at",
            "finished_at",
            "compensation_started_at",
            "compensation_finished_at",
        ),
        st.just(NOW),
    ),
}
"""Every field of a step that is written after its creation, at its largest."""


def approval_outputs(text: str) -> JsonObject:
    """Return an approval's outputs, from any text that a person sends."""
    request = command(Verb.APPROVE, "d", text, text, "s")
    return approved(request.requested_by, request.reason)


def an_error(character: str) -> RecordedError:
    """Return an error of Fabric with every text longer than possible."""
    text = character * 20_000
    return replace(recorded(FabricRefusedError(text, call=text, error_code=text, request_id=text)), remedy=text)


def created(character: str) -> StepRecord:
    """Return a new step with the largest value of everything that a manifest can set."""
    return StepRecord(
        "d" * 100,
        MAX_STEPS - 1,
        "s" * MAX_STEP_ID,
        "role_assignment",
        payload(character),
        packed(range(MAX_STEPS - 1400, MAX_STEPS, 2)),  # 700 that are not consecutive
        payload(character),
        86_400.123,
        OnFailure.ROLLBACK,
    )


@given(character=CHARACTERS, changes=st.fixed_dictionaries({}, optional=LATER))
def test_room_every_later_write_of_an_accepted_step_fits(character: str, changes: dict[str, Any]) -> None:
    """Any of its fields may be at its largest, in any combination; no field of a step is left out."""
    assert {
        *LATER,
        "deployment_id",
        "ordinal",
        "step_id",
        "kind",
        "needs",
        "refers_to",
        "timeout_seconds",
        "on_failure",
        "is_always",
    } == set(StepRecord.__dataclass_fields__)
    step = row_limits.fitted(created(character))
    after = row_limits.fitted(step.replace(**changes))
    assert len(rows.step_entity(after)["record"]) <= row_limits.largest(StepRecord)


@given(st.sets(st.integers(0, MAX_STEPS - 1)) | st.builds(lambda n: set(range(0, MAX_STEPS, n)), st.integers(1, 7)))
def test_room_holds_the_needs_of_any_step(needs: set[int]) -> None:
    """A step may need all others, or any of them."""
    step = created("x").replace(needs=packed(needs))
    row_limits.fitted(step)
    assert step.needed == tuple(sorted(needs))


def test_room_of_all_shares_together_is_at_most_a_row() -> None:
    """Therefore values that fit their shares fit their row."""
    assert row_limits.ROW_CHARACTERS == STRING_CHARACTERS
    assert row_limits.largest(StepRecord) <= STRING_CHARACTERS
    assert row_limits.largest(DeploymentRecord) <= STRING_CHARACTERS


@given(character=CHARACTERS, name=st.sampled_from(["x", WIDE, "\u0390"]))
def test_room_every_later_write_of_a_header_fits(character: str, name: str) -> None:
    """The longest names, every command requested, an error and problems. (Some letters become three when case is
    ignored.)"""
    requester = row_limits.person(character * 9_000)
    header = row_limits.fitted(
        DeploymentRecord("d" * 100, name * 100, normal_target(name * 256), DeploymentState.ACCEPTED, DIGEST, NOW)
    )
    after = replace(
        header,
        requested_by=requester,
        error=an_error(character),
        problems=({"path": "p", "message": "x" * (row_limits.PROBLEMS_CHARACTERS - 50)},),
        traceparent="0" * 55,
        chain=Chain(DIGEST, DIGEST),
        **{f"{verb}_requested_by": requester for verb in ("cancel", "compensate", "resume", "retire")},
        **{f: NOW for f in DeploymentRecord.__dataclass_fields__ if f.endswith(("_at", "_until"))},
    )
    assert len(rows.header_entity(row_limits.fitted(after))["record"]) <= row_limits.largest(DeploymentRecord)


def test_room_of_problems_is_shared_with_labels_that_an_invalid_manifest_has_not() -> None:
    """The largest labels fit beside everything but problems; no header has both."""
    labels = {f"{i}".rjust(63, "n"): "v" * 100 for i in range(MAX_LABELS)}
    header = DeploymentRecord("d", "n", "t", DeploymentState.ACCEPTED, DIGEST, NOW, labels=labels)
    assert row_limits.fitted(header).labels == labels
    own = {name: row_limits.HEADER_SHARES[name] + len(f'"{name}":,') for name in ("labels", "promotes")}
    assert sum(own.values()) < row_limits.HEADER_SHARES["problems"]
    with pytest.raises(LimitError, match="'promotes' of the deployment"):
        row_limits.fitted(header.replace(labels=None, promotes="p", problems=({"path": "p", "message": "m"},)))
    with pytest.raises(LimitError, match="'labels' of the deployment"):
        row_limits.fitted(header.replace(problems=({"path": "p", "message": "m"},)))


def test_room_cuts_only_texts_for_persons() -> None:
    """A cut id or address would be a wrong one."""
    step = StepRecord("d", 0, "s", "item", {}, (), {}, 60.0)
    kept = row_limits.fitted(step.replace(error=RecordedError("m" * 9_000, "what to do"))).error
    assert kept is not None
    assert (kept.remedy, kept.message.strip("m")) == ("what to do", "")
    assert 2_000 < len(kept.message) < 9_000
    for name, value in (
        ("resource", Resource("Lakehouse", "i" * 9_000, "n")),
        ("operation", Operation("o", OperationPurpose.APPLY, "k", NOW, "https://" + "x" * 9_000)),
        ("outputs", {"id": "i" * 9_000}),
    ):
        with pytest.raises(LimitError, match=f"'{name}' of step 's' takes 9\\d* characters"):
            row_limits.fitted(replace(step, **{name: value}))
    plain = recorded(InvalidInputError([Problem("$", "plain")]))
    assert row_limits.fitted(step.replace(error=plain)).error == plain
