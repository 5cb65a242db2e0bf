"""Layers on one server, on shards, behind Sentinels and on a Cluster; each closed when its test ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import SentinelGroup, Server

from ...support.channel_tools import Make

PLACES = ["one", "ten", "sentinel", "cluster"]
OPTIONS: dict[str, dict[str, Any]] = {
    "json": {"serializer_format": "json"},
    "keys": {"symmetric_encryption_keys": ["a key", b"an older one"]},
}


@pytest.fixture(scope="session")
def shards(server: Server, running_servers: list[Server]) -> Iterator[list[Server]]:
    """Ten servers; the first is the session's."""
    with ExitStack() as stack:
        more = [stack.enter_context(Server()) for _ in range(9)]
        running_servers.extend(more)
        yield [server, *more]
        for one in more:
            running_servers.remove(one)


@pytest.fixture(params=PLACES)
def variant(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of a layer. The form of its messages is a matter of ``test_messages`` alone."""
    return arguments_of(request)


def arguments_of(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"hosts": hosts_of(request), **OPTIONS.get(request.param, {})}


def hosts_of(request: pytest.FixtureRequest) -> list[Any]:
    if request.param == "ten":
        shards: list[Server] = request.getfixturevalue("shards")
        return [one.url for one in shards]
    if request.param == "sentinel":
        group: SentinelGroup = request.getfixturevalue("sentinel")
        return [{"master_name": "mymaster", "sentinels": [("127.0.0.1", one.port) for one in group.sentinels]}]
    return [request.getfixturevalue("cluster" if request.param == "cluster" else "server").url]


@pytest.fixture(params=["one", "ten", "cluster"])
def make_timed(request: pytest.FixtureRequest, closing: list[RedisChannelLayer]) -> Make:
    """Makes layers on one server, on shards and on a Cluster, for tests that must wait for time to pass."""
    return maker(closing, {"hosts": hosts_of(request)})


@pytest.fixture
def closing() -> Iterator[list[RedisChannelLayer]]:
    """Layers that a test without an event loop has made."""
    layers: list[RedisChannelLayer] = []
    yield layers
    for layer in layers:
        asyncio.run(layer.close_pools())


def maker(layers: list[RedisChannelLayer], defaults: dict[str, Any]) -> Make:
    def make(**options: Any) -> RedisChannelLayer:
        layers.append(RedisChannelLayer(**(defaults | options)))
        return layers[-1]

    return make


@pytest.fixture
def make(closing: list[RedisChannelLayer], server: Server) -> Make:
    """Makes layers on the session's server."""
    return maker(closing, {"hosts": [server.url]})


@pytest.fixture
def make_any(closing: list[RedisChannelLayer], variant: dict[str, Any]) -> Make:
    """Makes layers of one variant."""
    return maker(closing, variant)


@pytest.fixture
def make_sharded(closing: list[RedisChannelLayer], shards: list[Server]) -> Make:
    """Makes layers on ten servers."""
    return maker(closing, {"hosts": [one.url for one in shards]})


@pytest.fixture
def layer(make_any: Make) -> RedisChannelLayer:
    """A layer of every variant."""
    return make_any()


@pytest.fixture
def plain(make: Make) -> RedisChannelLayer:
    """A layer with default options on the session's server."""
    return make()
