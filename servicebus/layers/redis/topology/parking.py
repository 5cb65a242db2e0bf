"""Frames that wait while the slot of their channel moves to another primary. No I/O; instants are given.

A frame that a node did not take was certainly not pushed. It is parked, and with it everything that is sent to its
channel meanwhile, until the slots have been read again and the old node has answered all that it got. So order is kept,
and nothing is sent twice.
"""

from __future__ import annotations

from enum import Enum

from ....foundation.memo import MAX_ENTRIES
from ...delivery import Delivery


class Parked:
    """The frames of one channel that wait.

    Attributes:
        since: the instant since which the channel has been in trouble, in seconds.
        size: bytes of all frames.
        answered: the old node has answered all that it got, so no more frames come back.
        back: frames that the old node did not take, oldest first.
        new: frames that were sent since, oldest first.
    """

    __slots__ = ("answered", "back", "new", "since", "size")

    def __init__(self, since: float) -> None:
        self.since = since
        self.size = 0
        self.answered = False
        self.back: list[Delivery] = []
        self.new: list[Delivery] = []

    def add(self, delivery: Delivery) -> None:
        """Park a frame that was sent just now."""
        self.new.append(delivery)
        self.size += len(delivery.frame)

    def add_back(self, deliveries: list[Delivery]) -> None:
        """Park frames that came back from a node, in their order."""
        self.back += deliveries
        self.size += sum(len(delivery.frame) for delivery in deliveries)

    def remove(self, delivery: Delivery) -> bool:
        """Take one frame out. False: it is not here."""
        for waiting in (self.back, self.new):
            if delivery in waiting:
                waiting.remove(delivery)
                self.size -= len(delivery.frame)
                return True
        return False

    def take(self) -> list[Delivery]:
        """Take all frames out, in the order in which they were sent."""
        deliveries = self.back + self.new
        self.back, self.new, self.size = [], [], 0
        return deliveries


class Decision(Enum):
    """What becomes of the parked frames of a channel."""

    WAIT = "the old node has not answered yet, or the slot has no primary"
    RELEASE = "send them to the primary of the slot, and park no more"
    REFUSE = "they waited too long: refuse them, and park no more"
    REFUSE_AND_WAIT = (
        "they waited too long: refuse them; what comes waits for the old node's answers, or it could overtake"
    )


def decide(*, is_overdue: bool, answered: bool, has_primary: bool) -> Decision:
    """The decision about one channel.

    Args:
        is_overdue: its frames have waited for longer than an outage may last.
        answered: the old node has answered all that it got.
        has_primary: the slot has a primary now.
    """
    if is_overdue:
        return Decision.REFUSE if answered else Decision.REFUSE_AND_WAIT
    return Decision.RELEASE if answered and has_primary else Decision.WAIT


class Parking:
    """The parked channels of a Cluster.

    Args:
        max_outage: seconds that frames may wait.
        max_bytes: bytes of frames that may be parked; from then on nothing is taken.
    """

    def __init__(self, max_outage: float, max_bytes: int) -> None:
        self._max_outage = max_outage
        self.max_bytes = max_bytes
        self._parked: dict[str, Parked] = {}
        # Since when channels have been in trouble. Nodes may send a frame from one to the other: the wait of a frame is
        # that of its channel, all in all.
        self._trouble: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def __contains__(self, channel: str) -> bool:
        return channel in self._parked

    def get(self, channel: str) -> Parked | None:
        """The parked frames of a channel, None when it is not parked."""
        return self._parked.get(channel)

    def channels(self) -> list[str]:
        """The parked channels."""
        return list(self._parked)

    @property
    def is_full(self) -> bool:
        """Whether so many bytes wait that nothing more is taken."""
        return sum(waiting.size for waiting in self._parked.values()) >= self.max_bytes

    def park(self, channel: str, now: float) -> Parked:
        """Park a channel from now on."""
        found = self._parked[channel] = Parked(self._in_trouble_since(channel, now))
        return found

    def decide(self, channel: str, now: float, *, has_primary: bool) -> Decision:
        """The decision about a parked channel."""
        waiting = self._parked[channel]
        is_overdue = now - waiting.since > self._max_outage
        return decide(is_overdue=is_overdue, answered=waiting.answered, has_primary=has_primary)

    def end(self, channel: str) -> list[Delivery]:
        """Park a channel no more, and take its frames out, in order."""
        return self._parked.pop(channel).take()

    def end_all(self) -> list[Delivery]:
        """Park nothing any more, and take all frames out."""
        parked, self._parked = self._parked, {}
        return [delivery for waiting in parked.values() for delivery in waiting.take()]

    def settled(self, channel: str) -> None:
        """The new primary has taken what was released: if the channel moves again, its wait begins anew."""
        if channel not in self._parked:
            self._trouble.pop(channel, None)

    def _in_trouble_since(self, channel: str, now: float) -> float:
        longest = 2 * self._max_outage
        if len(self._trouble) >= MAX_ENTRIES or now - self._trouble.get(channel, now) > longest:
            self._trouble = {name: since for name, since in self._trouble.items() if now - since <= longest}
        return self._trouble.setdefault(channel, now)
