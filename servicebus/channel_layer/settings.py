"""The arguments of a layer, checked. The errors are ValueErrors, as those of channels_redis are."""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any, Protocol

from ..layers.limits import CapacityOf, Limits

CAPACITY = 100
"""Messages per channel, unless the site sets it: the default of channels_redis."""
GROUP_EXPIRY = 86_400
"""Seconds after which a member that no consumer listens on leaves a group: the default of channels_redis, a day."""
RANDOM_PREFIX_LENGTH = 12
"""Bytes of the random prefix of what ``serialize`` returns: the default of channels_redis."""

logger = logging.getLogger(__name__)


class HasCapacity(Protocol):
    """A layer. A site may override ``get_capacity``, and may change what it returns at any time."""

    def get_capacity(self, channel: str) -> Any: ...


def checked_limits(
    capacity: int, channel_capacity: Mapping[str | re.Pattern[str], int] | None, expiry: float
) -> Limits:
    """The limits that a layer is configured with.

    Raises:
        ValueError: a capacity is not a whole number of messages.
    """
    if not isinstance(channel_capacity, Mapping | None):
        raise ValueError(f"channel_capacity is {channel_capacity!r}: a dict of patterns and capacities")
    for value in (capacity, *(channel_capacity or {}).values()):
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"a capacity is a whole number of messages, not {value!r}")
    return Limits(capacity, dict(channel_capacity or {}), expiry)


def live_limits(configured: Limits, layer: HasCapacity) -> Limits:
    """The limits of ``layer``: its capacities are asked for at every send. They do not keep the layer alive.

    When ``get_capacity`` raises, or the layer is gone, the capacity is the one that was configured.
    """
    reference, fallback = weakref.ref(layer), CapacityOf(configured)

    def capacity_of(channel: str) -> int:
        asked = reference()
        try:
            return fallback.of_channel(channel) if asked is None else int(asked.get_capacity(channel))
        except Exception:
            room = fallback.of_channel(channel)
            logger.exception("get_capacity raised: %s has room for %d messages", channel, room)
            return room

    return replace(configured, capacity_of=capacity_of)


def check_seconds(name: str, value: object) -> None:
    """Check a duration.

    Raises:
        ValueError: ``value`` is not a finite number above 0.
    """
    if not isinstance(value, int | float) or not 0 < value < inf:
        raise ValueError(f"{name} is {value!r}: a number of seconds, more than 0")
