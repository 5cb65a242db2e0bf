from __future__ import annotations

import re
from typing import Any

import pytest
from channels.layers import BaseChannelLayer
from hypothesis import given
from hypothesis import strategies as st

from servicebus import ConfigurationError
from servicebus.contract.names import (
    checked_channel,
    checked_service,
    events_channel,
    is_channel,
    request_channel,
)
from servicebus.protocol.addresses import (
    caller_of,
    full_name,
    reply_prefix,
    split_address,
)

services = st.from_regex(re.compile(r"[a-z][a-z0-9\-_]{0,39}", re.ASCII), fullmatch=True)
legal_names = st.from_regex(re.compile(r"[ab1\-_.]{1,8}(![ab1\-_.]{0,4})?", re.ASCII), fullmatch=True)
likely_names = st.text("ab1-_.!: \n\u0663\xe9", max_size=12) | st.integers(95, 105).map("x".__mul__) | st.text()


@given(likely_names)
def test_a_channel_name_is_legal_exactly_when_channels_says_so(name: str) -> None:
    legal = bool(name) and not name.endswith("\n") and channels_takes(name)
    assert is_channel(name) is legal


def channels_takes(name: str) -> bool:
    try:
        return bool(BaseChannelLayer().require_valid_channel_name(name))
    except TypeError:
        return False


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n", "a!b!c", "x" * 100, None, b"a", 7])
def test_an_illegal_channel_name_is_refused_with_the_rule(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no channel name: letters, digits"):
        checked_channel(name)


@pytest.mark.parametrize("name", ["a", "inventory.request", "response.orders.0a1b!2c", "a!", "x" * 99])
def test_a_legal_channel_name_is_returned(name: str) -> None:
    assert checked_channel(name) is name


@pytest.mark.parametrize("name", ["", "a.b", "a b", "-a", "a!", "x" * 41, None, "a\n"])
def test_an_illegal_service_name_is_refused_with_the_rule(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no service name: letters, digits"):
        checked_service(name)


@given(services)
def test_every_channel_made_for_a_service_is_legal(service: str) -> None:
    assert checked_service(service) == service
    for channel in (request_channel(service), events_channel(service), reply_prefix(service, "0" * 32) + "f" * 16):
        assert checked_channel(channel) == channel


@given(services)
def test_a_reply_channel_names_its_caller_its_inbox_and_its_call(service: str) -> None:
    prefix = reply_prefix(service, "ab" * 16)
    assert caller_of(prefix + "cafe") == service
    assert split_address(prefix + "cafe") == ("ab" * 16 + "!", f"response.{service}!cafe")


def test_channels_of_a_process_share_its_inbox_under_local_names() -> None:
    names = ["response.orders.4f2a!c81d", "specific.4f2a!c81d", "specific.4f2a!", "4f2a!c81d"]
    routes = [split_address(name) for name in names]
    assert {inbox for inbox, _ in routes} == {"4f2a!"}
    assert len({local for _, local in routes}) == len(names)


@given(legal_names, legal_names)
def test_two_channels_never_share_a_list_and_a_local_name(one: str, other: str) -> None:
    assert (split_address(one) == split_address(other)) is (one == other)


@given(legal_names)
def test_list_and_local_name_are_the_channel_again(name: str) -> None:
    assert full_name(*split_address(name)) == name


def test_a_channel_that_begins_with_a_dot_is_another() -> None:
    assert split_address(".4f2a!c81d") == ("4f2a!", ".!c81d")
    assert split_address("..4f2a!c81d") == ("4f2a!", "..!c81d")


def test_a_channel_that_is_not_process_local_has_a_list_of_its_own() -> None:
    assert split_address("inventory.request") == ("inventory.request", "")


@pytest.mark.parametrize("name", ["", "response", "response.a", "specific.a!b", "other.a.b!c"])
def test_the_caller_behind_a_foreign_reply_channel_is_unknown(name: str) -> None:
    assert caller_of(name) == ""
