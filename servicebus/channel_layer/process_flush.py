"""Has every process of a prefix drop what it holds, when a layer is flushed. I/O thread only."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from ..foundation import running_time
from ..protocol.control_messages import FLUSH, FLUSHED, ControlMessage
from .channel_reader import Spawn
from .control_sender import SendControl, log_failure
from .inbox_reader import InboxReader
from .shard import Shard

FLUSHED_WITHIN = 0.5
"""Seconds that ``flush`` waits for the other processes. A process that hangs must not make ``flush`` hang."""
OWN_FLUSHED_WITHIN = 5.0
"""Seconds that ``flush`` waits for this process: it is not hanging, but may be slow on a busy machine."""
MAX_FLUSHES = 64
"""Flushes of other processes in progress here at once: more is not what processes do, but anybody may send it."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class FlushRound:
    """One flush that waits for other processes.

    Attributes:
        missing: the inboxes of the processes that have not answered.
        own: the inbox of this process.
        done: set when all have answered.
        own_done: set when this process has answered.
    """

    missing: set[str]
    own: str
    done: asyncio.Event = field(default_factory=asyncio.Event)
    own_done: asyncio.Event = field(default_factory=asyncio.Event)

    def on_answer(self, inbox: str) -> None:
        """The process with this inbox has dropped what it held."""
        self.missing.discard(inbox)
        if inbox == self.own:
            self.own_done.set()
        if not self.missing:
            self.done.set()


class ProcessFlush:
    """Flushes the processes of one prefix, this one too.

    Args:
        inbox: the inbox of this process.
        reader: the reader of that inbox.
        all_opened: every server.
        send_control: sends control messages.
        forget: drops what this process holds.
        spawn: starts tasks that nothing waits for.
    """

    def __init__(
        self,
        inbox: str,
        reader: InboxReader,
        *,
        all_opened: Callable[[], Awaitable[list[Shard]]],
        send_control: SendControl,
        forget: Callable[[], Awaitable[None]],
        spawn: Spawn,
    ) -> None:
        self._inbox = inbox
        self._reader = reader
        self._all_opened = all_opened
        self._send_control = send_control
        self._forget = forget
        self._spawn = spawn
        # By the token that the control messages of one flush have in common.
        self._rounds: dict[str, FlushRound] = {}
        # The flushes that processes have asked for and that have not been answered yet.
        self._answering: set[ControlMessage] = set()

    async def flush(self) -> None:
        """Have every process drop what it holds, and wait for their answers.

        It waits ``FLUSHED_WITHIN`` seconds at most for the others, ``OWN_FLUSHED_WITHIN`` seconds for this process.

        Cancelling is safe: some processes may have dropped what they held. Raises Unavailable or SendUnknown.
        """
        inboxes = {inbox for shard in await self._all_opened() for inbox in await shard.prefix.inboxes()}
        if inboxes - {self._inbox}:
            await self._reader.ready()
        elif not self._reader.is_read:
            return
        inboxes.add(self._inbox)
        token, waiting = uuid.uuid4().hex, FlushRound(set(inboxes), self._inbox)
        self._rounds[token] = waiting
        try:
            await self._wait_for_answers(waiting, ControlMessage(FLUSH, token, self._inbox))
        except TimeoutError:
            logger.info("flush: %d processes did not answer", len(waiting.missing))
        finally:
            del self._rounds[token]

    async def _wait_for_answers(self, waiting: FlushRound, message: ControlMessage) -> None:
        async with running_time.timeout(OWN_FLUSHED_WITHIN):
            try:
                async with running_time.timeout(FLUSHED_WITHIN):
                    await asyncio.gather(*(self._send_control(inbox, message) for inbox in waiting.missing))
                    await waiting.done.wait()
            except TimeoutError:
                await waiting.own_done.wait()
                raise

    def on_flush(self, message: ControlMessage) -> None:
        """A process, perhaps this one, flushes: drop what this process holds, and answer."""
        if len(self._answering) < MAX_FLUSHES:
            self._answering.add(message)
            self._spawn(log_failure(partial(self._forget_and_answer, message)))
        else:
            logger.warning("a flush was ignored: %d others are in progress", MAX_FLUSHES)

    def on_flushed(self, message: ControlMessage) -> None:
        """A process has answered. An answer that comes too late is ignored."""
        waiting = self._rounds.get(message.group)
        if waiting is not None:
            waiting.on_answer(message.channel)

    async def _forget_and_answer(self, message: ControlMessage) -> None:
        try:
            await self._forget()
            answer = ControlMessage(FLUSHED, message.group, self._inbox)
            if message.channel == self._inbox:
                self.on_flushed(answer)
            else:
                await self._send_control(message.channel, answer)
        finally:
            self._answering.discard(message)
