"""What the caller's half gives to the layer: calls, one-way messages and cancel notices."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import msgspec

from ..errors import DeadlineExceeded, ServiceBusError, Stage, private_copy
from ..layers.delivery import PLAIN, TO_WORKERS, Options
from ..protocol.call_life import Action, Event, State, step

logger = logging.getLogger(__name__)


class Call(msgspec.Struct, eq=False):
    """One pending call: the delivery that the layer settles, and the future that its caller waits for.

    Attributes:
        id: the local name of its reply in the inbox of this process: the key in the correlation table.
        channel: the list that the request goes to.
        operation: what is called.
        frame: the encoded request.
        deadline_ms: the instant, on the event loop's clock, when the caller stops waiting.
        future: completed once, with an IncomingReply or a ServiceBusError.
        state: where the call is in its life (``protocol.call_life``).
        place: of the request in its channel; see ``Delivery``.
    """

    id: str
    channel: str
    operation: str
    frame: bytes
    deadline_ms: int
    future: asyncio.Future[Any]
    state: State = State.PENDING
    place: int = 0

    options: ClassVar[Options] = TO_WORKERS

    def settle(self, error: ServiceBusError | None) -> None:
        """Take the layer's outcome. A request that was taken goes on waiting for its reply."""
        if error is not None:
            self.advance(Event.REFUSED, error)

    def advance(self, event: Event, outcome: Any = None) -> Action:
        """Change the state after ``event`` and complete the future when that ends the call.

        Args:
            event: what happened.
            outcome: the IncomingReply or the ServiceBusError that came with the event, if one did.

        Returns:
            What is left for the shell to do.
        """
        self.state, action = step(self.state, event)
        if not self.future.done():
            match action:
                case Action.COMPLETE:
                    self.future.set_result(outcome)
                case Action.FAIL:
                    self.future.set_exception(private_copy(outcome))
                case Action.EXPIRE_QUEUED:
                    self._expire("queued")
                case Action.EXPIRE_DISPATCHED:
                    self._expire("dispatched")
        return action

    def _expire(self, stage: Stage) -> None:
        self.future.set_exception(DeadlineExceeded(self.channel, self.operation, stage))


class OneWayDelivery(msgspec.Struct, eq=False):
    """One message that wants no reply.

    Attributes:
        channel: the list that the message goes to.
        operation: what is called, or the name of the event.
        frame: the encoded message.
        future: completed with None when the channel took the message, else with the error.
    """

    channel: str
    operation: str
    frame: bytes
    future: asyncio.Future[None]
    place: int = 0

    options: ClassVar[Options] = PLAIN

    def settle(self, error: ServiceBusError | None) -> None:
        """Take the layer's outcome."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(private_copy(error))


class CancelNotice(msgspec.Struct, eq=False):
    """A best-effort notice to another process that calls were cancelled. Its outcome is logged, never awaited."""

    channel: str
    frame: bytes
    place: int = 0

    options: ClassVar[Options] = PLAIN

    def settle(self, error: ServiceBusError | None) -> None:
        """Take the layer's outcome."""
        if error is not None:
            logger.info("a worker was not told that a caller went away: %s", error)
