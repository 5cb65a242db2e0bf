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

from ....errors import Unavailable
from .address import Address
from .target import SentinelTarget

ASK_TIMEOUT = 0.5
PATIENT, HURRIED_CONNECT_WITHIN = 5.0, 1.0


def asking_options() -> dict[str, Any]:
    """How redis-py asks for a topology: once, with short timeouts. Whoever wants to know asks again."""
    return {
        "socket_timeout": ASK_TIMEOUT,
        "socket_connect_timeout": ASK_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
    }


async def ended(asking: asyncio.Task[Any] | None) -> None:
    """Let a question to redis-py come to its end: a connection that is cancelled while it opens stays open."""
    if asking is not None:
        _, late = await asyncio.wait({asking}, timeout=2 * ASK_TIMEOUT)
        for task in late:
            task.cancel()
        await asyncio.wait({asking})


class Locator(Protocol):
    """The way to one server, which may move.

    Attributes:
        connect_within: seconds for an attempt to connect. Short where a server that hangs may have been replaced.
    """

    connect_within: float

    async def find(self) -> Address:
        """Where it is now. Raises Unavailable when nobody knows. Cancelling is safe."""

    def invalidate(self) -> None:
        """It was not there, or is no primary any more."""


class Fixed:
    """A server that stays where it is; ``on_doubt`` hears when it does not seem to."""

    def __init__(
        self, address: Address, connect_within: float = PATIENT, on_doubt: Callable[[], None] = lambda: None
    ) -> None:
        self._address, self.connect_within, self.invalidate = address, connect_within, on_doubt

    def __str__(self) -> str:
        return str(self._address)

    async def find(self) -> Address:
        return self._address


class AskSentinel:
    """The primary that Sentinels name. Those who ask at the same time share one question."""

    connect_within = HURRIED_CONNECT_WITHIN

    def __init__(self, target: SentinelTarget) -> None:
        self._target = target
        first = target.sentinels[0]
        where = [(sentinel.host, sentinel.port) for sentinel in target.sentinels]
        self._sentinel = Sentinel(where, sentinel_kwargs=first.client_options() | asking_options())  # type: ignore[no-untyped-call]
        self._asking: asyncio.Task[Address] | None = None

    def __str__(self) -> str:
        return str(self._target)

    async def find(self) -> Address:
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
            self._asking.add_done_callback(self._answered)
        return await asyncio.shield(self._asking)

    def invalidate(self) -> None:
        """Nothing is remembered: the next ``find`` asks."""

    async def close(self) -> None:
        """Disconnect from the sentinels."""
        await ended(self._asking)
        await self._sentinel.aclose()

    async def _ask(self) -> Address:
        try:
            host, port = await self._sentinel.discover_master(self._target.master)
        except MasterNotFoundError as error:
            asked = ", ".join(f"{sentinel.host}:{sentinel.port}" for sentinel in self._target.sentinels)
            name = self._target.master
            raise Unavailable(f"no sentinel of {asked} answers and knows a healthy primary {name!r}") from error
        except (RedisError, OSError) as error:
            raise Unavailable(f"a sentinel did not say where {self._target.master!r} is: {error}") from error
        return replace(self._target.primary, host=str(host), port=int(port))

    def _answered(self, task: asyncio.Task[Address]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # retrieved: whoever asked may have gone away
