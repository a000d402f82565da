"""What monitors must know and no single worker does: table `signals`, one row each."""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import json
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from shared.adapters.storage.clients import StorageClients, ensure, mapped
from shared.domain.errors import ConflictError
from shared.domain.ports import PoisonSignal, SweepSignal

TABLE = "signals"
_SWEEP, _POISON = ("sweep", "last"), ("poison", "all")
_RACES = 20


class TableSignals:
    """Implements the port `Signals`."""

    def __init__(self, clients: StorageClients) -> None:
        self._table: TableClient = clients.tables.get_table_client(TABLE)
        self._is_there = False

    def record_sweep(self, sweep: SweepSignal) -> None:
        """One unconditional write: whichever sweep ends last is the last."""
        row = {"at": sweep.at.isoformat(), "seconds": sweep.seconds, "counts": json.dumps(sweep.counts)}
        row["names"] = json.dumps(sweep.names)
        with mapped("table", "write a signal"):
            self._ensure()
            self._table.upsert_entity(_entity(_SWEEP, row), mode=UpdateMode.REPLACE)

    def last_sweep(self) -> SweepSignal | None:
        """One point read."""
        row = self._read(_SWEEP)
        if row is None:
            return None
        names = json.loads(row.get("names", "{}"))
        return SweepSignal(datetime.fromisoformat(row["at"]), float(row["seconds"]), json.loads(row["counts"]), names)

    def record_poison_message(self, queue: str, at: datetime) -> None:
        """Read, add one, write on condition that nobody else did; again a few times."""
        for _ in range(_RACES):
            stored = self._read(_POISON)
            row = _entity(_POISON, {"count": int(stored["count"]) + 1 if stored else 1, "queue": queue})
            row["at"] = at.isoformat()
            with mapped("table", "write a signal"):
                try:
                    if stored is None:
                        self._table.create_entity(row)
                    else:
                        self._table.update_entity(
                            row,
                            mode=UpdateMode.REPLACE,
                            etag=stored.metadata["etag"],
                            match_condition=MatchConditions.IfNotModified,
                        )
                    return
                except HttpResponseError as error:
                    if error.status_code not in (409, 412):
                        raise
        raise ConflictError("too many others count poisoned messages at once")

    def poison_signal(self) -> PoisonSignal | None:
        """One point read."""
        row = self._read(_POISON)
        if row is None:
            return None
        return PoisonSignal(int(row["count"]), datetime.fromisoformat(row["at"]), str(row["queue"]))

    def _read(self, keys: tuple[str, str]) -> Any:
        with mapped("table", "read a signal"):
            self._ensure()
            try:
                return self._table.get_entity(*keys)
            except ResourceNotFoundError:
                return None

    def _ensure(self) -> None:
        if not self._is_there:
            ensure(self._table.create_table)
            self._is_there = True


def _entity(keys: tuple[str, str], row: dict[str, Any]) -> dict[str, Any]:
    return {"PartitionKey": keys[0], "RowKey": keys[1], **row}
