"""Reports to the servers how many messages consumers took of those that count against capacities. I/O thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..protocol.addresses import full_name, split_address
from .mailboxes import LockedCounts
from .shard import Shard

REPORT_AGAIN = 0.2
"""Seconds until a report whose answer was lost is sent again: by then a lost connection has been replaced."""
REPORT_AFTER = 0.002
"""Seconds from the first change to its report. Most messages are taken within that time, and need no report at all."""


class CountReports:
    """What has been taken, from the mailboxes to the servers.

    Args:
        counts: what has been taken since the last report.
        connected: the server that a name lives on, if it is connected.
        inbox: the inbox of this process, which counts for all its process-local channels.
    """

    def __init__(self, counts: LockedCounts, connected: Callable[[str], Shard | None], inbox: str) -> None:
        self._counts = counts
        self._connected = connected
        self._inbox = inbox

    def flush_counts(self) -> None:
        """Report everything now. What concerns a server that is not connected is reported later."""
        taken_here: dict[str, int] = {}
        for channel, count in self._counts.take().items():
            name, local = split_address(channel)
            shard = self._connected(name)
            if shard is None:
                self._counts.defer(channel, count)
            elif local:
                taken_here[local] = count
            else:
                shard.held.release(channel, count)
        shard = self._connected(self._inbox)
        if taken_here and shard is not None:
            shard.held.taken(self._inbox, taken_here, lambda: self._report_again(taken_here))

    def flush_soon(self, _: None) -> None:
        """Report everything after ``REPORT_AFTER`` seconds."""
        asyncio.get_running_loop().call_later(REPORT_AFTER, self.flush_counts)

    def _report_again(self, taken_here: dict[str, int]) -> None:
        """The answer was lost, so the server may have applied the report.

        Counting twice lets a channel hold more until it is empty; not counting would make it hold less for ever.
        """
        for local, count in taken_here.items():
            self._counts.defer(full_name(self._inbox, local), count)
        asyncio.get_running_loop().call_later(REPORT_AGAIN, self.flush_counts)
