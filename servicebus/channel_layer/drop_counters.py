"""What a layer drops: always counted and logged, never raised at a consumer."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..foundation.text import printable

logger = logging.getLogger(__name__)


class Losses:
    """Counters since the layer was made.

    Attributes:
        poisoned: messages that could not be read.
        group_drops: copies of group messages that a full channel missed.
        lost: messages that were to be given back to their channel when contact with the server was lost.
        on_group_drop: called in the I/O thread with group and channel for each of ``group_drops``.
    """

    def __init__(self, on_group_drop: Callable[[str, str], None] | None = None) -> None:
        self.on_group_drop = on_group_drop
        self.poisoned = self.group_drops = self.lost = 0

    def poison(self, channel: str, reason: str) -> None:
        """A message that cannot be read."""
        self.poisoned += 1
        logger.error("a message of %s cannot be read and was dropped: %s", channel, printable(reason))

    def group_drop(self, group: str, channel: str) -> None:
        """A full member missed a message."""
        self.group_drops += 1
        logger.info("group %s: %s is full and missed a message", printable(group), printable(channel))
        if self.on_group_drop is not None:
            try:
                self.on_group_drop(group, channel)
            except Exception:
                logger.exception("on_group_drop raised")

    def lose(self, channel: str, count: int, reason: str) -> None:
        """Messages that may not be delivered any more."""
        self.lost += count
        logger.warning("%d messages of %s were lost: %s", count, channel, printable(reason))
