"""Clients, limits that Azurite does not enforce, and the mapping of errors, for all storage adapters.

The limits are Azure's published ones ("Scalability and performance targets", "Understanding the Table service data
model"). Azurite accepts more, so a test that passes locally would otherwise fail in production.
"""

# The vendor annotates **kwargs as unknown, which makes every one of its methods partially unknown.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

import hashlib
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceExistsError
from azure.data.tables import TableServiceClient

from shared.adapters.causes import log_cause
from shared.adapters.connections import azure_transport, no_connection
from shared.domain.errors import LimitError, StorageAuthError, StorageUnavailableError

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

STRING_CHARACTERS = 32_768
"""UTF-16 characters in a string property (64 KiB)."""
ENTITY_BYTES = 1024 * 1024
PROPERTIES = 252
KEY_CHARACTERS = 1_024
ESCAPED_CHARACTERS = 512
"""1 KiB of UTF-16: Azure names both the characters and the bytes as a key's limit, so the smaller one holds."""
BATCH_OPERATIONS = 100
BATCH_BYTES = 4 * 1024 * 1024
MESSAGE_BYTES = 64 * 1024
FIRST_BYTES, CHUNK_BYTES = 1024 * 1024, 4 * 1024 * 1024
"""Bytes of a blob that the first request reads, whose answer tells the size of all, and that each further one reads."""
MAX_DELAY_SECONDS = 7 * 86400

_FORBIDDEN = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")


class _Options(TypedDict):
    transport: Any
    retry_total: int
    retry_backoff_factor: float
    initial_backoff: int
    increment_base: int
    random_jitter_range: int
    logging_enable: bool


class _Sizes(TypedDict):
    max_single_get_size: int
    max_chunk_get_size: int


class StorageClients:
    """The three services of one account, by connection string or by addresses and an identity. Pooled, thread-safe.

    The clients of queues and blobs are built when they are first used, because loading their libraries takes longer
    than everything else, and most commands only read tables.
    """

    def __init__(
        self,
        connection_string: str = "",
        *,
        table_uri: str = "",
        queue_uri: str = "",
        blob_uri: str = "",
        credential: Callable[[], Any] | None = None,
    ) -> None:
        self._connection_string, self._queue_uri, self._blob_uri = connection_string, queue_uri, blob_uri
        if connection_string:
            self.tables = TableServiceClient.from_connection_string(connection_string, **_options())
            return
        if credential is None or not (table_uri and queue_uri and blob_uri):
            raise StorageUnavailableError(
                "no storage account is configured: set AzureWebJobsStorage to a connection string, or "
                "AzureWebJobsStorage__tableServiceUri, __queueServiceUri and __blobServiceUri for an identity"
            )
        self._identity = credential()
        self.tables = TableServiceClient(table_uri, credential=self._identity, **_options())

    @cached_property
    def queues(self) -> "QueueServiceClient":
        """Return the client. Raises StorageUnavailableError if the service's address is not valid."""
        from azure.storage.queue import QueueServiceClient

        with _addressed("queue"):
            if self._connection_string:
                return QueueServiceClient.from_connection_string(self._connection_string, **_options())
            return QueueServiceClient(self._queue_uri, credential=self._identity, **_options())

    @cached_property
    def blobs(self) -> "BlobServiceClient":
        """Return the client. Raises StorageUnavailableError if the service's address is not valid."""
        from azure.storage.blob import BlobServiceClient

        sizes = _Sizes(max_single_get_size=FIRST_BYTES, max_chunk_get_size=CHUNK_BYTES)
        with _addressed("blob"):
            if self._connection_string:
                return BlobServiceClient.from_connection_string(self._connection_string, **_options(), **sizes)
            return BlobServiceClient(self._blob_uri, credential=self._identity, **_options(), **sizes)

    def ping(self) -> None:
        """Call tables and queues once each. Raises StorageUnavailableError."""
        with mapped("table", "ask"):
            next(iter(self.tables.list_tables(results_per_page=1)), None)
        with mapped("queue", "ask"):
            next(iter(self.queues.list_queues(results_per_page=1)), None)


