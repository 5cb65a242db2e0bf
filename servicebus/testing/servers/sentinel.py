"""A primary, its replicas, and the Sentinels that watch them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path

import hiredis

from ...errors import Unavailable
from ...layers.redis.embedded import find_server
from ..waiting import wait_until
from .owned import Owned
from .process import HOST
from .server import Server, follows

NAME = "mymaster"
AGREE_WITHIN = 20.0
# A replica is to be served at once: there is no crowd of them to wait for.
REPLICATION = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
# By default they look for one another every 2 s and at the roles of servers every 10 s, ping no more often than the
# silence may last, and do nothing for 30 s after the machine stood still for a moment, as one that runs tests does.
# A replica of a primary that is down is asked for its state every second, and what it said then counts for the time of
# five pings: were they quicker, there would often be no replica to promote, and another attempt seconds later.
PERIODS_MS = {"publish-period": 200, "info-period": 1000, "ping-period": 400, "tilt-period": 1000}


class _Sentinel(Server):
    """One of them. It keeps what it knows in its file, from the first start on."""

    def __init__(self, settings: list[str], password: str) -> None:
        super().__init__(tcp=True, password=password)
        self._settings = settings

    @property
    def _file(self) -> Path:
        return Path(self._directory, "sentinel.conf")

    def _choose_ports(self) -> None:
        super()._choose_ports()
        lines = [f"port {self.port}", f"bind {HOST}", f"unixsocket {self.path}", "unixsocketperm 700"]
        lines += [f"dir {self._directory}", f"logfile {self._log_path}", *self._settings]
        self._file.write_text("\n".join([*lines, ""]))

    def _command(self) -> list[str]:
        return [find_server(), str(self._file), "--sentinel"]

    def _launch(self, *more_options: str) -> None:
        super()._launch(*more_options)
        for name, period in PERIODS_MS.items():
            self.run("SENTINEL", "DEBUG", name, period)


class SentinelGroup(Owned):
    """``with SentinelGroup() as group:`` starts them all and waits until the sentinels know everything.

    ``down_after`` is the seconds of silence after which a sentinel takes a server to be down; a failover begins within
    a second of that, and one that failed is tried again after twice ``failover_timeout``. ``password`` is that of the
    servers, ``sentinel_password`` that of the sentinels. ``options`` are for every server.

    Attributes:
        servers: the primary of the start, then the replicas.
        sentinels: servers too, which may be killed, paused and restarted like the others.
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
        self._password, self._sentinel_password, self._options = password, sentinel_password, options
        self._stack = ExitStack()
        self.servers: list[Server] = []
        self.sentinels: list[Server] = []

    @property
    def url(self) -> str:
        """What a bus takes: all sentinels, the name of the primary, the database 0."""
        login = f":{self._password}@" if self._password else ""
        query = f"?sentinel_password={self._sentinel_password}" if self._sentinel_password else ""
        where = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{login}{where}/{NAME}/0{query}"

    @property
    def primary(self) -> Server:
        """The server that the sentinels name now, alive or not. Raises Unavailable when none of them answers."""
        for sentinel in filter(lambda sentinel: sentinel.answering, self.sentinels):
            with suppress(OSError, hiredis.ReplyError):
                return self._named_by(sentinel)
        raise Unavailable("no sentinel names a primary")

    @property
    def replicas(self) -> list[Server]:
        """All the others."""
        primary = self.primary
        return [server for server in self.servers if server is not primary]

    def start(self) -> None:
        """Start servers and sentinels. Raises Unavailable or TimeoutError."""
        try:
            replicas, sentinels = self._counts
            first = self._started(self._server(), self.servers)
            for _ in range(replicas):
                self._started(self._server("--replicaof", f"{HOST} {first.port}"), self.servers)
            wait_until(lambda: all(map(follows, self.servers[1:])), AGREE_WITHIN, "the replicas follow the primary")
            for _ in range(sentinels):
                self._started(_Sentinel(self._settings(first), self._sentinel_password), self.sentinels)
            wait_until(self.agreed, AGREE_WITHIN, "the sentinels know all servers and one another")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all of them. Idempotent."""
        self._stack.close()
        self.servers.clear()
        self.sentinels.clear()

    async def failover(self) -> Server:
        """Kill the primary, wait for the next, and return that. Raises TimeoutError.

        Cancelling is safe: it ends the wait, not the failover.
        """
        return await asyncio.to_thread(self._fail_over)

    async def revive(self, server: Server) -> None:
        """Start a killed server again, as a replica of the present primary. Raises TimeoutError.

        Cancelling is safe: it ends the wait only.
        """
        await asyncio.to_thread(self._revive, server)

    def agreed(self) -> bool:
        """Whether all running sentinels name one primary, and see it and all that run besides it in good health."""
        running = [sentinel for sentinel in self.sentinels if sentinel.answering]
        with suppress(OSError, hiredis.ReplyError):
            named = {self._named_by(sentinel) for sentinel in running}
            return len(named) == 1 and all(self._sees_all(sentinel, named.copy().pop()) for sentinel in running)
        return False

    def _fail_over(self) -> Server:
        before = self.primary
        before.kill()
        wait_until(lambda: self.primary is not before and self.agreed(), AGREE_WITHIN, "there is another primary")
        return self.primary

    def _revive(self, server: Server) -> None:
        server.start_again("--replicaof", f"{HOST} {self.primary.port}")
        wait_until(lambda: follows(server) and self.agreed(), AGREE_WITHIN, "it is a replica")

    def _server(self, *options: str) -> Server:
        return Server(*REPLICATION, *self._options, *options, tcp=True, password=self._password)

    def _started(self, server: Server, among: list[Server]) -> Server:
        among.append(self._stack.enter_context(server))
        return server

    def _settings(self, first: Server) -> list[str]:
        quorum, (down_after_ms, failover_timeout_ms) = self._counts[1] // 2 + 1, self._times_ms
        lines = [f"sentinel monitor {NAME} {HOST} {first.port} {quorum}"]
        lines += [f"sentinel down-after-milliseconds {NAME} {down_after_ms}"]
        lines += [f"sentinel failover-timeout {NAME} {failover_timeout_ms}"]
        if self._password:
            lines += [f"sentinel auth-pass {NAME} {self._password}"]
        if self._sentinel_password:
            lines += [f"requirepass {self._sentinel_password}", f"sentinel sentinel-pass {self._sentinel_password}"]
        return lines

    def _named_by(self, sentinel: Server) -> Server:
        found = sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return next(server for server in self.servers if server.port == int(found[1]))

    def _sees_all(self, sentinel: Server, primary: Server) -> bool:
        watched = facts(sentinel.run("SENTINEL", "MASTER", NAME))
        replicas = map(facts, sentinel.run("SENTINEL", "REPLICAS", NAME))
        healthy = {r["port"] for r in replicas if r["flags"] == "slave" and r["master-link-status"] == "ok"}
        expected = {str(server.port) for server in self.servers if server.answering and server is not primary}
        others_known = int(watched["num-other-sentinels"]) == len(self.sentinels) - 1
        return primary.role == "master" and watched["flags"] == "master" and others_known and healthy >= expected


def facts(answer: list[bytes]) -> dict[str, str]:
    """What a sentinel says of one server."""
    return dict(zip(map(bytes.decode, answer[::2]), map(bytes.decode, answer[1::2]), strict=True))
