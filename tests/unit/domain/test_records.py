"""Records and rows: a record that can be written is read back equal, and one that cannot be read is not written."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import errors
from shared.domain.errors import UnknownVersionError, UnwritableError
from shared.domain.record_json import encoded
from shared.domain.records import (
    AuditEntry,
    Claim,
    DeploymentChanges,
    DeploymentRecord,
    Intent,
    Operation,
    RecordedError,
    Resource,
    StepChanges,
    StepRecord,
)
from shared.domain.remedies import recorded
from shared.domain.states import DeploymentState, IntentAction, OperationPurpose, StepState

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAIVE = NOW.replace(tzinfo=None)
type Record = StepRecord | DeploymentRecord | AuditEntry

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=3)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
ODD: Any = (
    st.none()
    | st.integers()
    | st.sampled_from([float("nan"), float("inf"), NAIVE, {1: 2}, {"x": (1,)}, (object,), {"x": {1}}, b""])
    | JSON
)


def _of(hint: Any) -> Any:
    """Return a strategy for values of a declared type."""
    hint = getattr(hint, "__value__", hint)
    if is_dataclass(hint):
        return _records(hint)
    if get_origin(hint) is tuple:
        return st.lists(_of(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is dict:
        return OBJECTS
    if get_args(hint):
        return st.one_of(*map(_of, get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    plain: dict[Any, Any] = {
        str: st.text(max_size=5),
        int: st.integers(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        type(None): st.none(),
        datetime: st.datetimes(min_value=datetime(1970, 1, 1), timezones=ZONES),  # noqa: DTZ001
    }
    return plain[hint]


def _records(cls: Any, odd: Any = None) -> Any:
    """Return a strategy for records whose fields have their types; with `odd`, any field may hold another value."""
    hints = get_type_hints(cls)
    return st.builds(
        cls, **{f.name: _of(hints[f.name]) if odd is None else _of(hints[f.name]) | odd for f in fields(cls)}
    )


def _read_again(record: Any) -> Any:
    return type(record).from_json(json.loads(json.dumps(encoded(record))))


@pytest.mark.parametrize("cls", [StepRecord, DeploymentRecord, AuditEntry])
@given(data=st.data())
def test_record_of_its_types_is_read_back_equal(cls: Any, data: st.DataObject) -> None:
    """This holds for every record that the types allow, with any texts and JSON."""
    record = data.draw(_records(cls))
    assert _read_again(record) == record


@pytest.mark.parametrize("cls", [StepRecord, DeploymentRecord, AuditEntry])
@given(data=st.data())
def test_record_is_read_back_equal_or_not_written(cls: Any, data: st.DataObject) -> None:
    """Any field may hold anything, also a null in a required field: no row is written that would be read differently
    or not at all."""
    record = data.draw(_records(cls, ODD))
    try:
        repeated = _read_again(record)
    except UnwritableError as error:
        assert "its field '" in str(error)
    else:
        assert repeated == record


def _step(**changes: Any) -> StepRecord:
    return StepRecord("d", 0, "s", "item", {}, (), {}, 60.0, **changes)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (_step(resource=Resource("Workspace", "i", None)), "name"),  # pyright: ignore[reportArgumentType]
        (_step(resource=Resource("Workspace", None, "n")), "id"),  # pyright: ignore[reportArgumentType]
        (_step(error=RecordedError("m", None)), "remedy"),  # pyright: ignore[reportArgumentType]
        (_step(operation=Operation("o", OperationPurpose.APPLY, "k", NAIVE)), "started_at"),
        (_step(intent=Intent(IntentAction.UPDATE, "m", {"x": (1, 2)})), "intent"),
        (_step(outputs={"x": float("nan")}), "outputs"),
        (_step(outputs={"x": {"a", "b"}}), "outputs"),
        (_step(outputs={1: "x"}), "outputs"),
        (_step(on_failure=None), "on_failure"),
        (_step(deliveries=True), "deliveries"),
    ],
)
def test_record_that_could_not_be_read_again_is_not_written(record: Record, field: str) -> None:
    """The error names the field."""
    with pytest.raises(UnwritableError, match=f"a StepRecord is not written: .*its field '{field}'"):
        encoded(record)


@pytest.mark.parametrize(("changes", "record"), [(StepChanges, StepRecord), (DeploymentChanges, DeploymentRecord)])
def test_changes_have_the_types_of_the_fields_that_they_change(changes: Any, record: Any) -> None:
    """The TypedDicts of changes have the fields of their records, so a changed field is checked like a new one."""
    assert get_type_hints(changes) == get_type_hints(record)


def full_step() -> StepRecord:
    """Return a record with a value in every field."""
    return StepRecord(
        "d", 3, "lh", "lakehouse", {"a": ["ü", 1]}, (0, 1), {"ws": 0}, 60.0,
        state=StepState.SUBMITTED, claim=Claim("o", NOW, 4), intent=Intent(IntentAction.UPDATE, "m", {"x": 1}, "id"),
        operation=Operation("op", OperationPurpose.APPLY, "create Notebook", NOW, None, 2),
        resource=Resource("L", "i", "n", "p"),
        outputs={"id": "i"}, error=recorded(errors.FabricRefusedError("no", call="POST /x", status=400)),
        wait_until=NOW, deadline_at=NOW + timedelta(hours=1), started_at=NOW,
    )  # fmt: skip


def test_records_are_read_as_they_were_written() -> None:
    """Times keep their microseconds and their time zone."""
    assert StepRecord.from_json(full_step().to_json()) == full_step()
    header = DeploymentRecord("d", "n", "t", DeploymentState.HELD, "h", NOW, problems=({"path": "$", "message": "m"},))
    assert DeploymentRecord.from_json(header.to_json()) == header


def test_records_of_an_unknown_version_are_refused() -> None:
    """The meaning of a newer program's row is not guessed."""
    with pytest.raises(UnknownVersionError, match="schema version 2"):
        StepRecord.from_json({**full_step().to_json(), "version": 2})