@contextmanager
def _addressed(service: str) -> Generator[None]:
    try:
        yield
    except ValueError:  # its message may contain a part of the connection string
        raise StorageUnavailableError(f"AzureWebJobsStorage has no usable address of the {service} service") from None


def _options() -> _Options:
    return _Options(
        transport=azure_transport(),
        retry_total=3,
        retry_backoff_factor=0.3,
        # Tables use the line above, queues and blobs these: their default would wait for 90 s in total.
        initial_backoff=0,
        increment_base=1,
        random_jitter_range=1,
        logging_enable=False,
    )


@contextmanager
def mapped(service: str, action: str) -> Generator[None]:
    """Turn the vendor's errors into StorageUnavailableError or StorageAuthError. The caller handles others before."""
    try:
        yield
    except HttpResponseError as error:
        raise log_cause(unavailable(service, action, error), error) from None
    except AzureError as error:
        why = no_connection(error) or f"no answer ({type(error).__name__})"
        raise log_cause(StorageUnavailableError(f"{service} storage, {action}: {why}"), error) from None


def ensure(create: Callable[[], object]) -> None:
    """Create a table, a queue or a container unless it exists.

    A missing right to create it (403) is ignored: a pipeline's identity may only use what infra/ created, and if that
    is missing too, the next call reports it.
    """
    try:
        create()
    except ResourceExistsError:
        pass
    except HttpResponseError as error:
        if error.status_code != 403:
            raise


def unavailable(service: str, action: str, error: HttpResponseError) -> StorageUnavailableError:
    """Return the error in one line, without addresses, keys or signatures."""
    code = getattr(error, "error_code", None)
    name = getattr(code, "value", code) or "no error code"
    answer = f"HTTP {error.status_code} {name}" if error.status_code is not None else type(error).__name__
    where = f"{service} storage, {action}: {answer}"
    if error.status_code in (401, 403) or isinstance(error, ClientAuthenticationError):
        return StorageAuthError(f"{where}; grant the identity its data role on the account, or correct the connection")
    return StorageUnavailableError(where)


def checked_key(key: str, what: str) -> str:
    """Return the key if Azure Tables accepts it. Raises LimitError."""
    if len(key) > KEY_CHARACTERS or _FORBIDDEN.search(key):
        raise LimitError(f"{what} cannot be a key: {len(key)} characters, or one of / \\ # ? or a control character")
    return key


def escape_key(text: str) -> str:
    """Return any text as a table key, one to one: a special character becomes `=` and its UTF-8 bytes in hex.

    A text that would be too long (256 Chinese characters are) is replaced by its hash: `=h` and SHA-256.
    """
    escaped = "".join(c if c.isascii() and (c.isalnum() or c in "-._ ") else _hex(c) for c in text)
    if len(escaped) <= ESCAPED_CHARACTERS:
        return escaped
    return f"=h{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _hex(character: str) -> str:
    return "".join(f"={byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def _utf16_bytes(text: str) -> int:
    return 2 * len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass"))


def checked_entity(entity: Mapping[str, Any]) -> int:
    """Return an upper bound of an entity's size as Azure counts it, in bytes. Raises LimitError, which names the
    property and its size."""
    if len(entity) > PROPERTIES:
        raise LimitError(f"an entity has {len(entity)} properties; Azure Tables takes {PROPERTIES}")
    size = 0
    for name, value in entity.items():
        length = _utf16_bytes(value) if isinstance(value, str) else 16
        if length > STRING_CHARACTERS * 2:
            raise LimitError(f"property '{name}' has {length // 2} characters; Azure Tables takes {STRING_CHARACTERS}")
        size += 8 + 2 * len(name) + length
    if size > ENTITY_BYTES:
        raise LimitError(f"an entity has {size} bytes; Azure Tables takes {ENTITY_BYTES}")
    return size
