"""Replaces what looks like a secret with `***`, before a foreign text reaches a record, a log or a page."""

import re

MASK = "***"
_BEFORE = r"(?<![\w-])(?=[\w-]{11,}+\.[\w-]{8})"
"""The start of a word that a dot and another word follow. Each word is read once, however often it contains `eyJ`."""
_VALUE = r"[^\s,;&\"'<>]+"
_KEYS = (
    r"account_?key|shared_?access_?(?:key|signature)|sig|client_?secret|client_?assertion|"
    r"(?:access|refresh|id)_?token|api_?key|x-functions-key|x-identity-header|password|passwd|pwd"
)
_PATTERNS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    (re.compile(rf"\b(bearer|sharedkey|sharedkeylite)\s+{_VALUE}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(rf"\b({_KEYS})(\\?[\"']?\s*[=:]\s*\\?[\"']?){_VALUE}", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(rf"{_BEFORE}([\w-]*?)\beyJ[\w-]{{8,}}\.[\w-]{{8,}}(?:\.[\w-]*)?"), rf"\1{MASK}"),
)
"""Private keys, Authorization headers, `key=value` and JSON of the usual names, and JSON web tokens."""


def redacted(text: str) -> str:
    """Return the text without what looks like a secret. This is a second line of defence, and not complete."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
