"""What a server pays for messages that wait."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from servicebus import ServiceBus
from servicebus.testing.servers import Server

from ...support.faults.record import Figures
from ...support.faults.sizes import sized

CHANNEL = "shop.request"
AT_ONCE = 10_000
MESSAGE = {"type": "store", "text": "x" * 181}


@pytest.mark.row(27)
async def test_a_queued_message_of_200_bytes_takes_at_most_300_in_the_server(
    own_server: Server, figures: Figures
) -> None:
    """The suite queues 200,000, the long run a million: what one costs does not depend on how many there are."""
    assert len(msgspec.msgpack.encode(MESSAGE)) == 200
    count = sized(200_000, 1_000_000)
    async with ServiceBus(own_server.url, capacity=count) as bus:
        before = used(own_server)
        for _ in range(count // AT_ONCE):
            await asyncio.gather(*(bus.send(CHANNEL, MESSAGE) for _ in range(AT_ONCE)))
        each = (used(own_server) - before) / count
    assert own_server.run("LLEN", f"asgi:{{{CHANNEL}}}") == count
    figures(27, f"{each:.0f} bytes each, {count} queued")
    assert each <= 300


def used(server: Server) -> int:
    return int(server.info("memory")["used_memory"])
