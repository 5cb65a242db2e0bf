"""Which server the Sentinels of a group name as the primary, and whether they agree on the state of all servers."""

from __future__ import annotations

from contextlib import suppress

import hiredis

from ...errors import Unavailable
from .sentinel_server import PRIMARY_NAME
from .server import Server


class SentinelTopology:
    """The roles of the servers, asked from the Sentinels anew each time: nothing is cached.

    Args:
        servers: all servers; the owner of the list may still add servers.
        sentinels: all Sentinels; the owner of the list may still add Sentinels.
    """

    def __init__(self, servers: list[Server], sentinels: list[Server]) -> None:
        self._servers = servers
        self._sentinels = sentinels

    def primary(self) -> Server:
        """Return the server that the first answering Sentinel names as the primary, running or not.

        Raises:
            Unavailable: no Sentinel answers.
        """
        for sentinel in filter(lambda sentinel: sentinel.answering, self._sentinels):
            with suppress(OSError, hiredis.ReplyError):
                return self.named_by(sentinel)
        raise Unavailable("no sentinel names a primary")

    def named_by(self, sentinel: Server) -> Server:
        """Return the server that one Sentinel names as the primary.

        Raises:
            OSError, hiredis.ReplyError: the Sentinel does not answer.
        """
        found = sentinel.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY_NAME)
        return next(server for server in self._servers if server.port == int(found[1]))

    def agreed(self) -> bool:
        """Return whether all answering Sentinels name the same primary, and see all answering servers in order."""
        answering = [sentinel for sentinel in self._sentinels if sentinel.answering]
        with suppress(OSError, hiredis.ReplyError):
            named = {self.named_by(sentinel) for sentinel in answering}
            return len(named) == 1 and all(self._sees_all(sentinel, *named) for sentinel in answering)
        return False

    def _sees_all(self, sentinel: Server, primary: Server) -> bool:
        watched = parse_facts(sentinel.run("SENTINEL", "MASTER", PRIMARY_NAME))
        replicas = map(parse_facts, sentinel.run("SENTINEL", "REPLICAS", PRIMARY_NAME))
        healthy = {r["port"] for r in replicas if r["flags"] == "slave" and r["master-link-status"] == "ok"}
        expected = {str(server.port) for server in self._servers if server.answering and server is not primary}
        others_known = int(watched["num-other-sentinels"]) == len(self._sentinels) - 1
        return primary.role == "master" and watched["flags"] == "master" and others_known and healthy >= expected


def parse_facts(answer: list[bytes]) -> dict[str, str]:
    """Parse what a Sentinel reports about one server: names and values in turn."""
    return dict(zip(map(bytes.decode, answer[::2]), map(bytes.decode, answer[1::2]), strict=True))
