"""Which channels subscribe to which group of a hub. Pure: the instant ``now`` is given."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Subscription:
    """A channel in a group.

    Attributes:
        keepers: how many subscribers keep it there.
        ends: the instant at which it ends, once nobody keeps it.
    """

    keepers: int = 0
    ends: float = -math.inf

    def holds(self, now: float) -> bool:
        """Whether the channel is in the group at ``now``."""
        return self.keepers > 0 or self.ends > now


class Groups:
    """Subscriptions by group and channel. All instants are seconds on one clock. Not thread-safe."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, Subscription]] = {}

    def subscribe(self, group: str, channel: str) -> None:
        """Keep ``channel`` in ``group``. Each call needs an ``unsubscribe``."""
        self._groups.setdefault(group, {}).setdefault(channel, Subscription()).keepers += 1

    def unsubscribe(self, group: str, channel: str, ends: float) -> None:
        """One subscriber less keeps ``channel`` in ``group``. Without any, the subscription ends at ``ends``."""
        subscription = self._groups[group][channel]
        subscription.keepers -= 1
        subscription.ends = ends

    def channels(self, group: str, now: float) -> list[str]:
        """Return the channels in ``group``, sorted, and forget the subscriptions that have ended."""
        members = self._groups.get(group, {})
        for channel in [channel for channel, subscription in members.items() if not subscription.holds(now)]:
            del members[channel]
        if not members:
            self._groups.pop(group, None)
        return sorted(members)
