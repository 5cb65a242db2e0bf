"""A protocol: the bus as handlers, middleware and background tasks see it. Users open ``servicebus.ServiceBus``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, overload

from ..contract.request import Request

Result = TypeVar("Result")
Message = Request[Any] | Mapping[str, Any]


class BlockingBus(Protocol):
    """``bus.sync``: the same calls for synchronous code, in threads other than the bus's own.

    The context in force in the calling thread (correlation ID, headers, deadline) goes with the message.
    """

    @overload
    def call(self, request: Request[Result], /, *, timeout: float | None = None) -> Result: ...

    @overload
    def call(self, channel: str, request: Request[Result], *, timeout: float | None = None) -> Result: ...

    @overload
    def call(self, channel: str, request: Mapping[str, Any], *, timeout: float | None = None) -> Any: ...

    def call(self, channel: Any, request: Any = None, *, timeout: float | None = None) -> Any:
        """Call an operation and return its reply. Raises as ``Bus.call``."""
        ...

    def send(self, channel: str | Request[Any], message: Message | None = None) -> None:
        """Send a one-way message. Raises as ``Bus.send``."""
        ...

    def publish(self, event: str, body: Any) -> None:
        """Publish an event. Raises as ``Bus.publish``."""
        ...


class Bus(Protocol):
    """A bus that is open. See ``ServiceBus`` for the contract of each method."""

    @property
    def service(self) -> str:
        """The name that others see as their caller."""
        ...

    @property
    def sync(self) -> BlockingBus:
        """The same bus for synchronous code."""
        ...

    @property
    def pending(self) -> int:
        """How many calls wait for a reply."""
        ...

    def now_ms(self) -> int:
        """The server's clock, in milliseconds: the clock that deadlines are instants on."""
        ...

    @overload
    async def call(self, request: Request[Result], /, *, timeout: float | None = None) -> Result: ...

    @overload
    async def call(self, channel: str, request: Request[Result], *, timeout: float | None = None) -> Result: ...

    @overload
    async def call(self, channel: str, request: Mapping[str, Any], *, timeout: float | None = None) -> Any: ...

    async def call(self, channel: Any, request: Any = None, *, timeout: float | None = None) -> Any:
        """Call an operation and return its reply. Cancelling is safe: see ``ServiceBus.call``."""
        ...

    async def send(self, channel: str | Request[Any], message: Message | None = None) -> None:
        """Send a one-way message. Cancelling is safe: the message may or may not be sent."""
        ...

    async def publish(self, event: str, body: Any) -> None:
        """Publish an event. Cancelling is safe: subscribers may or may not get the event."""
        ...

    async def gather(
        self,
        *calls: Request[Any] | tuple[str, Message],
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Make several calls at once. Cancelling is safe, as for ``call``."""
        ...

    async def workers(self, channel: str) -> int:
        """How many workers serve ``channel`` now. Cancelling is safe."""
        ...

    async def wait_for_workers(self, *channels: str, timeout: float = 10.0) -> None:
        """Return when every channel has a worker. Cancelling is safe."""
        ...
