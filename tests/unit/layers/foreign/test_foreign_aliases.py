from __future__ import annotations

import pytest
from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer as ChannelsRedis
from channels_redis.pubsub import RedisPubSubChannelLayer

from servicebus import ConfigurationError
from servicebus.layers.foreign.aliases import channel_layer, prepared

from ....support.failing_layer import FailingLayer

URL = "redis://127.0.0.1:1"


def test_a_layer_is_found_by_its_alias(foreign: FailingLayer, foreign_url: str) -> None:
    assert channel_layer(foreign_url.removeprefix("django://")) is foreign


def test_no_alias_means_the_default_layer(foreign: FailingLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(channel_layers.backends, "default", foreign)
    assert channel_layer("") is foreign


def test_an_unknown_alias_is_refused_and_the_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"django://nowhere.*CHANNEL_LAYERS"):
        channel_layer("nowhere")


def test_a_layer_that_gives_each_message_to_all_workers_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than once"):
        prepared(RedisPubSubChannelLayer(hosts=[URL]))


def test_a_receive_on_channels_redis_has_no_socket_timeout() -> None:
    layer = ChannelsRedis(hosts=[URL])
    assert prepared(layer) is layer
    assert [host["socket_timeout"] for host in layer.hosts] == [None]


def test_a_socket_timeout_of_the_settings_stays() -> None:
    layer = prepared(ChannelsRedis(hosts=[{"address": URL, "socket_timeout": 30}]))
    assert [host["socket_timeout"] for host in layer.hosts] == [30]


def test_any_other_layer_is_used_as_it_is(foreign: FailingLayer) -> None:
    assert prepared(foreign) is foreign
