"""Layers on every transport."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .transport import Layers


@pytest.fixture
async def layers(url: str) -> AsyncIterator[Layers]:
    opened = Layers(url)
    yield opened
    await opened.close()
