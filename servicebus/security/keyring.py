"""The keys that the participants of a bus share, and the file that holds them.

docs/spec.md, section 10, defines the keys; docs/topics/security.md explains what signing protects against.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec

from ..errors import ConfigurationError

SHORTEST_KEY = 16
"""Bytes of a key, at least: nobody can try out 128 random bits."""
LONGEST_KEY = 64
"""Bytes of a key, at most: BLAKE2b takes no longer one."""
MAX_KEYS = 16
"""Keys of a keyring: a change of keys needs two, and a frame is compared with the ID of each."""

_QUOTED = re.compile(r"`[^`]{16,}`")
_LIKE_KEY = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}\Z|.*[{}\x00-\x1f\x7f-\uffff]", re.DOTALL)
_ID = re.compile(r"[A-Za-z0-9._-]{1,31}\Z")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Keyring:
    """The keys of a bus: one signs, and each of them verifies. All participants of the bus hold the same keys.

    Args:
        sign: the ID of the key to sign with.
        keys: the ID of each key, and the key. An ID is 1 to 31 letters, digits, ``.``, ``_`` or ``-``; a key is 16 to
            64 random bytes.
        required: whether frames without a signature are refused. Set False until every participant signs.

    Raises:
        ConfigurationError: an argument is wrong. The text names the argument and never quotes a key.
    """

    sign: str
    keys: Mapping[str, bytes] = field(hash=False)
    required: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.keys, Mapping) or not 1 <= len(self.keys) <= MAX_KEYS:
            raise ConfigurationError(f"signing keys: give a mapping of 1 to {MAX_KEYS} key IDs to bytes")
        for name, key in self.keys.items():
            _check_key(name, key)
        if self.sign not in self.keys:
            raise ConfigurationError(f"signing sign is {_shown(self.sign)}: name one of the keys, {_listed(self.keys)}")
        if not isinstance(self.required, bool):
            raise ConfigurationError(f"signing required is {_shown(self.required)}: give True or False")
        object.__setattr__(self, "keys", MappingProxyType(dict(self.keys)))

    def __repr__(self) -> str:
        return f"Keyring(sign={self.sign!r}, keys=<{_listed(self.keys)}>, required={self.required})"

    @classmethod
    def from_file(cls, path: str | Path) -> Keyring:
        """Read a keyring from JSON: ``{"sign": "2026-11", "keys": {"2026-11": "<base64>"}, "required": true}``.

        A file that other users may read is used with a warning, because containers get their secrets in such files.

        Raises:
            ConfigurationError: the file cannot be read, does not hold a keyring, or may be changed by other users.
        """
        try:
            with Path(path).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read()
        except (OSError, ValueError, TypeError) as error:
            if _may_be_key(str(path)):
                reason = "its name is not shown, because it could be a key: give the path of a file"
                raise ConfigurationError(f"the key file cannot be read: {reason}") from None
            raise ConfigurationError(f"the key file cannot be read: {error}") from error
        _check_mode(path, mode)
        try:
            read = msgspec.json.decode(content, type=_KeyFile)
        except msgspec.DecodeError as error:  # its text quotes from the file the names of fields
            reason = _QUOTED.sub("`...`", str(error))
            raise ConfigurationError(f"{path} is not a key file: {reason}") from None
        return cls(read.sign, read.keys, read.required)


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    sign: str
    keys: dict[str, bytes]
    required: bool = True


def _check_key(name: object, key: object) -> None:
    if not isinstance(name, str) or not _ID.match(name):
        raise ConfigurationError(
            f"signing keys: {_shown(name)} is not a key ID: give 1 to 31 letters, digits, '.', '_' or '-'"
        )
    if not isinstance(key, bytes) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ConfigurationError(f"signing keys[{_shown(name)}]: give {SHORTEST_KEY} to {LONGEST_KEY} random bytes")


def _check_mode(path: str | Path, mode: int) -> None:
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"{path} holds keys and other users may change it: chmod go-w")
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        logger.warning("%s holds keys and other users may read it: chmod go-r, unless this is a container", path)


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(_shown(name).strip("'") for name in names)


def _shown(value: object) -> str:
    """What may be a key, because it stands where a key was to stand elsewhere, is not shown."""
    text = repr(value)
    return text if len(text.strip("b'\"")) < SHORTEST_KEY else "a long text, which is not shown"


def _may_be_key(path: str) -> bool:
    return _LIKE_KEY.match(path) is not None
