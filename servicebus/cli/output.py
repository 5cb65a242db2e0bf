"""The standard streams of a command. Their reader may go away at any time, as in ``servicebus call ... | head -0``."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def write(data: bytes) -> None:
    """Write bytes to standard output, in the encoding that they have. Without a standard output nothing is written."""
    if sys.stdout is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


def flush() -> None:
    """Write out what both streams still hold. Raises OSError when that fails, BrokenPipeError without a reader.

    The interpreter does the same when it ends, but prints a traceback then.
    """
    for stream in _streams():
        stream.flush()


def discard() -> None:
    """Drop what a stream without a reader still holds, so that the interpreter does not try to write it at its end."""
    for stream in _streams():
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):  # a stream that a test has put in place has no file descriptor
                _redirect_to_nothing(stream.fileno())


def _redirect_to_nothing(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def _streams() -> list[TextIO]:
    """Return standard output and standard error, of those that the process was started with."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
