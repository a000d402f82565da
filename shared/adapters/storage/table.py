"""One Azure table: conditional writes, reads and queries, with the errors of storage.

Every adapter that stores rows uses this class, so that one place decides what a failed condition is: a row that exists
already, that changed since it was read, or that was deleted, raises ConflictError.
"""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from shared.adapters.storage.clients import StorageClients, checked_key, ensure, mapped
from shared.domain.errors import ConflictError

_FAILED_CONDITION = (404, 409, 412)


class Table:
    """A table that is created when it is first used. Thread-safe.

    All methods raise StorageUnavailableError if the service does not respond. None checks Azure's limits: the caller
    does, before it writes. `options` go with every request.
    """

    def __init__(self, clients: StorageClients, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self._client: TableClient = clients.tables.get_table_client(name)
        self._options = dict(options or {})
        self._exists = False

    def read(self, partition: str, row: str) -> Any:
        """Return the row with its `metadata["etag"]`, or None."""
        with self._service("read"):
            try:
                return self._client.get_entity(partition, row, **self._options)
            except ResourceNotFoundError:
                return None

    def query(self, query: str = "", columns: list[str] | None = None, page: int | None = None) -> Iterator[Any]:
        """Yield the rows that match an OData filter, or all rows; `page` is how many rows one request returns."""
        with self._service("query"):
            options: dict[str, Any] = {"select": columns, "results_per_page": page, **self._options}
            if query:
                yield from self._client.query_entities(query, **options)
            else:
                yield from self._client.list_entities(**options)

    def insert(self, entity: Mapping[str, Any]) -> str:
        """Write a new row and return its ETag. Raises ConflictError if the row exists."""
        with self._condition():
            return str(self._client.create_entity(entity, **self._options)["etag"])

    def replace(self, entity: Mapping[str, Any], etag: str) -> str:
        """Replace the row that has this ETag and return the new one. Raises ConflictError if it has another."""
        with self._condition():
            return str(self._client.update_entity(entity, **condition_of(etag), **self._options)["etag"])

    def submit(self, operations: Sequence[Any]) -> list[Mapping[str, Any]]:
        """Write a batch, all or nothing, and return the answers in order. Raises ConflictError if a condition fails."""
        with self._condition():
            return self._client.submit_transaction(operations, **self._options)

    def put(self, entity: Mapping[str, Any]) -> None:
        """Write the row whether it exists or not."""
        with self._service("write"):
            self._client.upsert_entity(entity, mode=UpdateMode.REPLACE, **self._options)

    def delete(self, partition: str, row: str) -> None:
        """Delete the row; a missing row is not an error."""
        with self._service("delete"):
            self._client.delete_entity(partition, row, **self._options)

    @contextmanager
    def _condition(self) -> Generator[None]:
        with self._service("write"):
            try:
                yield
            except HttpResponseError as error:
                if error.status_code in _FAILED_CONDITION:
                    raise ConflictError("a condition of the write failed") from None
                raise

    @contextmanager
    def _service(self, action: str) -> Generator[None]:
        with mapped("table", f"{action} '{self.name}'"):
            if not self._exists:
                ensure(lambda: self._client.create_table(**self._options))
                self._exists = True
            yield


def condition_of(etag: str, mode: UpdateMode = UpdateMode.REPLACE) -> dict[str, Any]:
    """Return the vendor's arguments for an update of the row that has this ETag."""
    return {"mode": mode, "etag": etag, "match_condition": MatchConditions.IfNotModified}


def quoted(text: str) -> str:
    """Return a key as a literal for an OData filter, with its quotes doubled. Raises LimitError if it is not a key."""
    return literal(checked_key(text, "a key"))


def literal(text: str) -> str:
    """Return a text as a literal for an OData filter, with its quotes doubled. Unlike a key, it may have a slash."""
    return text.replace("'", "''")
