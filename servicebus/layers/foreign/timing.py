"""How long the waits of a foreign layer's adapter take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignTiming:
    """All in seconds. The defaults suit every layer that we know; tests shorten them.

    Attributes:
        send_within: for one ``send`` or ``group_send`` of the layer. After that nobody knows whether it was sent.
            Longer than a busy server needs, and as long as a call waits that names no timeout.
        close_within: for what waits when the bus is closed. A layer that hangs may not hold up a shutdown.
        cancel_within: for a cancelled ``receive`` to end. It is abandoned after that.
        join_within: for one ``group_add``.
        refresh_every: a membership is refreshed at least so often. A server that was restarted has forgotten its
            groups, so this is also how long events may be missed after a restart.
        probe_within: for a worker to answer a probe, before the channel counts as one without workers. A probe is for
            people and for start-up, which wait for half a second without noticing.
        probe_lasts: for which a probe that nobody has answered stays in its channel. A second question meanwhile sends
            no second probe.
        verdict_within: after its deadline, for a call to hear that it was not started.
        wake_up_within: for the message that wakes a receive which nobody needs. The receive is cancelled after that.
        first_retry: before the second attempt to receive, after the first has failed.
        longest_retry: before each later attempt; the delay doubles until it is this long.
    """

    send_within: float = 5.0
    close_within: float = 2.0
    cancel_within: float = 2.0
    join_within: float = 5.0
    refresh_every: float = 10.0
    probe_within: float = 0.5
    probe_lasts: float = 10.0
    verdict_within: float = 0.25
    wake_up_within: float = 0.5
    first_retry: float = 0.05
    longest_retry: float = 2.0
