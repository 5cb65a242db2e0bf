"""What a bus counts, and the four moments of a message that an observer can watch."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """Plain integers, counted since the bus was opened. Counting costs the hot path nothing that can be measured.

    Attributes:
        calls: calls started.
        late_replies: replies dropped because their call had ended, had never been made, or had its reply already.
        rejected_frames: frames dropped because they did not decode or verify, or were copies of signed frames.
        fenced_frames: frames dropped because another primary took them than the one they were popped from.
        shed_messages: requests refused because their queue was standing.
        cancelled: handlers ended because their caller went away.
        expired_messages: messages that were past their deadline or expiry when a worker took them; not started.
        lost_replies: replies that the layer did not take.
        full_subscribers: copies of events that a full subscriber missed.
        unanswered_errors: one-way messages and events that were refused or failed, so that only the log reports it.
        handled: handlers that ran to their end, whatever the outcome.
        failed: handlers that raised, among those handled.
    """

    calls: int = 0
    late_replies: int = 0
    rejected_frames: int = 0
    fenced_frames: int = 0
    shed_messages: int = 0
    cancelled: int = 0
    expired_messages: int = 0
    lost_replies: int = 0
    full_subscribers: int = 0
    unanswered_errors: int = 0
    handled: int = 0
    failed: int = 0


class SentMessage(Protocol):
    """A request or one-way message on the sending side.

    Attributes:
        channel: the channel it was sent to.
        operation: the operation called, or the name of the event.
        frame: its encoded form, so ``len(frame)`` is its size in bytes.
    """

    @property
    def channel(self) -> str: ...

    @property
    def operation(self) -> str: ...

    @property
    def frame(self) -> bytes: ...


class ReceivedMessage(Protocol):
    """A request, one-way message or event on the worker's side.

    Attributes:
        type: the operation called, or the name of the event.
        correlation_id: "" when the sender gave none; the call's own ID stands for it then.
        caller: the sending service of a one-way message or event; a request names it in ``reply_channel``.
        reply_channel: where the reply goes, "" when none is wanted.
    """

    @property
    def type(self) -> str: ...

    @property
    def correlation_id(self) -> str: ...

    @property
    def caller(self) -> str: ...

    @property
    def reply_channel(self) -> str: ...


class Observer(Protocol):
    """Watches the messages of one bus. ``ServiceBus(observer=...)``; without one, nothing is called.

    Every method runs on the event loop of the bus, in the middle of its work: it must return at once. What it raises is
    logged, once for each method, and disturbs no message. A message that was sent is settled exactly once, and one that
    was started is finished exactly once. The same object is passed to both, so an observer may keep what it needs
    between them, keyed by ``id(message)``.
    """

    def sent(self, message: SentMessage) -> None:
        """A request or one-way message was given to the layer."""
        ...

    def settled(self, message: SentMessage, error: BaseException | None) -> None:
        """The sender has its outcome: None for a reply, or for a one-way message that its channel took."""
        ...

    def started(self, channel: str, message: ReceivedMessage) -> None:
        """A worker begins to handle a message that it took from ``channel``."""
        ...

    def finished(self, channel: str, message: ReceivedMessage, error_code: str) -> None:
        """The handling ended: "" when the handler returned, else the code of the error (docs/spec.md, section 6)."""
        ...


class GuardedObserver:
    """An observer whose exceptions reach nobody: an error in a measurement must not fail or lose a message."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        # The methods that have raised. Each is logged once: they may be called a thousand times a second.
        self._failed: set[str] = set()

    def sent(self, message: SentMessage) -> None:
        self._call("sent", message)

    def settled(self, message: SentMessage, error: BaseException | None) -> None:
        self._call("settled", message, error)

    def started(self, channel: str, message: ReceivedMessage) -> None:
        self._call("started", channel, message)

    def finished(self, channel: str, message: ReceivedMessage, error_code: str) -> None:
        self._call("finished", channel, message, error_code)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            getattr(self._observer, name)(*arguments)
        except Exception:
            if name not in self._failed:
                self._failed.add(name)
                logger.exception("the observer's %s() failed; what it raises from now on is not logged", name)
