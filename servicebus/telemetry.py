"""What a bus counts. Plain integers: adding one costs nothing that the hot path would notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Since the bus was opened.

    Attributes:
        calls: calls started.
        late_replies: replies to calls that were over, never made, or already answered; dropped.
        rejected_frames: frames that did not decode or verify, and copies of signed ones; dropped.
        fenced_frames: frames of another primary than the one they were popped from; dropped.
        shed_messages: requests that were refused because the queue was standing.
        cancelled: handlers that were ended because their caller went away.
        expired_messages: messages taken after their deadline or expiry; not started.
        lost_replies: replies that the layer did not take.
        full_subscribers: copies of events that a full subscriber missed.
        unanswered_errors: one-way messages and events that were refused or failed, so that only the log tells.
        handled: handlers that ran to their end, whatever it was.
        failed: those of them that raised.
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
