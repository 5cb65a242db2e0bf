from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from servicebus.layers.redis.connection.connection import ConnectionLost
from servicebus.layers.redis.receiving.registration import Registration
from servicebus.layers.redis.schema.keys import Keys


class FakeConnection:
    """Keeps who takes the answers to what was written."""

    def __init__(self) -> None:
        self.answers = list[Callable[[Any], None]]()

    def write(self, data: bytes, *answers: Callable[[Any], None]) -> None:
        self.answers.extend(answers)


@pytest.mark.parametrize("reply", [1, ConnectionLost(), hiredis.ReplyError("MOVED 7 127.0.0.1:1")], ids=repr)
async def test_a_worker_that_leaves_waits_for_a_registration_on_its_way(reply: object) -> None:
    """What is removed before the server has heard of it stays registered."""
    registration, connection = Registration(Keys("asgi"), "orders", "worker", 5000), FakeConnection()
    registration.connected(connection)  # type: ignore[arg-type]
    registration.end()
    leaving = asyncio.create_task(registration.settled())
    await asyncio.sleep(0)
    assert not leaving.done()
    connection.answers[0](reply)
    await leaving


async def test_a_worker_that_leaves_waits_for_nothing_when_nothing_is_on_its_way() -> None:
    await Registration(Keys("asgi"), "orders", "worker", 5000).settled()
