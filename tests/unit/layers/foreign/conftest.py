"""A foreign layer that fails when it is told to, behind an alias of ``CHANNEL_LAYERS``, and the bus's view of it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from channels.layers import channel_layers

from servicebus.layers.foreign import ForeignLayer
from servicebus.layers.limits import Limits

from ....support.failing_layer import FailingLayer


@pytest.fixture
def foreign() -> FailingLayer:
    return FailingLayer()


@pytest.fixture
def foreign_url(foreign: FailingLayer) -> Iterator[str]:
    """The URL of a bus on the foreign layer."""
    alias = uuid.uuid4().hex
    channel_layers.set(alias, foreign)
    yield f"django://{alias}"
    channel_layers.backends.pop(alias, None)


@pytest.fixture
async def layer(foreign: FailingLayer) -> AsyncIterator[ForeignLayer]:
    opened = ForeignLayer(foreign, Limits())
    await opened.open()
    yield opened
    await opened.close()
