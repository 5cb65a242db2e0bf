"""A service bus on the ASGI channel layer: calls, one-way messages and events over Redis lists, at most once."""

from .api.bus import Bus
from .api.context import Context, context
from .api.service import Service
from .bus import ServiceBus
from .contract.request import Request
from .contract.service_errors import ServiceError
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
    Unauthorized,
    Unavailable,
    UnknownOperation,
    WorkerLost,
)
from .protocol.codel import Shedding
from .protocol.concurrency_limit import Adaptive

__all__ = [
    "Adaptive",
    "Bus",
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
