"""Every error a caller can see: whose fault it is, whether the handler ran, whether a retry is safe.

ServiceBusError
├── ConfigurationError    no     the program is set up wrongly
├── InvalidRequest        no     the request does not have the declared shape
├── MessageTooLarge       no     the encoded message is over the size limit
├── UnknownOperation      no     the service has no handler for it
├── Unauthorized          no     the service refused the caller
├── ChannelFull           no     the channel holds as many messages as it may
├── NoWorkers             no     no worker serves the channel
├── Overloaded            no     this process or the worker had no room
├── Unavailable           no     the server could not be reached, or it refused
├── DeadlineExceeded      no or maybe   the deadline passed before a reply came
├── SendUnknown           maybe  the connection was lost after the message left
├── WorkerLost            maybe  the worker ended before it replied
└── RemoteError           yes    the handler ran and failed
    └── ServiceError      yes    an error that a contract declares (``contract.service_errors``)

The middle column is ``executed``: "no" (the handler certainly did not start), "maybe" or "yes". "no" is a promise:
nothing in this package may set it on a guess. ``retryable`` tells whether sending the same request again is safe and
can help.
"""

from __future__ import annotations

from copy import copy
from typing import Any, Literal

import channels.exceptions

from .foundation.text import as_text, printable

LARGEST_MESSAGE = 1_048_576
"""Bytes: the largest ``max_message_size``."""

Executed = Literal["no", "maybe", "yes"]
Stage = Literal["queued", "dispatched"]


class ServiceBusError(Exception):
    """Base of every error raised by servicebus.

    The parts of an error that are text become str, whatever they were. ``type(error)(*error.args)`` makes the error
    again, also from ``args`` that were JSON meanwhile, as in the result backend of a task queue.
    """

    executed: Executed = "maybe"
    retryable: bool = False

    def __str__(self) -> str:
        """One line for a log or a terminal. Control characters that came from elsewhere are escaped."""
        try:
            text = as_text(self._text())
        except Exception:  # noqa: BLE001 - a derived class may have been made without its attributes
            text = ", ".join(map(as_text, self.args))
        return printable(text)

    def _text(self) -> str:
        return super().__str__()


def private_copy(error: ServiceBusError) -> ServiceBusError:
    """A copy of an error for one caller. An error that many callers raise would collect the tracebacks of them all."""
    mine = copy(error)
    mine.__cause__ = error.__cause__
    return mine


class ConfigurationError(ServiceBusError):
    """The program is set up wrongly: a URL, a name, a declaration. Raised before anything is sent."""

    executed: Executed = "no"


class ChannelFull(ServiceBusError, channels.exceptions.ChannelFull):  # type: ignore[misc] # channels has no types
    """The channel held ``capacity`` messages and refused this one. Retry with backoff."""

    executed: Executed = "no"
    retryable = True
    channel: str
    capacity: int

    def __init__(self, channel: str, capacity: int) -> None:
        super().__init__(as_text(channel), capacity)
        self.channel, self.capacity = self.args

    def _text(self) -> str:
        return f"channel {self.channel!r} is full ({self.capacity} messages): retry later, or add workers"


class NoWorkers(ServiceBusError):
    """No worker consumes the channel; the message was not queued.

    ``in_process``: only this process was asked, because the bus is on ``memory://``.
    """

    executed: Executed = "no"
    retryable = True
    channel: str
    in_process: bool

    def __init__(self, channel: str, in_process: bool = False) -> None:
        super().__init__(as_text(channel), in_process)
        self.channel, self.in_process = self.args

    def _text(self) -> str:
        if self.in_process:
            hint = "memory:// reaches no other: give the bus a URL, or set SERVICEBUS_URL"
            return f"no worker serves {self.channel!r} in this process, and {hint}"
        return f"no worker serves {self.channel!r}: start one with `servicebus worker`, at the same URL and prefix"


class Overloaded(ServiceBusError):
    """Refused before any handler started, because this process or the worker had no room."""

    executed: Executed = "no"
    retryable = True
    channel: str
    reason: str

    def __init__(self, channel: str, reason: str) -> None:
        super().__init__(as_text(channel), as_text(reason))
        self.channel, self.reason = self.args

    def _text(self) -> str:
        return f"{self.channel!r} is overloaded: {self.reason}"


