"""Events are the groups of a foreign layer: a subscription is a membership, said again before it could end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ...errors import ConfigurationError, Unavailable

JOIN_WITHIN = 5.0
LONGEST_PERIOD = 10.0

logger = logging.getLogger(__name__)


class Subscriptions:
    """The memberships that one bus keeps."""

    def __init__(self, foreign: Any) -> None:
        self._foreign = foreign
        self._kept: list[tuple[str, str]] = []
        self._keeping: asyncio.Task[None] | None = None
        # A server that was restarted has forgotten its groups: it is told again soon, however long they last.
        self._period = min(getattr(foreign, "group_expiry", 86_400) / 4, LONGEST_PERIOD)

    def check(self) -> None:
        """Raise ConfigurationError on a layer without groups."""
        if "groups" not in getattr(self._foreign, "extensions", ()):
            raise ConfigurationError(
                f"{type(self._foreign).__name__} has no groups, which events need: use a layer with that extension"
            )

    async def add(self, group: str, channel: str) -> None:
        """Let ``channel`` be a member and remain one. Raises ConfigurationError, Unavailable. Cancelling is safe."""
        self.check()
        try:
            await self._join(group, channel)
        except Exception as error:
            raise Unavailable(f"{channel} cannot subscribe to {group}: {error!r}") from error
        self._kept.append((group, channel))
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep(), name="keep subscriptions")

    def remove(self, group: str, channel: str) -> None:
        """Keep it no longer, if it was kept. It remains a member: another process of the service may keep it."""
        if (group, channel) in self._kept:
            self._kept.remove((group, channel))

    async def close(self) -> None:
        """Keep nothing any more. Cancelling is safe."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            for group, channel in list(self._kept):
                try:
                    await self._join(group, channel)
                except Exception as error:  # noqa: BLE001 - a foreign layer's own; the next round says it again
                    logger.warning("the subscription of %s to %s was not refreshed: %r", channel, group, error)

    async def _join(self, group: str, channel: str) -> None:
        async with asyncio.timeout(JOIN_WITHIN):
            await self._foreign.group_add(group, channel)
