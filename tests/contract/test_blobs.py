"""The contract of the port Blobs: a payload is named by its hash, and the content of every read matches its name."""

import hashlib
import secrets
from typing import Any

import pytest
from azure.core.pipeline.transport import RequestsTransport

from shared.adapters.storage.blobs import CONTAINER, BlobStore
from shared.adapters.storage.clients import FIRST_BYTES, StorageClients
from shared.domain.errors import InvalidInputError, NotFoundError
from shared.domain.ports import Blobs
from tests.contract.harness import VARIANTS, at_once
from tests.fakes import MemoryBlobs


@pytest.fixture(params=VARIANTS)
def blobs(request: pytest.FixtureRequest) -> Blobs:
    """Return each implementation of the port Blobs in turn."""
    if request.param == "memory":
        return MemoryBlobs()
    return BlobStore(StorageClients(request.getfixturevalue("storage")))


@pytest.fixture
def clients(storage: str) -> StorageClients:
    """Return the account itself, to look behind the adapter."""
    return StorageClients(storage)


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 5_000_000])
def test_blob_is_read_by_its_hash(blobs: Blobs, size: int) -> None:
    """Any bytes are named by their SHA-256 and are read unchanged, whether they are kept in memory or not."""
    content = secrets.token_bytes(size)
    digest = blobs.put(content)
    assert digest == hashlib.sha256(content).hexdigest()
    assert blobs.get(digest) == content
    assert blobs.get(digest) == content


def test_room_is_asked_for_before_a_blob_is_in_memory(blobs: Blobs) -> None:
    """The caller is asked with the size, and an exception ends the read."""
    content, asked = secrets.token_bytes(5_000_000), list[int]()
    digest = blobs.put(content)
    assert blobs.get(digest, asked.append) == content
    assert asked == [len(content)]

    def full(size: int) -> None:
        raise MemoryError(size)

    with pytest.raises(MemoryError, match="5000000"):
        blobs.get(digest, full)


def test_blob_stored_twice_is_one_blob(blobs: Blobs) -> None:
    """The same content has the same name, also if eight threads store it at the same time."""
    content = secrets.token_bytes(1000)
    answers = at_once([lambda: blobs.put(content)] * 8)
    assert set(answers) == {hashlib.sha256(content).hexdigest()}
    assert blobs.get(blobs.put(content)) == content


def test_blob_that_does_not_exist_is_not_found(blobs: Blobs) -> None:
    with pytest.raises(NotFoundError):
        blobs.get(secrets.token_hex(32))


@pytest.mark.parametrize(
    "name", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "../" + "a" * 61, "0x" + "a" * 62, "٣" * 64]
)
def test_blob_name_that_is_not_a_digest_is_refused(blobs: Blobs, name: str) -> None:
    """Only 64 lower-case hex digits are a name; the service is never asked for anything else."""
    with pytest.raises(InvalidInputError):
        blobs.get(name)


@pytest.mark.azurite
def test_blob_that_was_changed_in_storage_is_detected(clients: StorageClients) -> None:
    """Content that does not match its hash is refused, and is not cached for the next reader."""
    content = secrets.token_bytes(100)
    digest = BlobStore(clients).put(content)
    blob = clients.blobs.get_blob_client(CONTAINER, digest)
    blob.upload_blob(content + b"!", overwrite=True)
    reader = BlobStore(clients)
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="was changed"):
            reader.get(digest)
    blob.upload_blob(content, overwrite=True)
    assert reader.get(digest) == content


@pytest.mark.azurite
def test_blob_of_an_account_without_the_container_is_not_found(
    clients: StorageClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read before the first write raises NotFoundError; the first write creates the container."""
    monkeypatch.setattr("shared.adapters.storage.blobs.CONTAINER", f"payloads-{secrets.token_hex(4)}")
    store = BlobStore(clients)
    with pytest.raises(NotFoundError):
        store.get("a" * 64)
    assert store.get(store.put(b"x")) == b"x"


@pytest.mark.azurite
def test_refused_blob_is_read_no_further_than_its_first_bytes(
    clients: StorageClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ranges = BlobStore(clients), list[str]()
    digest = store.put(secrets.token_bytes(5_000_000))
    send = RequestsTransport.send

    def full(size: int) -> None:
        raise MemoryError(size)

    def counting(self: Any, request: Any, **options: Any) -> Any:
        ranges.append(request.headers.get("x-ms-range", ""))
        return send(self, request, **options)

    monkeypatch.setattr(RequestsTransport, "send", counting)
    with pytest.raises(MemoryError):
        store.get(digest, full)
    assert ranges == [f"bytes=0-{FIRST_BYTES - 1}"]


@pytest.mark.azurite
def test_blob_cache_is_bounded(clients: StorageClients) -> None:
    """Only a few blobs stay in memory, and every blob is still read correctly."""
    store = BlobStore(clients)
    contents = [secrets.token_bytes(16) for _ in range(store._KEPT + 5)]
    assert [store.get(store.put(c)) for c in contents] == contents
    assert len(store._recent) == store._KEPT
    assert [store.get(hashlib.sha256(c).hexdigest()) for c in contents[:2]] == contents[:2]
