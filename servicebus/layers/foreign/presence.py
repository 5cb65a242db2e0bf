"""Whether anybody serves a channel of a foreign layer, which knows no workers: it is asked, and any answer will do."""

from __future__ import annotations

import asyncio

from channels.exceptions import ChannelFull

from ...errors import ServiceBusError, Unavailable
from .messages import Message, epoch_ms
from .reply_channels import ReplyChannels, Say

PROBE_WITHIN = 0.5
PROBE_LASTS = 10.0
PING = "servicebus.ping"
"""An operation that no service has, so that every service answers without doing anything."""


class Probes:
    """At most one probe to a channel is under way: who asks again waits for the same one."""

    def __init__(self, replies: ReplyChannels, say: Say) -> None:
        self._replies, self._say = replies, say
        self._probes: dict[str, asyncio.Task[bool]] = {}

    async def answered(self, channel: str) -> bool:
        """Whether somebody answers within half a second. Raises Unavailable. Cancelling is safe."""
        probe = self._probes.get(channel)
        if probe is None:
            probe = self._probes[channel] = asyncio.get_running_loop().create_task(self._probe(channel))
            probe.add_done_callback(lambda _: self._probes.pop(channel))
        done, _ = await asyncio.wait([probe], timeout=PROBE_WITHIN)
        return bool(done) and probe.result()

    async def close(self) -> None:
        """End the probes. Cancelling is safe: they end."""
        probes = list(self._probes.values())
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    async def _probe(self, channel: str) -> bool:
        answers: list[Message] = []
        try:
            opened = await self._replies.opened(answers.append, PROBE_LASTS)
            deadline = epoch_ms() + int(PROBE_LASTS * 1000)
            await self._say(channel, {"type": PING, "reply_channel": opened.name, "deadline": deadline})
        except ChannelFull:
            return False
        except ServiceBusError:
            raise
        except Exception as error:
            raise Unavailable(f"{channel} cannot be asked for workers: {error!r}") from error
        await opened.run()
        return bool(answers)
