"""Frames that are signed with a key that the participants share, and verified before they are decoded.

docs/spec.md, section 10, is the source of the bytes; docs/topics/security.md says what this is good for.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from ..errors import ConfigurationError, MessageTooLarge
from ..protocol.codec import MAX_FRAME, Decode, FrameT, MalformedFrame, decode_raw, encode
from ..protocol.envelope import SIGNED, UNSIGNED, OutgoingSignedFrame
from ..protocol.replay_guard import MAC_BYTES, Replays

SHORTEST_KEY, LONGEST_KEY = 16, 64
MOST_KEYS = 16
MOST_CHANNELS = 10_000

MARK = b"\xc4\x10"
"""Before the MAC: 16 bytes follow."""
SIGNED_UNTIL = -MAC_BYTES - len(MARK)
NONCE_AT = SIGNED_UNTIL - 9
LEAST_NONCE = 2**32
"""A smaller one would be encoded in fewer bytes."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,31}\Z")
_ID_AT_END = re.compile(rb"[\xa1-\xbf]([A-Za-z0-9._-]{1,31})\Z")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Keyring:
    """The keys of a bus: one signs, any verifies. All who share the bus hold the same.

    Args:
        sign: the ID of the key to sign with.
        keys: ID to key. An ID is 1 to 31 letters, digits, ``.``, ``_`` or ``-``; a key is 16 to 64 random bytes.
        required: refuse frames without a signature. False is for the time until everybody signs.

    Raises ConfigurationError, which names the field, for anything else.
    """

    sign: str
    keys: Mapping[str, bytes] = field(hash=False)
    required: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.keys, Mapping) or not 1 <= len(self.keys) <= MOST_KEYS:
            raise ConfigurationError(f"signing keys: give a mapping of 1 to {MOST_KEYS} key IDs to bytes")
        for name, key in self.keys.items():
            _check_key(name, key)
        if self.sign not in self.keys:
            raise ConfigurationError(f"signing sign is {self.sign!r}: name one of the keys, {_listed(self.keys)}")
        if not isinstance(self.required, bool):
            raise ConfigurationError("signing required: True or False")
        object.__setattr__(self, "keys", MappingProxyType(dict(self.keys)))

    def __repr__(self) -> str:
        return f"Keyring(sign={self.sign!r}, keys=<{_listed(self.keys)}>, required={self.required})"

    @classmethod
    def from_file(cls, path: str | Path) -> Keyring:
        """From JSON: ``{"sign": "2026-11", "keys": {"2026-11": "<base64>"}, "required": true}``.

        Raises ConfigurationError for a file that cannot be read, is not that, or could be changed by other users.
        One that others may read is used with a warning: that is how containers are given their secrets.
        """
        try:
            with Path(path).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the key file cannot be read: {error}") from error
        _check_mode(path, mode)
        try:
            read = msgspec.json.decode(content, type=_KeyFile)
        except msgspec.DecodeError as error:  # which quotes nothing of what it read
            raise ConfigurationError(f"{path} is no key file: {error}") from error
        return cls(read.sign, read.keys, read.required)


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    sign: str
    keys: dict[str, bytes]
    required: bool = True


def _check_key(name: object, key: object) -> None:
    if not isinstance(name, str) or not _ID.match(name):
        raise ConfigurationError(f"signing keys: {name!r} is no key ID: 1 to 31 letters, digits, '.', '_' or '-'")
    if not isinstance(key, bytes) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ConfigurationError(f"signing keys[{name!r}]: give {SHORTEST_KEY} to {LONGEST_KEY} random bytes")


def _check_mode(path: str | Path, mode: int) -> None:
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"{path} holds keys and other users may change it: chmod go-w")
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        logger.warning("%s holds keys and other users may read it: chmod go-r, unless this is a container", path)


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(map(str, names))


