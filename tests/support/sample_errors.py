"""One or two errors of each class that the bus raises."""

from __future__ import annotations

from servicebus import (
    ChannelFull,
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    MessageTooLarge,
    NoWorkers,
    Overloaded,
    RemoteError,
    SendUnknown,
    ServiceBusError,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    WorkerLost,
)

from . import shop

RAISED = [
    ChannelFull("a.request", 10),
    ConfigurationError("wrong"),
    DeadlineExceeded("a.request", "x", "queued"),
    DeadlineExceeded("a.request", "x", "dispatched"),
    InvalidRequest("bad", "$.a"),
    MessageTooLarge(2, 1),
    NoWorkers("a.request"),
    Overloaded("a.request", "busy"),
    RemoteError("odd", "said so", {"a": 1}),
    SendUnknown("a.request"),
    ServiceBusError("what"),
    shop.Closed(until="noon"),
    Unauthorized("x", "no"),
    Unavailable("gone"),
    UnknownOperation("x", ("y",)),
    WorkerLost("a.request"),
]
