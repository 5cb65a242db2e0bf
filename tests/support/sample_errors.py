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
from servicebus.channel_layer.shards import Closed
from servicebus.gateway import refusals
from servicebus.layers.redis.sending.verdicts import Redirected
from servicebus.resilience import BulkheadFull, CircuitOpen, ExpiredInLine

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

RARE = [
    BulkheadFull("a.request", "10 calls are in flight"),
    ExpiredInLine("a.request", "reserve", "queued"),
    CircuitOpen("a.request", 1.5),
    Closed("this layer was closed"),
    NoWorkers("a.request", in_process=True),
    Redirected("another node has it"),
    refusals.HeadersTooLarge("too large"),
    refusals.MethodNotAllowed("POST"),
    refusals.NotExposed("not here"),
    refusals.RequestTimeout("too slow"),
    refusals.UnsupportedMediaType("no JSON"),
]
"""Errors of further classes, one each, and further forms of some."""
