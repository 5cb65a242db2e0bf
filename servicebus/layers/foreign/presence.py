"""Whether anybody serves a channel of a foreign layer.

A foreign layer knows no workers. So a message with an operation that no service has is sent to the channel: any answer
proves that somebody serves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from channels.exceptions import ChannelFull

from ...errors import ServiceBusError, Unavailable
from .messages import Message
from .reply_channels import ReplyChannels, SendNow
from .timing import ForeignTiming

PING = "servicebus.ping"
"""An operation that no service has, so that every service answers without doing anything."""


class Probes:
    """The questions of one bus. A channel has one at a time: a second caller waits for the same answer."""

    def __init__(
        self, replies: ReplyChannels, send_now: SendNow, timing: ForeignTiming, now_ms: Callable[[], int]
    ) -> None:
        self._replies = replies
        self._send_now = send_now
        self._timing = timing
        self._now_ms = now_ms
        # The probe that lies in each channel; its result says whether somebody answered it.
        self._probes: dict[str, asyncio.Task[bool]] = {}

    async def answered(self, channel: str) -> bool:
        """Return whether somebody answers on ``channel`` within ``probe_within`` seconds.

        Cancelling is safe: the probe goes on, and the next caller waits for it.

        Raises:
            Unavailable: the channel cannot be asked.
        """
        probe = self._probes.get(channel)
        if probe is None:
            probe = self._probes[channel] = asyncio.get_running_loop().create_task(self._probe(channel))
            probe.add_done_callback(lambda _: self._probes.pop(channel))
        done, _ = await asyncio.wait([probe], timeout=self._timing.probe_within)
        return bool(done) and probe.result()

    async def close(self) -> None:
        """Cancel the probes. Cancelling is safe: they are cancelled already."""
        probes = list(self._probes.values())
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    async def _probe(self, channel: str) -> bool:
        answers: list[Message] = []
        seconds = self._timing.probe_lasts
        try:
            opened = await self._replies.opened(answers.append, seconds)
            deadline = self._now_ms() + int(seconds * 1000)
            await self._send_now(channel, {"type": PING, "reply_channel": opened.name, "deadline": deadline})
        except ChannelFull:
            return False
        except ServiceBusError:
            raise
        except Exception as error:
            raise Unavailable(f"{channel} cannot be asked for workers: {error!r}") from error
        await opened.run()
        return bool(answers)
