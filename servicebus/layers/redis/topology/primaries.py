"""The primaries that a layer speaks to, and which of them holds what: one server, or a Cluster of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ....errors import Unavailable
from ....protocol.codec import Restamp, restamped
from ...delivery import Delivery
from ...layer import Sink
from ..connection.clock import ServerClock
from ..connection.connection import Connection
from ..connection.greeting import Greeting
from ..connection.reconnecting import ReconnectingConnection
from ..sending.pipeline import Pipeline
from ..sending.push_commands import Routes
from .address import Address
from .locator import AskSentinel, Fixed, Locator
from .migrated_frames import adopted, runs
from .target import SentinelTarget

OnUp = Callable[[Pipeline, Connection], None]
"""Called with every new connection, before anything is sent on it."""

SUSPECT_AFTER = 0.5
"""Seconds without an outstanding answer after which others are asked whether the server is still the primary."""


class Nodes(Protocol):
    """The primaries, and which of them holds what. ``name`` is that of a channel, an inbox or a group.

    Attributes:
        clock: that of the one server whose clock all participants use.
    """

    clock: ServerClock

    async def open(self) -> None:
        """Connect. Cancelling is safe: nothing is left open.

        Raises:
            Unavailable: no primary can be reached.
            ConfigurationError: the server is too old.
        """
        ...

    async def close(self) -> None:
        """Send what waits and hear the answers, for as long as an outage may last; refuse the rest.

        Cancelling is safe, but leaves connections open: close again.
        """
        ...

    def pipelines(self) -> list[Pipeline]:
        """One per primary."""
        ...

    def pipeline(self, name: str) -> Pipeline | None:
        """That of the primary that holds ``name``; None while there is none."""
        ...

    def direct(self, name: str) -> Pipeline | None:
        """The same, unless something for ``name`` waits elsewhere. From any thread."""
        ...

    def locator(self, name: str) -> Locator:
        """The way to the primary that holds ``name``, for a connection of one's own."""
        ...

    def fence_of(self, name: str) -> int:
        """The fence of the primary that holds ``name`` now, 0 when none is known."""
        ...

    def adopted(self, frames: list[bytes], greeting: Greeting) -> list[bytes]:
        """What was popped from one primary, with its fence on frames that moved there from another one."""
        ...

    def deliver(self, frames: list[bytes], greeting: Greeting, sink: Sink) -> None:
        """Hand over what was popped from one primary: with its fence, or that of the one that frames moved from."""
        ...

    def push(self, delivery: Delivery) -> None:
        """Queue a frame; its delivery is settled once. Never blocks."""
        ...

    def remove(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Take back frames of one channel, one at least, that have not left yet. Returns those."""
        ...

    async def execute(self, name: str, *command: bytes | str | int) -> Any:
        """Run a command on ``name``'s keys, behind everything pushed to it. Raises as ``Pipeline.execute``.

        Cancelling is safe: the command may or may not run.
        """
        ...

    def write(self, name: str, data: bytes, answer: Callable[[Any], None]) -> None:
        """A packed command on ``name``'s keys, behind everything pushed to it. See ``Pipeline.write``."""
        ...

    def ask_time(self, data: bytes, answer: Callable[[Any], None]) -> None:
        """A packed command for the server whose clock counts."""
        ...

    def check_health(self) -> None:
        """Called four times a second: leave servers that do not answer, or are no primaries any more."""
        ...


class SentinelWatch:
    """Leaves a primary that Sentinels have replaced.

    An old primary that hangs, or that only this process reaches, cannot report its replacement.
    """

    def __init__(self, sentinel: AskSentinel, link: ReconnectingConnection) -> None:
        self._sentinel = sentinel
        self._link = link
        # One question at a time.
        self._asking: asyncio.Task[None] | None = None
        self._closed = False

    def look(self) -> None:
        """Ask the Sentinels in the background, unless they are being asked."""
        if self._asking is None and not self._closed:
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def close(self) -> None:
        """Ask no more. Idempotent. Cancelling is safe: the question is cancelled already."""
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        connection = self._link.connection
        try:
            address = await self._sentinel.find()
            if connection is not None and connection.address != address:
                connection.abort()
            await asyncio.sleep(SUSPECT_AFTER)
        except Unavailable:
            pass
        finally:
            self._asking = None


class OneNode:
    """See ``Nodes``. One server, or the primary that Sentinels name at the time."""

    def __init__(
        self,
        target: Address | SentinelTarget,
        name: str,
        routes: Routes,
        on_up: OnUp,
        kind: type[Connection] = Connection,
        restamp: Restamp = restamped,
    ) -> None:
        self.clock = ServerClock()
        self._on_up = on_up
        self._sentinel = (
            AskSentinel(target, routes.limits.timing.ask_within) if isinstance(target, SentinelTarget) else None
        )
        self._locator: Locator = self._sentinel or Fixed(target if isinstance(target, Address) else target.primary)
        self._only = Pipeline(self._locator, name, routes, self._up, kind=kind, restamp=restamp)
        self._watch = SentinelWatch(self._sentinel, self._only.link) if self._sentinel is not None else None
        self.push, self.remove = self._only.push, self._only.remove

    def fence_of(self, name: str) -> int:
        return self._only.fence

    def adopted(self, frames: list[bytes], greeting: Greeting) -> list[bytes]:
        return adopted(frames, greeting, _no_other) if greeting.former else frames

    def deliver(self, frames: list[bytes], greeting: Greeting, sink: Sink) -> None:
        if greeting.former:
            for run, fence in runs(frames, greeting, _no_other):
                sink(run, fence)
        else:
            sink(frames, greeting.fence)

    async def open(self) -> None:
        try:
            await self._only.link.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._watch is not None:
            await self._watch.close()
        await self._only.close()
        if self._sentinel is not None:
            await self._sentinel.close()

    def pipelines(self) -> list[Pipeline]:
        return [self._only]

    def pipeline(self, name: str) -> Pipeline:
        return self._only

    def direct(self, name: str) -> Pipeline:
        return self._only

    def locator(self, name: str) -> Locator:
        return self._locator

    async def execute(self, name: str, *command: bytes | str | int) -> Any:
        return await self._only.execute(*command, name=name)

    def write(self, name: str, data: bytes, answer: Callable[[Any], None]) -> None:
        self._only.write(data, answer)

    def ask_time(self, data: bytes, answer: Callable[[Any], None]) -> None:
        self._only.write(data, answer)

    def check_health(self) -> None:
        self._only.check_silence()
        if self._watch is not None:
            self._watch.look()

    def _up(self, pipeline: Pipeline, connection: Connection) -> None:
        self.clock.start(connection.greeting.offset_ms)
        self._on_up(pipeline, connection)


def _no_other(fence: int) -> bool:
    """There is one primary: none that a frame could have come from with its slot."""
    return False
