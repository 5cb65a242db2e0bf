"""The bus from synchronous code: the same calls, from any thread, on the bus's own event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .errors import ConfigurationError
from .request import Request

if TYPE_CHECKING:
    from .bus import ServiceBus

Result = TypeVar("Result")


class SyncBus:
    """``bus.sync``: blocking forms of ``call``, ``send`` and ``publish``, for threads other than the bus's own.

    The context in force in the calling thread (correlation ID, headers, deadline) goes with the message.
    """

    def __init__(self, bus: ServiceBus) -> None:
        self._bus = bus

    @overload
    def call(self, channel: str, request: Request[Result], *, timeout: float | None = None) -> Result: ...

    @overload
    def call(self, channel: str, request: Mapping[str, Any], *, timeout: float | None = None) -> Any: ...

    def call(self, channel: str, request: Any, *, timeout: float | None = None) -> Any:
        """See ``ServiceBus.call``."""
        return self._run(self._bus.call(channel, request, timeout=timeout))

    def send(self, channel: str, message: Request[Any] | Mapping[str, Any]) -> None:
        """See ``ServiceBus.send``."""
        self._run(self._bus.send(channel, message))

    def publish(self, event: str, body: Any) -> None:
        """See ``ServiceBus.publish``."""
        self._run(self._bus.publish(event, body))

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        loop = self._bus.loop
        if loop is None or _running_loop() is loop:
            work.close()
            raise ConfigurationError("bus.sync needs an open bus, and a thread other than that of its event loop")
        outcome: Future[Result] = Future()
        context = contextvars.copy_context()
        loop.call_soon_threadsafe(lambda: loop.create_task(_into(outcome, work), context=context))
        return outcome.result()


async def _into(outcome: Future[Result], work: Coroutine[Any, Any, Result]) -> None:
    try:
        outcome.set_result(await work)
    except BaseException as error:
        outcome.set_exception(error)
        if not isinstance(error, Exception):
            raise


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
