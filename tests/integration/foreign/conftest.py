"""CHANNEL_LAYERS backends under an alias of their own: of channels, of channels_redis, and ours in two forms."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from channels_redis.core import RedisChannelLayer as ChannelsRedis
from django.conf import settings

from servicebus.layers.redis import RedisChannelLayer

from ...support.django_setup import set_up_django

set_up_django()


@pytest.fixture(scope="session", autouse=True)
def configured_django() -> None:
    """Settings without CHANNEL_LAYERS, unless the whole suite runs: then those of the services are configured."""
    if not settings.configured:
        settings.configure()


def made(kind: str, request: pytest.FixtureRequest) -> Any:
    """The layer of that kind. "ours" is what the bus replaces with its own layer, "adapted" is not."""
    if kind == "memory":
        return InMemoryChannelLayer(capacity=1000)
    hosts = [request.getfixturevalue("server").url]
    if kind == "channels_redis":
        return ChannelsRedis(hosts=hosts, capacity=1000)
    return RedisChannelLayer(hosts=hosts, capacity=1000, serializer_format="json" if kind == "adapted" else "msgpack")


@pytest.fixture(params=["memory", "channels_redis", "ours", "adapted"])
async def alias(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A name in CHANNEL_LAYERS, with a fresh layer behind it."""
    name, layer = uuid.uuid4().hex, made(request.param, request)
    channel_layers.set(name, layer)
    yield name
    channel_layers.backends.pop(name, None)
    if not isinstance(layer, InMemoryChannelLayer):
        await layer.close_pools()


@pytest.fixture
def layer(alias: str) -> Any:
    """What Channels code gets under that alias."""
    return channel_layers[alias]
