"""Which channels of this process are in which group. The server only knows which processes are. No I/O.

Instants are in seconds on the monotonic clock. Used in the I/O thread only.
"""

from __future__ import annotations

from collections.abc import Callable

IsLive = Callable[[str], bool]
"""Whether a consumer waits for a channel."""


class GroupTable:
    """Group to channel to the instant at which the channel was last added.

    Attributes:
        expiry: seconds after which a member that no consumer listens on leaves its groups.
        size: memberships in all groups.
    """

    def __init__(self, expiry: float) -> None:
        self.expiry = expiry
        self.size = 0
        # No group in this table is empty.
        self._groups: dict[str, dict[str, float]] = {}

    def __contains__(self, group: str) -> bool:
        return group in self._groups

    def __bool__(self) -> bool:
        return bool(self._groups)

    def names(self) -> list[str]:
        """The groups that have members here."""
        return list(self._groups)

    def add(self, group: str, channel: str, now: float) -> None:
        """Add a member, or renew its membership."""
        members = self._groups.setdefault(group, {})
        self.size += channel not in members
        members[channel] = now

    def discard(self, group: str, channel: str) -> None:
        """Remove a member if it is one."""
        members = self._groups.get(group)
        if members is not None:
            self.size -= members.pop(channel, None) is not None
            if not members:
                del self._groups[group]

    def members(self, group: str, now: float, is_live: IsLive) -> list[str]:
        """The members now. A member older than the expiry is removed, or renewed when its consumer waits."""
        members = self._groups.get(group, {})
        for channel in [name for name, added in members.items() if now - added > self.expiry]:
            if is_live(channel):
                members[channel] = now
            else:
                self.discard(group, channel)
        return list(members)

    def refresh(self, now: float, is_live: IsLive) -> None:
        """Renew the membership of every channel whose consumer waits, and remove every member that is too old."""
        for members in self._groups.values():
            for channel in members:
                if is_live(channel):
                    members[channel] = now
        for group in self.names():
            self.members(group, now, is_live)

    def clear(self) -> None:
        """Remove every member of every group."""
        self._groups.clear()
        self.size = 0
