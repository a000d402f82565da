"""A deployment is proved by its audit: what a run leaves verifies, and nothing of it can be changed unnoticed."""

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
    """What a run of that kind leaves behind."""
    return read(RUNS[name]().journal, "d")


def succeeded() -> World:
    """All applied."""
    world = World()
    world.submit(MEDALLION)
    world.run()
    return world


def roll_back() -> World:
    """A failure, put back and looked over, with two notes in its audit."""
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
    """A success that was put back when its time was up: two ends in one audit."""
    world = World()
    world.submit({**copy.deepcopy(MEDALLION), "expiresAfter": "1h"})
    world.run()
    world.clock.advance(3601)
    world.sweep()
    world.run()
    return world


def rejected() -> World:
    """Never begun."""
    world = World()
    world.submit({"name": 7})
    return world


def under_way() -> World:
    """Accepted, and one step has begun."""
    world = World()
    world.submit(MEDALLION)
    header, step = world.journal.step("d", 0)
    running = header.record.replace(state=DeploymentState.RUNNING)
    world.journal.write_header(Change(header, running, "test", "holds its target"))
    started = world.journal.write_step(Change(step, step.record.replace(state=StepState.INTENT), "test", ""))
    world.journal.write_step(Change(started, started.record.replace(attempt=1), "test", ""))
    return world


def forgotten() -> World:
    """Past its retention: the audit stands alone."""
    world = roll_back()
    world.clock.advance(world.policy.retention_seconds + 1)
    world.sweep()
    return world


RUNS: dict[str, Callable[[], World]] = {
    f.__name__: f for f in (succeeded, roll_back, expired, rejected, under_way, forgotten)
}


def problems(verdict: Verdict) -> list[str]:
    """The differences, as sentences."""
    return [str(each) for each in verdict.differences]


@pytest.mark.parametrize("name", RUNS)
def test_verify_proves_what_a_run_leaves(name: str) -> None:
    """Success, failure, expiry, refusal, in mid-run, and after retention: no difference, every entry in its chain."""
    verdict = verify(evidence(name))
    assert problems(verdict) == []
    assert verdict.is_proven
    assert verdict.entries == len(evidence(name).entries) > 0


def test_verify_after_retention_needs_no_rows() -> None:
    """The journal is gone, and the audit proves itself, ends and all."""
    assert evidence("forgotten").header is None
    assert evidence("forgotten").steps == []
    assert verify(evidence("forgotten")).state == "compensated"


def test_verify_proves_what_was_accepted_in_part_and_cancelled() -> None:
    """Its accept was cut short and never came again: nothing was begun, and looking it over later changes no row."""
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
    """Every place in a JSON value where something stands that is neither object nor list."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, child in children:
        found = True
        yield from leaves(child, (*path, key))
    if not found:
        yield path


def changed(data: Any, path: tuple[str | int, ...], *, is_deleted: bool) -> Any:
    """The value with another leaf in that place, or with none."""
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
    """One leaf anywhere is another, or is gone: a difference, unless the record says the same all the same."""
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
        return  # what cannot be read at all is noticed by whoever reads
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
    """From the beginning, the middle or the end of any chain, the last note too; but see what cannot be noticed."""
    was = evidence(name)
    for i, removed in enumerate(was.entries):
        rest = [e for j, e in enumerate(was.entries) if j != i]
        is_last_word = was.header is None and i == max(
            j for j, e in enumerate(was.entries) if e.subject == "deployment" and e.link and e.link.note is None
        )
        if is_last_word:
            continue  # after retention nothing but a copy of the last hash elsewhere tells that it was the last
        assert verify(replace(was, entries=rest)).differences, removed


@pytest.mark.parametrize("name", RUNS)
def test_verify_notices_any_entry_that_was_put_in_or_stands_elsewhere(name: str) -> None:
    """A copy of an entry under another number, the same twice, two in each other's place."""
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


@pytest.mark.parametrize("name", ["succeeded", "roll_back", "expired", "under_way"])
def test_verify_notices_a_row_that_is_missing_or_was_put_in(name: str) -> None:
    """Every step of the plan, and no other."""
    was = evidence(name)
    for i, step in enumerate(was.steps):
        assert verify(replace(was, steps=[s for j, s in enumerate(was.steps) if j != i])).differences, step
        assert verify(replace(was, steps=[*was.steps, step.replace(ordinal=99)])).differences, step
    assert verify(replace(was, header=None)).differences or name in ("succeeded", "roll_back", "expired")


def test_verify_notices_entries_of_another_deployment() -> None:
    """An audit does not prove a deployment of another id, even one of the same manifest."""
    was = evidence("succeeded")
    header = was.header.replace(deployment_id="e") if was.header else None
    steps = [s.replace(deployment_id="e") for s in was.steps]
    assert verify(replace(was, deployment_id="e", header=header, steps=steps)).differences


def test_verify_notices_notes_that_were_never_written_or_are_gone() -> None:
    """The notes' own chain is as long as its head says."""
    was = evidence("roll_back")
    assert was.notes is not None
    for head in (None, NoteHead(was.notes.number + 1, was.notes.hash), NoteHead(was.notes.number, "0" * 64)):
        assert verify(replace(was, notes=head)).differences


def without_hashes[T: (AuditEntry, StepRecord, DeploymentRecord)](record: T) -> T:
    """As an older version wrote it."""
    data = {k: v for k, v in record.to_json().items() if k not in ("chain", "link", "correlation_id")}
    return type(record).from_json(data)


def test_verify_replays_what_is_older_than_the_chain_but_does_not_call_it_proven() -> None:
    """Entries and rows without hashes are read and replayed; a verdict says how many bear none."""
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


def test_verify_of_an_audit_whose_hashes_were_taken_away_is_a_difference() -> None:
    """Older entries may stand before those with hashes, never after them; and a row remembers that it had one."""
    was = evidence("succeeded")
    for i, entry in enumerate(was.entries):
        entries = [*was.entries[:i], without_hashes(entry), *was.entries[i + 1 :]]
        assert verify(replace(was, entries=entries)).differences, entry


def test_read_tells_an_unknown_deployment_and_one_that_moves_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is judged."""
    world = under_way()
    with pytest.raises(NotFoundError):
        read(world.journal, "nobody")
    original = world.journal.audit

    def moving(deployment_id: str) -> list[AuditEntry]:
        header = world.journal.header(deployment_id)
        world.journal.write_header(Change(header, header.record, "test", "a sign of life"))
        return original(deployment_id)

    monkeypatch.setattr(world.journal, "audit", moving)
    with pytest.raises(ConflictError, match="when it rests"):
        read(world.journal, "d")
