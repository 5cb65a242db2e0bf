"""Gives messages that no consumer of this process reads back to their channel, where another process finds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import ServiceBusError, Unavailable
from .drop_counters import DropCounters
from .mailboxes import Mailboxes
from .shard import Shard

UNREAD_FOR = 0.05
"""Seconds that fetched messages may lie unread: longer than a busy consumer needs for one message, and short for
consumers of other processes, which do not see the messages until then."""


class UnreadMessages:
    """The unread messages of one normal channel. I/O thread only.

    Args:
        shard: the server of the channel.
        mailboxes: where the messages are.
        channel: the channel.
        counters: counts what must not be delivered any more.
        on_unread: called when messages have lain unread for ``UNREAD_FOR`` seconds.
    """

    def __init__(
        self,
        shard: Shard,
        mailboxes: Mailboxes,
        channel: str,
        counters: DropCounters,
        on_unread: Callable[[], None],
    ) -> None:
        self._shard = shard
        self._mailboxes = mailboxes
        self._channel = channel
        self._counters = counters
        self._on_unread = on_unread
        # Runs while messages are unread and have not been so for long enough.
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Start the timer if there are unread messages and it does not run."""
        if self._timer is None and self._mailboxes.kept(self._channel):
            self._timer = asyncio.get_running_loop().call_later(UNREAD_FOR, self._ring)

    def watch_anew(self) -> None:
        """Start the timer again from the beginning, because messages have come."""
        self.stop_watching()
        self.watch()

    def stop_watching(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def give_back(self) -> None:
        """Put the unread messages back to the head of the channel.

        Cancelling leaves open whether the messages are back there; they are not in the mailbox.
        """
        items = self._mailboxes.withdraw(self._channel)
        if not items:
            return
        held = sum(item.counted for item in items)
        try:
            await self._shard.held.restore(self._channel, [item.frame for item in items], held)
        except Unavailable:
            self._mailboxes.put_back(self._channel, items)
            self.watch()
        except ServiceBusError as error:
            # They may be back in the channel, and must not be delivered twice.
            self._counters.drop_unreturned(self._channel, len(items), str(error))

    def _ring(self) -> None:
        self._timer = None
        if self._mailboxes.kept(self._channel):
            self._on_unread()
