"""Frames that are signed with a key that the participants share, and verified before they are decoded.

docs/spec.md, section 10, defines the bytes; docs/topics/security.md explains what signing protects against.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from hmac import compare_digest
from itertools import count
from typing import Any

from ..errors import MessageTooLarge
from ..foundation.memo import MAX_ENTRIES, Memo
from ..protocol.codec import MAX_FRAME, Decode, FrameT, MalformedFrame, decode_raw, encode
from ..protocol.envelope import SIGNED, UNSIGNED, OutgoingSignedFrame
from ..protocol.replay_guard import MAC_BYTES, Replays
from .keyring import Keyring

MARK = b"\xc4\x10"
"""The msgpack header of the MAC: 16 bytes follow."""
SIGNED_UNTIL = -MAC_BYTES - len(MARK)
"""The offset, from the end of a frame, where the signed bytes end."""
NONCE_AT = SIGNED_UNTIL - 9
"""The offset, from the end of a frame, of the nonce: 9 bytes of msgpack."""
LEAST_NONCE = 2**32
"""The smallest nonce: msgpack would write a smaller one in fewer than 9 bytes."""
LONGEST_ENDING = 32
"""Bytes of a key ID in msgpack, at most: one byte of header and 31 characters."""

_ID_AT_END = re.compile(rb"[\xa1-\xbf]([A-Za-z0-9._-]{1,31})\Z")


class SigningCodec:
    """Writes signed frames, and refuses to read frames that are not signed. See ``Codec``.

    Args:
        keyring: the keys.
        prefix: of the keys on the server. A frame for one prefix is not valid under another.
        first_nonce: where the nonces begin, by default at a random one, so that no two processes use the same.
        channels: channels whose hash states are remembered.
    """

    def __init__(
        self, keyring: Keyring, prefix: str, first_nonce: int | None = None, *, channels: int = MAX_ENTRIES
    ) -> None:
        self._keyring = keyring
        self._prefix = prefix
        self._key_id = keyring.sign
        self.draw_nonces(first_nonce)
        # The hash of what precedes a frame is the same for all frames of a channel, so each frame copies that state.
        self._states: Memo[str, blake2b] = Memo(partial(self._keyed, keyring.keys[keyring.sign]), channels)
        self.replays = Replays()

    def begin(self) -> None:
        """Draw new nonces: a bus that was made before a fork opens in several processes."""
        self.draw_nonces()

    def draw_nonces(self, first: int | None = None) -> None:
        """Begin the nonces anew, at ``first`` or at a random one. A forked child must do this before it signs."""
        first = int.from_bytes(os.urandom(8), "big") // 2 if first is None else first
        self._nonce = count(LEAST_NONCE + first).__next__

    def encode_frame(self, fence: int, expires: int, local: str, message: Any, limit: int, channel: str, /) -> bytes:
        return self.encode_sent(fence, expires, local, message, 0, limit, channel)

    def encode_sent(
        self, fence: int, expires: int, local: str, message: Any, sent: int, limit: int, channel: str, /
    ) -> bytes:
        # The MAC field is left empty, so the encoder writes exactly the bytes that precede the MAC.
        signed = encode(OutgoingSignedFrame(fence, expires, local, message, sent, self._key_id, self._nonce()))
        size = len(signed) - SIGNED_UNTIL
        if size > limit:
            raise MessageTooLarge(size, limit)
        mac = self._states[channel].copy()
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
        """Return a function that raises MalformedFrame for a frame without a valid signature for ``channel``."""
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

    def _keyed(self, key: bytes, channel: str) -> blake2b:
        return blake2b(f"{self._prefix}:{{{channel}}}\0".encode(), digest_size=MAC_BYTES, key=key)


def _ending(name: str) -> bytes:
    """Return a key ID as it stands before the nonce.

    Its first byte is not ASCII, so a frame with another key ID never ends in the same bytes.
    """
    return bytes([0xA0 | len(name)]) + name.encode()


def _why_not(frame: bytes) -> str:
    if frame.startswith(UNSIGNED):
        return "it is not signed"
    found = _ID_AT_END.search(frame[NONCE_AT - LONGEST_ENDING : NONCE_AT])
    name = found[1].decode() if found else ""
    if found is None or found[0] != _ending(name) or not frame.startswith(SIGNED):
        return "it is not signed as it should be"
    return f"it is signed with the key {name!r}, which is not one of ours"
