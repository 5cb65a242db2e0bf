"""Policies against failures, as middleware. A bus has no policy unless it is given one.

``ServiceBus(middleware=[Retry(), Hedge(), CircuitBreaker(), Bulkhead(64)])``, outermost first. A policy belongs to one
bus and its event loop. For services there is ``Deduplicate``, which runs requests with the same idempotency key once.
"""

from .breaker import CircuitBreaker, CircuitOpen
from .bulkhead import Bulkhead, BulkheadFull, ExpiredInLine
from .deduplicate import Deduplicate
from .hedge import Hedge
from .idempotency import idempotent, without_key
from .memory import MemoryStore
from .outcome import Claim, Outcome, OutcomeStore
from .retry import Retry

__all__ = [
    "Bulkhead",
    "BulkheadFull",
    "CircuitBreaker",
    "CircuitOpen",
    "Claim",
    "Deduplicate",
    "ExpiredInLine",
    "Hedge",
    "MemoryStore",
    "Outcome",
    "OutcomeStore",
    "Retry",
    "idempotent",
    "without_key",
]
