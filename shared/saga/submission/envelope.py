"""A submission as it stands on the queue `deployments`: an envelope, with what is too large for a message in a blob."""

import json

from shared.domain.json import JsonObject, canonical
from shared.domain.ports import Blobs

MESSAGE_BYTES = 48 * 1024
"""A submission above this goes to a blob: a queue message holds 64 KiB, and base64 takes a third."""


def envelope(blobs: Blobs, deployment_id: str, body: JsonObject, requested_by: str, traceparent: str = "") -> str:
    """The text of the message. `body` is one of {"manifest": ...} and {"manifest_text": ...}.

    Raises StorageUnavailableError where a blob is needed and cannot be written.
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
