"""What was called and what ran, as a sequence of JSON texts that several processes write and a checker reads."""

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
"""What ``error.executed`` says, as an outcome."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened to the message ``id``, at an instant of the clock that all processes of a machine share.

    Attributes:
        kind: ``invoke`` and then its outcome, by the caller: ``ok`` (it ran; of a message that wants no reply: it was
            accepted), ``fail`` (it did not and will not run) or ``maybe``. ``start`` and ``end``, by the handler.
        by: who noted it.
        sender, channel, sequence: of an invocation: the messages of one sender to one channel are numbered upwards.
        deadline: of an invocation: the instant after which it must not start, 0 for none.
        reply: of an invocation: whether it wants one.
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
"""What is in front of each event in a file, and what only a whole one ends with."""

_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Event)


class Recorder:
    """Notes events, in memory (``events``) or, with a ``path``, as JSON texts that are added to that file (RFC 7464).

    Each event is one ``write``, so several processes may share a file. The kernel may cut the write of a process that
    is killed: the separator in front of each text is what tells a cut one from the next. Nothing here waits for
    anybody; a recorder may be used from any thread.
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
        """Around a call or a send: notes that it is made, and with what outcome the block was left."""
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
        """Around what a handler does."""
        self.note("start", id)
        yield
        self.note("end", id)

    def note(self, kind: Kind, id: str) -> None:
        """Note an event that has nothing but its kind."""
        self.write(Event(kind, id, time.monotonic(), self._by))

    def write(self, event: Event) -> None:
        if self._file is None:
            self.events.append(event)
            return
        text = SEPARATOR + _encoder.encode(event) + END
        if os.write(self._file, text) != len(text):
            raise OSError("an event of the history was written in part")


def read(*paths: str | Path) -> list[Event]:
    """The events of all files, in the order in which they happened. Raises msgspec.DecodeError on what is no event.

    An event that was cut, because its process was killed while it wrote, is left out: its ``write`` never returned, so
    nothing that comes after it has happened either.
    """
    texts = [text for path in paths for text in Path(path).read_bytes().split(SEPARATOR)]
    return sorted((_decoder.decode(text) for text in texts if text.endswith(END)), key=lambda event: event.at)
