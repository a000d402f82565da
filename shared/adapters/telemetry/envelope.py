"""Shared by both exporters: properties as text, the public part of an error, and the cloud role.

All text is one line of printable characters, as in the log, so that text from outside cannot forge anything.
"""

import traceback

from shared.adapters.telemetry.buffered import Signal
from shared.domain.errors import SagaError
from shared.domain.printable import escaped

ROLE = "fabric-saga"
"""The cloud role of every signal."""
MAX_CHARACTERS = 8192
"""The longest property value that Application Insights keeps."""
MAX_FRAMES = 50


def texts(signal: Signal) -> dict[str, str]:
    """Return the properties as text, as Application Insights keeps them: without None, booleans in lower case."""
    return {name: _text(value) for name, value in signal.properties.items() if value is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else escaped(str(value)[:MAX_CHARACTERS])[:MAX_CHARACTERS]


def message_of(error: BaseException | None) -> str:
    """Return the text of one of the app's errors. Any other text may contain secrets and stays in the app's log."""
    if isinstance(error, SagaError):
        return _text(str(error))
    return f"{type(error).__name__} (its text is in the app's log)"


def stack_of(error: BaseException | None) -> str:
    """Return where an error was raised: files, lines and functions, without its text and without source lines."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:] if error is not None else []
    return "\n".join(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in frames)
