"""The laws of the port Blobs: a payload is named by its content, and what is read has that name."""

import hashlib
import secrets

import pytest

from shared.adapters.blobs import CONTAINER, BlobStore
from shared.adapters.storage import StorageClients
from shared.domain.errors import InvalidInputError, NotFoundError
from shared.domain.ports import Blobs
from tests.contract.harness import VARIANTS, at_once
from tests.fakes import MemoryBlobs


@pytest.fixture(params=VARIANTS)
def blobs(request: pytest.FixtureRequest) -> Blobs:
    """The port Blobs, by either implementation."""
    if request.param == "memory":
        return MemoryBlobs()
    return BlobStore(StorageClients(request.getfixturevalue("storage")))


@pytest.fixture
def clients(storage: str) -> StorageClients:
    """The account itself, to look behind the adapter."""
    return StorageClients(storage)


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 5_000_000])
def test_blob_comes_back_by_its_hash(blobs: Blobs, size: int) -> None:
    """Any bytes, whether kept in memory or not, are named by their SHA-256 and come back as they went."""
    content = secrets.token_bytes(size)
    digest = blobs.put(content)
    assert digest == hashlib.sha256(content).hexdigest()
    assert blobs.get(digest) == content
    assert blobs.get(digest) == content


def test_blob_put_twice_is_harmless(blobs: Blobs) -> None:
    """The same content has the same name and is stored once, by eight threads at once too."""
    content = secrets.token_bytes(1000)
    answers = at_once([lambda: blobs.put(content)] * 8)
    assert set(answers) == {hashlib.sha256(content).hexdigest()}
    assert blobs.get(blobs.put(content)) == content


def test_blob_unknown_is_not_found(blobs: Blobs) -> None:
    """A name that nothing has is NotFoundError."""
    with pytest.raises(NotFoundError):
        blobs.get(secrets.token_hex(32))


@pytest.mark.parametrize(
    "name", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "../" + "a" * 61, "0x" + "a" * 62, "٣" * 64]
)
def test_blob_name_that_is_no_digest_is_refused(blobs: Blobs, name: str) -> None:
    """Only 64 lower-case hex digits are a name: nothing else is ever asked of the service."""
    with pytest.raises(InvalidInputError):
        blobs.get(name)


@pytest.mark.azurite
def test_blob_changed_behind_our_back_is_detected(clients: StorageClients) -> None:
    """Content that no longer has its hash is refused, and not kept for the next reader."""
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
    """Reading before anything was written is NotFoundError, and writing makes the container."""
    monkeypatch.setattr("shared.adapters.blobs.CONTAINER", f"payloads-{secrets.token_hex(4)}")
    store = BlobStore(clients)
    with pytest.raises(NotFoundError):
        store.get("a" * 64)
    assert store.get(store.put(b"x")) == b"x"


@pytest.mark.azurite
def test_blob_memory_is_bounded(clients: StorageClients) -> None:
    """However many are read, few are kept, and all come back right."""
    store = BlobStore(clients)
    contents = [secrets.token_bytes(16) for _ in range(store._KEPT + 5)]
    assert [store.get(store.put(c)) for c in contents] == contents
    assert len(store._recent) == store._KEPT
    assert [store.get(hashlib.sha256(c).hexdigest()) for c in contents[:2]] == contents[:2]
