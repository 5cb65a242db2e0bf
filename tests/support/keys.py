"""Keys for tests, and bytes that are pushed by hand."""

from __future__ import annotations

import msgspec

from servicebus.security import Keyring
from servicebus.testing.servers import Server

OLD, NEW, STRANGE = b"old key, 16 byte", b"new key of more bytes", b"a key of somebody else"
SECRETS = {"old": OLD, "new": NEW}
KEYS = Keyring("new", SECRETS)
LENIENT = Keyring("new", SECRETS, required=False)
STRANGERS = Keyring("new", {"new": STRANGE})


def content(keyring: Keyring) -> bytes:
    """Of the file that holds it."""
    return msgspec.json.encode({"sign": keyring.sign, "keys": dict(keyring.keys), "required": keyring.required})


def push(server: Server, channel: str, *frames: bytes) -> None:
    """Put bytes into a channel or an inbox, as anybody can who reaches the server."""
    key = f"asgi:{{{channel}}}"
    server.run("RPUSH", key, *frames)
    server.run("PEXPIRE", key, 10_000)
