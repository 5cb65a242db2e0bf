from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import ConfigurationError
from servicebus.layers.factory import SCHEMES, layer_for, reaches_other_processes, signs, starts_server
from servicebus.layers.limits import Limits

REDIS = {
    "redis://host:6379/0",
    "rediss://host:6379/0",
    "unix:///run/server.sock",
    "redis+sentinel://host:26379/shop/0",
    "rediss+sentinel://host:26379/shop/0",
    "redis+cluster://host:6379,other:6379",
    "rediss+cluster://host:6379",
}
ANSWERS = {reaches_other_processes: True, signs: True, starts_server: False}
"""What the factory answers about a scheme that it does not know, so that opening the URL names the mistake."""


@pytest.mark.parametrize("url", sorted(REDIS))
def test_a_redis_url_gives_a_layer_without_a_connection(url: str) -> None:
    assert type(layer_for(url, "asgi", Limits(), "tests")).__name__ == "RedisLayer"
    assert reaches_other_processes(url)
    assert signs(url)
    assert not starts_server(url)


def test_every_scheme_has_a_test_in_this_file() -> None:
    assert {url.partition("://")[0] for url in REDIS} | {"memory", "django", "embedded"} == set(SCHEMES)


def test_memory_and_embedded_urls_end_with_their_process() -> None:
    assert [reaches_other_processes(f"{name}://") for name in ("memory", "embedded", "django")] == [False, False, True]


def test_only_an_embedded_url_starts_a_server() -> None:
    assert [name for name in SCHEMES if starts_server(f"{name}://")] == ["embedded"]
    with pytest.raises(ConfigurationError, match="was not started"):
        layer_for("embedded://", "asgi", Limits(), "tests")


def test_frames_are_not_signed_on_a_foreign_layer() -> None:
    assert [name for name in SCHEMES if not signs(f"{name}://")] == ["django"]


@given(st.text())
def test_an_unknown_url_is_refused_when_it_is_opened_and_not_before(url: str) -> None:
    if url.partition("://")[0] not in SCHEMES:
        assert {ask: ask(url) for ask in ANSWERS} == ANSWERS
        with pytest.raises(ConfigurationError, match="no layer for the URL"):
            layer_for(url, "asgi", Limits(), "tests")


def test_the_refusal_names_every_scheme_and_hides_the_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        layer_for("ftp://user:secret@host", "asgi", Limits(), "tests")
    assert "secret" not in str(caught.value)
    for name in SCHEMES:
        assert f"{name}://" in str(caught.value)


def test_a_bus_in_memory_imports_neither_redis_nor_django() -> None:
    code = (
        "import sys; from servicebus.layers.factory import layer_for; from servicebus.layers.limits import Limits\n"
        "layer_for('memory://', 'asgi', Limits(), 'tests')\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('redis', 'hiredis', 'django')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
