"""Clusters for tests that need one alone: while a test uses its cluster, the nodes of the next one start."""

from __future__ import annotations

from servicebus.testing.servers import Cluster
from servicebus.testing.waiting import wait_until

AGREE_WITHIN = 20.0
"""Seconds within which the nodes must agree, also on a busy machine."""


class StartedCluster(Cluster):
    """A cluster whose ``start`` does not wait until the nodes agree, which takes two idle seconds."""

    _waits = False

    def start(self) -> None:
        """Start and join the nodes."""
        super().start()
        self._waits = True

    def agreed(self) -> bool:
        """Return whether all answering nodes agree; always True while the cluster starts."""
        return not self._waits or super().agreed()


def is_as_started(cluster: Cluster) -> bool:
    """Return whether every primary of the start is still a primary.

    A replica may have taken over when the machine stood still while the cluster waited to be used.
    """
    return all(cluster.primary(number) is cluster.nodes[number] for number in range(3))


class Spares:
    """Keeps one started cluster ready as long as tests that need one are left.

    Args:
        users: how many tests will take a cluster.
    """

    def __init__(self, users: int) -> None:
        self._users = users
        # The cluster for the next test; None before the first test and after the last but one.
        self._next: StartedCluster | None = None

    def take(self) -> StartedCluster:
        """Return a cluster whose nodes agree. The caller ends it."""
        taken, self._next = self._next or self._started(), None
        self._users -= 1
        if self._users > 0:
            self._next = self._started()
        wait_until(taken.agreed, AGREE_WITHIN, "the nodes of the cluster agree")
        if not is_as_started(taken):
            taken.end()
            taken = self._started()
            wait_until(taken.agreed, AGREE_WITHIN, "the nodes of the cluster agree")
        return taken

    def end(self) -> None:
        """End the cluster that no test took."""
        if self._next is not None:
            self._next.end()

    def _started(self) -> StartedCluster:
        started = StartedCluster(replicas=1)
        started.start()
        return started
