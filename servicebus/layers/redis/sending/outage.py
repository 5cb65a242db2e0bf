"""An outage of one server: for how long messages wait it out, and what they get after that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ....errors import Unavailable
from ....foundation import running_time
from ....foundation.running_time import RunningTimer


class Outage:
    """Messages wait ``max_outage`` seconds for a connection. After that they are refused at once, until one is there.

    Time in which this process stood still does not count, because it could not connect then.

    Attributes:
        refusal: what everything is refused with now, None while messages are taken.
    """

    __slots__ = ("_max_outage", "_on_refusal", "_timer", "refusal")

    def __init__(self, max_outage: float, on_refusal: Callable[[Unavailable], None]) -> None:
        self._max_outage = max_outage
        # Refuses what waits already.
        self._on_refusal = on_refusal
        self._timer: RunningTimer | None = None
        self.refusal: Unavailable | None = None

    def begin(self, reason: str) -> None:
        """The connection is gone: let messages wait from now on."""
        self._cancel_timer()
        refuse = partial(self.refuse, Unavailable(reason))
        self._timer = running_time.of_running_loop().call_later(self._max_outage, refuse)

    def end(self) -> None:
        """There is a connection again."""
        self._cancel_timer()
        self.refusal = None

    def attempt_failed(self, error: Unavailable) -> None:
        """An attempt to connect failed. An error that waiting does not cure refuses everything at once."""
        if self.refusal is not None or not error.retryable:
            self.refuse(error)

    def refuse(self, error: Unavailable) -> None:
        """Refuse what waits, and what comes, until there is a connection."""
        self._cancel_timer()
        self.refusal = error
        self._on_refusal(error)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