class Unavailable(ServiceBusError):
    """The server could not be reached before anything was sent, or it refused the command."""

    executed: Executed = "no"
    retryable = True
    reason: str

    def __init__(self, reason: str, retryable: bool = True) -> None:
        super().__init__(as_text(reason), retryable)
        self.reason, self.retryable = self.args

    def _text(self) -> str:
        return self.reason


class SendUnknown(ServiceBusError):
    """Contact was lost after the message left and before an answer came: it may or may not have been handled."""

    channel: str
    reason: str

    def __init__(self, channel: str, reason: str = "the connection was lost") -> None:
        super().__init__(as_text(channel), as_text(reason))
        self.channel, self.reason = self.args

    def _text(self) -> str:
        return f"what became of a message to {self.channel!r} is unknown: {self.reason} before an answer came"


class DeadlineExceeded(ServiceBusError, TimeoutError):
    """The deadline passed. Stage "queued": it never started and never will. Stage "dispatched": it may have run."""

    channel: str
    operation: str
    stage: Stage

    def __init__(self, channel: str, operation: str, stage: Stage) -> None:
        super().__init__()
        # Set here: OSError, of which TimeoutError is one, takes a third argument for the name of a file.
        self.args = as_text(channel), as_text(operation), stage
        self.channel, self.operation, self.stage = self.args
        self.executed = "no" if stage == "queued" else "maybe"
        self.retryable = False

    def _text(self) -> str:
        fate = "it was never started" if self.stage == "queued" else "it may have run"
        return f"{self.operation!r} on {self.channel!r} got no reply before its deadline: {fate}"


class WorkerLost(ServiceBusError):
    """The worker that held the message is gone and has not replied."""

    def __init__(self, channel: str) -> None:
        super().__init__(as_text(channel))
        self.channel = as_text(channel)

    def _text(self) -> str:
        return f"the worker that took the message from {self.channel!r} was lost before it replied"


class UnknownOperation(ServiceBusError):
    """The worker has no handler for this ``type``. In the middle of a deployment another worker may have one."""

    executed: Executed = "no"
    retryable = True
    operation: str
    known: tuple[str, ...]

    def __init__(self, operation: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(as_text(operation), tuple(map(as_text, known)))
        self.operation, self.known = self.args

    def _text(self) -> str:
        return f"unknown operation {self.operation!r}; this service knows: {', '.join(self.known) or 'none'}"


class InvalidRequest(ServiceBusError):
    """The request does not have the declared shape. ``field`` is its path, such as ``$.lines[0].sku``."""

    executed: Executed = "no"
    reason: str
    field: str

    def __init__(self, reason: str, field: str = "$") -> None:
        super().__init__(as_text(reason), as_text(field))
        self.reason, self.field = self.args

    def _text(self) -> str:
        return self.reason if self.field == "$" else f"{self.reason} (field {self.field})"


class MessageTooLarge(ServiceBusError, channels.exceptions.MessageTooLarge):  # type: ignore[misc] # as above
    """The encoded message is over the size cap, in bytes. Nothing was sent."""

    executed: Executed = "no"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size, self.limit = size, limit

    def _text(self) -> str:
        advice = "send less"
        if self.limit < LARGEST_MESSAGE:
            advice += ", or raise max_message_size here and at the worker"
        return f"message of {self.size} bytes is over the limit of {self.limit}: {advice}"


class Unauthorized(ServiceBusError):
    """The service refused the caller before the handler started."""

    executed: Executed = "no"
    operation: str
    reason: str

    def __init__(self, operation: str, reason: str = "") -> None:
        super().__init__(as_text(operation), as_text(reason))
        self.operation, self.reason = self.args

    def _text(self) -> str:
        return f"not allowed to call {self.operation!r}" + (f": {self.reason}" if self.reason else "")


class RemoteError(ServiceBusError):
    """The handler ran and failed. ``code`` is stable, ``message`` is text that is safe to show, ``details`` is data.

    ``executed`` is something else than "yes" only when the worker said so.
    """

    executed: Executed = "yes"
    code: str = "internal"
    message: str = ""
    details: Any = None

    def __init__(self, code: str, message: str = "", details: Any = None, executed: Executed = "yes") -> None:
        parts = as_text(code) or "internal", as_text(message), details
        super().__init__(*parts, *(() if executed == "yes" else (executed,)))
        self.code, self.message, self.details = parts
        self.executed = executed

    def _text(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code
