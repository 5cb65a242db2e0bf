"""What a layer was configured with, as its engine needs it."""

from __future__ import annotations

from dataclasses import dataclass

from ..layers.limits import Limits
from ..layers.redis.topology.target import Target

MAINTENANCE_INTERVAL = 2.0
"""Seconds between two rounds of maintenance at most, so that a message that expired does not occupy memory for long."""
MIN_MAINTENANCE_INTERVAL = 0.05
"""Seconds between two rounds of maintenance at least, whatever the expiry: a round looks at every mailbox."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a layer was configured with.

    Attributes:
        targets: the servers, one for each shard.
        prefix: of every key.
        limits: capacity and expiry.
        group_expiry: seconds after which a member that no consumer listens on leaves a group.
        client: the name of this process in its process-local channels.
    """

    targets: tuple[Target, ...]
    prefix: str
    limits: Limits
    group_expiry: float
    client: str

    @property
    def inbox(self) -> str:
        """The list that this process reads: everything sent to its process-local channels."""
        return f"{self.client}!"

    @property
    def maintenance_interval(self) -> float:
        """Seconds between two rounds of maintenance: a twentieth of the expiry, an eighth of that of groups."""
        interval = min(MAINTENANCE_INTERVAL, self.limits.expiry / 20, self.group_expiry / 8)
        return max(MIN_MAINTENANCE_INTERVAL, interval)
