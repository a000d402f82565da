"""The causes of an error that an adapter turns into one of the app's own.

The app's error does not chain its cause, because a vendor's text may contain a token, a key or an address. The debug
log gets the safe part of the causes instead: their types, statuses, error numbers and places, and never their texts.
"""

import logging
from pathlib import Path

log = logging.getLogger(__name__)

_MAX_CAUSES = 12


def log_cause[E: Exception](own: E, foreign: BaseException) -> E:
    """Log at DEBUG what caused `own`, and return `own` to be raised `from None`."""
    if log.isEnabledFor(logging.DEBUG):
        chain = " <- ".join(_described(cause) for cause in causes_of(foreign))
        log.debug("%s: %s", type(own).__name__, chain)
    return own


def causes_of(error: BaseException) -> list[BaseException]:
    """Return the error and all that it wraps: libraries keep the cause as `reason`, as an argument or as
    `inner_exception`."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < _MAX_CAUSES:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or cause in found:
            continue
        found.append(cause)
        waiting += [getattr(cause, "reason", None), getattr(cause, "inner_exception", None), *cause.args]
        waiting += [cause.__cause__, cause.__context__]
    return found


def _described(cause: BaseException) -> str:
    kind = type(cause)
    words = [f"{kind.__module__}.{kind.__name__}"]
    status = getattr(cause, "status_code", None)
    if isinstance(status, int):
        words.append(f"HTTP {status}")
    if isinstance(cause, OSError) and isinstance(cause.errno, int):
        words.append(f"errno {cause.errno}")
    trace = cause.__traceback__
    if trace is not None:
        while trace.tb_next is not None:
            trace = trace.tb_next
        words.append(f"at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
    return " ".join(words)
