"""How this process logs. Log lines are made safe here: text from outside cannot forge a line, whatever logs it.

A message is one line: `shared.domain.printable.escaped`. A traceback follows on lines that begin with `MARK`, so that
none of them reads as a line of the log, whatever the error's text contains.
"""

import logging

from shared.domain.printable import escaped

MARK = "  | "
"""Begins each line of a traceback."""


class SafeRecord(logging.LogRecord):
    """A log record that every formatter writes as one line, followed by its marked traceback."""

    def getMessage(self) -> str:
        """Return the message with its arguments, escaped."""
        return escaped(super().getMessage())

    # The record's own dictionary keeps the text: `logging.makeLogRecord` fills in that one.
    @property
    def exc_text(self) -> str | None:
        """Return the traceback as the first formatter wrote it."""
        return self.__dict__.get("exc_text")

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.__dict__["exc_text"] = text and "\n".join(MARK + escaped(line) for line in text.split("\n"))


AZURE_REQUESTS = "azure.core.pipeline.policies.http_logging_policy"
"""The SDK's logger of requests, two records each at Information."""


def install() -> None:
    """Make every record of this process a `SafeRecord`, those of libraries too, and silence the SDK's request log.

    The host cannot do the latter: it does not apply `logLevel` of host.json to a worker's loggers.
    """
    logging.setLogRecordFactory(SafeRecord)
    logging.getLogger(AZURE_REQUESTS).setLevel(logging.WARNING)
