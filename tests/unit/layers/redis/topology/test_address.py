from __future__ import annotations

import ssl

import pytest

from servicebus import ConfigurationError, ServiceBus
from servicebus.layers.redis.topology.address import Address


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", Address("localhost", 6379)),
        ("redis://cache", Address("cache", 6379)),
        ("redis://cache:7000/2", Address("cache", 7000, db=2)),
        ("redis://cache:7000/0?db=4", Address("cache", 7000, db=4)),
        ("redis://[::1]:7000", Address("::1", 7000)),
        ("redis://ann:p%40ss@cache", Address("cache", username="ann", password="p@ss")),
        ("redis://:secret@cache", Address("cache", password="secret")),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        ("unix://ann:pw@/run/redis.sock?db=1", Address(path="/run/redis.sock", db=1, username="ann", password="pw")),
    ],
)
def test_a_url_is_read(url: str, expected: Address) -> None:
    assert Address.from_url(url) == expected


@pytest.mark.parametrize("url", ["http://cache", "redis://cache:port", "redis://cache:99999", "cache:6379", "unix://"])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Address.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:secret@cache:port",
        "http://ann:secret@cache",
        "redis+x://:secret@h",
        "redis://ann:secret://x@cache:port",
        "ann:secret://x@cache",
        "ann:secret@cache:6379",
    ],
)
async def test_a_refused_url_does_not_show_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with ServiceBus(url):
            pass
    assert "secret" not in str(caught.value)


def test_an_address_never_shows_its_password() -> None:
    assert str(Address.from_url("redis://ann:secret@cache/1")) == "redis://cache:6379"
    assert str(Address.from_url("unix://:secret@/run/redis.sock")) == "unix:///run/redis.sock"


def test_tls_verifies_the_server_unless_told_otherwise() -> None:
    assert Address.from_url("redis://cache").tls is None
    strict = Address.from_url("rediss://cache").tls
    assert strict is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    lax = Address.from_url("rediss://cache?ssl_cert_reqs=none").tls
    assert lax is not None
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("url", ["redis://cache/abc", "redis://cache/0/1", "rediss://:secret@cache:7000/one"])
def test_a_database_that_is_no_number_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no number") as caught:
        Address.from_url(url)
    assert "secret" not in str(caught.value)
