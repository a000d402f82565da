"""The audit proves a deployment: what a run leaves verifies, and any change to it is noticed."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import ConflictError, NotFoundError, UnknownVersionError
from shared.domain.ports import Change, NoteHead
from shared.domain.records import AuditEntry, DeploymentRecord, StepRecord
from shared.domain.states import DeploymentState, StepState
from shared.saga.audit.verify import Evidence, Verdict, read, verify
from tests.simulation.edges import Crash
from tests.simulation.test_laws import MEDALLION, failing
from tests.simulation.test_sweeper import pass_grace
from tests.simulation.world import World

pytestmark = pytest.mark.law(6)

Paths = Iterator[tuple[str | int, ...]]


@cache
def evidence(name: str) -> Evidence:
    """Return the evidence that a run of that kind leaves."""
    return read(RUNS[name]().journal, "d")


def succeeded() -> World:
    """Return a deployment that succeeded."""
    world = World()
    world.submit(MEDALLION)
    world.run()
    return world


def roll_back() -> World:
    """Return a failed deployment after its rollback and orphan check, with two notes in its audit."""
    world = World()
    world.submit(failing())
    world.run()
    world.submit(MEDALLION)
    pass_grace(world)
    world.sweep()
    world.clock.advance(1)
    world.submit({**MEDALLION, "name": "another"})
    return world


def expired() -> World:
    """Return a succeeded deployment that was rolled back when it expired: its audit has two ends."""
    world = World()
    world.submit({**copy.deepcopy(MEDALLION), "expiresAfter": "1h"})
    world.run()
    world.clock.advance(3601)
    world.sweep()
    world.run()
    return world


def rejected() -> World:
    """Return a deployment that was rejected and never began."""
    world = World()
    world.submit({"name": 7})
    return world


def in_progress() -> World:
    """Return a deployment that was accepted and has begun one step."""
    world = World()
    world.submit(MEDALLION)
    header, step = world.journal.step("d", 0)
    running = header.record.replace(state=DeploymentState.RUNNING)
    world.journal.write_header(Change(header, running, "test", "holds its target"))
    started = world.journal.write_step(Change(step, step.record.replace(state=StepState.INTENT), "test", ""))
    world.journal.write_step(Change(started, started.record.replace(attempt=1), "test", ""))
    return world


def forgotten() -> World:
    """Return a deployment past its retention: only the audit is left."""
    world = roll_back()
    world.clock.advance(world.policy.retention_seconds + 1)
    world.sweep()
    return world


RUNS: dict[str, Callable[[], World]] = {
    f.__name__: f for f in (succeeded, roll_back, expired, rejected, in_progress, forgotten)
}


def problems(verdict: Verdict) -> list[str]:
    """Return the differences as sentences."""
    return [str(each) for each in verdict.differences]


@pytest.mark.parametrize("name", RUNS)
def test_verify_proves_what_a_run_leaves(name: str) -> None:
    """After success, failure, expiry and rejection, in the middle of a run and after retention: no difference,
    and every entry is in its chain."""
    verdict = verify(evidence(name))
    assert problems(verdict) == []
    assert verdict.is_proven
    assert verdict.entries == len(evidence(name).entries) > 0


def test_verify_after_retention_needs_no_rows() -> None:
    """The journal is deleted, and the audit proves itself, with all its ends."""
    assert evidence("forgotten").header is None
    assert evidence("forgotten").steps == []
    assert verify(evidence("forgotten")).state == "compensated"


def test_verify_proves_a_deployment_accepted_in_part_and_cancelled() -> None:
    """Its accept was interrupted and never repeated: no step began, and the later orphan check changes no row."""
    world = World()
    journal: Any = world.journal
    submission = json.dumps({"deployment_id": "d", "manifest": MEDALLION}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_between", _dies)
        with pytest.raises(Crash):
            world.acceptance.accept(submission, "message")
    assert 0 < len(world.journal.steps("d")) < world.journal.header("d").record.step_count
    world.cancel("d")
    assert world.run() == [DeploymentState.CANCELLED]
    pass_grace(world)
    world.sweep()
    assert world.journal.header("d").record.orphan_checked_at is not None
    assert problems(verify(read(world.journal, "d"))) == []


def _dies(where: str) -> None:
    if "in part" in where:
        raise Crash(where)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Paths:
    """Yield the path of every value in a JSON document that is neither an object nor a list."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, child in children:
        found = True
        yield from leaves(child, (*path, key))
    if not found:
        yield path


def changed(data: Any, path: tuple[str | int, ...], *, is_deleted: bool) -> Any:
    """Return the document with the value at that path changed or removed."""
    copied = copy.deepcopy(data)
    at = copied
    for key in path[:-1]:
        at = at[key]
    if is_deleted:
        del at[path[-1]]
    elif isinstance(at[path[-1]], str):
        text = at[path[-1]]
        at[path[-1]] = text.replace("2026-", "2025-", 1) if "2026-" in text else f"{text[:-1]}~"
    else:
        at[path[-1]] = 7 if at[path[-1]] != 7 else 8
    return copied


@given(data=st.data())
def test_verify_notices_any_field_of_any_entry_or_row_that_was_changed(data: st.DataObject) -> None:
    """One changed or missing value is a difference, unless the record means the same without it."""
    was = evidence(data.draw(st.sampled_from(sorted(RUNS)), "run"))
    places = [("entries", i) for i in range(len(was.entries))] + [("steps", i) for i in range(len(was.steps))]
    places += [("header", 0)] if was.header is not None else []
    kind, index = data.draw(st.sampled_from(places), "record")
    record: Any = was.header if kind == "header" else getattr(was, kind)[index]
    as_json = json.loads(json.dumps(record.to_json()))
    path = data.draw(st.sampled_from(list(leaves(as_json))), "field")
    try:
        other = type(record).from_json(changed(as_json, path, is_deleted=data.draw(st.booleans(), "deleted")))
    except (UnknownVersionError, ValueError, TypeError):
        return  # A row that cannot be read is noticed by every reader.
    if other.to_json() == record.to_json():
        return
    tampered = (
        replace(was, header=other) if kind == "header" else replace(was, **{kind: _with(was, kind, index, other)})
    )
    assert verify(tampered).differences, f"{kind} {index} {path}"


