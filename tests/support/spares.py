"""Clusters that tests want for themselves: while one test has its own, the nodes of the next agree already."""

from __future__ import annotations

from servicebus.testing.servers import Cluster
from servicebus.testing.waiting import wait_until

AGREE_WITHIN = 60.0
"""Seconds for the nodes of a new cluster to agree on a busy machine."""


class BegunCluster(Cluster):
    """One whose start does not wait until the nodes agree, which takes two seconds of doing nothing."""

    _is_begun = False

    def start(self) -> None:
        super().start()
        self._is_begun = True

    def agreed(self) -> bool:
        return not self._is_begun or super().agreed()


def is_as_it_was_started(cluster: Cluster) -> bool:
    """Not so when the machine stood still while it waited to be used, and replicas took over."""
    return all(cluster.primary(number) is cluster.nodes[number] for number in range(3))


class Spares:
    """Has one more under way for as long as there are ``users`` left."""

    def __init__(self, users: int) -> None:
        self._users = users
        self._next: BegunCluster | None = None

    def take(self) -> BegunCluster:
        """One that has agreed. Whoever takes it ends it."""
        taken, self._next = self._next or self._begun(), None
        self._users -= 1
        if self._users > 0:
            self._next = self._begun()
        wait_until(taken.agreed, AGREE_WITHIN, "the nodes of the cluster agree")
        if not is_as_it_was_started(taken):
            taken.end()
            taken = self._begun()
            wait_until(taken.agreed, AGREE_WITHIN, "the nodes of the cluster agree")
        return taken

    def end(self) -> None:
        if self._next is not None:
            self._next.end()

    def _begun(self) -> BegunCluster:
        begun = BegunCluster(replicas=1)
        begun.start()
        return begun
