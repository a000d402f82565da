"""The contract of the port Signals: the last sweep is kept, and no poison message is missing from the count."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from shared.adapters.storage import queues, signal_table
from shared.adapters.storage.clients import StorageClients
from shared.adapters.storage.signal_table import TableSignals
from shared.domain.errors import StorageUnavailableError
from shared.domain.ports import DriftedTarget, DriftSignal, PoisonSignal, Signals, SweepSignal
from tests.contract.harness import VARIANTS, at_once
from tests.fakes import START, MemorySignals


@pytest.fixture(params=VARIANTS)
def signals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Signals:
    """Return each implementation of the port Signals in turn, empty."""
    if request.param == "memory":
        return MemorySignals()
    monkeypatch.setattr(signal_table, "TABLE", f"signals{uuid.uuid4().hex}")
    return TableSignals(StorageClients(request.getfixturevalue("storage")))


def test_signals_of_a_new_app_are_none(signals: Signals) -> None:
    assert signals.last_sweep() is None
    assert signals.poison_signal() is None
    assert signals.last_drift() is None


def test_signals_keep_the_last_round_of_the_drift_watch(signals: Signals) -> None:
    """The round is kept unfinished and finished, with every target that drifted."""
    drifted = DriftedTarget("straße", "d", 2, ("bronze (missing)", "gold (renamed)"))
    begun = DriftSignal(START, after="a", targets=3, unread=1, drifted=(drifted,))
    for signal in (begun, replace(begun, finished_at=START + timedelta(minutes=5), drifted=())):
        signals.record_drift(signal)
        assert signals.last_drift() == signal


def test_signals_keep_the_last_sweep(signals: Signals) -> None:
    """Its time, duration and counts are kept as given."""
    first = SweepSignal(START, 1.5, {"seen": 3, "stuck": 1}, {"stuck": ["d"]})
    signals.record_sweep(first)
    assert signals.last_sweep() == first
    later = replace(first, at=START + timedelta(minutes=5), counts={}, names={})
    signals.record_sweep(later)
    assert signals.last_sweep() == later


def test_signals_count_every_poison_message(signals: Signals) -> None:
    """Eight concurrent ones are counted as eight; the count has the time and the queue of the last one."""
    assert at_once([lambda: signals.record_poison_message("deployments", START)] * 8) == [None] * 8
    signals.record_poison_message("deployment-steps", START + timedelta(seconds=1))
    assert signals.poison_signal() == PoisonSignal(9, START + timedelta(seconds=1), "deployment-steps")


def test_signals_without_storage_raise_storage_unavailable() -> None:
    dead = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;TableEndpoint=http://127.0.0.1:9/a;"
    dead += "QueueEndpoint=http://127.0.0.1:9/a;BlobEndpoint=http://127.0.0.1:9/a;"
    with pytest.raises(StorageUnavailableError):
        TableSignals(StorageClients(dead)).last_sweep()


@pytest.mark.azurite
def test_queue_depths_count_waiting_messages_and_receive_none(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Visible, delayed and poison messages are counted, of the app's queues only. The age is that of the oldest
    visible message."""
    name = f"q{uuid.uuid4().hex[:12]}"
    for attribute, value in (("SUBMISSIONS", name), ("STEPS", f"{name}-steps"), ("_COMMON", name)):
        monkeypatch.setattr(queues, attribute, value)
    made: dict[str, Any] = {}
    for queue in (name, f"{name}-steps", f"{name}-poison", f"{name}-other"):
        made[queue] = QueueClient.from_connection_string(storage, queue)
        made[queue].create_queue()
    first = made[name].send_message("one")
    made[name].send_message("two")
    made[f"{name}-steps"].send_message("later", visibility_timeout=600)
    for _ in range(2):
        found = {d.name: d for d in queues.depths(StorageClients(storage))}
        assert {n: d.messages for n, d in found.items()} == {name: 2, f"{name}-steps": 1, f"{name}-poison": 0}
        assert found[name].oldest_at == first.inserted_on
        assert found[f"{name}-steps"].oldest_at is None
