"""The history of a test: which calls were made, which handlers ran, and when.

Several processes write it as a sequence of JSON texts (RFC 7464); ``checker.problems`` looks for broken promises in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from ..errors import ServiceBusError

Kind = Literal["invoke", "ok", "fail", "maybe", "start", "end"]
OUTCOME_OF: dict[str, Kind] = {"yes": "ok", "maybe": "maybe", "no": "fail"}
"""The outcome of a call whose error has this ``executed``."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event in the life of a message.

    Attributes:
        kind: the caller writes ``invoke``, then the outcome: ``ok`` (the message ran, or, when no reply was requested,
            the channel accepted it), ``fail`` (the message did not run and will not) or ``maybe``. The handler writes
            ``start`` and ``end``.
        id: of the message.
        at: the instant, in seconds of the monotonic clock, which all processes of a machine share.
        by: the process that wrote the event.
        sender: of an ``invoke``: who sends the message.
        channel: of an ``invoke``: where the message goes.
        sequence: of an ``invoke``: the sender numbers its messages to a channel upwards from 1; 0 for no number.
        deadline: of an ``invoke``: the instant after which the handler must not start, 0 for none.
        reply: of an ``invoke``: whether a reply was requested.
    """

    kind: Kind
    id: str
    at: float
    by: str = ""
    sender: str = ""
    channel: str = ""
    sequence: int = 0
    deadline: float = 0.0
    reply: bool = True


SEPARATOR, END = b"\x1e", b"\n"
"""The bytes before each event in a file, and the byte that only a complete event ends with."""

_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Event)


class Recorder:
    """Records events, in memory or in a file.

    Each event is one ``write`` system call, so several processes may share a file. The kernel may cut the write of a
    process that is killed; the separator before each event keeps such a fragment apart from the next event. A recorder
    may be used in any thread.

    Args:
        path: the file, to which events are added as JSON texts (RFC 7464). None keeps the events in memory.
        by: the name of this process in the events; its process ID by default.

    Attributes:
        events: without a ``path``, the events so far.
    """

    def __init__(self, path: str | Path | None = None, *, by: str = "") -> None:
        self._by = by or str(os.getpid())
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.events: list[Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    @contextmanager
    def calling(
        self,
        id: str,
        *,
        timeout: float = 0.0,
        sender: str = "",
        channel: str = "",
        sequence: int = 0,
        reply: bool = True,
    ) -> Iterator[None]:
        """Record an invocation, and, when the block ends, its outcome.

        Put the call or the send into the block. An error of the bus decides the outcome by its ``executed``; any other
        exception, cancellation too, means ``maybe``.

        Args:
            id: of the message; every message has another one.
            timeout: seconds until the deadline, 0 for none.
            sender: who sends the message; ``by`` by default.
            channel: where the message goes; needed to check order and capacity.
            sequence: the number of the message among those of the sender to the channel; needed to check order.
            reply: whether a reply was requested.
        """
        deadline = time.monotonic() + timeout if timeout else 0.0
        sender = sender or self._by
        self.write(Event("invoke", id, time.monotonic(), self._by, sender, channel, sequence, deadline, reply))
        outcome: Kind = "maybe"
        try:
            yield
            outcome = "ok"
        except ServiceBusError as error:
            outcome = OUTCOME_OF[error.executed]
            raise
        finally:
            self.note(outcome, id)

    @contextmanager
    def running(self, id: str) -> Iterator[None]:
        """Record the start of a handler, and its end unless the block raises. Put the handler's work into the block."""
        self.note("start", id)
        yield
        self.note("end", id)

    def note(self, kind: Kind, id: str) -> None:
        """Record an event without further attributes, at this instant."""
        self.write(Event(kind, id, time.monotonic(), self._by))

    def write(self, event: Event) -> None:
        """Record an event.

        Raises:
            OSError: the event could not be written whole.
        """
        if self._file is None:
            self.events.append(event)
            return
        text = SEPARATOR + _encoder.encode(event) + END
        if os.write(self._file, text) != len(text):
            raise OSError("an event of the history was written only in part; free some disk space")


def read(*paths: str | Path) -> list[Event]:
    """Return the events of all files, in the order in which they happened.

    A fragment, left by a process that was killed while it wrote an event, is skipped. That loses nothing: the ``write``
    never returned, so the process did nothing after it.

    Raises:
        msgspec.DecodeError: a file contains something that is not an event.
    """
    texts = [text for path in paths for text in Path(path).read_bytes().split(SEPARATOR)]
    return sorted((_decoder.decode(text) for text in texts if text.endswith(END)), key=lambda event: event.at)
