"""The cursors of lists that come in pages: texts that callers send back unread."""

import base64
import binascii

from shared.domain.json import JsonObject

NEXT: JsonObject = {"type": ["string", "null"], "description": "The cursor of the next page, or null."}
"""The schema of the member `next` of a page."""
UNKNOWN = "is not a cursor of this API; begin again without one"


def encode(position: str) -> str:
    """Return the cursor of a position."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """Return the position of a cursor, or '' for any other text."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
