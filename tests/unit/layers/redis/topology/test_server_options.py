"""Every option of a URL and of an entry of ``hosts`` has its effect, or is refused by its name."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio.connection
import redis.connection
from hypothesis import given
from hypothesis import strategies as st
from redis.credentials import CredentialProvider, UsernamePasswordCredentialProvider

from servicebus import ConfigurationError
from servicebus.channel_layer.hosts import read_hosts
from servicebus.layers.redis.topology.address import KNOWN, NO_EFFECT, Address
from servicebus.layers.redis.topology.target import target_from_url
from servicebus.layers.redis.topology.tls import READERS

from .....support.certificates import Authority

TLS_VALUES: dict[str, Any] = {
    "ssl_cert_reqs": "optional",
    "ssl_check_hostname": "false",
    "ssl_ciphers": "ECDHE+AESGCM",
    "ssl_exclude_verify_flags": "VERIFY_X509_STRICT",
    "ssl_include_verify_flags": "VERIFY_X509_STRICT",
    "ssl_min_version": "TLSv1.3",
}
"""A value for each option of TLS that names no file."""


def address_of(host: Any) -> Address:
    (target,) = read_hosts([host])
    assert isinstance(target, Address)
    return target


def context_of(host: Any) -> ssl.SSLContext:
    found = address_of(host).tls
    assert found is not None
    return found


@pytest.mark.parametrize("option", sorted(READERS))
@pytest.mark.parametrize("place", [{"host": "h"}, {"address": "redis://h"}, {"address": ("h", 1)}, {"path": "/s"}])
def test_an_option_of_tls_on_a_connection_without_tls_is_refused(option: str, place: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=option):
        read_hosts([{**place, option: TLS_VALUES.get(option, "x")}])
    with pytest.raises(ConfigurationError, match=option):
        target_from_url(f"redis://h?{option}=x")


TLS_ENTRIES: list[dict[str, Any]] = [
    {"address": "rediss://h"},
    {"address": "redis://h", "ssl": True},
    {"host": "h", "ssl": "true"},
    {"host": "h", "connection_class": redis.connection.SSLConnection},
    {"address": ("h", 1), "connection_class": redis.asyncio.connection.SSLConnection},
]


@pytest.mark.parametrize("entry", TLS_ENTRIES)
def test_options_of_tls_have_their_effect_beside_whatever_means_tls(entry: dict[str, Any]) -> None:
    default = context_of(entry)
    assert (default.verify_mode, default.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context_of({**entry, "ssl_min_version": ssl.TLSVersion.TLSv1_3}).minimum_version == ssl.TLSVersion.TLSv1_3
    lax = context_of({**entry, "ssl_cert_reqs": ssl.CERT_NONE})
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)
    assert context_of({**entry, "ssl_check_hostname": False}).check_hostname is False


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        *(("none", ssl.CERT_NONE), ("NONE", ssl.CERT_NONE), ("CERT_NONE", ssl.CERT_NONE), (None, ssl.CERT_NONE)),
        *((ssl.CERT_NONE, ssl.CERT_NONE), (0, ssl.CERT_NONE), ("optional", ssl.CERT_OPTIONAL)),
        *(
            (ssl.CERT_OPTIONAL, ssl.CERT_OPTIONAL),
            ("required", ssl.CERT_REQUIRED),
            (ssl.CERT_REQUIRED, ssl.CERT_REQUIRED),
        ),
    ],
)
def test_what_is_required_of_a_certificate_is_read_in_every_form(value: Any, mode: ssl.VerifyMode) -> None:
    assert context_of({"host": "h", "ssl": True, "ssl_cert_reqs": value}).verify_mode == mode


@pytest.mark.parametrize("value", ["TLSv1_3", "TLSv1.3", "1.3", ssl.TLSVersion.TLSv1_3, 772, "772"])
def test_the_oldest_version_of_tls_is_read_in_every_form(value: Any) -> None:
    entry = {"host": "h", "ssl": True, "ssl_min_version": value}
    assert context_of(entry).minimum_version == ssl.TLSVersion.TLSv1_3
    assert address_of(entry).client_options()["ssl_min_version"] == ssl.TLSVersion.TLSv1_3


def test_an_authority_is_trusted_by_file_or_by_its_text(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path, "tests")
    text = authority.file.read_text()
    for option, value in (("ssl_ca_certs", str(authority.file)), ("ssl_ca_data", text)):
        trusted = context_of({"address": "rediss://h", option: value}).get_ca_certs()
        assert len(trusted) == 1, option


@pytest.mark.parametrize("option", ["ssl_validate_ocsp", "ssl_ocsp_context", "ssl_version", "ssl_nonsense"])
def test_an_option_of_tls_without_effect_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} has no effect"):
        read_hosts([{"address": "rediss://h", option: True}])
    with pytest.raises(ConfigurationError, match=f"{option} has no effect"):
        target_from_url(f"rediss://h?{option}=true")


@pytest.mark.parametrize("option", sorted(TLS_VALUES.keys() - {"ssl_ciphers"}))
def test_a_value_that_means_nothing_is_refused_by_the_name_of_its_option(option: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        read_hosts([{"address": "rediss://h", option: "nonsense"}])


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"address": "rediss://h", "ssl": False}, "ssl is False"),
        ({"host": "h", "ssl": False, "connection_class": redis.connection.SSLConnection}, "contradict"),
        ({"address": "rediss://h", "connection_class": redis.connection.Connection}, "contradict"),
        ({"host": "h", "connection_class": redis.connection.UnixDomainSocketConnection}, "contradict"),
        ({"host": "h", "connection_class": object}, "connection_class"),
        ({"host": "h", "connection_class": "redis.SSLConnection"}, "connection_class"),
        ({"path": "/s", "ssl": True}, "no TLS"),
        ({"path": "/s", "host": "h"}, "not both"),
        ({"address": "unix:///s", "port": 1}, "not both"),
        ({"host": "h", "port": "one"}, "port must be"),
        ({"host": "h", "port": 0}, "port must be"),
        ({"host": "h", "db": -1}, "db must be"),
        ({"host": "h", "db": True}, "db must be"),
        ({"host": "redis://h"}, "host must be"),
        ({"host": ""}, "host must be"),
        ({"host": "h", "password": ["x"]}, "password must be"),
        ({"host": "h", "ssl": "perhaps"}, "ssl must be"),
        ({"host": "h", "pasword": "x"}, "did you mean 'password'"),
        ({"host": "h", "redis_connect_func": print}, "redis_connect_func"),
        ({"host": "h", "credential_provider": print}, "credential_provider must be"),
        (
            {"host": "h", "password": "x", "credential_provider": UsernamePasswordCredentialProvider("a", "b")},
            "replaces",
        ),
        ({"master_name": "m", "sentinels": [("h", 1)], "host": "h"}, "host has no effect"),
        ({"master_name": "m", "sentinels": [("h", 1)], "address": "redis://h"}, "address has no effect"),
        ({"master_name": "m", "sentinels": [("h", 1)], "sentinel_kwargs": {"port": 1}}, "port has no effect"),
        ({"master_name": "m", "sentinels": [("h", 1)], "ssl_ca_certs": "x"}, "ssl_ca_certs"),
        (("h", "one"), "port must be"),
        ((5, 1), "cannot read the host"),
    ],
)
def test_options_that_contradict_each_other_or_mean_nothing_are_refused(entry: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        read_hosts([entry])


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=30))
def test_no_option_is_taken_and_then_forgotten(name: str) -> None:
    if name in KNOWN | NO_EFFECT | {"address", "master_name"} or name.startswith("ssl_"):
        return
    with pytest.raises(ConfigurationError, match=name):
        read_hosts([{"host": "h", name: "x"}])
    with pytest.raises(ConfigurationError, match=name):
        target_from_url(f"redis://h?{name}=x")


@pytest.mark.parametrize("name", sorted(NO_EFFECT))
def test_an_option_that_changes_nothing_here_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert address_of({"host": "h", name: 1}).host == "h"
    assert name in caplog.text


def test_an_option_that_is_none_is_not_given() -> None:
    entry = {"host": "h", "port": None, "db": None, "username": None, "password": None, "ssl": None, "path": None}
    assert address_of(entry) == Address("h")


def test_bytes_are_text() -> None:
    assert address_of({"host": "h", "password": b"secret"}).password == "secret"


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_is_read_with_and_without_brackets_and_shown_with(host: str) -> None:
    for entry in ((host, 7000), {"host": host, "port": 7000}):
        assert address_of(entry) == Address("::1", 7000)
        assert str(address_of(entry)) == "redis://[::1]:7000"


def test_a_user_without_a_password_logs_in_as_that_user() -> None:
    for entry in ("redis://ann@h", {"host": "h", "username": "ann"}):
        assert asyncio.run(address_of(entry).login()) == ("ann", "")
    assert asyncio.run(address_of("redis://:pw@h").login()) == ("default", "pw")
    assert asyncio.run(address_of("redis://h").login()) is None


class Asynchronous(CredentialProvider):
    async def get_credentials_async(self) -> tuple[str, str]:
        return "ann", "token"


class Wrong(CredentialProvider):
    def get_credentials(self) -> Any:
        return "token"


def test_a_credential_provider_is_asked_before_each_login() -> None:
    passwords = iter(["one", "two"])

    class Rolling(CredentialProvider):
        def get_credentials(self) -> tuple[str]:
            return (next(passwords),)

    rolling = address_of({"host": "h", "credential_provider": Rolling()})
    assert asyncio.run(rolling.login()) == ("default", "one")
    assert asyncio.run(rolling.login()) == ("default", "two")
    assert asyncio.run(address_of({"host": "h", "credential_provider": Asynchronous()}).login()) == ("ann", "token")
    with pytest.raises(ConfigurationError, match="credential_provider must return"):
        asyncio.run(address_of({"host": "h", "credential_provider": Wrong()}).login())
