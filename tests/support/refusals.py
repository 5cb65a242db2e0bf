"""The refusal of a bus that cannot be opened."""

from __future__ import annotations

import pytest

from servicebus import ConfigurationError, ServiceBus, Unavailable


async def refused(url: str) -> Exception:
    """The error of opening a bus."""
    with pytest.raises((Unavailable, ConfigurationError)) as caught:
        async with ServiceBus(url):
            pass
    assert "\n" not in str(caught.value)
    return caught.value
