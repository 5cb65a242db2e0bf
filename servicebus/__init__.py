"""A service bus on the ASGI channel layer: calls, one-way messages and events over Redis lists, at most once."""

from .api.context import Context, context
from .api.service import Service
from .bus import ServiceBus
from .contract.request import Request
from .errors import (
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
    ServiceError,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    WorkerLost,
)
from .protocol.codel import Shedding
from .protocol.concurrency_limit import Adaptive

__all__ = [
    "Adaptive",
    "ChannelFull",
    "ConfigurationError",
    "Context",
    "DeadlineExceeded",
    "InvalidRequest",
    "MessageTooLarge",
    "NoWorkers",
    "Overloaded",
    "RemoteError",
    "Request",
    "SendUnknown",
    "Service",
    "ServiceBus",
    "ServiceBusError",
    "ServiceError",
    "Shedding",
    "Unauthorized",
    "Unavailable",
    "UnknownOperation",
    "WorkerLost",
    "context",
]
