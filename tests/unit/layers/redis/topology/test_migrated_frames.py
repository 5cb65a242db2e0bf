"""Which frames of other primaries a reader of a Cluster takes for its own."""

from __future__ import annotations

import msgpack
import pytest

from servicebus.layers.redis.connection.greeting import Greeting
from servicebus.layers.redis.topology.migrated_frames import adopted

OURS, THEIRS, DEAD = 70_000, 80_000, 90_000
MESSAGE = [1, "", {"type": "run"}]


def frame(fence: int, *more: int) -> bytes:
    return bytes(msgpack.packb([fence, *MESSAGE, *more]))


def read(frames: list[bytes], promoted: bool = False) -> list[bytes]:
    return adopted(frames, Greeting(1, OURS, 0.0, promoted), {OURS, THEIRS}.__contains__)


def test_a_frame_of_a_primary_that_is_there_still_came_with_its_slot() -> None:
    (found,) = read([frame(THEIRS, 5)])
    assert msgpack.unpackb(found) == [OURS, *MESSAGE, 5]


def test_a_reply_says_not_when_it_was_sent_and_does_no_harm_twice() -> None:
    reply = msgpack.packb([THEIRS, 1, "response.x!1", {"type": "reply"}])
    assert msgpack.unpackb(read([reply])[0])[:3] == [OURS, 1, "response.x!1"]


def test_frames_older_than_the_server_may_have_been_handed_out() -> None:
    frames = [frame(THEIRS, 5), frame(THEIRS, 6), frame(THEIRS)]
    found = adopted(frames, Greeting(1, OURS, 0.0, started_ms=5.0), {OURS, THEIRS}.__contains__)
    assert [msgpack.unpackb(one)[0] for one in found] == [THEIRS, OURS, THEIRS]


@pytest.mark.parametrize("bytes_", [frame(OURS), frame(OURS, 5), frame(0), frame(DEAD), b"", b"\x94\xc1", b"\xff" * 9])
def test_any_other_frame_is_left_as_it_is(bytes_: bytes) -> None:
    assert read([bytes_]) == [bytes_]


def test_the_order_of_frames_is_kept() -> None:
    found = read([frame(THEIRS, 1), frame(OURS, 2), frame(THEIRS, 3)])
    assert [msgpack.unpackb(one)[4] for one in found] == [1, 2, 3]


def test_a_promoted_replica_adopts_no_frames() -> None:
    assert read([frame(THEIRS)], promoted=True) == [frame(THEIRS)]


@pytest.mark.parametrize("promoted", [True, False])
def test_frames_under_the_former_fence_of_this_primary_are_its_own(*, promoted: bool) -> None:
    greeting = Greeting(1, OURS, 0.0, promoted, started_ms=9.0, former=DEAD)
    found = adopted([frame(DEAD, 5), frame(DEAD), frame(OURS, 5), frame(0)], greeting, {OURS}.__contains__)
    assert [msgpack.unpackb(one)[0] for one in found] == [OURS, OURS, OURS, 0]


def test_a_promoted_replica_with_a_former_fence_adopts_no_others() -> None:
    greeting = Greeting(1, OURS, 0.0, promoted=True, former=DEAD)
    assert adopted([frame(THEIRS, 5)], greeting, {OURS, THEIRS}.__contains__) == [frame(THEIRS, 5)]


def test_without_a_fence_frames_are_left_as_they_are() -> None:
    frames = [frame(THEIRS, 5), frame(OURS, 5), frame(0)]
    assert adopted(frames, Greeting(1, 0, 0.0), lambda fence: True) is frames
