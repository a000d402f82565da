"""Signals for monitors, which no single worker knows: table `signals`, one row for each signal."""

import json
from datetime import datetime
from typing import Any

from shared.adapters.storage.clients import StorageClients
from shared.adapters.storage.table import Table
from shared.domain.errors import ConflictError
from shared.domain.json import JsonObject
from shared.domain.ports import DriftedTarget, DriftSignal, PoisonSignal, SweepSignal

TABLE = "signals"
_SWEEP, _POISON, _DRIFT = ("sweep", "last"), ("poison", "all"), ("drift", "last")
_RACES = 20


class TableSignals:
    """Implements the port `Signals`."""

    def __init__(self, clients: StorageClients) -> None:
        self._table = Table(clients, TABLE)

    def record_sweep(self, sweep: SweepSignal) -> None:
        """Replace the stored sweep without a condition: the sweep that ends last is the last one."""
        row = {"at": sweep.at.isoformat(), "seconds": sweep.seconds, "counts": json.dumps(sweep.counts)}
        row["names"] = json.dumps(sweep.names)
        self._table.put(_entity(_SWEEP, row))

    def last_sweep(self) -> SweepSignal | None:
        """Return the last sweep, or None if it never happened."""
        row = self._table.read(*_SWEEP)
        if row is None:
            return None
        names = json.loads(row.get("names", "{}"))
        return SweepSignal(datetime.fromisoformat(row["at"]), float(row["seconds"]), json.loads(row["counts"]), names)

    def record_drift(self, drift: DriftSignal) -> None:
        """Replace the stored round."""
        record = {
            **vars(drift),
            "began_at": drift.began_at.isoformat(),
            "finished_at": drift.finished_at.isoformat() if drift.finished_at else None,
            "drifted": [{**vars(each), "items": list(each.items)} for each in drift.drifted],
        }
        self._table.put(_entity(_DRIFT, {"record": json.dumps(record)}))

    def last_drift(self) -> DriftSignal | None:
        """Return the last round, or None if it never happened."""
        row = self._table.read(*_DRIFT)
        if row is None:
            return None
        record: JsonObject = json.loads(row["record"])
        rows: list[JsonObject] = record["drifted"]
        finished: str | None = record["finished_at"]
        return DriftSignal(
            began_at=datetime.fromisoformat(record["began_at"]),
            finished_at=datetime.fromisoformat(finished) if finished else None,
            after=record["after"],
            targets=record["targets"],
            unread=record["unread"],
            drifted=tuple(
                DriftedTarget(each["target"], each["deployment_id"], each["count"], tuple(each["items"]))
                for each in rows
            ),
        )

    def record_poison_message(self, queue: str, at: datetime) -> None:
        """Add one to the count by a conditional write. Raises ConflictError if the row changes too often meanwhile."""
        for _ in range(_RACES):
            stored = self._table.read(*_POISON)
            row = _entity(_POISON, {"count": int(stored["count"]) + 1 if stored else 1, "queue": queue})
            row["at"] = at.isoformat()
            try:
                self._table.insert(row) if stored is None else self._table.replace(row, stored.metadata["etag"])
                return
            except ConflictError:
                continue
        raise ConflictError(f"the count of poison messages changed {_RACES} times during one write")

    def poison_signal(self) -> PoisonSignal | None:
        """Return the count and the last poison message, or None if it never happened."""
        row = self._table.read(*_POISON)
        if row is None:
            return None
        return PoisonSignal(int(row["count"]), datetime.fromisoformat(row["at"]), str(row["queue"]))


def _entity(keys: tuple[str, str], row: dict[str, Any]) -> dict[str, Any]:
    return {"PartitionKey": keys[0], "RowKey": keys[1], **row}
