"""What looks like a secret in other people's texts becomes `***`, before the text reaches a record, a log or a page."""

import re

MASK = "***"
_BEFORE = r"(?<![\w-])(?=[\w-]{11,}+\.[\w-]{8})"
"""Where a word begins that a dot and another follow: each is gone through once, however often `eyJ` stands in it."""
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
    """The text without what looks like a secret. A second line of defence: it cannot know every secret by its look."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
