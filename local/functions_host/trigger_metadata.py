"""The metadata of a queue trigger: the message's properties, overwritten by the top-level properties of a JSON body.

Source: Azure/azure-functions-host, src/WebJobs.Script/Utility.cs, `ApplyBindingData`. Names are compared without regard
to case, so a body with `id` replaces the id of the message. A body that Python's json does not read is passed over;
the real host's reader also accepts comments and single quotes.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from local.functions_host.worker import Message, protocol

_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?(?:Z|[+-]\d\d:\d\d)?")


def of(message: Any, body: bytes) -> dict[str, Message]:
    """Return the metadata that the worker receives with a message and its decoded body."""
    found = {
        "Id": protocol.TypedData(string=message.id),
        "DequeueCount": protocol.TypedData(json=str(message.dequeue_count)),
        "PopReceipt": protocol.TypedData(string=message.pop_receipt),
        "ExpirationTime": protocol.TypedData(string=message.expires_on.isoformat()),
        "InsertionTime": protocol.TypedData(string=message.inserted_on.isoformat()),
        "NextVisibleTime": protocol.TypedData(string=message.next_visible_on.isoformat()),
    }
    names = {name.lower(): name for name in found}
    for name, value in _properties(body):
        found[names.setdefault(name.lower(), name)] = value
    return found


def _properties(body: bytes) -> Iterator[tuple[str, Message]]:
    """Yield the top-level properties of a JSON object, except arrays and nulls: objects as JSON, the rest as text."""
    try:
        text = body.decode().strip()
        top: Any = json.loads(text) if text.startswith("{") and text.endswith("}") else None
    except (ValueError, RecursionError):
        return
    if not isinstance(top, dict):
        return
    for name, value in top.items():  # pyright: ignore[reportUnknownVariableType] - JSON
        if isinstance(value, dict):
            yield str(name), protocol.TypedData(json=json.dumps(value))  # pyright: ignore[reportUnknownArgumentType]
        elif value is not None and not isinstance(value, list):
            yield str(name), protocol.TypedData(string=_text(value))  # pyright: ignore[reportUnknownArgumentType]


def _text(value: Any) -> str:
    """Return a value as .NET converts it to text. Newtonsoft reads a text that is an ISO time as a time."""
    if isinstance(value, str):
        if not _ISO_TIME.fullmatch(value):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return (moment.astimezone(UTC) if moment.tzinfo else moment).strftime("%m/%d/%Y %H:%M:%S")
    return str(value)
