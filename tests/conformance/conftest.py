"""Layers on every transport, and on a channel layer that somebody else wrote."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from channels.layers import channel_layers

from servicebus.layers.layer import Ability

from ..support.transport import Everywhere, Layers, abilities_of

TRANSPORTS = ["memory", "redis", "sentinel", "cluster", "django"]


@pytest.fixture
def foreign() -> Iterator[str]:
    """The URL of a layer of channels."""
    alias = uuid.uuid4().hex
    yield f"django://{alias}"
    channel_layers.backends.pop(alias, None)


@pytest.fixture(params=TRANSPORTS)
def url(request: pytest.FixtureRequest) -> str:
    """A bus URL: of a fresh hub, of the real server, a primary behind Sentinels, a Cluster, a layer of channels."""
    found = url_on(request.param, request)
    missing = needed(request) - abilities_of(found)
    if missing:
        pytest.skip(f"the layer lacks {' and '.join(sorted(ability.value for ability in missing))}")
    return found


def needed(request: pytest.FixtureRequest) -> frozenset[Ability]:
    """The abilities that a test is marked with: ``@pytest.mark.needs(Ability.PRESENCE)``."""
    return frozenset(ability for mark in request.node.iter_markers("needs") for ability in mark.args)


def url_on(transport: str, request: pytest.FixtureRequest) -> str:
    if transport in ("memory", "django"):
        found: str = request.getfixturevalue("fresh_hub" if transport == "memory" else "foreign")
        return found
    return str(request.getfixturevalue("server" if transport == "redis" else transport).url)


@pytest.fixture
async def everywhere(request: pytest.FixtureRequest) -> AsyncIterator[Everywhere]:
    """Every transport at once, for tests in which time has to pass: it passes once for all of them."""
    urls = {name: url_on(name, request) for name in TRANSPORTS}
    opened = {name: Layers(found) for name, found in urls.items() if needed(request) <= abilities_of(found)}
    yield Everywhere(opened)
    for layers in opened.values():
        await layers.close()


@pytest.fixture
async def layers(url: str) -> AsyncIterator[Layers]:
    opened = Layers(url)
    yield opened
    await opened.close()
