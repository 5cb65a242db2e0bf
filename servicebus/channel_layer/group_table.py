"""Which channels of this process are in which group. The server only knows which processes are. I/O thread only."""

from __future__ import annotations

from collections.abc import Callable


class GroupTable:
    """Group to channel to the instant it was last added, in seconds on the monotonic clock."""

    def __init__(self, expiry: float) -> None:
        self.expiry = expiry
        self._groups: dict[str, dict[str, float]] = {}

    def __contains__(self, group: str) -> bool:
        return group in self._groups

    def __bool__(self) -> bool:
        return bool(self._groups)

    def names(self) -> list[str]:
        """The groups that have members here."""
        return list(self._groups)

    def add(self, group: str, channel: str, now: float) -> None:
        """Add a member, or refresh its age."""
        self._groups.setdefault(group, {})[channel] = now

    def discard(self, group: str, channel: str) -> None:
        """Remove a member if it is one."""
        members = self._groups.get(group)
        if members is not None:
            members.pop(channel, None)
            if not members:
                del self._groups[group]

    def members(self, group: str, now: float, is_live: Callable[[str], bool]) -> list[str]:
        """The members now. One that is older than the expiry goes, unless its consumer is waiting: that one stays."""
        members = self._groups.get(group, {})
        for channel in [name for name, added in members.items() if now - added > self.expiry]:
            if is_live(channel):
                members[channel] = now
            else:
                self.discard(group, channel)
        return list(members)

    def refresh(self, now: float, is_live: Callable[[str], bool]) -> None:
        """Members whose consumers are waiting are as good as just added."""
        for members in self._groups.values():
            for channel in members:
                if is_live(channel):
                    members[channel] = now

    def clear(self) -> None:
        self._groups.clear()
