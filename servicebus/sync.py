"""The bus from synchronous code: the same calls, from any thread, on the bus's own event loop.

A program without an event loop, such as a WSGI worker, gives the bus one in a thread of its own: `with bus.sync: ...`.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from .errors import ConfigurationError
from .loops import loop_factory
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
        self._thread: BusThread | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the bus on an event loop in a thread of its own. Raises as ``ServiceBus.open``.

        A thread does not survive a fork: a server that forks its workers opens the bus in each of them.
        """
        if self._thread is not None:
            raise ConfigurationError("this bus is open already")
        self._thread = BusThread(self._bus)
        try:
            self._thread.opened.result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close what ``open`` has opened, and end its thread. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()

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
            raise ConfigurationError(
                "bus.sync needs an open bus, and a thread other than that of its event loop;"
                " where there is no event loop, bus.sync.open() starts one"
            )
        outcome: Future[Result] = Future()
        context = contextvars.copy_context()
        loop.call_soon_threadsafe(lambda: loop.create_task(_into(outcome, work), context=context))
        return outcome.result()


class BusThread:
    """A thread with an event loop on which a bus is open. ``opened`` says when, or why not."""

    def __init__(self, bus: ServiceBus) -> None:
        self.opened: Future[None] = Future()
        self._bus = bus
        self._ending: Future[None] = Future()
        # A daemon: a program that forgets to close the bus ends all the same.
        self._thread = threading.Thread(target=self._run, name=f"servicebus-{bus.service}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Close the bus and wait for that."""
        self._ending.set_result(None)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            await self._bus.open()
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread that waits is told
            self.opened.set_exception(error)
            return
        self.opened.set_result(None)
        try:
            await asyncio.wrap_future(self._ending)
        finally:
            await self._bus.close()


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
