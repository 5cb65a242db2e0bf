"""Calls whose waiters were cancelled: their requests are withdrawn, or the workers that have them are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..api.wire import Wire
from ..errors import ServiceBusError
from ..foundation.repeated_log import RepeatedLog
from ..foundation.tasks import TaskSet
from ..inbox import Inbox
from ..layers.layer import Layer
from ..protocol.call_life import Action, Event
from ..protocol.control_messages import CALLS_PER_NOTICE, CANCEL, MAX_CONTROL_FRAME, Cancellation
from .deliveries import Call, CancelNotice
from .withdrawal import withdraw

NOTIFY_WITHIN = 1.0
"""Seconds for telling the workers. After that the handler has most likely ended by itself."""

logger = logging.getLogger(__name__)


class AbandonedCalls:
    """Deals with the calls that were cancelled in one tick of the event loop, together."""

    def __init__(self, layer: Layer, wire: Wire, inbox: Inbox) -> None:
        self._layer = layer
        self._wire = wire
        self._inbox = inbox
        self.tasks = TaskSet()
        self._log = RepeatedLog(logger)
        # Calls cancelled since the last withdrawal began.
        self._waiting: list[Call] = []

    def add(self, call: Call) -> None:
        """Take a call whose waiter has gone. What follows happens in the background."""
        if call.advance(Event.CANCELLED) is not Action.WITHDRAW:
            return
        self._waiting.append(call)
        if len(self._waiting) == 1:
            self.tasks.spawn(self._withdraw_abandoned())

    async def close(self) -> None:
        """Wait for withdrawals and notices under way. Cancelling is safe: they are cancelled too."""
        await self.tasks.join()

    async def _withdraw_abandoned(self) -> None:
        await asyncio.sleep(0)
        calls, self._waiting = self._waiting, []
        dispatched: dict[str, list[str]] = {}

        def settle(part: Sequence[Call], withdrawn: set[int]) -> None:
            for call in part:
                event = Event.WITHDRAWN if id(call) in withdrawn else Event.NOT_WITHDRAWN
                if call.advance(event) is Action.NOTIFY_WORKERS:
                    dispatched.setdefault(call.channel, []).append(self._inbox.unique_part(call.id))

        await withdraw(self._layer, calls, settle)
        try:
            async with asyncio.timeout(NOTIFY_WITHIN):
                for channel, unique in dispatched.items():
                    await self._notify_workers(channel, unique)
        except (TimeoutError, ServiceBusError) as error:
            self._log.info("workers were not told that callers went away: %s", error)
        except Exception:
            logger.exception("workers were not told that callers went away")

    async def _notify_workers(self, channel: str, unique: list[str]) -> None:
        """Tell every worker of the channel: one of them has these calls, and nothing here knows which."""
        layer = self._layer
        inboxes = {worker.partition("@")[2] for worker in await layer.worker_ids(channel)} - {""}
        expires = layer.now_ms() + self._wire.expiry_ms
        for at in range(0, len(unique), CALLS_PER_NOTICE):
            notice = Cancellation(CANCEL, self._inbox.reply_prefix, unique[at : at + CALLS_PER_NOTICE])
            for inbox in inboxes:
                frame = self._wire.codec.encode_frame(
                    layer.fence_of(inbox), expires, CANCEL, notice, MAX_CONTROL_FRAME, inbox
                )
                layer.push(CancelNotice(inbox, frame))