def _with(was: Evidence, kind: str, index: int, record: AuditEntry | StepRecord) -> list[Any]:
    rows = list(getattr(was, kind))
    rows[index] = record
    return rows


@pytest.mark.parametrize("name", RUNS)
def test_verify_notices_any_entry_that_is_missing(name: str) -> None:
    """An entry is missing at the beginning, in the middle or at the end of a chain, or it is the last note; the comment
    below names what cannot be noticed."""
    was = evidence(name)
    for i, removed in enumerate(was.entries):
        rest = [e for j, e in enumerate(was.entries) if j != i]
        is_last_word = was.header is None and i == max(
            j for j, e in enumerate(was.entries) if e.subject == "deployment" and e.link and e.link.note is None
        )
        if is_last_word:
            continue  # After retention, only a copy of the last hash elsewhere shows that an entry was the last.
        assert verify(replace(was, entries=rest)).differences, removed


@pytest.mark.parametrize("name", RUNS)
def test_verify_notices_any_entry_that_was_inserted_or_moved(name: str) -> None:
    """A copy of an entry has another number, an entry is there twice, or two have changed places."""
    was = evidence(name)
    for i, entry in enumerate(was.entries):
        later = replace(entry, sequence=entry.sequence + 1, before=entry.after)
        for extra in (entry, later):
            entries = [*was.entries[: i + 1], extra, *was.entries[i + 1 :]]
            assert verify(replace(was, entries=entries)).differences, extra
    for i, (one, two) in enumerate(zip(was.entries, was.entries[1:], strict=False)):
        swapped = [replace(two, at=one.at), replace(one, at=two.at)] if one.at != two.at else []
        if swapped:
            entries = [*was.entries[:i], *swapped, *was.entries[i + 2 :]]
            assert verify(replace(was, entries=entries)).differences, one
            entries = [*was.entries[:i], two, one, *was.entries[i + 2 :]]
            assert verify(replace(was, entries=entries)).differences, one


@pytest.mark.parametrize("name", ["succeeded", "roll_back", "expired", "in_progress"])
def test_verify_notices_a_row_that_is_missing_or_was_inserted(name: str) -> None:
    """Every step of the graph must have a row, and there must be no other."""
    was = evidence(name)
    for i, step in enumerate(was.steps):
        assert verify(replace(was, steps=[s for j, s in enumerate(was.steps) if j != i])).differences, step
        assert verify(replace(was, steps=[*was.steps, step.replace(ordinal=99)])).differences, step
    assert verify(replace(was, header=None)).differences or name in ("succeeded", "roll_back", "expired")


def test_verify_notices_entries_of_another_deployment() -> None:
    """An audit does not prove a deployment with another id, even one of the same manifest."""
    was = evidence("succeeded")
    header = was.header.replace(deployment_id="e") if was.header else None
    steps = [s.replace(deployment_id="e") for s in was.steps]
    assert verify(replace(was, deployment_id="e", header=header, steps=steps)).differences


def test_verify_notices_notes_that_were_never_written_or_are_missing() -> None:
    """The chain of the notes has the length that its head says."""
    was = evidence("roll_back")
    assert was.notes is not None
    for head in (None, NoteHead(was.notes.number + 1, was.notes.hash), NoteHead(was.notes.number, "0" * 64)):
        assert verify(replace(was, notes=head)).differences


def without_hashes[T: (AuditEntry, StepRecord, DeploymentRecord)](record: T) -> T:
    """Return the evidence as an older version wrote it."""
    data = {k: v for k, v in record.to_json().items() if k not in ("chain", "link", "correlation_id")}
    return type(record).from_json(data)


def test_verify_replays_entries_without_hashes_but_does_not_prove_them() -> None:
    """Entries and rows without hashes are read and replayed; the verdict has their number."""
    was = evidence("succeeded")
    assert was.header is not None
    old = Evidence(
        "d",
        [without_hashes(e) for e in was.entries],
        without_hashes(was.header),
        [without_hashes(s) for s in was.steps],
        None,
    )
    verdict = verify(old)
    assert (problems(verdict), verdict.unchained, verdict.is_proven) == ([], len(old.entries), False)
    worse = [e for e in old.entries if (e.subject, e.after) != ("step_00000", "intent")]
    assert verify(replace(old, entries=worse)).differences


def test_verify_notices_hashes_that_were_removed() -> None:
    """Entries without hashes may come before those with hashes, never after them; and a row records that it had one."""
    was = evidence("succeeded")
    for i, entry in enumerate(was.entries):
        entries = [*was.entries[:i], without_hashes(entry), *was.entries[i + 1 :]]
        assert verify(replace(was, entries=entries)).differences, entry


def test_read_refuses_an_unknown_deployment_and_one_that_keeps_changing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither deployment gets a verdict."""
    world = in_progress()
    with pytest.raises(NotFoundError):
        read(world.journal, "nobody")
    original = world.journal.audit

    def moving(deployment_id: str) -> list[AuditEntry]:
        header = world.journal.header(deployment_id)
        world.journal.write_header(Change(header, header.record, "test", "heartbeat"))
        return original(deployment_id)

    monkeypatch.setattr(world.journal, "audit", moving)
    with pytest.raises(ConflictError, match="when the deployment is idle"):
        read(world.journal, "d")