class SigningCodec:
    """Writes signed frames, and reads none that is not. See ``Codec``.

    ``first_nonce`` is random for each process, so that no two sign with the same.
    """

    def __init__(self, keyring: Keyring, prefix: str, first_nonce: int | None = None) -> None:
        self._keyring, self._prefix = keyring, prefix
        self._key_id, self._key = keyring.sign, keyring.keys[keyring.sign]
        self.draw_nonces(first_nonce)
        self._states: dict[str, blake2b] = {}
        self.replays = Replays()

    def draw_nonces(self, first: int | None = None) -> None:
        """Begin the nonces anew, at a random one."""
        first = int.from_bytes(os.urandom(8), "big") // 2 if first is None else first
        self._nonce = count(LEAST_NONCE + first).__next__

    def encode_frame(self, fence: int, expires: int, local: str, message: Any, limit: int, channel: str, /) -> bytes:
        return self.encode_sent(fence, expires, local, message, 0, limit, channel)

    def encode_sent(
        self, fence: int, expires: int, local: str, message: Any, sent: int, limit: int, channel: str, /
    ) -> bytes:
        # The MAC is empty, so what is encoded is all that comes before it.
        signed = encode(OutgoingSignedFrame(fence, expires, local, message, sent, self._key_id, self._nonce()))
        size = len(signed) - SIGNED_UNTIL
        if size > limit:
            raise MessageTooLarge(size, limit)
        state = self._states.get(channel) or self._state_of(channel)
        mac = state.copy()
        mac.update(signed)
        return signed + MARK + mac.digest()

    def restamped(self, frame: bytes, fence: int, channel: str, /) -> bytes:
        old = decode_raw(frame, MAX_FRAME)
        return self.encode_sent(fence, old.expires, old.local, old.message, old.sent, MAX_FRAME, channel)

    def reading(self, channel: str, decode: Decode[FrameT]) -> Decode[FrameT]:
        verify = self.verifier(channel)

        def verified(frame: bytes, limit: int) -> FrameT:
            if len(frame) > limit:
                raise MalformedFrame(f"{len(frame)} bytes, over the limit of {limit}")
            verify(frame)
            return decode(frame, limit)

        return verified

    def verifier(self, channel: str) -> Callable[[bytes], None]:
        """What raises MalformedFrame for every frame that nobody has signed for ``channel``."""
        keys = [(_ending(name), self._keyed(key, channel)) for name, key in self._keyring.keys.items()]
        required = self._keyring.required

        def verify(frame: bytes) -> None:
            for ending, state in keys:
                if frame.endswith(ending, 0, NONCE_AT) and frame.startswith(SIGNED):
                    mac = state.copy()
                    mac.update(frame[:SIGNED_UNTIL])
                    if compare_digest(MARK + mac.digest(), frame[SIGNED_UNTIL:]):
                        return
                    raise MalformedFrame("its signature is wrong: it was changed, or was signed for another channel")
            if required or not frame.startswith(UNSIGNED):
                raise MalformedFrame(_why_not(frame))

        return verify

    def _state_of(self, channel: str) -> blake2b:
        """The hash of what comes before the frame, which is the same for all frames of a channel."""
        if len(self._states) >= MOST_CHANNELS:
            self._states.clear()
        state = self._states[channel] = self._keyed(self._key, channel)
        return state

    def _keyed(self, key: bytes, channel: str) -> blake2b:
        return blake2b(f"{self._prefix}:{{{channel}}}\0".encode(), digest_size=MAC_BYTES, key=key)


def _ending(name: str) -> bytes:
    """A key ID as it stands before the nonce: as its first byte is no ASCII, no other ID ends in the same way."""
    return bytes([0xA0 | len(name)]) + name.encode()


def _why_not(frame: bytes) -> str:
    if frame.startswith(UNSIGNED):
        return "it is not signed"
    found = _ID_AT_END.search(frame[NONCE_AT - 32 : NONCE_AT])
    name = found[1].decode() if found else ""
    if found is None or found[0] != _ending(name) or not frame.startswith(SIGNED):
        return "it is not signed as it should be"
    return f"it is signed with the key {name!r}, which is not one of ours"
