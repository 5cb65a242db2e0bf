"""The bytes of signed frames: what is written, and what is read or not."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import MessageTooLarge
from servicebus.errors import LARGEST_MESSAGE
from servicebus.protocol.codec import (
    MalformedFrame,
    decode_raw,
    decode_reply,
    decode_request,
    encode_sent,
)
from servicebus.protocol.envelope import UNSIGNED, OutgoingSignedFrame
from servicebus.security import Keyring
from servicebus.security.signing import SigningCodec

from ...support.keys import (
    KEYS,
    LENIENT,
    NEW,
    OLD,
    STRANGERS,
)
from ...support.spec_document import SPEC, rows
from ...support.strategies import (
    fences,
    instants,
    replies,
    requests,
    texts,
)

CHANNEL, INBOX = "shop.request", "4f2a!"
codec = SigningCodec(KEYS, "asgi")
verify = codec.verifier(CHANNEL)


def signed(message: Any = None, keyring: Keyring = KEYS, channel: str = CHANNEL, prefix: str = "asgi") -> bytes:
    return SigningCodec(keyring, prefix).encode_sent(
        7, 2**40, "", message or {"type": "x"}, 5, LARGEST_MESSAGE, channel
    )


def is_verified(frame: bytes, by: Any = verify) -> bool:
    """Raises for anything but a verdict."""
    try:
        by(frame)
    except MalformedFrame as error:
        if not str(error).isprintable():
            raise
        return False
    return True


signed_frames = st.builds(
    codec.encode_sent,
    fences,
    instants,
    texts,
    requests | replies,
    st.integers(0, 2**63),
    st.just(LARGEST_MESSAGE),
    st.just(CHANNEL),
)


@given(signed_frames)
def test_a_signed_frame_is_verified_and_read_without_the_codec(frame: bytes) -> None:
    verify(frame)
    array = msgpack.unpackb(frame, timestamp=3, strict_map_key=False)
    raw = decode_raw(frame, LARGEST_MESSAGE)
    assert [raw.fence, raw.expires, raw.local, raw.sent] == [*array[:3], array[4]]
    assert msgpack.packb(array[5]) == b"\xa3new"


@given(fences, instants, texts, requests, st.integers(0, 2**63))
def test_but_for_the_signature_it_is_the_frame_that_it_would_be_without(
    fence: int, expires: int, local: str, message: Any, sent: int
) -> None:
    plain = encode_sent(fence, expires, local, message, sent, LARGEST_MESSAGE)
    frame = codec.encode_sent(fence, expires, local, message, sent, LARGEST_MESSAGE, CHANNEL)
    assert frame[1:].startswith(plain[1:])
    assert codec.reading(CHANNEL, decode_request)(frame, LARGEST_MESSAGE) == decode_request(plain, LARGEST_MESSAGE)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert not is_verified(data)


@given(st.binary(max_size=60), st.sampled_from([b"\x98", b"\x94", b""]), st.sampled_from([b"\xa3new", b"\xa3xyz", b""]))
def test_bytes_that_are_laid_out_like_a_signed_frame_are_refused(data: bytes, start: bytes, key: bytes) -> None:
    frame = start + data + key + b"\xcf" + bytes(8) + b"\xc4\x10" + bytes(16)
    assert not is_verified(frame)
    assert not is_verified(frame, SigningCodec(LENIENT, "asgi").verifier(CHANNEL)) or frame.startswith(UNSIGNED)


@given(signed_frames, st.data())
def test_a_changed_frame_is_refused(frame: bytes, data: st.DataObject) -> None:
    changed = bytearray(frame)
    for at in data.draw(st.lists(st.integers(0, len(frame) - 1), min_size=1, max_size=4, unique=True)):
        changed[at] ^= data.draw(st.integers(1, 255))
    assert not is_verified(bytes(changed))


@given(signed_frames, st.binary(min_size=1, max_size=30))
def test_a_frame_that_is_cut_or_stretched_is_refused(frame: bytes, more: bytes) -> None:
    others = [frame[:end] for end in range(len(frame))] + [frame[start:] for start in range(1, len(frame))]
    assert not any(map(is_verified, [*others, frame + more, more + frame]))


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (signed(channel="other.request"), "signed for another channel"),
        (signed(channel=INBOX), "signed for another channel"),
        (signed(prefix="other"), "signed for another channel"),
        (signed(keyring=STRANGERS), "its signature is wrong"),
        (signed(keyring=Keyring("2026-09", {"2026-09": NEW})), "signed with the key '2026-09', which is not one of"),
        (signed(keyring=Keyring("xnew", {"xnew": NEW})), "signed with the key 'xnew'"),
        (encode_sent(7, 2**40, "", {"type": "x"}, 5, LARGEST_MESSAGE), "it is not signed"),
        (msgpack.packb([7, 2**40, "", {"type": "x"}]), "it is not signed"),
        (signed()[:-1], "not signed as it should be"),
        (b"", "not signed as it should be"),
    ],
    ids=[
        "of another channel",
        "of an inbox",
        "of another prefix",
        "with a key of strangers",
        "with another key of the same name",
        "with an unknown key",
        "sent without keys",
        "packed by hand",
        "cut",
        "empty",
    ],
)
def test_a_refusal_says_why(frame: bytes, complaint: str) -> None:
    with pytest.raises(MalformedFrame, match=re.escape(complaint)):
        verify(frame)


def test_any_of_the_keys_verifies_and_one_signs() -> None:
    assert is_verified(signed(keyring=Keyring("old", {"old": OLD})))
    assert msgpack.unpackb(signed())[5] == "new"


def test_no_key_takes_what_another_has_signed_under_its_name() -> None:
    ambiguous = Keyring("b", {"b": OLD, "ab": NEW})
    assert is_verified(signed(keyring=Keyring("ab", {"ab": NEW})), SigningCodec(ambiguous, "asgi").verifier(CHANNEL))
    assert not is_verified(
        signed(keyring=Keyring("ab", {"ab": OLD})), SigningCodec(ambiguous, "asgi").verifier(CHANNEL)
    )


def test_unsigned_frames_are_taken_while_keys_are_introduced() -> None:
    lenient = SigningCodec(LENIENT, "asgi").verifier(CHANNEL)
    lenient(encode_sent(7, 2**40, "", {"type": "x"}, 5, LARGEST_MESSAGE))
    lenient(signed())
    assert not is_verified(signed(keyring=STRANGERS), lenient)
    assert not is_verified(signed(channel="other.request"), lenient)
    assert not is_verified(b"\x96" + signed()[1:], lenient)


def test_nonces_are_counted_up_from_a_random_one_and_have_nine_bytes() -> None:
    first, second = (msgpack.unpackb(codec.encode_frame(0, 1, "", {}, LARGEST_MESSAGE, CHANNEL))[6] for _ in range(2))
    assert second == first + 1
    starts = {msgpack.unpackb(signed())[6] for _ in range(100)}
    assert len(starts) == 100
    assert min(starts) >= 2**32
    assert max(starts) < 2**63 + 2**33


@given(signed_frames, fences)
def test_a_frame_that_was_never_sent_is_signed_again_for_another_primary(frame: bytes, fence: int) -> None:
    again = codec.restamped(frame, fence, CHANNEL)
    verify(again)
    before, after = decode_raw(frame, LARGEST_MESSAGE), decode_raw(again, LARGEST_MESSAGE)
    assert after.fence == fence
    assert (after.expires, after.local, bytes(after.message), after.sent) == (
        before.expires,
        before.local,
        bytes(before.message),
        before.sent,
    )
    assert again[-16:] != frame[-16:]


def test_a_signed_frame_is_measured_with_its_signature_to_the_byte() -> None:
    size = len(codec.encode_frame(0, 0, "", "x" * 1000, LARGEST_MESSAGE, CHANNEL))
    assert len(codec.encode_frame(0, 0, "", "x" * 1000, size, CHANNEL)) == size
    with pytest.raises(MessageTooLarge) as caught:
        codec.encode_frame(0, 0, "", "x" * 1000, size - 1, CHANNEL)
    assert (caught.value.size, caught.value.limit) == (size, size - 1)


def test_a_frame_over_the_limit_is_refused_before_it_is_verified() -> None:
    with pytest.raises(MalformedFrame, match="over the limit of 10"):
        codec.reading(CHANNEL, decode_reply)(signed(), 10)


def test_more_channels_than_are_remembered_are_signed_for_all_the_same() -> None:
    many = SigningCodec(KEYS, "asgi", channels=3)
    for name in [f"c{n}.request" for n in range(10)] * 2:
        codec.verifier(name)(many.encode_frame(0, 1, "", {}, LARGEST_MESSAGE, name))
    assert len(many._states) <= 3


# docs/spec.md, section 10


def test_a_signed_frame_is_what_the_table_says() -> None:
    table = [row[1] for row in rows("10. Signed frames")]
    assert (*[row[1] for row in rows("5. Frame")], *table[1:]) == OutgoingSignedFrame.__struct_fields__
    assert table[0] == "sent"


def test_a_frame_signed_by_hand_as_the_page_says_is_verified() -> None:
    message = {"type": "echo", "body": 1}
    array = msgpack.packb([7, 2**40, "", message, 0, "old", 2**32, b""])
    frame = array[:-2]
    mac = hashlib.blake2b(b"asgi:{shop.request}\0" + frame, digest_size=16, key=OLD).digest()
    verify(frame + b"\xc4\x10" + mac)


def test_the_example_of_the_page_is_right() -> None:
    found = re.search(
        r"in hexadecimal, with the key\s+`(\w+)` under the name `k1`.*?\n\n    (\w+)\n    (\w+)\n", SPEC, re.S
    )
    assert found
    key, frame = bytes.fromhex(found[1]), bytes.fromhex(found[2] + found[3])
    SigningCodec(Keyring("k1", {"k1": key}), "asgi").verifier(CHANNEL)(frame)
    assert msgpack.unpackb(frame)[:4] == [1, 2, "", {"type": "echo"}]


def test_secrets_of_several_lengths_are_used_whole() -> None:
    longest = {"k": bytes(range(64))}
    assert not is_verified(
        signed(keyring=Keyring("k", longest)),
        SigningCodec(Keyring("k", {"k": longest["k"][:-1] + b"x"}), "asgi").verifier(CHANNEL),
    )
