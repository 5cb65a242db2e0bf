"""Which codec a bus writes and reads with: plain frames, or frames signed with a keyring."""

from __future__ import annotations

from ..config import default_keys
from ..errors import ConfigurationError
from ..layers.factory import signs
from ..protocol.codec import PLAIN, Codec
from ..protocol.replay_guard import LONGEST_MS
from .keyring import Keyring
from .signing import SigningCodec


def codec_for(signing: Keyring | None, url: str, prefix: str, expiry: float) -> Codec:
    """The codec for a keyring, by default the keyring of the file that ``SERVICEBUS_KEYS`` names; plain without both.

    Raises:
        ConfigurationError: ``signing`` is not a Keyring, its file is unusable, or the URL's layer moves messages
            instead of bytes, so nothing could be signed; or ``expiry``, in seconds, is longer than workers remember.
    """
    if signing is None and (path := default_keys()):
        signing = Keyring.from_file(path)
    if signing is None:
        return PLAIN
    if not isinstance(signing, Keyring):
        raise ConfigurationError(f"signing is a {type(signing).__name__}: give a Keyring")
    if not signs(url):
        raise ConfigurationError(
            "signing: django:// moves messages, not the bytes that are signed; give the URL of the server itself"
        )
    if expiry * 1000 > LONGEST_MS:
        raise ConfigurationError(
            f"expiry is {expiry}: at most {LONGEST_MS // 1000} seconds on a bus that signs, for workers remember what "
            "they took until it expires"
        )
    return SigningCodec(signing, prefix)
