"""The text of a message on the queue, which some clients send in base64."""

import base64
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.text import utf8


def decoded(content: bytes) -> str:
    """Return the text of a message: as it is, or, if a client encoded it (the extension's old default), from base64.

    A submission contains a colon or a brace, and base64 has neither. So content that is valid base64 of UTF-8 counts as
    base64, whatever it begins with. Its lines may be wrapped. Raises InvalidInputError for base64 of base64.
    """
    inner = _unpacked(content)
    if inner is None:
        return utf8(content)
    if _unpacked(inner):
        raise InvalidInputError([Problem("$", "is base64 of base64: encode the message once, or send it as it is")])
    if inner.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return utf8(inner)
    try:
        return inner.decode("utf-8-sig")
    except UnicodeDecodeError:
        return utf8(content)


def _unpacked(content: bytes) -> bytes | None:
    """Return what is encoded in base64; None if the content is not base64."""
    try:
        return base64.b64decode(b"".join(content.removeprefix(BOM_UTF8).split()), validate=True)
    except ValueError:
        return None
