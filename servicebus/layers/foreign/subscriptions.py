"""Events are groups of a foreign layer. A subscription is a membership, which is refreshed before it could end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ...errors import ConfigurationError, Unavailable
from ...foundation import running_time
from .timing import ForeignTiming

DEFAULT_GROUP_EXPIRY = 86_400
"""Seconds that a membership lasts on a layer that does not tell: the default of the Channels specification."""

logger = logging.getLogger(__name__)


def refresh_period(group_expiry: float, refresh_every: float) -> float:
    """Return the seconds between two refreshes: four in the life of a membership, so that three may fail."""
    return min(group_expiry / 4, refresh_every)


class Subscriptions:
    """The memberships that one bus keeps."""

    def __init__(self, foreign: Any, timing: ForeignTiming) -> None:
        self._foreign = foreign
        self._join_within = timing.join_within
        self._period = refresh_period(getattr(foreign, "group_expiry", DEFAULT_GROUP_EXPIRY), timing.refresh_every)
        # Group and channel of each subscription, once for each time that it was added.
        self._kept: list[tuple[str, str]] = []
        # The task that refreshes, from the first subscription on.
        self._refreshing: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Refuse a layer without groups.

        Raises:
            ConfigurationError: the foreign layer has no groups, which events need.
        """
        if "groups" not in getattr(self._foreign, "extensions", ()):
            raise ConfigurationError(
                f"{type(self._foreign).__name__} has no groups, which events need: use a layer with that extension"
            )

    async def add(self, group: str, channel: str) -> None:
        """Let ``channel`` be a member of ``group`` and remain one.

        Cancelling is safe: the channel may be a member until its membership ends.

        Raises:
            ConfigurationError: the layer has no groups.
            Unavailable: the layer cannot add the channel.
        """
        self.check()
        try:
            await self._join(group, channel)
        except Exception as error:
            raise Unavailable(f"{channel} cannot subscribe to {group}: {error!r}") from error
        self._kept.append((group, channel))
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh(), name="refresh subscriptions")

    def remove(self, group: str, channel: str) -> None:
        """Refresh a membership no longer. It stays until it ends: another process of the service may refresh it."""
        if (group, channel) in self._kept:
            self._kept.remove((group, channel))

    async def close(self) -> None:
        """Refresh nothing any more. Cancelling is safe: the refreshing is cancelled already."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            for group, channel in list(self._kept):
                try:
                    await self._join(group, channel)
                except Exception as error:  # noqa: BLE001 - a foreign layer's error is of any type; retried next round
                    logger.warning("the subscription of %s to %s was not refreshed: %r", channel, group, error)

    async def _join(self, group: str, channel: str) -> None:
        async with running_time.timeout(self._join_within):
            await self._foreign.group_add(group, channel)
