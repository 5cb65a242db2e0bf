from __future__ import annotations

import base64
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from servicebus import ConfigurationError, ServiceBus
from servicebus.security import Keyring

from ...support.keys import (
    KEYS,
    NEW,
    OLD,
    SECRETS,
    content,
)

KEY = b"0123456789abcdef"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_bytes(content(KEYS))
    path.chmod(0o600)
    return path


def test_a_keyring_is_frozen_and_keeps_a_copy_of_its_keys() -> None:
    keys = dict(SECRETS)
    keyring = Keyring("old", keys)
    keys.clear()
    assert dict(keyring.keys) == SECRETS
    assert keyring.required
    with pytest.raises(dataclasses.FrozenInstanceError):
        keyring.sign = "new"  # type: ignore[misc]
    with pytest.raises(TypeError):
        keyring.keys["more"] = KEY  # type: ignore[index]


def test_a_keyring_shows_the_names_of_its_keys_and_no_more() -> None:
    shown = f"{KEYS} {KEYS!r}"
    assert "old" in shown
    assert "new" in shown
    assert not any(form in shown for key in (OLD, NEW) for form in (key.decode(), key.hex(), repr(key)))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("a", {}), "signing keys: give a mapping of 1 to 16"),
        (("a", None), "signing keys: give a mapping"),
        (("a", {f"k{n}": KEY for n in range(17)}), "signing keys: give a mapping of 1 to 16"),
        (("b", {"a": KEY}), "signing sign is 'b': name one of the keys, a"),
        (("a", {"a": "text of 16 bytes"}), r"signing keys\['a'\]: give 16 to 64 random bytes"),
        (("a", {"a": KEY[:15]}), r"signing keys\['a'\]: give 16 to 64"),
        (("a", {"a": KEY * 5}), r"signing keys\['a'\]: give 16 to 64"),
        (("", {"": KEY}), "'' is not a key ID"),
        (("ä", {"ä": KEY}), "'ä' is not a key ID"),
        (("a\n", {"a\n": KEY}), r"'a\\n' is not a key ID"),
        (("a" * 32, {"a" * 32: KEY}), "is not a key ID: give 1 to 31"),
        ((1, {1: KEY}), "1 is not a key ID"),
        (("a", {"a": KEY}, "yes"), "signing required is 'yes': give True or False"),
    ],
)
def test_what_is_wrong_with_a_keyring_is_named_by_its_field(arguments: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        Keyring(*arguments)
    assert KEY.decode() not in str(caught.value)


def test_a_key_file_is_read(key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Keyring.from_file(key_file) == KEYS
    key_file.write_text(json.dumps({"sign": "a", "keys": {"a": base64.b64encode(KEY).decode()}}))
    assert Keyring.from_file(str(key_file)) == Keyring("a", {"a": KEY}, required=True)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a key file"),
        ("[]", "is not a key file"),
        ('{"sign": "a"}', "missing required field `keys`"),
        ('{"sign": "a", "keys": {"a": "no base 64!"}}', "Invalid base64"),
        ('{"sign": "a", "keys": {"a": "MDEyMw=="}}', "16 to 64 random bytes"),
        ('{"sign": "a", "keys": {}, "requires": false}', "unknown field `requires`"),
    ],
)
def test_what_is_wrong_with_a_key_file_is_named_without_quoting_it(key_file: Path, text: str, complaint: str) -> None:
    key_file.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        Keyring.from_file(key_file)
    assert "MDEyMw" not in str(caught.value)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the key file cannot be read: .*none\.json"):
        Keyring.from_file(tmp_path / "none.json")


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_key_file_that_others_may_change_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(ConfigurationError, match="other users may change it: chmod go-w"):
        Keyring.from_file(key_file)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_file_that_others_may_read_is_used_with_a_warning(
    key_file: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    key_file.chmod(mode)
    caplog.set_level(logging.WARNING, "servicebus")
    assert Keyring.from_file(key_file) == KEYS
    assert "other users may read it" in caplog.text


def test_the_environment_names_the_key_file_of_a_bus_that_is_given_no_keys(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVICEBUS_KEYS", raising=False)
    plain = ServiceBus("memory://").wire.codec
    monkeypatch.setenv("SERVICEBUS_KEYS", str(key_file))
    assert type(ServiceBus("memory://").wire.codec) is not type(plain)
    monkeypatch.setenv("SERVICEBUS_KEYS", "/no/such/file")
    with pytest.raises(ConfigurationError, match="/no/such/file"):
        ServiceBus("memory://")
    assert type(ServiceBus("memory://", signing=KEYS).wire.codec) is not type(plain)


def test_a_layer_that_moves_messages_cannot_be_signed_on() -> None:
    with pytest.raises(ConfigurationError, match="django:// moves messages, not the bytes that are signed"):
        ServiceBus("django://default", signing=KEYS)


def test_what_is_not_a_keyring_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="signing is a dict: give a Keyring"):
        ServiceBus("memory://", signing=SECRETS)  # type: ignore[arg-type]


TEXT = base64.b64encode(NEW).decode()
"""A key as it stands in a file."""


@pytest.mark.parametrize(
    "arguments",
    [
        (TEXT, {"a": KEY}),
        (NEW, {"a": KEY}),
        ("a", {TEXT: KEY}),
        (TEXT, {TEXT: b"a"}),
        (KEY.decode(), {KEY.decode(): b"a"}),
        ("a", {KEY: "a"}),
        ("a", {"a": KEY, NEW.hex(): KEY}),
        ("a", {"a": KEY}, TEXT),
        ("b", {"a": KEY, KEY.decode(): KEY}),
    ],
)
def test_a_key_in_the_place_of_something_else_is_not_quoted(arguments: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Keyring(*arguments)
    assert not any(form in str(caught.value) for form in (TEXT, KEY.decode(), NEW.hex(), repr(NEW)[2:-1]))


@pytest.mark.parametrize("text", [f'{{"sign": "a", "keys": {{}}, "{TEXT}": "a"}}', f'{{"{TEXT}": 1}}', f'"{TEXT}"'])
def test_a_key_in_the_wrong_place_of_a_file_is_not_quoted(key_file: Path, text: str) -> None:
    key_file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        Keyring.from_file(key_file)
    assert TEXT not in str(caught.value)


@pytest.mark.parametrize("path", [TEXT, NEW.hex(), KEY.decode(), content(KEYS).decode(), f"/{NEW.hex()}"])
def test_a_key_in_the_place_of_the_path_is_not_quoted(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        Keyring.from_file(path)
    assert path not in str(caught.value)
