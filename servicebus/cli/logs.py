"""The log of a command: one line for each record, without characters that control a terminal."""

from __future__ import annotations

import logging
from typing import Any

from ..foundation.text import printable

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class OneLine(logging.Formatter):
    """Formats each record as one line and indents tracebacks.

    So text from elsewhere, in a message or an exception, cannot look like a record of its own.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"    {printable(line)}" for line in text.split("\n"))


def set_up(level: int) -> None:
    """Log to standard error from now on, unless the program that runs the command has set up logging already."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
