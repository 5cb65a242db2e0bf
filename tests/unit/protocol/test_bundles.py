"""Several frames in one element of an inbox."""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as some

from servicebus.protocol.bundles import MARK, MAX_FRAMES, bundle, bundles, unbundled
from servicebus.protocol.envelope import SIGNED, UNSIGNED

FRAMES = [b"\x94one", b"\x95two", b"\xc1", b"", b"\x94" + b"x" * 70_000]


def test_a_bundle_is_an_array_with_an_array_of_frames_as_bytes() -> None:
    assert msgpack.unpackb(bundle(FRAMES)) == [FRAMES]


def test_what_was_bundled_comes_out_in_order_among_what_was_not() -> None:
    assert unbundled([b"\x94first", bundle(FRAMES), bundle([b"\x94"]), b"\x95last"]) == [
        b"\x94first",
        *FRAMES,
        b"\x94",
        b"\x95last",
    ]


def test_a_bundle_begins_as_no_frame_does() -> None:
    assert all(bundle([b"x"] * count).startswith(MARK) for count in (1, 4, 15, 16, MAX_FRAMES))
    assert MARK not in (*UNSIGNED, SIGNED)


def test_a_bundle_that_cannot_be_opened_stays_one_element() -> None:
    whole = bundle(FRAMES)
    broken = [whole[:-1], whole + b"x", MARK, MARK + b"\x92\xa1x\xa1y", MARK + b"\xdd\xff\xff\xff\xff", MARK + b"\x01"]
    broken += [bundle([b""] * (MAX_FRAMES + 1)), bundle([b""] * 300_000)]
    assert unbundled(broken) == broken


def test_a_bundle_in_a_bundle_is_left_closed() -> None:
    inner = bundle(FRAMES)
    assert unbundled([bundle([inner, b"\x94"])]) == [inner, b"\x94"]


@given(some.lists(some.binary().map(lambda junk: MARK + junk) | some.binary()))
def test_any_bytes_come_out_as_frames_or_as_they_are(elements: list[bytes]) -> None:
    assert all(type(frame) is bytes for frame in unbundled(elements))


@given(some.integers(0, 200).map(lambda count: [b"\x94%d" % number for number in range(count)]))
def test_nothing_is_lost_on_the_way(frames: list[bytes]) -> None:
    elements = bundles(frames)
    assert len(elements) == -(-len(frames) // MAX_FRAMES)
    assert unbundled([element for element in elements if element.startswith(MARK)]) == (
        frames if len(frames) % MAX_FRAMES != 1 else frames[:-1]
    )