def _written(**changes: Any) -> Any:
    """Return the JSON of a step, with some members changed."""
    return {**json.loads(json.dumps(encoded(_step(started_at=NOW)))), **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "its field 'colour' is unknown"),
        ({"ordinal": "0"}, "its field 'ordinal' is of a type"),
        ({"ordinal": True}, "its field 'ordinal' is of a type"),
        ({"ordinal": None}, "its field 'ordinal' is of a type"),
        ({"spec": []}, "its field 'spec' is of a type"),
        ({"needs": ["0"]}, "its field 'needs' is of a type"),
        ({"needs": {}}, "its field 'needs' is of a type"),
        ({"state": "done"}, "its field 'state' is of a type or a value"),
        ({"started_at": NAIVE.isoformat()}, "its field 'started_at' is of a type or a value"),
        ({"started_at": 5}, "its field 'started_at' is of a type or a value"),
        ({"resource": "r"}, "its field 'resource' is of a type"),
        ({"resource": {"type": "T", "id": "i"}}, "in its field 'resource', its field 'name' is missing"),
        ({"resource": {"type": 1, "id": "i", "name": "n"}}, "in its field 'resource', its field 'type' is of a type"),
    ],
)
def test_field_that_this_version_does_not_write_is_refused(changes: Any, message: str) -> None:
    """It could only be guessed at, and the next write of the row would lose it."""
    with pytest.raises(UnknownVersionError, match=f"a StepRecord cannot be read: {message}"):
        StepRecord.from_json(_written(**changes))


def test_missing_field_without_a_default_is_refused() -> None:
    """The error names it."""
    data = _written()
    del data["step_id"]
    with pytest.raises(UnknownVersionError, match="its field 'step_id' is missing"):
        StepRecord.from_json(data)


def test_unknown_field_of_another_program_is_ignored_on_request() -> None:
    """The HTTP API shows more of a step than its row holds."""
    assert StepRecord.from_json(_written(colour="red"), ignore_unknown=True) == _step(started_at=NOW)


def test_change_of_an_unknown_field_is_refused() -> None:
    """dataclasses.replace refuses it in the same way."""
    changes: Any = {"colour": "red"}
    with pytest.raises(TypeError, match="has no field colour"):
        _step().replace(**changes)
