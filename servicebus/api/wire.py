"""How one bus writes, reads and bounds its messages: what the caller's half and the service's half have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..config import DEFAULT_MAX_MESSAGE_SIZE, DEFAULT_TIMING, BusConfig, Timing
from ..protocol.codec import PLAIN, Codec
from ..telemetry import Counters, GuardedObserver, Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Values that do not change while a bus is open. Only the counters count.

    Attributes:
        codec: writes and reads frames, signed or not.
        counters: what this bus counts.
        max_message_size: bytes of an encoded message, sent or received.
        expiry_ms: how long a message may lie unread.
        on_failover: what a worker does with messages that another primary had taken.
        timing: how long the waits inside take.
        observer: is told of every message, None when nobody watches.
    """

    expiry_ms: int
    codec: Codec = PLAIN
    counters: Counters = field(default_factory=Counters)
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    on_failover: Literal["drop", "keep"] = "drop"
    timing: Timing = DEFAULT_TIMING
    observer: Observer | None = None

    @classmethod
    def of(cls, config: BusConfig, codec: Codec, observer: Observer | None) -> Wire:
        """The wire of a bus with these settings, its counters at 0."""
        return cls(
            codec=codec,
            max_message_size=config.max_message_size,
            expiry_ms=int(config.expiry * 1000),
            on_failover=config.on_failover,
            timing=config.timing,
            observer=GuardedObserver(observer) if observer is not None else None,
        )
