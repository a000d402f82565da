"""A submission on the queue `deployments`: an envelope; a manifest that is too large for a message is in a blob."""

import json

from shared.domain.json import JsonObject, canonical
from shared.domain.ports import Blobs

MESSAGE_BYTES = 48 * 1024
"""A larger submission goes to a blob: a queue message has at most 64 KiB, and base64 takes a third of it."""


def envelope(blobs: Blobs, deployment_id: str, body: JsonObject, requested_by: str, traceparent: str = "") -> str:
    """Return the text of the message. `body` is one of {"manifest": ...} and {"manifest_text": ...}.

    Raises StorageUnavailableError if a blob is needed and cannot be written.
    """
    fields: JsonObject = {"deployment_id": deployment_id, "requested_by": requested_by}
    if traceparent:
        fields["traceparent"] = traceparent
    message = json.dumps({**fields, **body}, ensure_ascii=True)
    if len(message) <= MESSAGE_BYTES:
        return message
    name, content = next(iter(body.items()))
    blob = content if name == "manifest_text" else canonical(content)
    return json.dumps({**fields, "manifest_blob": blobs.put(blob.encode("utf-8", "surrogatepass"))}, ensure_ascii=True)
