"""Frames that wait while the slot of their channel moves to another primary. No I/O; instants are given.

A frame that a node did not take was certainly not pushed. It is parked, and with it everything that is sent to its
channel meanwhile, until the slots have been read again and the old node has answered all that it got. Then the oldest
frame goes to the new primary alone. Only when that primary has taken it do the others follow: a primary that does not
have the slot yet could refuse the first frames and, a moment later, take those behind them. So order is kept, and
nothing is sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from ....foundation.memo import MAX_ENTRIES
from ...delivery import Delivery


class Parked:
    """The frames of one channel that wait.

    Attributes:
        since: the instant since which the channel has been in trouble, in seconds.
        size: bytes of all frames that wait here.
        answered: the node that was asked last has answered all that it got, so no more frames come back.
        back: frames that a node did not take, oldest first.
        new: frames that were sent since, oldest first.
        trial: the frame that was sent ahead of the others, None while none is on its way.
        taken_by: the primary that took a frame which was sent ahead, or refused it as the holder of the slot may.
    """

    __slots__ = ("answered", "back", "new", "since", "size", "taken_by", "trial")

    def __init__(self, since: float) -> None:
        self.since = since
        self.size = 0
        self.answered = False
        self.back: list[Delivery] = []
        self.new: list[Delivery] = []
        self.trial: Delivery | None = None
        self.taken_by: object | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no frame waits here."""
        return not self.back and not self.new

    def add(self, delivery: Delivery) -> None:
        """Park a frame that was sent just now."""
        self.new.append(delivery)
        self.size += len(delivery.frame)

    def add_back(self, deliveries: list[Delivery]) -> None:
        """Park frames that came back from a node, in their order."""
        if self.trial is not None and any(delivery is self.trial for delivery in deliveries):
            self.trial = None
            self.back[:0] = deliveries
        else:
            self.back += deliveries
        self.size += sum(len(delivery.frame) for delivery in deliveries)

    def remove(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Take frames out, in one pass however many they are. Returns those that were here."""
        unwanted, removed = set(map(id, deliveries)), list[Delivery]()
        for waiting in (self.back, self.new):
            removed += [delivery for delivery in waiting if id(delivery) in unwanted]
            waiting[:] = [delivery for delivery in waiting if id(delivery) not in unwanted]
        self.size -= sum(len(delivery.frame) for delivery in removed)
        return removed

    def take_trial(self) -> Delivery:
        """Take the oldest frame out, to send it ahead of the others."""
        delivery = self.trial = (self.back or self.new).pop(0)
        self.size -= len(delivery.frame)
        self.answered = False
        return delivery

    def trial_ended(self, primary: object) -> None:
        """Note that ``primary`` has answered. A frame that did not come back until now was taken, or refused."""
        self.answered = True
        if self.trial is not None:
            self.trial = None
            self.taken_by = primary

    def take(self) -> list[Delivery]:
        """Take all frames out, in the order in which they were sent."""
        deliveries = self.back + self.new
        self.back, self.new, self.size = [], [], 0
        return deliveries


class Decision(Enum):
    """What becomes of the parked frames of a channel."""

    WAIT = "a node has not answered yet, or the slot has no primary"
    TRY = "send the oldest frame to the primary of the slot; the others wait until it was taken"
    RELEASE = "send them to the primary of the slot, and park no more"
    REFUSE = "they waited too long: refuse them, and park no more"
    REFUSE_AND_WAIT = "they waited too long: refuse them; what comes waits for a node's answers, or it could overtake"


def decide(*, is_overdue: bool, answered: bool, has_primary: bool, is_proven: bool) -> Decision:
    """The decision about one channel.

    Args:
        is_overdue: its frames have waited for longer than an outage may last.
        answered: the node that was asked last has answered all that it got.
        has_primary: the slot has a primary now.
        is_proven: that primary took a frame of this channel already, or no frame waits.
    """
    if is_overdue:
        return Decision.REFUSE if answered else Decision.REFUSE_AND_WAIT
    if not (answered and has_primary):
        return Decision.WAIT
    return Decision.RELEASE if is_proven else Decision.TRY


class Parking:
    """The parked channels of a Cluster.

    Args:
        max_outage: seconds that frames may wait.
        max_bytes: bytes of frames that may be parked; from then on nothing is taken.

    Attributes:
        parked: the parked frames of each parked channel. Only this class changes it.
    """

    def __init__(self, max_outage: float, max_bytes: int) -> None:
        self._max_outage = max_outage
        self.max_bytes = max_bytes
        self.parked: dict[str, Parked] = {}
        # Since when channels have been in trouble. Nodes may send a frame from one to the other: the wait of a frame is
        # that of its channel, all in all.
        self._trouble: dict[str, float] = {}

    @property
    def is_full(self) -> bool:
        """Whether so many bytes wait that nothing more is taken."""
        return sum(waiting.size for waiting in self.parked.values()) >= self.max_bytes

    def park(self, channel: str, now: float) -> Parked:
        """Park a channel from now on."""
        found = self.parked[channel] = Parked(self._in_trouble_since(channel, now))
        return found

    def decide(self, channel: str, now: float, primary: object | None) -> Decision:
        """The decision about a parked channel, whose slot has this primary now."""
        waiting = self.parked[channel]
        return decide(
            is_overdue=now - waiting.since > self._max_outage,
            answered=waiting.answered,
            has_primary=primary is not None,
            is_proven=waiting.taken_by is primary or waiting.is_empty,
        )

    def end(self, channel: str) -> list[Delivery]:
        """Park a channel no more, and take its frames out, in order."""
        return self.parked.pop(channel).take()

    def end_all(self) -> list[Delivery]:
        """Park nothing any more, and take all frames out."""
        parked = list(self.parked.values())
        self.parked.clear()
        return [delivery for waiting in parked for delivery in waiting.take()]

    def settled(self, channel: str) -> None:
        """The new primary has taken what was released: if the channel moves again, its wait begins anew."""
        if channel not in self.parked:
            self._trouble.pop(channel, None)

    def _in_trouble_since(self, channel: str, now: float) -> float:
        longest = 2 * self._max_outage
        if len(self._trouble) >= MAX_ENTRIES or now - self._trouble.get(channel, now) > longest:
            self._trouble = {name: since for name, since in self._trouble.items() if now - since <= longest}
        return self._trouble.setdefault(channel, now)
