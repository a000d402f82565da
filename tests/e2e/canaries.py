"""Planted secrets, and the search for them in everything that a stack wrote or answered."""

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.stack import Stack

FILES_WITH_KEYS = frozenset({"stack.json", "keys.json", "key.pem"})
"""Files of the local stack itself that must contain keys: its connection string, the function keys, the private key
of the TLS of the simulated vault."""


def forms(secret: str) -> dict[str, bytes]:
    """Return a secret as it is and in the forms in which it may travel: encoded at any offset, escaped, or reversed."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "reversed": raw[::-1],
        "percent-encoded": quote(secret, safe="").encode(),
        "form-encoded": quote(secret, safe="~").encode(),
        "hexadecimal": raw.hex().encode(),
        "JSON": json.dumps(secret)[1:-1].encode(),
        "UTF-16": secret.encode("utf-16-le"),
    }
    for offset in range(3):
        # Without the ends, which depend on the neighbouring characters.
        cut = base64.b64encode(b"\0" * offset + raw)[4 if offset else 0 : -4]
        found[f"base64 at {offset}"] = cut
        found[f"base64url at {offset}"] = cut.replace(b"+", b"-").replace(b"/", b"_")
    return found


def leaks(canaries: dict[str, str], dumps: Iterable[tuple[str, bytes]]) -> list[str]:
    """Return the names of the canaries that were found, each with its place and form."""
    wanted = {(name, form): needle for name, secret in canaries.items() for form, needle in forms(secret).items()}
    for (name, form), needle in wanted.items():
        assert words(needle) == needle, f"{name} ({form}) contains a separator"
    return [
        f"{name} ({form}) in {place}"
        for place, content in dumps
        for distinct in [words(content)]
        for (name, form), needle in wanted.items()
        if needle in distinct
    ]


def words(content: bytes) -> bytes:
    """Return each word of a text once, because a log repeats most of its words, and hundreds of forms are searched
    for. A secret has no white space and no quotation mark, so it lies within one word."""
    return b"\n".join(set(content.replace(b'"', b" ").split()))


def dumps(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Yield every table, queue and blob through the storage's API, then every file below the stack's folder: the
    emulator's own data (also what was deleted since), the engine's state, all logs, and the records of the simulated
    services."""
    tables = TableServiceClient.from_connection_string(stack.connection_string)
    for table in tables.list_tables():
        for entity in tables.get_table_client(table.name).list_entities():
            yield f"table {table.name}", json.dumps(dict(entity), default=str).encode()
    queues = QueueServiceClient.from_connection_string(stack.connection_string)
    for queue in queues.list_queues():
        for message in queues.get_queue_client(queue.name).peek_messages(max_messages=32):
            yield f"queue {queue.name}", str(message.content).encode()
    blobs = BlobServiceClient.from_connection_string(stack.connection_string)
    for container in blobs.list_containers():
        client = blobs.get_container_client(container.name)
        for name in client.list_blob_names():
            yield f"blob {container.name}/{name}", client.download_blob(name).readall()
    yield from files(stack.folder)


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file except those that must contain keys."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in FILES_WITH_KEYS:
            yield f"file {file.relative_to(folder)}", file.read_bytes()
