"""A pipeline's identity has exactly the rights that infra/ grants it, and they are sufficient."""

from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from shared import settings
from shared.adapters.storage.clients import StorageClients
from shared.adapters.storage.queues import TextQueue
from shared.bootstrap import command_line
from shared.bootstrap.parts import Stores
from shared.domain.errors import NotFoundError, StorageUnavailableError

pytestmark = pytest.mark.azurite


QUEUES_AND_TABLES = ("qt", ResourceTypes(container=True, object=True), AccountSasPermissions(read=True, add=True))
"""May add messages and read entities, and may not create a queue or a table."""
BLOBS = ("b", ResourceTypes(object=True), AccountSasPermissions(read=True, write=True, create=True))
"""May read and write blobs, and may not create a container."""


def narrowed(connection_string: str, services: str, types: ResourceTypes, permission: AccountSasPermissions) -> str:
    """Return a connection string of the same account with only these rights."""
    parts = dict(part.split("=", 1) for part in connection_string.split(";") if part)
    signature = generate_account_sas(
        parts["AccountName"],
        parts["AccountKey"],
        services=services,
        resource_types=types,
        permission=permission,
        expiry=datetime.now(UTC) + timedelta(hours=1),
        protocol="https,http",
    )
    endpoints = ";".join(f"{name}={value}" for name, value in parts.items() if name.endswith("Endpoint"))
    return f"{endpoints};SharedAccessSignature={signature}"


def storage_with(connection_string: str) -> Stores:
    """Return the command line's storage."""
    return command_line.storage(settings.load({"AzureWebJobsStorage": connection_string}))


def test_pipeline_rights_suffice_to_submit_and_to_follow(storage: str) -> None:
    """If infra/ has created everything, a pipeline can send a message, read the journal and store a large manifest."""
    whole = storage_with(storage)
    whole.blobs.put(b"made")
    whole.submit("made")
    listed = [header.deployment_id for header in whole.journal.deployments(None)]
    pipeline = storage_with(narrowed(storage, *QUEUES_AND_TABLES))
    pipeline.submit("{}")
    with pytest.raises(NotFoundError):
        pipeline.journal.header("unknown")
    assert [header.deployment_id for header in pipeline.journal.deployments(None)] == listed
    storage_with(narrowed(storage, *BLOBS)).blobs.put(b"large")


def test_pipeline_rights_create_no_queue(storage: str) -> None:
    """If the queue is missing the pipeline gets an error, and the queue is not created."""
    pipeline = StorageClients(narrowed(storage, *QUEUES_AND_TABLES))
    with pytest.raises(StorageUnavailableError, match="queue storage, send: HTTP 404 QueueNotFound"):
        TextQueue(pipeline, "not-made").send_text("x")
    assert "not-made" not in {queue.name for queue in StorageClients(storage).queues.list_queues()}
