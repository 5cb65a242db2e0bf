from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.protocol.replay_guard import KEPT_MS, LONGEST_MS, SLOT_MS, Replays

NOW = 1_800_000_000_000
macs = (b"\x98" + number.to_bytes(16, "big") for number in count())


def test_a_copy_is_known_until_the_frame_expires() -> None:
    replays, frame = Replays(), next(macs)
    assert replays.take(frame, NOW + 5000, NOW) == "new"
    assert [replays.take(frame, NOW + 5000, now) for now in range(NOW, NOW + 5000, 100)] == ["known"] * 50
    assert replays.take(next(macs), NOW + 5000, NOW) == "new"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3000), st.integers(-1900, 3000)), max_size=60))
def test_nothing_is_taken_twice_before_it_expires_however_the_clock_goes(
    steps: list[tuple[int, int, int]],
) -> None:
    replays, taken, now, latest = Replays(), set[tuple[int, int]](), NOW, NOW
    for number, ttl, step in steps:
        # Back by less than what is kept beyond the expiry.
        now = max(now + step, latest - KEPT_MS + 1)
        latest = max(latest, now)
        key = number, now // 1000 * 1000 + ttl
        if key[1] <= now:
            continue
        verdict = replays.take(b"\x98" + number.to_bytes(8, "big") + key[1].to_bytes(8, "big"), key[1], now)
        assert (verdict == "new") is (key not in taken)
        taken.add(key)


def test_a_frame_is_remembered_when_the_clock_is_set_back() -> None:
    replays, frame = Replays(), next(macs)
    assert replays.take(frame, NOW + 100, NOW) == "new"
    replays.take(next(macs), NOW + 60_000, NOW + 50_000)
    assert len(replays) == 1
    assert replays.take(frame, NOW + 100, NOW) == "known"


def test_what_has_expired_is_forgotten() -> None:
    replays = Replays()
    for now in range(NOW, NOW + 100_000, 10):
        assert replays.take(next(macs), now + 1000, now) == "new"
    assert len(replays) <= (1000 + KEPT_MS + 3 * SLOT_MS) / 10


def test_what_cannot_be_remembered_is_not_taken_until_there_is_room_again() -> None:
    replays, first = Replays(limit=3), next(macs)
    assert [replays.take(frame, NOW + 100, NOW) for frame in (first, next(macs), next(macs))] == ["new"] * 3
    assert replays.take(next(macs), NOW + 100, NOW) == "full"
    assert replays.take(first, NOW + 100, NOW) == "known"
    assert len(replays) == 3
    later = NOW + 100 + KEPT_MS + 2 * SLOT_MS
    assert replays.take(next(macs), later + 100, later) == "new"
    assert len(replays) == 1


@pytest.mark.parametrize("unsigned", [b"\x94" + bytes(20), b"\x95" + bytes(20)])
def test_a_frame_without_a_signature_is_not_remembered(unsigned: bytes) -> None:
    replays = Replays(limit=1)
    assert [replays.take(unsigned, NOW + 1000, NOW) for _ in range(3)] == ["new"] * 3
    assert len(replays) == 0


@given(st.integers(NOW, 2**64 - 1))
def test_the_memory_has_room_again_after_an_hour_whatever_filled_it(expires: int) -> None:
    replays = Replays(limit=3)
    for _ in range(10):
        replays.take(next(macs), expires, NOW)
    later = NOW + LONGEST_MS + 2 * KEPT_MS + SLOT_MS
    assert replays.take(next(macs), later + 1000, later) == "new"
    assert len(replays) == 1
