"""Where the server is at this moment: asked before every attempt to connect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ....config import DEFAULT_TIMING
from ....errors import Unavailable
from ..connection.outage_report import OutageReport
from .address import Address
from .target import SentinelTarget

CONNECT_WITHIN = 5.0
"""Seconds for an attempt to connect to a server that stays where it is, over any network."""
HURRIED_CONNECT_WITHIN = 1.0
"""Seconds for an attempt to connect where a server that hangs may have been replaced by another."""


def asking_options(within: float = DEFAULT_TIMING.ask_within) -> dict[str, Any]:
    """How redis-py asks for a topology: once, with short timeouts. The caller asks again when that failed.

    Args:
        within: seconds to connect, and seconds to answer.
    """
    return {
        "socket_timeout": within,
        "socket_connect_timeout": within,
        "retry": Retry(NoBackoff(), 0),
    }


async def ended(asking: asyncio.Task[Any] | None, within: float) -> None:
    """Wait for a question to redis-py: a connection that is cancelled while it opens would stay open.

    The question may take ``within`` seconds to connect and as many to be answered.

    Cancelling is safe, but may leave that connection open.
    """
    if asking is not None:
        _, late = await asyncio.wait({asking}, timeout=2 * within)
        for task in late:
            task.cancel()
        await asyncio.wait({asking})


class Locator(Protocol):
    """The way to one server, which may move.

    Attributes:
        connect_within: seconds for an attempt to connect. Short where a server that hangs may have been replaced.
        report: what was logged of the outages of this server.
    """

    connect_within: float
    report: OutageReport

    async def find(self) -> Address:
        """Where the server is now. Cancelling is safe.

        Raises:
            Unavailable: nothing here knows.
        """
        ...

    def invalidate(self) -> None:
        """The server was not there, or is not a primary any more."""
        ...


class Fixed:
    """A server that stays where it is; ``on_invalid`` is called when it does not seem to."""

    def __init__(
        self, address: Address, connect_within: float = CONNECT_WITHIN, on_invalid: Callable[[], None] = lambda: None
    ) -> None:
        self._address = address
        self.connect_within = connect_within
        self.invalidate = on_invalid
        self.report = OutageReport()

    def __str__(self) -> str:
        return str(self._address)

    async def find(self) -> Address:
        """Where the server is. Cancelling is safe."""
        return self._address


class AskSentinel:
    """The primary that Sentinels name. Those who ask at the same time share one question."""

    connect_within = HURRIED_CONNECT_WITHIN

    def __init__(self, target: SentinelTarget, ask_within: float = DEFAULT_TIMING.ask_within) -> None:
        self._target = target
        self._ask_within = ask_within
        first = target.sentinels[0]
        where = [(sentinel.host, sentinel.port) for sentinel in target.sentinels]
        self._sentinel = Sentinel(where, sentinel_kwargs=first.client_options() | asking_options(ask_within))  # type: ignore[no-untyped-call]
        self._asking: asyncio.Task[Address] | None = None
        self.report = OutageReport()

    def __str__(self) -> str:
        return str(self._target)

    async def find(self) -> Address:
        """Ask the Sentinels. Cancelling is safe: the question goes on, for those who asked at the same time.

        Raises:
            Unavailable: no Sentinel answers, or none knows a healthy primary.
        """
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._asking.add_done_callback(self._answered)
        return await asyncio.shield(self._asking)

    def invalidate(self) -> None:
        """Nothing is remembered: the next ``find`` asks."""

    async def close(self) -> None:
        """Disconnect from the Sentinels. Cancelling is safe, but may leave a connection open."""
        await ended(self._asking, self._ask_within)
        await self._sentinel.aclose()

    async def _ask(self) -> Address:
        try:
            host, port = await self._sentinel.discover_master(self._target.master)
        except MasterNotFoundError as error:
            asked = ", ".join(map(str, self._target.sentinels))
            name = self._target.master
            raise Unavailable(f"no sentinel of {asked} answers and knows a healthy primary {name!r}") from error
        except (RedisError, OSError) as error:
            raise Unavailable(f"a sentinel did not name the address of {self._target.master!r}: {error}") from error
        return replace(self._target.primary, host=str(host), port=int(port))

    def _answered(self, task: asyncio.Task[Address]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # retrieved: those who asked may have gone away
