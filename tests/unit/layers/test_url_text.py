"""What is wrong with the text of a URL is named, by every way into the bus, and no password is shown."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from servicebus import ConfigurationError, ServiceBus
from servicebus.channel_layer.hosts import read_hosts
from servicebus.layers.factory import SCHEMES
from servicebus.layers.redis.topology.address import Address
from servicebus.layers.redis.topology.target import ClusterTarget, SentinelTarget, target_from_url

WRONG = [
    ("valkey://h", "write redis://"),
    ("valkeys://h", "write rediss://"),
    ("valkey+cluster://h", r"write redis\+cluster://"),
    ("REDIS://h", "lower case: redis://"),
    ("Rediss+Sentinel://h/m", r"lower case: rediss\+sentinel://"),
    (" redis://h", "blank"),
    ("redis://h ", "blank"),
    ("redis://h\n", "line end"),
    ("redis://h\r", "line end"),
    ("redis://:a b@h", "blank"),
    ("'redis://h'", "quotes"),
    ('"redis://h"', "quotes"),
    ("redis://h'", "quotes"),
    ("redis://h?pasword=x", "'pasword': did you mean 'password'"),
    ("redis://h?DB=1", "'DB'"),
    ("redis://h?db=", "no value"),
    ("redis://h?db=1&db=2", "twice"),
    ("redis://h?ssl=true", "rediss://"),
    ("redis://h?host=x", "host is no option of a URL"),
    ("redis://ann:pw@h?password=x", "password stands in it twice"),
    ("redis://h#0", "#"),
    ("redis://:1#2@h", "#|host and port"),
    ("redis://u/x@h/0", "%2F"),
    ("redis://::1:6379", "brackets"),
    ("redis://::1", "brackets"),
    ("redis://:6379", "no host"),
    ("redis://h/-1", "is no number"),
    ("redis://h?db=-1", "db must be"),
    ("redis://h/99999999999", "db must be"),
    ("unix://run/redis.sock", "three slashes"),
    ("redis+sentinel://h/m?pasword=x", "'pasword'"),
    ("redis+cluster://h?pasword=x", "'pasword'"),
    ("redis+cluster://:a/b@h", "%2F"),
    ("redis+sentinel://:a#b@h/m", "%2F"),
]


@pytest.mark.parametrize(("url", "complaint"), WRONG)
async def test_what_is_wrong_with_a_url_is_named(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        async with ServiceBus(url):
            pass
    assert not caught.value.retryable
    assert "\n" not in str(caught.value)
    if not url.startswith("valkey"):
        with pytest.raises(ConfigurationError, match=complaint):
            read_hosts([url])


SECRET = "s3cr3t"


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "valkey", "REDIS"])
@given(
    parts=st.lists(st.sampled_from(["/", "#", "?", "@", ":", " ", "'", '"', "=", "&", SECRET]), min_size=1, max_size=5),
    quote=st.sampled_from(["", "'", '"', " "]),
)
@example(parts=["@", "/"], quote="")
def test_no_url_that_is_refused_shows_its_password(scheme: str, parts: list[str], quote: str) -> None:
    url = f"{quote}{scheme}://ann:{SECRET}{''.join(parts)}{SECRET}@h:1/0{quote}"
    try:
        shown = str(target_from_url(url))
    except ConfigurationError as error:
        shown = str(error)
    assert SECRET not in shown


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
async def test_blanks_and_quotes_are_named_for_every_scheme(scheme: str) -> None:
    for url in (f" {scheme}://h", f"{scheme}://h\t", f"'{scheme}://h'"):
        with pytest.raises(ConfigurationError, match=r"blank|quotes"):
            async with ServiceBus(url):
                pass


def test_a_slash_behind_the_database_changes_nothing() -> None:
    assert Address.from_url("redis://h:1/2/") == Address("h", 1, db=2)
    assert Address.from_url("redis://h:1/") == Address("h", 1)
    assert target_from_url("redis+cluster://h:1/0/") == ClusterTarget((Address("h", 1),))
    found = target_from_url("redis+sentinel://h:1/m/2/")
    assert isinstance(found, SentinelTarget)
    assert found.primary.db == 2


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_any_password_works_when_it_is_percent_encoded(password: str) -> None:
    from urllib.parse import quote

    assert Address.from_url(f"redis://ann:{quote(password, safe='')}@h").password == password


@given(st.sampled_from(["::1", "fe80::1", "2001:db8::2:1"]), st.integers(1, 65535))
def test_an_ipv6_address_is_shown_as_it_is_read(host: str, port: int) -> None:
    address = Address.from_url(f"redis://[{host}]:{port}")
    assert address == Address(host, port)
    assert str(address) == f"redis://[{host}]:{port}"
