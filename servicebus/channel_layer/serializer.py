"""Channel-layer messages to frames and back.

The fourth element of a frame is the message. Plain msgpack puts the message there as it is, so that the bus and any
Channels consumer read each other's messages. Any other serializer, and encryption, put one byte string there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import msgspec
from channels_redis.serializers import MsgPackSerializer, registry

from ..contract.decoding import body_decoder
from ..protocol.codec import UNDECODABLE, MalformedFrame

Keys = Sequence[str | bytes]
Serialize = Callable[[dict[str, Any]], bytes]
Deserialize = Callable[[bytes], dict[str, Any]]


class AnyFrame(msgspec.Struct, frozen=True, array_like=True):
    """A frame with its message as plain values."""

    fence: int
    expires: int
    local: str
    message: Any


# The msgpack package and not msgspec: msgpack refuses what no channel layer has to carry (dates, Decimal, sets), where
# msgspec would change it, and encodes a subclass as its base: Django's SafeString goes as a str.
_encode: Callable[[dict[str, Any]], bytes] = msgpack.packb
_decode = body_decoder(AnyFrame)


class Messages:
    """The serializer of one layer, from channels_redis's registry. Raises ValueError for keys that are not a list.

    Attributes:
        plain: messages have the form that the bus reads and writes too. A layer that overrides the serializer sets this
            to False.
        serialize: the method of the serializer.
        deserialize: the method of the serializer.
    """

    def __init__(self, serializer_format: str, keys: Keys | None, random_prefix_length: int, expiry: float) -> None:
        self._serializer = registry.get_serializer(
            serializer_format,
            symmetric_encryption_keys=keys or None,
            random_prefix_length=random_prefix_length,
            expiry=expiry,
        )
        self._secret = bool(keys)
        self.plain = type(self._serializer) is MsgPackSerializer and not keys
        self.serialize: Serialize = self._serializer.serialize
        self.deserialize: Deserialize = self._serializer.deserialize

    def body(self, message: dict[str, Any], serialize: Serialize) -> Any:
        """What goes into a frame.

        Raises:
            TypeError: the serializer cannot hold a value, or ``serialize`` does not return bytes.
            ValueError: the message is nested too deeply.
        """
        try:
            if self.plain:
                return msgspec.Raw(_encode(message))
            body = serialize(message)
        except RecursionError as error:
            raise ValueError("a message is nested too deeply, or holds itself") from error
        if not isinstance(body, bytes | bytearray | memoryview):
            raise TypeError(f"serialize must return bytes, not {type(body).__name__}")
        return body

    def message(self, frame: bytes, deserialize: Deserialize) -> dict[str, Any]:
        """The message in a frame.

        Raises:
            MalformedFrame: the frame holds something else than a message of this layer.
        """
        try:
            message = _decode(frame).message
            if isinstance(message, bytes):
                message = deserialize(message)
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
