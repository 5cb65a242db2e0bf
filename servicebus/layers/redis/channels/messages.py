"""Channel-layer messages to frames and back.

A plain msgpack message is the fourth element of its frame as it is, so that the bus and any Channels consumer read each
other. Any other serializer, and encryption, make it one byte string there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from channels_redis.serializers import registry

from ....protocol.codec import UNDECODABLE, MalformedFrame

Keys = Sequence[str | bytes]


class AnyFrame(msgspec.Struct, frozen=True, array_like=True):
    """A frame with its message as plain values."""

    fence: int
    expires: int
    local: str
    message: Any


def _base(value: Any) -> Any:
    """Subclasses go as what they are, as with the msgpack package: Django's SafeString is a str."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    raise TypeError(f"a message cannot hold a {type(value).__name__}")


_encode = msgspec.msgpack.Encoder(enc_hook=_base).encode
_decode = msgspec.msgpack.Decoder(AnyFrame).decode


class Messages:
    """The serializer of one layer, from channels_redis's registry. Raises ValueError for keys that are not a list."""

    def __init__(self, serializer_format: str, keys: Keys | None, random_prefix_length: int, expiry: float) -> None:
        self._serializer = registry.get_serializer(
            serializer_format,
            symmetric_encryption_keys=keys or None,
            random_prefix_length=random_prefix_length,
            expiry=expiry,
        )
        self._secret = bool(keys)
        self.plain = serializer_format == "msgpack" and not keys
        self.serialize: Callable[[dict[str, Any]], bytes] = self._serializer.serialize
        self.deserialize: Callable[[bytes], dict[str, Any]] = self._serializer.deserialize

    def body(self, message: dict[str, Any]) -> Any:
        """What goes into a frame. Raises TypeError or ValueError for what the serializer cannot hold."""
        try:
            return msgspec.Raw(_encode(message)) if self.plain else self.serialize(message)
        except RecursionError as error:
            raise ValueError("a message is nested too deeply, or holds itself") from error

    def message(self, frame: bytes) -> dict[str, Any]:
        """The message in a frame. Raises MalformedFrame for anything that is none."""
        try:
            message = _decode(frame).message
            if isinstance(message, bytes):
                message = self.deserialize(message)
            elif self._secret:
                raise MalformedFrame("it is not encrypted, and this layer has keys")
        except MalformedFrame:
            raise
        except UNDECODABLE as error:
            raise MalformedFrame(str(error)) from error
        except Exception as error:
            raise MalformedFrame(f"{type(error).__name__}: {error}") from error
        if not isinstance(message, dict):
            raise MalformedFrame(f"a message is a dict, not a {type(message).__name__}")
        return message
