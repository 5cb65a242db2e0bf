from __future__ import annotations

import asyncio
import inspect
import re
import threading
from typing import Any

import pytest
from channels.layers import BaseChannelLayer, ChannelLayerManager
from channels_redis.serializers import SerializerDoesNotExist
from cryptography.fernet import InvalidToken

from servicebus.channel_layer.hosts import read_hosts, shard_of
from servicebus.errors import ConfigurationError
from servicebus.layers.redis import RedisChannelLayer
from servicebus.layers.redis.topology.address import Address

from ...support.channel_tools import Make, received


def test_the_defaults_are_those_of_channels_redis() -> None:
    signature = inspect.signature(RedisChannelLayer.__init__)
    defaults = {name: one.default for name, one in signature.parameters.items() if one.default is not inspect._empty}
    assert {name: defaults[name] for name in list(defaults)[:9]} == {
        "hosts": None,
        "prefix": "asgi",
        "expiry": 60,
        "group_expiry": 86400,
        "capacity": 100,
        "channel_capacity": None,
        "symmetric_encryption_keys": None,
        "random_prefix_length": 12,
        "serializer_format": "msgpack",
    }


def test_it_has_the_attributes_of_a_channel_layer() -> None:
    layer = RedisChannelLayer(expiry=7, group_expiry=8, capacity=9, prefix="p", channel_capacity={"a.*": 3})
    assert isinstance(layer, BaseChannelLayer)
    assert layer.extensions == ["groups", "flush"]
    assert (layer.expiry, layer.group_expiry, layer.capacity, layer.prefix) == (7, 8, 9, "p")
    assert layer.get_capacity("a.b") == 3
    assert layer.get_capacity("b.a") == 9
    assert re.fullmatch("[0-9a-f]{32}", layer.client_prefix)
    assert layer.client_prefix != RedisChannelLayer().client_prefix


@pytest.mark.parametrize(
    "name",
    ["send", "receive", "new_channel", "group_add", "group_discard", "group_send", "flush", "close_pools", "close"],
)
def test_every_endpoint_is_a_coroutine_function(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(RedisChannelLayer(), name))


def test_making_one_needs_no_loop_no_server_and_no_thread() -> None:
    before = threading.active_count()
    RedisChannelLayer(hosts=[("nowhere.invalid", 1)])
    assert threading.active_count() == before
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


@pytest.mark.parametrize("hosts", ["redis://localhost:6379", b"redis://localhost", ""])
def test_hosts_that_are_no_list_are_a_value_error(hosts: Any) -> None:
    with pytest.raises(ValueError, match="list"):
        RedisChannelLayer(hosts=hosts)


@pytest.mark.parametrize("keys", ["a key", b"a key"])
def test_keys_that_are_no_list_are_a_value_error(keys: Any) -> None:
    with pytest.raises(ValueError, match="list"):
        RedisChannelLayer(symmetric_encryption_keys=keys)


def test_an_unknown_serializer_is_the_registrys_error() -> None:
    with pytest.raises(SerializerDoesNotExist):
        RedisChannelLayer(serializer_format="pickle")


def test_an_unknown_argument_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        RedisChannelLayer(capcity=3)  # type: ignore[call-arg]


def only_address(hosts: Any) -> Address:
    (target,) = read_hosts(hosts)
    assert isinstance(target, Address)
    return target


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("redis://h:7000/3", ("h", 7000, 3)),
        (("h", 7000), ("h", 7000, 0)),
        (["h", 7000], ("h", 7000, 0)),
        ({"address": "redis://h:7000/3"}, ("h", 7000, 3)),
        ({"address": ("h", 7000), "db": 2}, ("h", 7000, 2)),
        ({"host": "h", "port": 7000, "db": 1}, ("h", 7000, 1)),
        ({"address": "redis://h:7000/3", "socket_timeout": None, "health_check_interval": 30}, ("h", 7000, 3)),
    ],
)
def test_a_host_is_read_in_every_form(host: Any, expected: tuple[str, int, int]) -> None:
    address = only_address([host])
    assert (address.host, address.port, address.db) == expected


def test_credentials_are_read_from_urls_and_dicts() -> None:
    for host in ("redis://u:p@h:1", {"host": "h", "port": 1, "username": "u", "password": "p"}):
        address = only_address([host])
        assert (address.username, address.password) == ("u", "p")


@pytest.mark.parametrize("hosts", [None, []])
def test_without_hosts_the_server_is_localhost(hosts: Any) -> None:
    address = only_address(hosts)
    assert (address.host, address.port) == ("localhost", 6379)


@pytest.mark.parametrize("host", [("h",), 5, {"hosst": "h"}, "http://h"])
def test_a_host_that_cannot_be_read_is_refused_at_once(host: Any) -> None:
    with pytest.raises(ConfigurationError):
        RedisChannelLayer(hosts=[host])


def test_the_hosts_of_the_caller_are_not_changed() -> None:
    host = {"address": "rediss://h:1", "ssl_cert_reqs": "none"}
    RedisChannelLayer(hosts=[host])
    assert host == {"address": "rediss://h:1", "ssl_cert_reqs": "none"}


def test_a_name_is_on_the_same_shard_in_every_release() -> None:
    assert [shard_of(name, 10) for name in ("a", "b", "inventory.request", "4f2a!")] == [7, 1, 9, 6]
    assert shard_of("a", 1) == 0


def test_serialize_and_deserialize_are_each_others_inverse() -> None:
    message = {"type": "a", "n": 1, "s": "å"}
    for options in ({}, {"serializer_format": "json"}, {"symmetric_encryption_keys": ["k"]}):
        layer = RedisChannelLayer(**options)
        assert layer.deserialize(layer.serialize(message)) == message
    with pytest.raises(InvalidToken):
        RedisChannelLayer(symmetric_encryption_keys=["k"], random_prefix_length=0).deserialize(b"x")


def test_channels_makes_it_from_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = {"BACKEND": "servicebus.layers.redis.RedisChannelLayer", "CONFIG": {"prefix": "x", "capacity": 5}}
    monkeypatch.setattr(ChannelLayerManager, "configs", {"default": backend})
    layer = ChannelLayerManager()["default"]
    assert isinstance(layer, RedisChannelLayer)
    assert (layer.prefix, layer.capacity) == ("x", 5)


async def test_any_registered_serializer_is_used(make: Make) -> None:
    from channels_redis.serializers import JSONSerializer, registry

    class Shouting(JSONSerializer):  # type: ignore[misc] # channels_redis has no types
        def as_bytes(self, message: Any, *args: Any, **kwargs: Any) -> bytes:
            encoded: bytes = super().as_bytes({**message, "shout": True}, *args, **kwargs)
            return encoded

    registry.register_serializer("shouting", Shouting)
    layer = make(serializer_format="shouting")
    await layer.send("a", {"type": "a"})
    assert await received(layer, "a") == {"type": "a", "shout": True}
