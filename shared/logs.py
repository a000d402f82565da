"""The one place where log lines are made safe. What came from outside cannot forge a line, whatever logs it.

A message is one line: `shared.domain.printable.escaped`. A traceback stands below it, on lines that begin with `MARK`,
so none of its lines reads as a line of the log, whatever the error's text holds.
"""

import logging

from shared.domain.printable import escaped

MARK = "  | "
"""Begins each line of a traceback."""


class SafeRecord(logging.LogRecord):
    """A log record that formatters cannot make more than one line of, but for its marked traceback."""

    def getMessage(self) -> str:
        """Return the message with its arguments, escaped."""
        return escaped(super().getMessage())

    # The record's own dictionary keeps the text: `logging.makeLogRecord` fills in that one.
    @property
    def exc_text(self) -> str | None:
        """The traceback, as the first formatter made it."""
        return self.__dict__.get("exc_text")

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.__dict__["exc_text"] = text and "\n".join(MARK + escaped(line) for line in text.split("\n"))


def install() -> None:
    """Make every record of this process a `SafeRecord`, those of libraries too."""
    logging.setLogRecordFactory(SafeRecord)
