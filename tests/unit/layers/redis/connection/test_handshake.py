"""What the answers to the handshake of a connection mean."""

from __future__ import annotations

import errno
import ssl

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import ConfigurationError, Unavailable
from servicebus.layers.redis.connection.connection import ConnectionLost
from servicebus.layers.redis.connection.handshake import (
    failure_reason,
    is_too_old,
    printable,
    refused_handshake,
)
from servicebus.layers.redis.topology.address import Address

ADDRESS = Address("cache", 7000)


def tls_failure() -> ssl.SSLError:
    """The error of TLS with a server that answers with something else."""
    incoming = ssl.MemoryBIO()
    incoming.write(b"-ERR unknown command\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        ssl.create_default_context().wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="cache").do_handshake()
    return caught.value


@given(server=st.sampled_from(["redis", "valkey", "other"]), major=st.integers(0, 20), minor=st.integers(0, 20))
def test_a_server_is_too_old_below_the_version_of_its_kind(server: str, major: int, minor: int) -> None:
    enough = major > 7 or (major == 7 and minor >= (2 if server == "valkey" else 0))
    assert is_too_old(server, f"{major}.{minor}.3") == (not enough)


@given(st.text())
def test_a_name_is_given_to_the_server_in_printable_ascii(name: str) -> None:
    found = printable(name)
    assert len(found) == len(name)
    assert all("!" <= character <= "~" for character in found)
    assert all(new == old or not "!" <= old <= "~" for new, old in zip(found, name, strict=True))


@pytest.mark.parametrize(
    ("text", "retryable"),
    [
        ("WRONGPASS invalid username-password pair", False),
        ("NOAUTH Authentication required", False),
        ("NOPERM no permissions to run the 'time' command", False),
        ("LOADING the dataset is in memory", True),
        ("ERR max number of clients reached", True),
    ],
)
def test_only_a_server_that_denies_is_not_asked_again(text: str, *, retryable: bool) -> None:
    error = refused_handshake(hiredis.ReplyError(text), ADDRESS)
    assert isinstance(error, Unavailable)
    assert error.retryable == retryable
    assert text in str(error)


def test_a_server_that_does_not_know_a_command_is_too_old() -> None:
    error = refused_handshake(hiredis.ReplyError("ERR unknown command `HELLO`"), ADDRESS)
    assert isinstance(error, ConfigurationError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), "no answer within 5 s"),
        (ConnectionLost(), "it closed the connection"),
        (tls_failure(), "TLS failed: "),
        (ConnectionRefusedError(errno.ECONNREFUSED, "another text"), "Connection refused"),
        (OSError("several addresses failed"), "several addresses failed"),
    ],
)
def test_each_failure_to_connect_has_its_reason(error: Exception, expected: str) -> None:
    assert failure_reason(error, ADDRESS, 5.0).startswith(expected)


def test_silence_on_a_connection_with_tls_hints_at_a_server_without() -> None:
    address = Address("cache", 7000, tls=ssl.create_default_context())
    assert failure_reason(TimeoutError(), address, 5.0).endswith("if it speaks TLS at all")
