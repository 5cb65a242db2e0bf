"""Primaries that are killed or stand still, again and again, each time among servers that have just been started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec
import pytest

from servicebus.testing.servers import Cluster, SentinelGroup, Server

from ...support.faults.record import Figures, Record
from ...support.faults.sizes import sized
from ...support.redis_load import Load, now
from ...support.timing import allowed

DOWN_AFTER = 0.5
NODE_TIMEOUT, WITHIN = 1.0, 4.0
RECOVERY = 2.0
"""Seconds beyond what the sentinels need to believe it."""


def kept(load: Load, record: Record, first: int) -> int:
    """Note the history of a load in the record, as that of another sender with IDs from ``first`` on; its length."""
    for event in load.events:
        id, sender = record.id(first + int(event.id)), event.sender and f"{event.sender}-{first}"
        record.recorder.write(msgspec.structs.replace(event, id=id, sender=sender))
    return len(load.events)


@pytest.mark.row(18)
@pytest.mark.soak
async def test_every_primary_behind_sentinels_that_is_killed_is_replaced_in_time(
    record: Record, figures: Figures
) -> None:
    times, took, recorded = sized(1, 20), list[float](), 0
    for _ in range(times):
        # One sentinel: where several vote, they may have to vote again, and the wait is theirs.
        with SentinelGroup(sentinels=1, down_after=DOWN_AFTER) as group:
            load = Load(4)
            async with load.on(group.url):
                killed = now()
                group.primary.kill()
                await load.served()
            took.append(load.back_after(killed))
        recorded += kept(load, record, recorded)
        # Here and now, as far as this machine allows: how late it was in this round is forgotten in the next.
        assert load.problems() == []
        assert took[-1] <= allowed(DOWN_AFTER + RECOVERY)
    figures(18, f"{times} primaries killed: served again after {max(took):.2f} s at most; {recorded:,} events")


@contextmanager
def killed(cluster: Cluster) -> Iterator[None]:
    cluster.kill_primary(1)
    yield


def stopped(cluster: Cluster) -> AbstractContextManager[None]:
    primary: Server = cluster.primary(1)
    return primary.standing_still()


@pytest.mark.row(20)
@pytest.mark.soak
@pytest.mark.parametrize("failing", [killed, stopped])
async def test_every_primary_of_a_cluster_that_fails_is_replaced_in_time(
    record: Record, figures: Figures, failing: Callable[[Cluster], AbstractContextManager[None]]
) -> None:
    times, took, recorded = sized(1, 10), list[float](), 0
    for _ in range(times):
        with Cluster(replicas=1, node_timeout=NODE_TIMEOUT) as cluster:
            load = Load()
            async with load.on(cluster.url):
                failed = now()
                with failing(cluster):
                    await load.served()
                took.append(load.back_after(failed))
        recorded += kept(load, record, recorded)
        assert load.problems() == []
        assert took[-1] <= allowed(WITHIN)
    figures(
        20, f"{times} primaries {failing.__name__}: served again after {max(took):.2f} s at most; {recorded:,} events"
    )
