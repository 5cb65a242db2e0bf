from __future__ import annotations

import pytest

from servicebus import ConfigurationError, ServiceBus
from servicebus.config import default_url


def test_the_url_comes_from_the_argument_then_the_environment_then_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICEBUS_URL", "redis://environment")
    assert ServiceBus("redis://argument").url == "redis://argument"
    assert ServiceBus().url == "redis://environment"
    monkeypatch.setenv("SERVICEBUS_URL", "")
    assert ServiceBus().url == "memory://"
    monkeypatch.delenv("SERVICEBUS_URL")
    assert default_url() == "memory://"


@pytest.mark.parametrize("url", ["nats://h", "memory:", "redis", "", "://"])
async def test_a_scheme_that_there_is_no_layer_for_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICEBUS_URL", "ftp://user:secret@host")
    with pytest.raises(ConfigurationError, match="no layer for the URL") as caught:
        async with ServiceBus(url):
            pass
    assert "redis://" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("size", [0, -1, 1_048_577])
def test_a_message_size_out_of_bounds_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match="max_message_size"):
        ServiceBus("memory://", max_message_size=size)


def test_a_bus_of_a_service_without_a_proper_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no service name"):
        ServiceBus("memory://", service="a.b")
