"""The bus from synchronous code: the same calls, from any thread, on the bus's own event loop.

A program without an event loop, such as a WSGI worker, gives the bus one in a thread of its own: `with bus.sync: ...`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Protocol, Self, overload

from ..api.bus import Bus, Message, Result
from ..config import BusConfig
from ..contract.request import Request, addressed
from ..errors import ConfigurationError, SendUnknown, Unavailable
from ..foundation.event_loop import loop_factory
from ..protocol.deadline import check_timeout
from .loop_work import LoopWork

LOOP_CHECK_INTERVAL = 1.0
"""Seconds between looks at whether the event loop that should answer is still there."""
OUTCOME_GRACE = 2.0
"""Seconds beyond its timeout that a thread waits for its outcome. A loop that runs ends the call on time."""


class BusSession(Protocol):
    """What ``bus.sync`` needs of a session, whether the bus is open or not."""

    def check_process(self) -> None:
        """See ``Session.check_process``."""
        ...


class OpenableBus(Bus, Protocol):
    """What ``bus.sync`` needs of its bus: to open and close it on a loop of its own.

    Attributes:
        loop: the event loop that the bus belongs to, None while it is closed.
        config: the settings of the bus.
    """

    loop: asyncio.AbstractEventLoop | None
    config: BusConfig

    async def open(self) -> None:
        """See ``ServiceBus.open``. Cancelling is safe."""
        ...

    async def close(self) -> None:
        """See ``ServiceBus.close``. Cancelling is safe."""
        ...

    @property
    def session(self) -> BusSession:
        """What exists while the bus is open."""
        ...


class SyncBus:
    """``bus.sync``: blocking forms of ``call``, ``send`` and ``publish``, for threads other than the bus's own.

    The context in force in the calling thread (correlation ID, headers, deadline) goes with the message. They block,
    so in the thread of any event loop use the bus itself. An exception that ends the wait, such as KeyboardInterrupt or
    a time limit of the host, withdraws the message as cancelling does. No wait is longer than the timeout, and two
    seconds, even if the event loop stands still; ``send`` and ``publish`` go by the timeout of the bus.

    Args:
        bus: the bus.
        check_interval: seconds between looks at whether the event loop is closed.
    """

    def __init__(self, bus: OpenableBus, check_interval: float = LOOP_CHECK_INTERVAL) -> None:
        self._bus = bus
        self._check_interval = check_interval
        self._thread: BusThread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the bus on an event loop in a thread of its own.

        A thread does not survive a fork: a server that forks its workers opens the bus in each of them, not before.

        Raises:
            ConfigurationError: the bus is open already, was opened before a fork, or is set up wrongly.
            Unavailable: there is no server.
        """
        self._bus.session.check_process()
        with self._lock:
            if self._thread is not None:
                raise ConfigurationError("this bus is open already")
            thread = BusThread(self._bus)
            try:
                thread.opened.result()
            except BaseException:
                thread.end()
                raise
            self._thread = thread

    def close(self) -> None:
        """Close the bus that ``open`` has opened, and end its thread. Idempotent.

        Raises:
            ConfigurationError: this is the thread of the bus's own event loop, or the child of a fork.
        """
        self._bus.session.check_process()
        if _running_loop() is not None and _running_loop() is self._bus.loop:
            raise ConfigurationError("bus.sync.close() waits for the bus's event loop: call it from another thread")
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                thread.end()

    @overload
    def call(self, request: Request[Result], /, *, timeout: float | None = None) -> Result: ...

    @overload
    def call(self, channel: str, request: Request[Result], *, timeout: float | None = None) -> Result: ...

    @overload
    def call(self, channel: str, request: Mapping[str, Any], *, timeout: float | None = None) -> Any: ...

    def call(self, channel: Any, request: Any = None, *, timeout: float | None = None) -> Any:
        """Call an operation and return its reply. Arguments and errors are those of ``ServiceBus.call``."""
        channel, request = addressed(channel, request)
        return self._run(channel, self._bus.call(channel, request, timeout=timeout), timeout)

    def send(self, channel: str | Request[Any], message: Message | None = None) -> None:
        """Send a one-way message. Arguments and errors are those of ``ServiceBus.send``."""
        name, found = addressed(channel, message)
        self._run(name, self._bus.send(name, found), None)

    def publish(self, event: str, body: Any) -> None:
        """Publish an event. Arguments and errors are those of ``ServiceBus.publish``."""
        self._run(event, self._bus.publish(event, body), None)

    def _run(self, name: str, work: Coroutine[Any, Any, Result], timeout: float | None) -> Result:
        """Await ``work`` on the loop of the bus; ``name`` is that of the channel or event it concerns."""
        loop, within = self._bus.loop, self._bus.config.timeout if timeout is None else timeout
        try:
            self._bus.session.check_process()
            check_timeout(within)
            if loop is None:
                raise ConfigurationError(
                    "bus.sync needs an open bus: where no event loop has opened it, `with bus.sync:` or bus.sync.open()"
                )
            if _running_loop() is loop:
                raise ConfigurationError(
                    "bus.sync needs a thread other than that of its event loop: here, `await bus.call(...)`"
                )
        except ConfigurationError:
            work.close()
            raise
        running = LoopWork(loop, work, name)
        try:
            running.start()
        except RuntimeError as error:
            raise Unavailable("the event loop of the bus was closed", retryable=False) from error
        return self._outcome(running, loop, name, within)

    def _outcome(self, running: LoopWork[Result], loop: asyncio.AbstractEventLoop, name: str, within: float) -> Result:
        """Wait for the outcome. Work whose outcome is not waited for any more, for whatever reason, is cancelled."""
        outcome, give_up = running.outcome, time.monotonic() + within + OUTCOME_GRACE
        has_begun = True
        try:
            while (left := give_up - time.monotonic()) > 0 and not loop.is_closed():
                # Not result(timeout=...): a host may end the wait with a TimeoutError, which is not that of the wait.
                if wait({outcome}, timeout=min(left, self._check_interval)).done:
                    break
        finally:
            if not outcome.done():
                has_begun = running.give_up()
        if outcome.done():
            return outcome.result()
        if has_begun:
            fate = "was closed" if loop.is_closed() else "stood still"
            raise SendUnknown(name, f"the event loop of the bus {fate}")
        raise Unavailable("the event loop of the bus does not run: call from another thread than the one that runs it")


class BusThread:
    """A thread with an event loop on which a bus is open. ``opened`` says when, or why not."""

    def __init__(self, bus: OpenableBus) -> None:
        self.opened: Future[None] = Future()
        self._bus = bus
        self._ending: Future[None] = Future()
        # A daemon: a program that forgets to close the bus ends all the same.
        self._thread = threading.Thread(target=self._run, name=f"servicebus-{bus.service}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Close the bus and wait for that. Once."""
        self._ending.set_result(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self.opened.done():
                raise
            self.opened.set_exception(error)

    async def _serve(self) -> None:
        await self._bus.open()
        self.opened.set_result(None)
        try:
            await asyncio.wrap_future(self._ending)
        finally:
            await self._bus.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
