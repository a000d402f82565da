"""What both exporters say alike: properties as text, what may be told of an error, and whose signals they are.

All text is one line of printable characters, as in the log: what came from outside forges nothing there either.
"""

import traceback

from shared.adapters.telemetry.buffered import Signal
from shared.domain.errors import SagaError
from shared.domain.printable import escaped

ROLE = "fabric-saga"
"""The cloud role of every signal."""
MAX_CHARACTERS = 8192
"""Of a property's value: Application Insights keeps no more."""
MAX_FRAMES = 50


def texts(signal: Signal) -> dict[str, str]:
    """The properties as Application Insights keeps them: text; what is None is left out, booleans in lower case."""
    return {name: _text(value) for name, value in signal.properties.items() if value is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else escaped(str(value)[:MAX_CHARACTERS])[:MAX_CHARACTERS]


def message_of(error: BaseException | None) -> str:
    """Our errors say what may be told; the text of any other may hold anything, and stays in the app's log."""
    if isinstance(error, SagaError):
        return _text(str(error))
    return f"{type(error).__name__} (its text is in the app's log)"


def stack_of(error: BaseException | None) -> str:
    """Where it was raised: files, lines and functions, without the text of the error and without source lines."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:] if error is not None else []
    return "\n".join(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in frames)
