"""Counts what a layer drops. A drop is never raised at a consumer. A few of each kind a second are logged."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..foundation.repeated_log import RepeatedLog
from ..foundation.text import printable

logger = logging.getLogger(__name__)


class DropCounters:
    """Counters since the layer was made.

    Attributes:
        poisoned: messages that could not be read.
        group_drops: copies of group messages that a full channel missed.
        lost: messages that were to be given back to their channel when contact with the server was lost.
        on_group_drop: called in the I/O thread with group and channel for each of ``group_drops``.
    """

    def __init__(self, on_group_drop: Callable[[str, str], None] | None = None) -> None:
        self.on_group_drop = on_group_drop
        self._log = RepeatedLog(logger)
        self.poisoned = 0
        self.group_drops = 0
        self.lost = 0

    def drop_unreadable(self, channel: str, reason: str) -> None:
        """Count a message that cannot be read."""
        self.poisoned += 1
        self._log.error("a message of %s cannot be read and was dropped: %s", channel, printable(reason))

    def drop_group_copy(self, group: str, channel: str) -> None:
        """Count a copy that a full member of a group missed, and call ``on_group_drop``."""
        self.group_drops += 1
        self._log.info("group %s: %s is full and missed a message", printable(group), printable(channel))
        if self.on_group_drop is not None:
            try:
                self.on_group_drop(group, channel)
            except Exception:
                logger.exception("on_group_drop raised")

    def drop_unreturned(self, channel: str, count: int, reason: str) -> None:
        """Count messages that may be back in their channel, and so must not be delivered from here."""
        self.lost += count
        self._log.warning("%d messages of %s were lost: %s", count, channel, printable(reason))
