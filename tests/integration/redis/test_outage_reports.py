"""What a process logs while it has no connection, and when it has one again."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from servicebus import ServiceBus, Unavailable
from servicebus.layers.redis import RedisChannelLayer
from servicebus.layers.redis.connection.connection import Connection
from servicebus.layers.redis.connection.reconnecting import ReconnectingConnection
from servicebus.layers.redis.topology.address import Address
from servicebus.layers.redis.topology.locator import Fixed
from servicebus.testing.servers import Server

from ...support.shop import CHANNEL, echoing, served_again
from ...support.timing import LONG, MS, eventually

CLASS_NAME = re.compile(r"[A-Z][a-z]+[A-Z][A-Za-z]*\(|Error\(")
"""The repr of an exception."""


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


async def test_an_outage_is_a_few_lines_and_one_that_it_is_over(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with ServiceBus(own_server.url, presence_ttl=0.09) as bus:
        async with bus.serving(echoing("shop")), bus.serving(echoing("other")):
            await served_again(bus, CHANNEL, {"type": "echo"})
            own_server.kill()
            await eventually(lambda: "not connected for" in caplog.text)
            await asyncio.sleep(1500 * MS)  # dozens of heartbeats and attempts of four connections
            own_server.start_again()
            await served_again(bus, CHANNEL, {"type": "echo"})
            await eventually(lambda: "again after" in caplog.text)
            assert len(logged(caplog)) <= 5, logged(caplog)
            assert len([text for text in logged(caplog) if "again after" in text]) == 1
    assert not [text for text in logged(caplog) if CLASS_NAME.search(text)]
    assert "heartbeat" not in caplog.text


@pytest.mark.parametrize("change", ["password", "user"])
async def test_a_password_changed_under_a_running_worker_is_an_error(
    own_server: Server, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    caplog.set_level(logging.INFO)
    own_server.run("ACL", "SETUSER", "ann", "on", ">first", "~*", "&*", "+@all")
    async with ServiceBus(f"unix://ann:first@{own_server.path}") as bus, bus.serving(echoing("shop")):
        await served_again(bus, CHANNEL, {"type": "echo"})
        if change == "user":
            own_server.run("ACL", "DELUSER", "ann")
        else:
            own_server.run("ACL", "SETUSER", "ann", "<first", ">second")
            own_server.run("CLIENT", "KILL", "USER", "ann")
        await eventually(lambda: any(record.levelno == logging.ERROR for record in caplog.records))
        with pytest.raises(Unavailable, match="WRONGPASS") as caught:
            await bus.call(CHANNEL, {"type": "echo"})
        assert not caught.value.retryable
        own_server.run("ACL", "SETUSER", "ann", "on", ">first", "~*", "&*", "+@all")
        await served_again(bus, CHANNEL, {"type": "echo"})
        await eventually(lambda: "again after" in caplog.text)
    errors = {record.getMessage() for record in caplog.records if record.levelno == logging.ERROR}
    assert 1 <= len(errors) <= 2
    assert all("WRONGPASS" in text and "Waiting does not cure this" in text for text in errors)
    assert not [text for text in logged(caplog) if CLASS_NAME.search(text)]


async def test_a_connection_that_cannot_be_put_to_use_is_replaced(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    ups: list[Connection] = []

    def up(connection: Connection) -> None:
        ups.append(connection)
        if len(ups) in (2, 3):
            raise ValueError("the hook of a test")

    locator = Fixed(Address.from_url(own_server.url))
    link = ReconnectingConnection(locator, "tests", on_up=up)
    link.start()
    await eventually(lambda: link.connection is not None)
    own_server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await eventually(lambda: len(ups) == 4 and link.connection is ups[3])
    own_server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await eventually(lambda: len(ups) == 5 and link.connection is ups[4])
    await link.close()
    assert "the hook of a test" in caplog.text


async def test_receives_without_a_server_do_not_fill_the_log(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    own_server.kill()
    layer = RedisChannelLayer([own_server.url])
    receives = [asyncio.create_task(layer.receive(f"jobs{number}")) for number in range(10)]
    await eventually(lambda: "no server at" in caplog.text)
    await asyncio.sleep(1500 * MS)  # dozens of attempts
    assert len(logged(caplog)) <= 2, logged(caplog)
    own_server.start_again()
    await layer.send("jobs3", {"type": "job"})
    assert await asyncio.wait_for(receives[3], LONG) == {"type": "job"}
    await eventually(lambda: "again after" in caplog.text)
    for receive in receives:
        receive.cancel()
    await asyncio.gather(*receives, return_exceptions=True)
    await layer.close_pools()
