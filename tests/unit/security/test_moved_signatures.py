"""Signed frames that moved to another primary with their slot."""

from __future__ import annotations

import msgpack

from servicebus.errors import LARGEST_MESSAGE
from servicebus.layers.redis.connection.greeting import Greeting
from servicebus.layers.redis.topology.migrated_frames import adopted, runs
from servicebus.protocol.codec import encode_sent
from servicebus.security.signing import SigningCodec

from ...support.keys import KEYS

OURS, THEIRS, DEAD = 70_000, 80_000, 90_000
CHANNEL = "shop.request"
codec = SigningCodec(KEYS, "asgi")


def signed(fence: int, sent: int = 5) -> bytes:
    return codec.encode_sent(fence, 1, "", {"type": "run"}, sent, LARGEST_MESSAGE, CHANNEL)


def plain(fence: int) -> bytes:
    return encode_sent(fence, 1, "", {"type": "run"}, 5, LARGEST_MESSAGE)


def read(frames: list[bytes], promoted: bool = False) -> list[tuple[list[bytes], int]]:
    return list(runs(frames, Greeting(1, OURS, 0.0, promoted, started_ms=3.0), {OURS, THEIRS}.__contains__))


def test_a_signed_frame_is_taken_as_it_is_under_the_fence_that_it_has() -> None:
    frames = [signed(OURS), signed(OURS), signed(THEIRS), signed(THEIRS), signed(OURS)]
    assert read(frames) == [(frames[:2], OURS), (frames[2:4], THEIRS), (frames[4:], OURS)]


def test_one_without_a_signature_gets_the_fence_of_this_primary() -> None:
    (run, fence), other = read([plain(OURS), plain(THEIRS), signed(THEIRS)])
    assert [msgpack.unpackb(frame)[0] for frame in run] == [OURS, OURS]
    assert (fence, other[1]) == (OURS, THEIRS)


def test_what_may_have_been_handed_out_is_not_taken_under_its_own_fence() -> None:
    frames = [signed(DEAD), signed(THEIRS, sent=2), signed(THEIRS, sent=0), signed(0), b"\x98", b""]
    assert read(frames) == [(frames, OURS)]
    assert read([signed(THEIRS)], promoted=True)[0][1] == OURS


def test_most_often_there_is_nothing_to_be_done() -> None:
    frames = [signed(OURS), plain(OURS)]
    assert read(frames)[0][0] is frames


def test_nobody_changes_a_signed_frame_without_the_key() -> None:
    frames = [signed(THEIRS)]
    assert adopted(frames, Greeting(1, OURS, 0.0, started_ms=3.0), {OURS, THEIRS}.__contains__) == frames
