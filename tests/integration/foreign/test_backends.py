"""The backends that the bus adapts to, and what it says of settings that name none."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer as ChannelsRedis
from channels_redis.pubsub import RedisPubSubChannelLayer

from servicebus import ConfigurationError, InvalidRequest, RemoteError, Service, ServiceBus
from servicebus.testing.servers import Server

from ...support.processes import ROOT, environment
from ...support.shop import (
    CHANNEL,
    Count,
    calling,
    counter,
)
from ...support.timing import MS, PROGRAM_WITHIN

ALIAS = "backend-tests"
URL = f"django://{ALIAS}"


def behind(alias: str, layer: Any) -> Iterator[Any]:
    channel_layers.set(alias, layer)
    yield layer
    channel_layers.backends.pop(alias, None)


@pytest.fixture
async def theirs(server: Server) -> AsyncIterator[ChannelsRedis]:
    made = ChannelsRedis(hosts=[server.url], serializer_format="json")
    for found in behind(ALIAS, made):
        yield found
    await made.close_pools()


async def test_a_value_that_the_serializer_cannot_hold_is_an_invalid_request(theirs: ChannelsRedis) -> None:
    async with ServiceBus(URL) as bus:
        with pytest.raises(InvalidRequest, match="bytes is not JSON serializable") as invalid:
            await bus.call(CHANNEL, {"type": "echo", "raw": b"\x00"})
    assert invalid.value.executed == "no"


async def test_a_caller_hears_that_its_reply_cannot_be_serialized(theirs: ChannelsRedis) -> None:
    service = Service("raw")

    @service.handler("get")
    async def get(message: dict[str, Any]) -> bytes:
        return b"\x00"

    async with calling(URL, service) as bus:
        with pytest.raises(RemoteError) as error:
            await bus.call("raw.request", {"type": "get"})
    assert (error.value.code, error.value.executed) == ("reply_not_encodable", "yes")


async def test_a_layer_that_runs_calls_in_every_worker_is_refused(server: Server) -> None:
    for _ in behind(ALIAS, RedisPubSubChannelLayer(hosts=[server.url])):
        with pytest.raises(ConfigurationError, match="more than once"):
            await ServiceBus(URL).open()


async def test_an_idle_receive_on_channels_redis_goes_on_waiting(
    theirs: ChannelsRedis, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(URL, counter()) as bus:
        idle = asyncio.create_task(bus.call("nobody.request", {"type": "wait"}, timeout=20.0))
        assert await bus.call(CHANNEL, Count(upto=1)) == 1
        await asyncio.sleep(5.5)
        assert not idle.done()
        assert await bus.call(CHANNEL, Count(upto=2)) == 2
        idle.cancel()
        await asyncio.gather(idle, return_exceptions=True)
    assert not caplog.records, caplog.text


async def test_a_service_on_channels_redis_serves_on_after_its_server_was_killed(own_server: Server) -> None:
    made = ChannelsRedis(hosts=[own_server.url])
    for _ in behind(ALIAS, made):
        async with calling(URL, counter(), timeout=1.0) as bus:
            assert await bus.call(CHANNEL, Count(upto=1)) == 1
            await asyncio.to_thread(own_server.kill)
            await own_server.restart()
            async with asyncio.timeout(30):
                while await bus.gather((CHANNEL, Count(upto=2)), return_exceptions=True) != [2]:
                    await asyncio.sleep(20 * MS)
        await made.close_pools()


def in_a_process(code: str, **changes: str) -> str:
    """What a program says last that has no Django settings but those it makes itself."""
    command = [sys.executable, "-c", f"import asyncio, servicebus\n{code}\nasyncio.run(servicebus.ServiceBus().open())"]
    told = environment(SERVICEBUS_URL="django://default", **changes)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PROGRAM_WITHIN, cwd=ROOT, env=told, check=False
    )
    return done.stderr.strip().splitlines()[-1]


def configured(layers: str) -> str:
    return f"from django.conf import settings; settings.configure(CHANNEL_LAYERS={layers})"


def test_settings_without_a_layer_are_refused_with_the_fix() -> None:
    refused = "servicebus.errors.ConfigurationError: django://default"
    assert in_a_process("").startswith(f"{refused} needs Django settings with CHANNEL_LAYERS")
    assert "No module named 'nowhere'" in in_a_process("", DJANGO_SETTINGS_MODULE="nowhere")
    assert in_a_process(configured("{}")).endswith("has nothing; add 'default'")
    assert in_a_process(configured("{'other': {}}")).endswith("has other; add 'default'")
    assert "correct its BACKEND" in in_a_process(configured("{'default': {'BACKEND': 'nowhere.Layer'}}"))
    assert "correct its BACKEND or CONFIG" in in_a_process(
        configured("{'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer', 'CONFIG': {'hosts': 1, 'x': 2}}}")
    )
