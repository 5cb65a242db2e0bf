"""A replica that is promoted holds again what its primary had handed out: nothing of that runs twice."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import msgpack
import pytest

from servicebus.testing.servers import Server

from ...support.faults.pair import (
    CALLS,
    MESSAGES,
    Side,
    Signpost,
    replicated,
)
from ...support.faults.record import Figures, Record
from ...support.faults.sizes import sized
from ...support.timing import MS

RATE = sized(1000, 7000)
"""Messages that a worker takes in a second."""
AFTERWARDS = 500 * MS
SPLIT = 2.0


def held(server: Server) -> list[bytes]:
    return [frame for service in (MESSAGES, CALLS) for frame in server.frames(f"{service}.request")]


def ran_before(frames: list[bytes], record: Record, *, by: str) -> int:
    """How many of the messages that lie in a promoted replica were started by the worker of the old primary."""
    bodies: list[Any] = [msgpack.unpackb(frame)[3]["body"] for frame in frames]
    started = {event.id for event in record.events() if event.kind == "start" and event.by == by}
    return sum(body["id"] in started for body in bodies)


@pytest.mark.row(19)
@pytest.mark.parametrize("lag", [20 * MS, 100 * MS])
async def test_messages_that_a_lagging_replica_still_holds_do_not_run_again(
    record: Record, figures: Figures, tmp_path: Path, lag: float
) -> None:
    way = Signpost(tmp_path / "primary")
    async with replicated(lag) as pair:
        way.to(pair.first)
        async with Side("near", way, record, count(), RATE) as side:
            await side.fill(RATE // 2)
            async with side.loaded():
                await pair.crash()
                resurrected = await asyncio.to_thread(held, pair.second)
                way.to(pair.second)
                await side.served()
                await asyncio.sleep(AFTERWARDS)
            fenced = side.worker.counters.fenced_frames
    again = ran_before(resurrected, record, by="near")
    figures(19, f"crash, lag {1000 * lag:.0f} ms: {again:,} came back that had run, {fenced:,} dropped: 0 twice")
    assert record.problems() == []
    assert again > 0, "or this test says nothing"
    assert fenced >= again


@pytest.mark.row(19)
async def test_nothing_runs_twice_while_two_primaries_deliver_messages(
    record: Record, figures: Figures, tmp_path: Path
) -> None:
    ways, numbers = [Signpost(tmp_path / name) for name in ("near", "far")], count()
    async with replicated(0.0) as pair:
        for way in ways:
            way.to(pair.first)
        near, far = Side("near", ways[0], record, numbers, RATE), Side("far", ways[1], record, numbers, RATE // 10)
        async with near, far:
            await near.fill(int(RATE * (SPLIT + 1)))
            async with near.loaded(), far.loaded():
                await pair.part()
                resurrected = await asyncio.to_thread(held, pair.second)
                ways[1].to(pair.second)
                far.leave(pair.first)
                await asyncio.sleep(SPLIT)
                await pair.demote()
                ways[0].to(pair.second)
                await asyncio.gather(near.served(), far.served())
                await asyncio.sleep(AFTERWARDS)
            fenced = near.worker.counters.fenced_frames + far.worker.counters.fenced_frames
    again = ran_before(resurrected, record, by="near")
    figures(19, f"split for {SPLIT:.0f} s: {again:,} were on both sides and had run, {fenced:,} dropped: 0 twice")
    assert record.problems() == []
    assert again > 0, "or this test says nothing"
    assert fenced >= again
