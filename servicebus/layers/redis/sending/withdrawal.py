"""Taking frames back: those that have not left yet, and those that still lie in their channel."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import compress

from ....errors import ServiceBusError
from ....protocol.codec import MAX_FRAME, decode_raw
from ...delivery import Delivery
from ..schema.keys import Keys
from ..schema.scripts import WITHDRAW
from ..topology.primaries import Nodes
from .verdicts import removed

FRAMES_PER_WITHDRAWAL = 1000
"""Frames taken back by one script call: each costs the server a search of the list."""


async def withdraw(nodes: Nodes, keys: Keys, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Take frames back.

    Returns:
        The deliveries that were still queued here or on the server: no worker has them, and none will.

    Cancelling is safe: frames may or may not have been taken back.
    """
    taken_back: list[Delivery] = []
    sent: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        if nodes.remove(delivery):
            taken_back.append(delivery)
        elif _is_current(nodes, delivery):
            sent.setdefault(delivery.channel, []).append(delivery)
    with contextlib.suppress(ServiceBusError):
        for channel, waiting in sent.items():
            for at in range(0, len(waiting), FRAMES_PER_WITHDRAWAL):
                some = waiting[at : at + FRAMES_PER_WITHDRAWAL]
                frames = (delivery.frame for delivery in some)
                command = WITHDRAW.command((keys.messages(channel),), *frames)
                if (pipeline := nodes.pipeline(channel)) is not None:
                    pipeline.verify()
                answer = await nodes.execute(channel, *command)
                gone = compress(some, removed(answer, len(some)))
                # Again: the primary may have been promoted anew before it removed them, as it has said meanwhile.
                taken_back += [delivery for delivery in gone if _is_current(nodes, delivery)]
    return taken_back


def _is_current(nodes: Nodes, delivery: Delivery) -> bool:
    """After a failover a list may hold frames that the old primary had handed out: removing them proves nothing."""
    return decode_raw(delivery.frame, MAX_FRAME).fence == nodes.fence_of(delivery.channel)
