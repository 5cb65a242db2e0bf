"""A primary, its replicas, and the Sentinels that watch them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from ..waiting import wait_until
from .block_scoped import BlockScoped
from .ports import HOST
from .sentinel_server import PRIMARY_NAME, SentinelServer, SentinelSettings
from .sentinel_topology import SentinelTopology
from .server import Server, follows

AGREE_WITHIN = 20.0
"""Seconds within which servers and Sentinels must agree, also on a busy machine and after several failovers."""
REPLICATION = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
"""Options of every server: a primary serves a new replica at once, instead of waiting for further replicas."""


class SentinelGroup(BlockScoped):
    """``with SentinelGroup() as group:`` starts all servers, and waits until the Sentinels know all of them.

    Args:
        replicas: the number of replicas.
        sentinels: the number of Sentinels.
        down_after: seconds without an answer after which a Sentinel considers a server down. A failover begins within
            one second more.
        failover_timeout: a failed failover is tried again after twice as many seconds.
        password: of the servers, "" for none.
        sentinel_password: of the Sentinels, "" for none.
        options: options of the command line of every server.

    Attributes:
        servers: the primary of the start, then the replicas.
        sentinels: servers too: a test may kill, pause and restart them like the others.
    """

    def __init__(
        self,
        replicas: int = 1,
        sentinels: int = 3,
        *,
        down_after: float = 0.5,
        failover_timeout: float = 1.0,
        password: str = "",
        sentinel_password: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        self._counts = replicas, sentinels
        self._times_ms = round(down_after * 1000), round(failover_timeout * 1000)
        self._password = password
        self._sentinel_password = sentinel_password
        self._options = options
        # Ends servers and Sentinels.
        self._stack = ExitStack()
        self.servers: list[Server] = []
        self.sentinels: list[Server] = []
        self._topology = SentinelTopology(self.servers, self.sentinels)

    @property
    def url(self) -> str:
        """The URL for a bus: all Sentinels, the name of the primary, the database 0."""
        login = f":{self._password}@" if self._password else ""
        query = f"?sentinel_password={self._sentinel_password}" if self._sentinel_password else ""
        addresses = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{login}{addresses}/{PRIMARY_NAME}/0{query}"

    @property
    def primary(self) -> Server:
        """The server that the Sentinels name as the primary now, running or not.

        Raises:
            Unavailable: no Sentinel answers.
        """
        return self._topology.primary()

    @property
    def replicas(self) -> list[Server]:
        """All servers but the present primary."""
        primary = self.primary
        return [server for server in self.servers if server is not primary]

    def start(self) -> None:
        """Start servers and Sentinels.

        Raises:
            Unavailable: a server ended at once, or does not answer.
            TimeoutError: the Sentinels did not find all servers in time.
        """
        try:
            replicas, sentinels = self._counts
            first = self._started(self._server(), self.servers)
            for _ in range(replicas):
                self._started(self._server("--replicaof", f"{HOST} {first.port}"), self.servers)
            wait_until(lambda: all(map(follows, self.servers[1:])), AGREE_WITHIN, "the replicas follow the primary")
            quorum = sentinels // 2 + 1
            settings = SentinelSettings(first.port, quorum, *self._times_ms, self._password, self._sentinel_password)
            for _ in range(sentinels):
                self._started(SentinelServer(settings), self.sentinels)
            wait_until(self.agreed, AGREE_WITHIN, "the sentinels know all servers and one another")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all servers and Sentinels. Idempotent."""
        self._stack.close()
        self.servers.clear()
        self.sentinels.clear()

    async def failover(self) -> Server:
        """Kill the primary and wait for the next one. Returns the new primary.

        Cancelling is safe: it ends the wait, not the failover.

        Raises:
            TimeoutError: the Sentinels did not agree on a new primary in time.
        """
        return await asyncio.to_thread(self._fail_over)

    async def revive(self, server: Server) -> None:
        """Start a killed server again, as a replica of the present primary.

        Cancelling is safe: it ends the wait, not the restart.

        Raises:
            TimeoutError: the server did not become a replica in time.
        """
        await asyncio.to_thread(self._revive, server)

    def agreed(self) -> bool:
        """Return whether all answering Sentinels name the same primary, and see all answering servers in order."""
        return self._topology.agreed()

    def _fail_over(self) -> Server:
        before = self.primary
        before.kill()
        wait_until(lambda: self.primary is not before and self.agreed(), AGREE_WITHIN, "there is another primary")
        return self.primary

    def _revive(self, server: Server) -> None:
        server.start_again("--replicaof", f"{HOST} {self.primary.port}")
        wait_until(lambda: follows(server) and self.agreed(), AGREE_WITHIN, "the server is a replica")

    def _server(self, *options: str) -> Server:
        return Server(*REPLICATION, *self._options, *options, tcp=True, password=self._password)

    def _started(self, server: Server, among: list[Server]) -> Server:
        among.append(self._stack.enter_context(server))
        return server
