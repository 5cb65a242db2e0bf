"""What URLs and ``hosts`` mean, and what is wrong with those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from servicebus import ConfigurationError
from servicebus.channel_layer.hosts import read_hosts
from servicebus.layers.redis.topology.address import Address
from servicebus.layers.redis.topology.target import (
    ClusterTarget,
    SentinelTarget,
    Target,
    target_from_url,
    with_port,
)


def sentinels(*hosts: tuple[str, int], username: str = "", password: str = "") -> tuple[Address, ...]:
    return tuple(Address(host, port, username=username, password=password) for host, port in hosts)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache:7000/2", Address("cache", 7000, db=2)),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        ("redis+sentinel://a/main", SentinelTarget("main", sentinels(("a", 26379)), Address())),
        (
            "redis+sentinel://a:1,b,[::1]:3,[::2]/main/4",
            SentinelTarget("main", sentinels(("a", 1), ("b", 26379), ("::1", 3), ("::2", 26379)), Address(db=4)),
        ),
        (
            "redis+sentinel://ann:p%40ss@a/main?sentinel_username=bob&sentinel_password=two%26",
            SentinelTarget(
                "main",
                sentinels(("a", 26379), username="bob", password="two&"),
                Address(username="ann", password="p@ss"),
            ),
        ),
        ("redis+cluster://a", ClusterTarget((Address("a"),))),
        ("redis+cluster://a:1,[::1]:2,b/0", ClusterTarget((Address("a", 1), Address("::1", 2), Address("b")))),
        (
            "redis+cluster://:secret@a:1,b:2",
            ClusterTarget((Address("a", 1, password="secret"), Address("b", 2, password="secret"))),
        ),
    ],
)
def test_a_url_is_read(url: str, expected: Target) -> None:
    assert target_from_url(url) == expected


def test_tls_is_for_all_that_are_spoken_to() -> None:
    found = target_from_url("rediss+sentinel://a,b/main?ssl_cert_reqs=none")
    assert isinstance(found, SentinelTarget)
    assert all(one.tls is not None for one in (*found.sentinels, found.primary))
    assert found.primary.client_options()["ssl_cert_reqs"] == "none"
    nodes = target_from_url("rediss+cluster://a,b")
    assert isinstance(nodes, ClusterTarget)
    assert all(one.tls is not None for one in nodes.nodes)
    assert target_from_url("redis+cluster://a") == ClusterTarget((Address("a", tls=None),))


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis+queue://a", "unknown scheme 'redis\\+queue'"),
        ("unix+cluster://a", "unknown scheme 'unix\\+cluster'"),
        ("http://a", "not a server URL: http://a"),
        ("redis+cluster://", "names no host: redis\\+cluster://host:port,host:port"),
        ("redis+sentinel://,/main", "names no host: redis\\+sentinel://host:port,host:port"),
        ("redis+sentinel://a", "names no primary: redis\\+sentinel://host:port/NAME/0"),
        ("redis+sentinel://a//1", "names no primary"),
        ("redis+sentinel://a/main/one", "the database 'one' is no number"),
        ("redis+sentinel://a:port/main", "port"),
        ("redis+cluster://a:99999", "port|Port"),
        ("redis+cluster://a/1", "a Cluster has the database 0 only"),
        ("redis+cluster://a?db=1", "a Cluster has the database 0 only"),
    ],
)
def test_a_url_that_means_nothing_is_refused_and_says_why(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        target_from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis+queue://ann:hidden@a",
        "redis+cluster://:hidden@",
        "redis+cluster://:hidden@a/1",
        "redis+cluster://:hidden@a:port",
        "redis+cluster://:hi@dden@a/1",
        "redis+sentinel://:hidden@a",
        "redis+sentinel://:hidden@a:port/main",
        "redis+sentinel://a?sentinel_password=hidden",
        "redis+sentinel://a:port/main?sentinel_password=hidden",
        "redis+cluster://a/1?password=hidden",
        "redis://a:port?password=hidden",
        "redis://:hi?dden@a:port",
        "redis://a:port?password=hi@dden",
    ],
)
def test_a_refused_url_does_not_show_its_passwords(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        target_from_url(url)
    assert "hidden" not in str(caught.value)
    assert "dden" not in str(caught.value)


def test_a_target_shows_where_it_is_and_no_password() -> None:
    assert (
        str(target_from_url("redis+sentinel://:hidden@a/main?sentinel_password=hidden")) == "'main' by redis://a:26379"
    )
    assert str(target_from_url("redis+cluster://:hidden@a,b:1")) == "the cluster of redis://a:6379, redis://b:1"


@pytest.mark.parametrize(
    ("host", "expected"), [("a", "a:7"), ("a:1", "a:1"), ("[::1]", "[::1]:7"), ("[::1]:1", "[::1]:1")]
)
def test_a_port_is_added_where_there_is_none(host: str, expected: str) -> None:
    assert with_port(host, 7) == expected


def test_the_hosts_of_a_channels_site_may_be_behind_sentinels_or_a_cluster() -> None:
    entries: list[Any] = [
        {"master_name": "main", "sentinels": [("a", 1), ["b", 2]], "password": "one", "db": 3},
        {"master_name": "main", "sentinels": [("a", 1)], "sentinel_kwargs": {"username": "bob", "password": "two"}},
        "redis+sentinel://a:1/main/3",
        "redis+cluster://a:1",
    ]
    assert read_hosts(entries) == (
        SentinelTarget("main", sentinels(("a", 1), ("b", 2)), Address(password="one", db=3)),
        SentinelTarget("main", sentinels(("a", 1), username="bob", password="two"), Address()),
        SentinelTarget("main", sentinels(("a", 1)), Address(db=3)),
        ClusterTarget((Address("a", 1),)),
    )
    assert entries[0]["master_name"] == "main"


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        ({"master_name": "main"}, "the primary 'main' needs sentinels"),
        ({"master_name": "main", "sentinels": []}, "the primary 'main' needs sentinels"),
        ({"master_name": "main", "sentinels": "a:1"}, "the primary 'main' needs sentinels"),
        ({"master_name": "main", "sentinels": [("a",)]}, "cannot read the host"),
        ({"master_name": "main", "sentinels": [("a", 1)], "hots": "b"}, "unknown host option 'hots'"),
        ({"master_name": "main", "sentinels": [("a", 1)], "sentinel_kwargs": {"pasword": "x"}}, "unknown host option"),
        ("redis+cluster://a/1", "a Cluster has the database 0 only"),
    ],
)
def test_hosts_that_mean_nothing_are_refused_and_say_why(host: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        read_hosts([host])
